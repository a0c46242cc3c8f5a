//! From files to an open store.
//!
//! [`open`] locks the [`directory`], [`load`]s every segment, from its index file or by a [`scan`]
//! of its frames, and [`replay`]s what they hold into the index.

pub(super) mod directory;
mod load;
pub(super) mod open;
mod replay;
pub(super) mod scan;
