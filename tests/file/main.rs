//! Stores in files: what they answer, what damage and kills leave of them, and what other processes
//! and other directories do to them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::case_sensitive_file_extension_comparisons,
    reason = "a test may panic"
)]

mod artifacts;
#[cfg(feature = "memory")]
mod at_time;
mod damage;
mod erase;
mod golden;
#[cfg(unix)]
mod kill;
mod large;
mod marks;
#[cfg(unix)]
mod place;
#[path = "../property/mod.rs"]
mod property;
#[cfg(all(unix, feature = "publish"))]
mod published;
mod random;
mod read_only;
mod repair;
mod store;
mod support;
