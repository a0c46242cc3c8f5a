//! Opens a store from its files.
//!
//! [`open`] locks the [`directory`], [`load`]s every segment from its index file or by a [`scan`]
//! of its frames, and [`replay`]s their content into the index. [`open_read_only`] does so with a
//! [`view`] of the files that it takes without a lock.

pub(super) mod directory;
mod fill;
mod load;
pub(super) mod open;
pub(super) mod open_read_only;
mod replay;
pub(super) mod scan;
pub(super) mod view;
