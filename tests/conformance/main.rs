//! A promise in the docs of a trait that nobody checks is a wish: stores, ours too, drift from it
//! one corner at a time. So the kit that we hand to other store authors runs over our own stores
//! first, and no promise may be without a case.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]

mod file;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
#[path = "../postgres_support/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other tests")]
mod postgres_support;
mod register;
mod verdicts;
