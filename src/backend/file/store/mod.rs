//! The handle that applications use. [`file_store`] contains the blocking calls and
//! [`snapshot_store`] the async ones. Both share the open store and its threads ([`shared`]).

pub(super) mod file_store;
mod shared;
mod shut_down;
mod snapshot_store;
mod submitted;

/// What an error names if the runtime ends while the store works.
const USE: &str = "use a store";
