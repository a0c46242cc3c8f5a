//! Observers that report what an engine does: [`Tracing`] to the crate `tracing`, and [`Metrics`]
//! to the crate `metrics`.
//!
//! Each requires the feature of the same name. Neither costs anything unless it is passed to
//! [`EngineBuilder::observer`](crate::engine::EngineBuilder::observer).
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
