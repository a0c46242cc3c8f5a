//! The handle: what applications call. [`file_store`] blocks, [`snapshot_store`] is for tasks;
//! both share the open store and its threads ([`shared`]).

mod blocking;
pub(super) mod file_store;
mod shared;
mod shut_down;
mod snapshot_store;
mod submitted;
