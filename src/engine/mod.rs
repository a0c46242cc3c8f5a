//! The real [`SnapshotManager`](crate::SnapshotManager): [`SnapshotEngine`].

mod admin;
mod audited;
mod builder;
mod cache;
mod capture;
mod core;
mod drained;
mod head;
mod load;
mod load_cached;
mod maintain;
mod manager;
mod observer;
mod on_store_failure;
mod reader;
mod reconstructed;
mod recorder;
mod recording;
mod replay_loader;
mod save_queue;
mod save_work;
mod saver;
mod schedules;
mod search;
mod settle;
mod sizes;
mod statistics;
mod stopwatch;
mod verify;
mod when_full;
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
pub use observer::{Observation, Observer};
pub use on_store_failure::OnStoreFailure;
pub use replay_loader::ReplayLoader;
pub(crate) use sizes::Weight;
pub use statistics::EngineStatistics;
pub use verify::Verify;
pub use when_full::WhenFull;

use core::EngineCore;
use saver::Saver;

/// Loads and keeps snapshots of one type of aggregate: the real
/// [`SnapshotManager`](crate::SnapshotManager).
///
/// Made by [`SnapshotEngine::builder`] from an event source and a store. Clones share everything,
/// the cache and the background queue too.
///
/// To shut down, stop committing, call [`flush`](Self::flush), and close the store if it is one
/// that can be closed (keep a clone of it). Without that, snapshots that are queued are not taken;
/// nothing else is lost.
///
/// The traits [`Loader`](crate::Loader), [`SnapshotAdmin`](crate::SnapshotAdmin) and
/// [`SnapshotManager`](crate::SnapshotManager) document errors and cancellation; the methods here
/// do the same and need no import. Those that change something act on the application's own behalf;
/// to pass an [`AdminContext`](crate::manager::AdminContext), call them on [`admin`](Self::admin).
pub struct SnapshotEngine<A: Aggregate> {
    core: Arc<EngineCore<A>>,
    saver: Arc<Saver<A>>,
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// The generation that this engine writes: declared schema version and traced fingerprint.
    pub fn generation(&self) -> Generation {
        self.core.generation
    }

    /// What happened in the background so far, and what went wrong there last.
    pub fn statistics(&self) -> EngineStatistics {
        self.core.counters.read()
    }

    /// Waits until no snapshot is queued or being taken in the background, and until all records of
    /// it are in the ledger; for at most `within` each: for a shutdown, or a test. Must run on a
    /// tokio runtime with time enabled.
    ///
    /// # Errors
    /// - [`ErrorKind::Timeout`](crate::ErrorKind::Timeout) after `within`; what is queued stays
    ///   queued.
    /// - [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if something is queued and there
    ///   is no tokio runtime here.
    /// - [`ErrorKind::Store`](crate::ErrorKind::Store) if the ledger cannot take the records for
    ///   now; they wait on.
    pub async fn flush(&self, within: Duration) -> Result<(), Error> {
        self.saver.flush(within).await?;
        self.core.flush_records(within).await
    }

    /// Saves what is queued before a shutdown, for at most `within`, and drops the rest: aggregates
    /// with the longest replays first. Then waits for the ledger as [`flush`](Self::flush) does.
    /// Must run on a tokio runtime with time enabled.
    ///
    /// Dropped snapshots are reported ([`Observation::SaveDropped`]) and counted. The engine can be
    /// used afterwards. Cancel safety: what is queued stays queued if the future is dropped.
    ///
    /// # Errors
    /// Those of `flush`, except that there is no timeout of the queue.
    pub async fn drain(&self, within: Duration) -> Result<Drained, Error> {
        let drained = self.saver.drain(&self.core, within).await?;
        self.core.flush_records(within).await?;
        Ok(drained)
    }

    /// The ledger that the builder was given.
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
