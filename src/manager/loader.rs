//! Reading states: [`Loader`].

use async_trait::async_trait;

use super::loaded::{Loaded, Point};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// Loads states of one type of aggregate, now or at any point of their history.
///
/// [`SnapshotEngine`](crate::SnapshotEngine) loads through snapshots;
/// [`ReplayLoader`](crate::engine::ReplayLoader) folds all events each time. Code that only reads
/// states should ask for a `Loader`, so that tests can hand it a fake: [`Loaded::new`] makes the
/// answers.
///
/// # Loading
/// A load equals a full replay (R1). [`Loaded`] says where the state came from. An unusable
/// snapshot is a miss: older ones are tried, then all events are replayed (R2).
///
/// # Errors
/// Every method may fail with
/// - [`InvalidInput`](crate::ErrorKind::InvalidInput): the key is of another kind than `A`;
/// - [`EventSource`](crate::ErrorKind::EventSource): the event source failed;
/// - [`BrokenHistory`](crate::ErrorKind::BrokenHistory): it yielded a gap, a duplicate or disorder;
/// - [`Unrecoverable`](crate::ErrorKind::Unrecoverable): there is no usable snapshot, and the
///   event source no longer has the events from the beginning;
/// - the kinds of the store, if the store failed and the engine was not told to replay then.
///
/// # Cancellation
/// Every future may be dropped at any await point; later calls are not affected. With a hot cache,
/// do not keep a load around without polling it: concurrent loads of the same aggregate wait for
/// the first one to reach the store, so they wait until it is polled again or dropped.
#[async_trait]
pub trait Loader<A: Aggregate>: Send + Sync {
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
    /// is one [without a time](crate::events::Recorded::untimed). No event lies after
    /// [`Timestamp::MAX`].
    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error>;

    /// The state at `point`, or the newest state if the point lies beyond the head.
    ///
    /// # Errors
    /// For a time, those of [`at_time`](Self::at_time).
    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error>;

    /// The state at `point`, by the method that belongs to it. Provided.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), [`at_version`](Self::at_version) and
    /// [`at_time`](Self::at_time).
    async fn at(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        match point {
            Point::Now => self.load(key).await,
            Point::Time(time) => self.at_time(key, time).await,
            Point::Version(version) => self.at_version(key, version).await,
        }
    }

    /// The states of several aggregates now; one result per key, in their order. One failure does
    /// not keep the others from being loaded. Provided: one load after the other.
    async fn load_many(&self, keys: &[AggregateKey]) -> Vec<Result<Loaded<A>, Error>> {
        let mut loaded = Vec::with_capacity(keys.len());
        for key in keys {
            loaded.push(self.load(key).await);
        }
        loaded
    }
}
