//! Engines: loads, snapshots, background saves and management calls, over stores and event sources
//! in memory that misbehave on demand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test may panic"
)]

#[cfg(feature = "postcard")]
mod adaptive;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod admin;
#[cfg(feature = "postcard")]
mod apply_plan;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod audit;
#[cfg(feature = "postcard")]
mod background_saves;
#[cfg(feature = "postcard")]
mod bad_input;
#[cfg(feature = "postcard")]
mod batch;
#[cfg(feature = "postcard")]
mod cancellation;
#[cfg(feature = "postcard")]
mod clocks;
#[cfg(feature = "postcard")]
mod compare_with_events;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod create_many;
#[cfg(all(feature = "conformance", feature = "postcard"))]
mod details;
#[cfg(all(feature = "postcard", feature = "zstd"))]
mod dictionaries;
#[cfg(feature = "postcard")]
mod event_sources;
mod evidence;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod fakes;
#[cfg(feature = "conformance")]
mod fault_layer;
#[cfg(feature = "postcard")]
mod health;
#[cfg(all(feature = "postcard", feature = "cache"))]
mod hot_cache;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod incremental;
#[cfg(all(feature = "postcard", feature = "cache"))]
mod large_states;
mod limits;
#[cfg(feature = "postcard")]
mod load_many;
#[cfg(feature = "postcard")]
mod manager;
#[cfg(feature = "conformance")]
mod moving_floor;
#[cfg(all(feature = "postcard", feature = "cache"))]
mod overload;
#[cfg(all(feature = "postcard", feature = "lz4"))]
#[path = "../own_coding/mod.rs"]
mod own_coding;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod own_compression;
#[cfg(feature = "postcard")]
mod policy_rules;
#[cfg(feature = "postcard")]
mod policy_text;
#[cfg(feature = "postcard")]
#[path = "../property/mod.rs"]
mod property;
#[cfg(all(feature = "postcard", feature = "lz4", feature = "zstd", feature = "conformance"))]
mod recompress;
#[cfg(feature = "postcard")]
#[path = "../record_bytes/mod.rs"]
mod record_bytes;
#[cfg(feature = "postcard")]
mod retention;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod retention_sweep;
#[cfg(all(feature = "postcard", feature = "lz4"))]
#[path = "../retention_worlds/mod.rs"]
mod retention_worlds;
#[cfg(feature = "postcard")]
mod review;
#[cfg(feature = "postcard")]
mod rollback;
#[cfg(all(feature = "conformance", feature = "postcard"))]
mod savepoints;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod scheduler;
#[cfg(all(feature = "conformance", feature = "lz4", feature = "zstd"))]
mod seals;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod signatures;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod signed_trails;
#[cfg(feature = "postcard")]
mod size_trigger;
#[cfg(feature = "conformance")]
mod sizes;
#[cfg(all(feature = "cache", feature = "conformance", feature = "postcard"))]
mod spot_checks;
#[cfg(feature = "conformance")]
mod store_ext;
#[cfg(feature = "postcard")]
mod support;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod sweep;
#[cfg(all(feature = "postcard", feature = "metrics", feature = "tracing"))]
mod telemetry;
#[cfg(all(feature = "conformance", feature = "lz4", feature = "cache"))]
mod tiered;
#[cfg(feature = "postcard")]
mod time_travel;
#[cfg(all(feature = "postcard", feature = "lz4"))]
mod transfer;
