//! [`ReplayLoader`]: loads without snapshots.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::core::check_kind;
use super::load::{LATEST_KNOWN, empty, from_start, reached};
use super::reconstructed::Reconstructed;
use super::stopwatch::Stopwatch;
use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::events::EventSource;
use crate::key::AggregateKey;
use crate::manager::{Loaded, Loader, Point};
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// A loader that uses no snapshots and folds all events on every load.
///
/// Use it as the baseline in tests and benchmarks, and for aggregates that do not need snapshots.
pub struct ReplayLoader<A: Aggregate> {
    source: Arc<dyn EventSource<A>>,
    clock: Arc<dyn Clock>,
}

impl<A: Aggregate> ReplayLoader<A> {
    /// Returns a loader that folds the events of `source`.
    pub fn new(source: impl EventSource<A> + 'static) -> Self {
        Self { source: Arc::new(source), clock: Arc::new(SystemClock::new()) }
    }

    /// Sets the clock.
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

#[async_trait]
impl<A: Aggregate> Loader<A> for ReplayLoader<A> {
    async fn load(&self, key: &AggregateKey) -> Result<Loaded<A>, Error> {
        self.replay(key, Point::Now).await.map(Loaded::from)
    }

    async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error> {
        let loaded = self.replay(key, Point::Version(version)).await?;
        reached(loaded, version, LATEST_KNOWN).map(Loaded::from)
    }

    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error> {
        self.replay(key, Point::Time(time)).await.map(Loaded::from)
    }

    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        self.replay(key, point).await.map(Loaded::from)
    }
}

impl<A: Aggregate> fmt::Debug for ReplayLoader<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplayLoader").field("kind", &A::KIND).finish_non_exhaustive()
    }
}
