//! [`Loader`]: loads states.

use async_trait::async_trait;

use super::loaded::{Loaded, Point};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// Loads states of one aggregate type, at any point in their history.
///
/// [`SnapshotEngine`](crate::SnapshotEngine) loads through snapshots;
/// [`ReplayLoader`](crate::engine::ReplayLoader) folds all events each time. Code that only reads
/// states should take a `Loader`, so that tests can pass a fake that returns [`Loaded::new`].
///
/// # Loading
/// A load returns the same state as a full replay. [`Loaded`] reports where the state came from. An
/// unusable snapshot is a miss: older ones are tried, then all events are replayed.
///
/// # Errors
/// Every method may fail with
/// - [`InvalidInput`](crate::ErrorKind::InvalidInput): the key is for a different kind of aggregate
///   than `A`;
/// - [`EventSource`](crate::ErrorKind::EventSource): the event source failed;
/// - [`BrokenHistory`](crate::ErrorKind::BrokenHistory): the event source yielded a gap, a
///   duplicate or events out of order;
/// - [`Unrecoverable`](crate::ErrorKind::Unrecoverable): there is no usable snapshot, and the
///   event source no longer has the events from the beginning;
/// - any error returned by the store, unless the engine is configured to replay when the store
///   fails.
///
/// # Cancellation
/// Every future may be dropped at any await point; later calls are not affected. With a hot cache,
/// poll a load until it completes, or drop it: concurrent loads of the same aggregate wait for the
/// first one.
#[async_trait]
pub trait Loader<A: Aggregate>: Send + Sync {
    /// Loads the current state, including all events that were committed before the call.
    async fn load(&self, key: &AggregateKey) -> Result<Loaded<A>, Error>;

    /// Loads the state at `version`, after exactly that many events. Version 0 is the empty state.
    ///
    /// # Errors
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) if there are fewer events. To load the newest
    /// state in that case, use [`latest_known`](Self::latest_known).
    async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error>;

    /// Loads the state at `time`.
    ///
    /// This is the state at the highest version for which *all* events were recorded at or before
    /// `time`. If clocks ran backwards, an event that was recorded after `time` excludes all events
    /// that follow it. A time before the first event returns the empty state, and a time after the
    /// last event returns the newest state.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the first event that may lie after `time`
    /// is [untimed](crate::events::Recorded::untimed). No event lies after [`Timestamp::MAX`].
    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error>;

    /// Loads the state at `point`, or the newest state if the point lies beyond the head.
    ///
    /// # Errors
    /// For a time, the same errors as [`at_time`](Self::at_time).
    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error>;

    /// Loads the state at `point` by calling the corresponding method.
    ///
    /// # Errors
    /// The same errors as [`load`](Self::load), [`at_version`](Self::at_version) or
    /// [`at_time`](Self::at_time).
    async fn at(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        match point {
            Point::Now => self.load(key).await,
            Point::Time(time) => self.at_time(key, time).await,
            Point::Version(version) => self.at_version(key, version).await,
        }
    }

    /// Loads the current states of several aggregates. Returns one result per key, in order.
    ///
    /// If one load fails, the others still complete. By default, the aggregates are loaded one by
    /// one.
    ///
    /// The engine loads 256 aggregates at a time: it gets their snapshots with
    /// [`SnapshotStore::get_many`](crate::SnapshotStore::get_many) and their events with
    /// [`EventSource::read_many`](crate::EventSource::read_many), or both with
    /// [`HybridSource::fetch_many`](crate::events::HybridSource::fetch_many). In PostgreSQL, each
    /// of these is one round trip. Aggregates that need more reads, for example because their
    /// newest snapshot is unusable, are then loaded one by one. If three of these loads in a row
    /// fail with a retryable error, the rest fail with the last of these errors.
    async fn load_many(&self, keys: &[AggregateKey]) -> Vec<Result<Loaded<A>, Error>> {
        let mut loaded = Vec::with_capacity(keys.len());
        for key in keys {
            loaded.push(self.load(key).await);
        }
        loaded
    }
}
