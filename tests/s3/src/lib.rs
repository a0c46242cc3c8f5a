//! Servers that speak S3, for the tests of snapfold's object storage, and a relay that does harm.
//!
//! What each server does with the requests of a store stands in `tests/servers`, as tests, and what
//! the store makes of it in `tests/store`.

#![forbid(unsafe_code)]

mod gate;
pub mod history;
mod in_process;
mod message;
mod relay;
pub mod samples;
mod server;

pub use gate::Gate;
pub use relay::{Ending, Fault, Relay};
pub use server::Server;
