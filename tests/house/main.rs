//! The house rules: which module may use which, and what the crate exports.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[cfg(all(feature = "memory", feature = "postcard", feature = "lz4", feature = "cache"))]
#[path = "../engine/support/account.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with other tests")]
mod account;
mod architecture;
mod circles;
mod names;
mod pages;
#[cfg(all(feature = "memory", feature = "postcard", feature = "lz4", feature = "cache"))]
mod public_api;
