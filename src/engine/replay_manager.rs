//! [`ReplayManager`]: the same questions answered with no snapshots at all.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;

use super::check_kind;
use super::head::head;
use super::load::{Reconstructed, empty, from_start, reached};
use super::stopwatch::Stopwatch;
use crate::clock::{Clock, SystemClock};
use crate::envelope::SnapshotMeta;
use crate::error::{Error, ErrorKind};
use crate::events::EventSource;
use crate::key::AggregateKey;
use crate::manager::{
    AggregateStats, Compaction, CreateOptions, Created, Decision, Fetched, Loaded, Point, Repaired,
    SnapshotManager,
};
use crate::retention::{Retention, RetentionPlan};
use crate::state::Aggregate;
use crate::store::Deleted;
use crate::timestamp::Timestamp;

/// Folds all events at every load, and has no snapshots: the honest baseline for tests and
/// benches, and the choice for aggregates that do not need snapshots.
///
/// Creating or repairing a snapshot is [`ErrorKind::Unsupported`]; there is nothing to fetch, list
/// or delete.
pub struct ReplayManager<A: Aggregate> {
    source: Arc<dyn EventSource<A>>,
    clock: Arc<dyn Clock>,
}

impl<A: Aggregate> ReplayManager<A> {
    /// Folds the events of `source`.
    pub fn new(source: impl EventSource<A> + 'static) -> Self {
        Self { source: Arc::new(source), clock: Arc::new(SystemClock::new()) }
    }

    /// The same with another clock.
    pub fn with_clock(mut self, clock: impl Clock + 'static) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    async fn replay(&self, key: &AggregateKey, point: Point) -> Result<Reconstructed<A>, Error> {
        check_kind::<A>(key)?;
        if point == Point::Version(0) {
            return Ok(empty(key));
        }
        let mut watch = Stopwatch::start(&*self.clock);
        from_start(&*self.source, key, None, point.into(), &mut watch, &[]).await
    }
}

fn unsupported<T>() -> Result<T, Error> {
    Err(Error::new(
        ErrorKind::Unsupported,
        "take a snapshot",
        "this manager replays only; use a SnapshotEngine for snapshots",
    ))
}

#[async_trait]
impl<A: Aggregate> SnapshotManager<A> for ReplayManager<A> {
    async fn load(&self, key: &AggregateKey) -> Result<Loaded<A>, Error> {
        self.replay(key, Point::Now).await.map(Loaded::from)
    }

    async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error> {
        let loaded = self.replay(key, Point::Version(version)).await?;
        reached(loaded, version).map(Loaded::from)
    }

    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error> {
        self.replay(key, Point::Time(time)).await.map(Loaded::from)
    }

    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        self.replay(key, point).await.map(Loaded::from)
    }

    async fn create_with(&self, _: &AggregateKey, _: CreateOptions) -> Result<Created, Error> {
        unsupported()
    }

    async fn create_many(&self, keys: &[AggregateKey]) -> Vec<Result<Created, Error>> {
        keys.iter().map(|_| unsupported()).collect()
    }

    async fn snapshot(&self, _: &AggregateKey, _: u64) -> Result<Fetched<A>, Error> {
        Ok(Fetched::Absent)
    }

    async fn latest_snapshot(&self, _: &AggregateKey) -> Result<Fetched<A>, Error> {
        Ok(Fetched::Absent)
    }

    async fn snapshots(
        &self,
        _: &AggregateKey,
        _: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        Ok(Vec::new())
    }

    async fn delete(&self, _: &AggregateKey, _: u64) -> Result<Deleted, Error> {
        Ok(Deleted::default())
    }

    async fn delete_before(&self, _: &AggregateKey, _: u64) -> Result<Deleted, Error> {
        Ok(Deleted::default())
    }

    async fn repair(&self, _: &AggregateKey, _: u64) -> Result<Repaired, Error> {
        unsupported()
    }

    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        check_kind::<A>(key)?;
        let head = head(&*self.source, key).await?;
        Ok(AggregateStats { head, ..AggregateStats::default() })
    }

    fn committed(&self, _: &Loaded<A>, _: u64) -> Decision {
        Decision::Wait { reason: "this manager takes no snapshots".to_owned() }
    }

    async fn plan(&self, _: &AggregateKey, _: &dyn Retention) -> Result<RetentionPlan, Error> {
        Ok(RetentionPlan::default())
    }

    async fn compact(&self, _: &AggregateKey, _: &dyn Retention) -> Result<Compaction, Error> {
        Ok(Compaction::default())
    }
}

impl<A: Aggregate> fmt::Debug for ReplayManager<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayManager").field("kind", &A::KIND).finish_non_exhaustive()
    }
}
