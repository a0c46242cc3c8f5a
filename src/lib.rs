//! **snapfold** gives an event-sourced application the state of any aggregate, now or at any point
//! of its history, for the cost of reading one record and a short tail of events.
//!
//! It plugs into the event store that the application already has. It is not a framework: it has no
//! command bus and no event table, and it does not prescribe how events are written. One rule
//! always holds: **a load equals a full replay.** A snapshot is a cache of history. A snapshot that
//! is damaged or outdated, or that contradicts the events, is a miss, and the load reports it.
//!
//! # A first look
//!
//! ```
//! # use serde::{Deserialize, Serialize};
//! use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Counter {
//!     total: i64,
//! }
//!
//! impl Aggregate for Counter {
//!     type Event = i64;
//!     const KIND: &'static str = "counter";
//!     const SCHEMA_VERSION: u32 = 1;
//!
//!     fn initial(_: &AggregateKey) -> Self {
//!         Counter { total: 0 }
//!     }
//!
//!     fn apply(&mut self, added: &i64) {
//!         self.total += added;
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let events = MemoryEvents::new(); // in real life: your event store, behind `EventSource`
//! let key = Counter::key("visits")?;
//! for second in 1..=1_000 {
//!     events.append(&key, Timestamp::from_seconds(second), 2);
//! }
//!
//! let engine = SnapshotEngine::<Counter>::builder(events, MemoryStore::new()).build()?;
//! engine.create(&key).await?;
//!
//! let now = engine.load(&key).await?;
//! assert_eq!((now.state.total, now.provenance.events_replayed), (2_000, 0));
//! let earlier = engine.at_time(&key, Timestamp::from_seconds(10)).await?;
//! assert_eq!((earlier.state.total, earlier.version), (20, 10));
//! # Ok::<(), snapfold::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | aggregate | one consistency boundary; its state is the left fold of its events |
//! | [`AggregateKey`] | tenant (may be empty), kind and id |
//! | version | a `u64`: the number of folded events; the first event has version 1 |
//! | [`Generation`](record::Generation) | declared schema version and traced shape of the state type |
//! | snapshot | the state at exactly one version, encoded, with its header; immutable |
//! | [`Record`](record::Record) | the stored bytes of a snapshot, the same in every store |
//! | anchor | the identity of the last folded event in the event store |
//! | replay floor | the lowest version from which the event store can still replay |
//! | tail | the events after a snapshot |
//! | as-of time | the latest recorded time among all folded events |
//!
//! # Where to begin
//!
//! - [Getting started](guide::getting_started) leads from an application with its own event store to
//!   loads from snapshots, in ten minutes. The [guide] has a page for each further question.
//! - An application implements [`Aggregate`] for its states and [`EventSource`] for its event
//!   store, builds a [`SnapshotEngine`], and calls its methods. After a commit it calls
//!   [`committed`](SnapshotEngine::committed). A [`trigger`] then decides whether a snapshot is
//!   created in the background, and a [`retention`] policy decides which snapshots are kept. One
//!   test [verifies the aggregate](guide::aggregate_authors).
//! - A storage author implements [`SnapshotStore`], in which each obligation has an id. The guide
//!   to [writing a store](guide::store_authors) builds one from scratch, and the feature
//!   `conformance` provides tests for it.
//! - Plots, code and other content beside the snapshots are artifacts: see [`artifact`].
//! - An operator uses the command `snapfold`: see the guide to the
//!   [command line](guide::command_line).
//!
//! # What it does not do
//!
//! snapfold never writes or deletes events and takes no part in command handling: snapshots are
//! saved after a commit, in the background, and a failed save is reported but never raised. It
//! cannot detect a change in what `apply` *means*: raise [`Aggregate::SCHEMA_VERSION`] in that
//! case.
//!
//! # Features
//!
//! A feature only adds API; it never changes a default or a stored byte.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `memory` | yes | [`MemoryStore`], [`MemoryEvents`] and `artifact::MemoryArtifacts`, for tests and examples |
//! | `file` | yes | `FileStore`, a durable log in a directory, for one process at a time; `file::FileArtifacts`, [artifacts](artifact) in a directory, for several |
//! | `postgres` | | `PostgresStore` and `PostgresEvents`, for several machines; needs Rust 1.94 |
//! | `object-store` | | `object_store`: [artifacts](artifact) in S3, Google Cloud Storage, Azure and others, for the application's own client |
//! | `postcard` | yes | [`Postcard`](codec::Postcard), the default codec, and [`SnapshotEngine::builder`] |
//! | `lz4` | yes | LZ4 compression, the default from 512 bytes on |
//! | `zstd` | | Zstandard compression: smaller and slower; builds libzstd with a C compiler |
//! | `cache` | yes | [`EngineBuilder::cache`](engine::EngineBuilder::cache), the hot cache of decoded states |
//! | `msgpack` | | [`MessagePack`](codec::MessagePack), for states whose fields often change |
//! | `json` | | [`Json`](codec::Json), for human-readable snapshots |
//! | `schedules` | | [`Cadence::cron`](ledger::Cadence::cron): cron expressions in schedules; time zones in schedules and in [`retention::Policy`] |
//! | `cli` | | the command `snapfold`, and [`cli`], the same command with an application's aggregates; needs Rust 1.94 |
//! | `http` | | [`service::http`]: states over HTTP, with exact caching and time travel, for the application's own server |
//! | `publish` | | [`service::publish`]: artifacts that clients send, checked and published together; with `http` also over HTTP |
//! | `webhooks` | | [`service::webhook`]: messages to other servers by the specification Standard Webhooks |
//! | `conformance` | | [`conformance`]: test kits for stores, event sources, ledgers, artifact stores and aggregates |
//! | `progress` | | `service::progress_bar`, a bar for batches on a terminal |
//! | `tracing`, `metrics` | | [`engine::telemetry`]: observers for the crates of these names |
//! | `faults` | | [`layer::FaultyStore`], a store that fails on purpose |
//! | `jiff`, `chrono`, `time` | | conversions of [`Timestamp`] from and to jiff 1, chrono 0.4 and time 0.3 |
//! | `bincode` | | [`Bincode`](codec::Bincode) 2.0.1 (unmaintained upstream), to share an encoding with other code |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doc)]
pub mod guide;
#[cfg(all(doctest, feature = "memory", feature = "postcard"))]
#[doc = include_str!("../README.md")]
mod readme {}

pub mod artifact;
mod backend;
#[cfg(any(feature = "file", feature = "http"))]
mod blocking;
mod checksum;
#[cfg(feature = "cli")]
pub mod cli;
mod clock;
pub mod codec;
mod compress;
#[cfg(feature = "conformance")]
pub mod conformance;
mod digest;
pub mod engine;
mod error;
pub mod events;
mod generation;
mod hex;
mod key;
mod key_locks;
pub mod layer;
pub mod ledger;
#[cfg(any(feature = "file", feature = "object-store", all(test, feature = "publish")))]
mod little_endian;
pub mod manager;
mod mark;
mod policy;
#[cfg(feature = "publish")]
pub mod publication;
#[cfg(any(feature = "http", feature = "object-store", feature = "publish", feature = "webhooks"))]
mod random;
pub mod record;
pub mod retention;
pub mod service;
#[cfg(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json"))]
mod shape;
mod snapshot_id;
mod state;
pub mod store;
#[cfg(any(feature = "file", feature = "memory"))]
mod timeline;
mod timestamp;
pub mod trigger;
mod value;
mod walker;
mod wire;

#[cfg(feature = "file")]
pub use backend::file;
#[cfg(feature = "memory")]
pub use backend::memory::{MemoryEvents, MemoryStore};
#[cfg(feature = "object-store")]
pub use backend::object_store;
#[cfg(feature = "postgres")]
pub use backend::postgres;
#[doc(inline)]
pub use engine::SnapshotEngine;
pub use error::{BoxError, Error, ErrorKind, Retry};
#[doc(inline)]
pub use events::{EventRange, EventSource, Replay};
pub use key::AggregateKey;
#[doc(inline)]
pub use manager::{Loaded, Loader, Point, SnapshotAdmin, SnapshotManager};
pub use snapshot_id::SnapshotId;
pub use state::Aggregate;
#[doc(inline)]
pub use store::SnapshotStore;
pub use timestamp::Timestamp;
