//! What applications call: [`SnapshotManager`].

mod compaction;
mod created;
mod decision;
mod loaded;
mod provenance;
mod stats;

use std::ops::RangeInclusive;

use async_trait::async_trait;

use crate::envelope::SnapshotMeta;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::retention::{Retention, RetentionPlan};
use crate::state::Aggregate;
use crate::store::Deleted;
use crate::timestamp::Timestamp;

pub use compaction::Compaction;
pub use created::{CreateOptions, Created, Repaired};
pub use decision::Decision;
pub use loaded::{Fetched, Loaded, Point, Snapshot};
pub use provenance::{Origin, Proof, Provenance, Rejected, SnapshotUsed, Timings};
pub use stats::AggregateStats;

/// Loads states through snapshots, and looks after the snapshots. What applications call, and
/// what their tests may replace.
///
/// [`SnapshotEngine`](crate::SnapshotEngine) is the real one; [`ReplayManager`](crate::ReplayManager)
/// does the same with no snapshots at all.
///
/// # Loading
/// A load equals a full replay (R1). [`Loaded`] says where the state came from. An unusable
/// snapshot is a miss: older ones are tried, then all events are replayed (R2).
///
/// # Errors
/// Every method that loads may fail with
/// - [`InvalidInput`](crate::ErrorKind::InvalidInput): the key is of another kind than `A`;
/// - [`EventSource`](crate::ErrorKind::EventSource): the event source failed;
/// - [`BrokenHistory`](crate::ErrorKind::BrokenHistory): it yielded a gap, a duplicate or disorder;
/// - [`Unrecoverable`](crate::ErrorKind::Unrecoverable): there is no usable snapshot, and the
///   event source no longer has the events from the beginning;
/// - the kinds of the store, if the store failed and the engine was not told to replay then.
///
/// # Cancellation
/// Every future may be dropped at any await point: what was stored or deleted by then stays so,
/// nothing is stored or deleted in part, and later calls are not affected. With a hot cache, do not
/// keep a load around without polling it: concurrent loads of the same aggregate wait for the first
/// one to reach the store, so they wait until it is polled again or dropped.
#[async_trait]
pub trait SnapshotManager<A: Aggregate>: Send + Sync {
    /// The state now: all events that were committed before the call.
    async fn load(&self, key: &AggregateKey) -> Result<Loaded<A>, Error>;

    /// The state at `version` (inclusive: that many events are folded). 0 is the empty state.
    ///
    /// # Errors
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) if there are fewer events;
    /// [`latest_known`](Self::latest_known) accepts that.
    async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error>;

    /// The state at `time`: the highest version such that *all* events up to it were recorded at
    /// or before `time` (R9). Where clocks ran backwards, an event that was recorded later keeps
    /// out all that follow it. A time before the first event gives the empty state, a time after
    /// the last one the newest state.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the first event that may lie after `time`
    /// is one [without a time](crate::Recorded::untimed). No event lies after [`Timestamp::MAX`].
    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error>;

    /// The state at `point`, or the newest state if the point lies beyond the head.
    ///
    /// # Errors
    /// For a time, those of [`at_time`](Self::at_time).
    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error>;

    /// Takes a snapshot of the state now, durably when it returns.
    async fn create(&self, key: &AggregateKey) -> Result<Created, Error> {
        self.create_with(key, CreateOptions::default()).await
    }

    /// Takes a snapshot of the state now, or at a version in the past, with labels.
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode) if the state does not survive its codec, and those of
    /// [`at_version`](Self::at_version) and of the store.
    async fn create_with(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
    ) -> Result<Created, Error>;

    /// Takes snapshots of several aggregates, in batches; one result per key, in their order. One
    /// failure does not keep the others from being taken.
    async fn create_many(&self, keys: &[AggregateKey]) -> Vec<Result<Created, Error>>;

    /// The stored snapshot at just this version, decoded. It is not compared with the events.
    async fn snapshot(&self, key: &AggregateKey, version: u64) -> Result<Fetched<A>, Error>;

    /// The newest stored snapshot, decoded. It is not compared with the events.
    async fn latest_snapshot(&self, key: &AggregateKey) -> Result<Fetched<A>, Error>;

    /// What is stored of an aggregate within a range of versions, newest first, of all generations.
    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error>;

    /// Deletes the snapshots at just this version, of all generations.
    async fn delete(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error>;

    /// Deletes the snapshots with a version below this one (exclusive), of all generations.
    async fn delete_before(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error>;

    /// Refolds the events up to `version` from the beginning and stores the result in place of
    /// what is stored at that version, whatever that is. The only operation that replaces a
    /// snapshot (R10).
    async fn repair(&self, key: &AggregateKey, version: u64) -> Result<Repaired, Error>;

    /// Numbers about what is stored of an aggregate.
    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error>;

    /// Tells that the application has committed events on top of `loaded`, up to `version`. Asks
    /// the trigger; if it says so, a snapshot is taken in the background, from the committed
    /// events, which are read again then.
    ///
    /// Never blocks, never fails, never waits for the store, never encodes a state (R12). The
    /// decision is explained. A version above [`SnapshotId::MAX_VERSION`](crate::SnapshotId::MAX_VERSION)
    /// is answered with [`Decision::Wait`], as there is none.
    ///
    /// Where the trigger looks at the size of the state and that is not known well enough, the state
    /// is measured in the background, and the trigger is asked again: a snapshot may follow a
    /// [`Decision::Wait`] then.
    fn committed(&self, loaded: &Loaded<A>, version: u64) -> Decision;

    /// What [`compact`](Self::compact) would do under `policy`: a dry run.
    async fn plan(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error>;

    /// Deletes the snapshots of `key` that `policy` does not keep. The newest usable snapshot of
    /// each generation, pinned ones and needed bases always stay (R14). Events are never touched.
    async fn compact(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<Compaction, Error>;
}
