//! Bytes and what they stand for: records, payloads, digests, and states whose type has changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[cfg(all(
    feature = "memory",
    feature = "lz4",
    feature = "postcard",
    feature = "cache",
    feature = "msgpack",
    feature = "json",
    feature = "bincode"
))]
mod deep_nesting;
#[cfg(all(
    feature = "bincode",
    feature = "json",
    feature = "lz4",
    feature = "memory",
    feature = "msgpack",
    feature = "postcard"
))]
mod golden;
#[cfg(feature = "lz4")]
mod headers;
#[cfg(all(feature = "conformance", feature = "object-store"))]
mod object_store;
#[path = "../own_coding/mod.rs"]
mod own_coding;
#[cfg(feature = "lz4")]
#[path = "../property/mod.rs"]
mod property;
#[cfg(feature = "lz4")]
#[path = "../record_bytes/mod.rs"]
mod record_bytes;
#[cfg(all(
    feature = "memory",
    feature = "lz4",
    feature = "postcard",
    feature = "cache",
    feature = "msgpack",
    feature = "json",
    feature = "bincode"
))]
#[allow(clippy::trivially_copy_pass_by_ref, reason = "the signatures are serde's")]
mod shape_changes;
#[cfg(all(feature = "bincode", feature = "json", feature = "msgpack", feature = "postcard"))]
mod state_digest;
#[cfg(all(feature = "bincode", feature = "json", feature = "msgpack", feature = "postcard"))]
mod upcasters;
