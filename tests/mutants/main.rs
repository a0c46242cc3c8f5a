//! The kit can fail: it finds each lie of the stores, event sources, ledgers, artifact stores and
//! stores of publications here, and names just the promises that the lie breaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod artifacts;
mod event_sources;
mod ledgers;
#[cfg(feature = "publish")]
mod publications;
mod stores;
mod verdict;
