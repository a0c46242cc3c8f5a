//! States over HTTP, asked as a server asks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may panic"
)]

mod about;
mod answers;
mod caching;
mod conditions;
mod download;
mod files;
mod guard;
mod inspect;
mod keys;
mod lists;
mod live;
#[cfg(feature = "publish")]
mod publish;
mod reader;
mod records;
mod support;
mod time_travel;
mod viewer;
mod writes;
