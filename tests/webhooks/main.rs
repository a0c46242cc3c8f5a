//! Webhooks: signatures, the outbox, and the sender.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may panic"
)]

mod interrupted;
mod outbox;
mod sender;
mod signatures;
mod stalled;
mod support;
