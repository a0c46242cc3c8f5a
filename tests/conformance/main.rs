//! The kit over what comes with the crate: stores, event sources, ledgers, artifact stores and stores
//! of publications; and over aggregates with one defect each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may panic"
)]

#[cfg(all(feature = "json", feature = "msgpack"))]
mod aggregate;
mod artifacts;
#[cfg(feature = "object-store")]
#[path = "../bucket_site/mod.rs"]
mod bucket_site;
mod event_sources;
#[cfg(feature = "file")]
mod ledger_support;
#[cfg(feature = "file")]
mod ledgers;
#[cfg(feature = "postgres")]
#[path = "../postgres/support/mod.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod postgres_support;
#[cfg(feature = "publish")]
mod publications;
#[cfg(feature = "file")]
mod stores;
