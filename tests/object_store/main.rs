//! `ObjectStoreSnapshots` against everything that an object store, a network and other people do.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test may panic"
)]

mod by_hand;
mod cancellation;
mod histories;
mod open;
mod races;
mod requests;
mod support;
