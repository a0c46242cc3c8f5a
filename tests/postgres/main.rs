//! Stores and event sources in PostgreSQL. One server for all tests, with a schema for each;
//! `support` says where the server comes from.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::future_not_send,
    unreachable_pub,
    reason = "a test may panic"
)]

#[cfg(feature = "http")]
mod api_keys;
#[cfg(feature = "postcard")]
mod captured;
#[cfg(feature = "memory")]
mod created;
#[cfg(all(feature = "memory", feature = "postcard"))]
mod events;
mod faults;
#[cfg(all(feature = "memory", feature = "postcard"))]
mod hybrid;
mod immutable;
#[cfg(feature = "conformance")]
mod ledger;
#[cfg(feature = "conformance")]
#[path = "../conformance/ledger_support/mod.rs"]
mod ledger_support;
#[cfg(feature = "conformance")]
mod marks;
mod plans;
#[cfg(feature = "postcard")]
mod pooler;
#[cfg(feature = "publish")]
mod publications;
#[cfg(all(feature = "memory", feature = "postcard", feature = "lz4"))]
mod retention;
#[cfg(all(feature = "memory", feature = "postcard", feature = "lz4"))]
#[path = "../retention_worlds/mod.rs"]
mod retention_worlds;
#[cfg(all(feature = "memory", feature = "postcard"))]
mod scheduler;
#[cfg(feature = "conformance")]
mod store;
#[allow(dead_code, reason = "some of it is for the bench")]
mod support;
#[cfg(feature = "conformance")]
mod unsealed;
#[cfg(all(feature = "conformance", feature = "lz4"))]
mod views;
