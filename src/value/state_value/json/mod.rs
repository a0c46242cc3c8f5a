//! States as JSON whose bytes depend on nothing but the value.
//!
//! [`canonical`] defines these bytes, by writing trees. [`write_state`] writes the same bytes
//! without a tree.

pub(crate) mod canonical;
mod page;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use writer::write_state;
