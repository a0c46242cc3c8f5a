//! Our own event sources under the kit that we hand to others, and no obligation without a case.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod account;
#[cfg(feature = "postgres")]
mod foreign;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
#[path = "../postgres_support/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other tests")]
mod postgres_support;
mod register;
