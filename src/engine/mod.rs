//! [`SnapshotEngine`]: the implementation of [`SnapshotManager`](crate::SnapshotManager).

mod admin;
mod annotations;
mod audited;
mod builder;
mod builder_limits;
mod builder_payloads;
mod builder_readers;
mod builder_saves;
mod cache;
mod capture;
mod capture_through;
mod captured;
mod compare_fold;
mod core;
mod create;
mod create_many;
mod delta;
mod delta_pace;
mod delta_plan;
mod drained;
mod evidence;
mod fold_walk;
mod head;
mod health;
mod health_check;
mod history;
mod in_flight;
mod incremental;
mod inspect;
mod learning;
mod limited_replay;
mod load;
mod load_cached;
mod load_many;
mod maintain;
mod manager;
mod observer;
mod on_store_failure;
mod permits;
mod planning;
mod reader;
mod recompress;
mod reconstructed;
mod recorder;
mod recording;
mod replay_loader;
mod retain;
mod retain_many;
mod save_queue;
mod save_retention;
mod save_settings;
mod save_work;
mod saver;
mod schedules;
mod search;
mod settle;
mod shared_limits;
mod sizes;
mod snapshot_reader;
mod snapshot_reader_admin;
mod spans;
mod spot_check;
mod spot_checks;
mod statistics;
mod stopwatch;
mod store_breaker;
mod store_calls;
mod streams;
mod sweep;
#[cfg(any(feature = "metrics", feature = "tracing"))]
pub mod telemetry;
#[cfg(feature = "zstd")]
mod train;
mod verify;
mod when_full;
mod workload;
mod write;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::generation::Generation;
use crate::ledger::Ledger;
use crate::state::Aggregate;

pub use crate::clock::{Clock, ManualClock, SystemClock};
pub use builder::EngineBuilder;
pub use cache::CacheConfig;
pub use drained::Drained;
pub use health::{EngineHealth, HealthSignal, HealthThresholds};
pub use in_flight::InFlight;
pub use incremental::Incremental;
pub use observer::{Observation, Observer};
pub use on_store_failure::OnStoreFailure;
pub use recompress::{RecompressRequest, Recompressed};
pub use replay_loader::ReplayLoader;
pub use shared_limits::SharedLimits;
pub(crate) use sizes::Weight;
pub use snapshot_reader::SnapshotReader;
pub use spot_checks::SpotChecks;
pub use statistics::{EngineStatistics, LastError, Trouble};
#[cfg(feature = "zstd")]
pub use train::TrainingRequest;
pub use verify::Verify;
pub use when_full::WhenFull;
pub use workload::Workload;

use core::EngineCore;
use saver::Saver;

/// Loads states of one type of aggregate through snapshots, and manages the snapshots. Implements
/// [`SnapshotManager`](crate::SnapshotManager).
///
/// Build an engine from an event source and a store with [`SnapshotEngine::builder`]. Clones share
/// everything, including the cache and the background queue.
///
/// To shut down, stop committing and call [`flush`](Self::flush) or [`drain`](Self::drain). Then
/// close the store if it has a `close` method (keep a clone of the store for this). Without a
/// flush, queued snapshots and ledger entries may be lost. Events are never lost.
///
/// The traits [`Loader`](crate::Loader), [`SnapshotAdmin`](crate::SnapshotAdmin) and
/// [`SnapshotManager`](crate::SnapshotManager) document errors and cancellation. The inherent
/// methods do the same and need no imported trait. Those that change something act on behalf of the
/// application itself. To pass an [`AdminContext`](crate::manager::AdminContext), call them on
/// [`admin`](Self::admin).
pub struct SnapshotEngine<A: Aggregate> {
    core: Arc<EngineCore<A>>,
    saver: Arc<Saver<A>>,
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// Returns the generation of the snapshots that this engine takes: the declared schema version
    /// and the traced fingerprint.
    pub fn generation(&self) -> Generation {
        self.core.generation
    }

    /// Returns the counters of the background work, and the last failure.
    pub fn statistics(&self) -> EngineStatistics {
        self.core.counters.read()
    }

    /// Waits until no background snapshot or retention is queued or in progress, and then until all entries are
    /// written to the ledger. Each wait takes at most `within`. Use this method for shutdowns and
    /// in tests. It must run on a tokio runtime with time enabled.
    ///
    /// # Errors
    /// - [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) if a wait takes longer than `within`.
    ///   Queued snapshots stay queued.
    /// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if something is queued and this
    ///   thread has no tokio runtime.
    /// - [`ErrorKind::Store`](crate::ErrorKind::Store) if the ledger cannot accept the entries now.
    ///   The entries stay queued.
    pub async fn flush(&self, within: Duration) -> Result<(), Error> {
        self.saver.flush(within).await?;
        self.core.flush_records(within).await
    }

    /// Spends at most `within` saving queued snapshots before a shutdown, and drops the rest.
    /// Aggregates with the longest replays come first. Then waits for the ledger as
    /// [`flush`](Self::flush) does. Must run on a tokio runtime with time enabled.
    ///
    /// Dropped snapshots are reported ([`Observation::SaveDropped`]) and counted. The engine can
    /// still be used afterwards. If the future is dropped, queued snapshots stay queued.
    ///
    /// # Errors
    /// The same errors as [`flush`](Self::flush), except that the wait for snapshots cannot time
    /// out.
    pub async fn drain(&self, within: Duration) -> Result<Drained, Error> {
        let drained = self.saver.drain(&self.core, within).await?;
        self.core.flush_records(within).await?;
        Ok(drained)
    }

    /// Returns the ledger that was set in the builder, if there is one.
    pub fn ledger(&self) -> Option<&dyn Ledger> {
        self.core.recorder.as_ref().map(|recorder| recorder.ledger())
    }
}

impl<A: Aggregate> Clone for SnapshotEngine<A> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), saver: Arc::clone(&self.saver) }
    }
}

impl<A: Aggregate> fmt::Debug for SnapshotEngine<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotEngine")
            .field("kind", &A::KIND)
            .field("generation", &self.core.generation)
            .field("store", &self.core.store)
            .field("trigger", &self.core.trigger)
            .finish_non_exhaustive()
    }
}
