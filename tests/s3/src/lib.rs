//! Servers that speak S3, for the tests of snapfold's object storage.
//!
//! What each of them does with the requests of a store stands in `tests/servers`, as tests.

#![forbid(unsafe_code)]

mod in_process;
mod server;

pub use server::Server;
