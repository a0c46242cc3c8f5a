//! The handle: what applications call. [`file_store`] blocks, [`snapshot_store`] is for tasks.

mod blocking;
pub(super) mod file_store;
mod shut_down;
mod snapshot_store;
mod submitted;
