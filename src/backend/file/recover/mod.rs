//! Opens a store from its files.
//!
//! [`open`] locks the [`directory`], [`load`]s every segment from its index file or by a [`scan`]
//! of its frames, and [`replay`]s their content into the index.

pub(super) mod directory;
mod load;
pub(super) mod open;
mod replay;
pub(super) mod scan;
