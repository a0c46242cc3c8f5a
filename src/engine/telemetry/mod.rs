//! Observers that report what an engine does: [`Tracing`] to the crate `tracing`, and [`Metrics`]
//! to the crate `metrics`.
//!
//! Each requires the feature of the same name. Neither costs anything unless it is passed to
//! [`EngineBuilder::observer`](crate::engine::EngineBuilder::observer).
//!
//! With the feature `tracing`, engines also open spans, which need no observer. Their target is
//! `snapfold` and their level is debug.
//!
//! | span | around | fields |
//! |---|---|---|
//! | `load` | a load of one aggregate for a caller | `tenant`, `kind`, `id` |
//! | `load_many` | a load of several aggregates | `count` |
//! | `create` | a snapshot taken by an explicit call | `tenant`, `kind`, `id` |
//! | `create_many` | snapshots of several aggregates taken by an explicit call | `count` |
//! | `save` | loading and encoding an aggregate for a background snapshot | `tenant`, `kind`, `id` |
//! | `put` | storing encoded background snapshots | `count` |
//! | `retention` | applying a retention policy to an aggregate | `tenant`, `kind`, `id` |
//!
//! ```
//! # #[cfg(all(feature = "tracing", feature = "metrics"))] {
//! use snapfold::engine::telemetry::{Metrics, Tracing};
//! use snapfold::{EventSource, MemoryStore, SnapshotEngine};
//! # fn build<A>(events: impl EventSource<A> + 'static) -> Result<(), snapfold::Error>
//! # where A: snapfold::Aggregate + serde::Serialize + serde::de::DeserializeOwned {
//!
//! let engine = SnapshotEngine::builder(events, MemoryStore::new())
//!     .observer(Tracing::new())
//!     .observer(Metrics::new())
//!     .build()?;
//! # Ok(())
//! # }
//! # }
//! ```

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "metrics")]
pub use self::metrics::Metrics;
#[cfg(feature = "tracing")]
pub use self::tracing::Tracing;
