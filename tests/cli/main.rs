//! The command `snapfold`, run as an operator runs it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may panic"
)]

mod application;
mod archive;
mod bench;
mod beside;
mod checks;
mod database;
mod hostile;
mod ledgers;
mod listing;
mod marks;
mod pipes;
#[path = "../postgres/support/mod.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod postgres_support;
mod pruning;
mod savepoints;
mod support;
mod time_travel;
mod transfer;
mod urls;
