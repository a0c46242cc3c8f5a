//! The kit can fail: it finds each lie of the stores, event sources and ledgers here, and names just
//! the promises that the lie breaks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod event_sources;
mod ledgers;
mod stores;
