//! The builder's settings for background snapshots and their retention.

use std::sync::Arc;

use super::builder::EngineBuilder;
use super::incremental::Incremental;
use super::spot_checks::SpotChecks;
use super::when_full::WhenFull;
use crate::retention::Retention;
use crate::state::Aggregate;
use crate::store::SnapshotStore;

impl<A: Aggregate> EngineBuilder<A> {
    /// Sets the retention policy that the engine applies to an aggregate after background
    /// snapshots. [`keep_last(4)`](crate::retention::keep_last) by default. The policy is applied
    /// in the background after every fourth snapshot of an aggregate, so each process may leave up
    /// to three more snapshots than the policy keeps.
    ///
    /// Whatever the policy says, pinned snapshots, the newest usable snapshot of each generation
    /// and the bases that kept deltas need are never deleted. Only a superseded generation is
    /// dropped as a whole: see [`RetentionPlan::new`](crate::retention::RetentionPlan::new). The
    /// policy is not applied to aggregates that get no new snapshots. A failure is counted in the
    /// [statistics](crate::SnapshotEngine::statistics) and reported to the observer, and the policy
    /// is applied again after the aggregate's next snapshot.
    ///
    /// ```
    /// use snapfold::retention::{Retention, keep_last, keep_within};
    /// use snapfold::{EventSource, MemoryStore, SnapshotEngine};
    /// # use std::time::Duration;
    /// # fn build<A>(events: impl EventSource<A> + 'static) -> Result<(), snapfold::Error>
    /// # where A: snapfold::Aggregate + serde::Serialize + serde::de::DeserializeOwned {
    ///
    /// let month = Duration::from_secs(30 * 86_400);
    /// let engine = SnapshotEngine::builder(events, MemoryStore::new())
    ///     .retention(keep_last(4).or(keep_within(month)))
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn retention(mut self, policy: impl Retention + 'static) -> Self {
        self.saves.retention = Some(Box::new(policy));
        self
    }

    /// Turns off retention in the background. All snapshots are then kept until a call deletes
    /// them.
    pub fn without_retention(mut self) -> Self {
        self.saves.retention = None;
        self
    }

    /// Sets which background snapshots are compared with the events after they were stored: one in
    /// 1,000 by default. See [`SpotChecks`].
    pub fn spot_checks(mut self, checks: SpotChecks) -> Self {
        self.saves.spot_checks = Some(checks);
        self
    }

    /// Turns off the comparison of background snapshots with the events.
    pub fn without_spot_checks(mut self) -> Self {
        self.saves.spot_checks = None;
        self
    }

    /// Keeps in `store` the records that are replaced because the events say something else. By
    /// default nothing keeps them.
    ///
    /// Background snapshots, [`refold`](crate::SnapshotAdmin::refold),
    /// [`rebuild`](crate::SnapshotAdmin::rebuild) and
    /// [`or_replace`](crate::manager::CreateOptions::or_replace) replace a snapshot whose state
    /// differs from the fold. The engine first puts its record into `store`, with the base of a
    /// delta. It puts a pin of the name [`REPLACED`](crate::manager::REPLACED) on them, so that no
    /// retention policy deletes them until the pin is cleared. If this fails, the snapshot is not
    /// replaced and the call fails. A damaged record is not kept, because stores refuse it. If a
    /// snapshot is replaced several times, the first record is kept.
    ///
    /// Use a store of its own, such as a second directory: in the snapshot store itself, the record
    /// would have the place of its replacement. Nothing loads from it.
    /// [`erase`](crate::SnapshotAdmin::erase) erases an aggregate in both.
    pub fn evidence(mut self, store: impl SnapshotStore + 'static) -> Self {
        self.evidence = Some(Arc::new(store));
        self
    }

    /// Stores snapshots as deltas of earlier ones where that saves enough. Off by default: every
    /// snapshot is stored whole. Reading deltas needs no setting. A load that fetches a delta also
    /// fetches the snapshot that it is based on.
    ///
    /// Needs a store with
    /// [`Capabilities::returns_bases`](crate::store::Capabilities::returns_bases), such as the
    /// memory, file and PostgreSQL stores. With any other, [`build`](Self::build) fails with
    /// [`Unsupported`](crate::ErrorKind::Unsupported).
    pub fn incremental(mut self, incremental: Incremental) -> Self {
        self.saves.incremental = Some(incremental);
        self
    }

    /// Sets how many aggregates may wait for a background snapshot. 1,024 by default. If the queue
    /// is full, a snapshot is dropped and reported: see [`when_full`](Self::when_full).
    pub fn max_queued(mut self, aggregates: usize) -> Self {
        self.saves.max_queued = aggregates;
        self
    }

    /// Sets the largest state, in bytes (inclusive), that is encoded for a snapshot on the runtime's
    /// own threads. 64 KiB by default. Larger states are encoded on a thread for blocking work, so
    /// that they do not delay other tasks. Without a runtime, all are encoded on the caller's
    /// thread. A state of unknown size is assumed to be as large as the largest one so far. In
    /// deterministic tests, use `u64::MAX` so that no state is encoded on another thread.
    pub fn encode_in_place(mut self, bytes: u64) -> Self {
        self.saves.encode_in_place = bytes;
        self
    }

    /// Sets which background snapshot is dropped when the queue is full. [`WhenFull::DropNewest`]
    /// by default.
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.saves.when_full = when_full;
        self
    }

    /// Sets how many aggregates are loaded and encoded concurrently for background snapshots. 4 by
    /// default; 0 is treated as 1. Their records are stored in batches of up to 8 MiB. Use a higher
    /// value if events are read over a network.
    pub fn parallel_saves(mut self, aggregates: usize) -> Self {
        self.saves.parallel = aggregates;
        self
    }
}
