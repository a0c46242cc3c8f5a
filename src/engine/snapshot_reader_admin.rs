//! What a [`SnapshotReader`] shows to those who do not know the state type.

use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::inspect::hidden;
use super::snapshot_reader::SnapshotReader;
use crate::error::{Error, ErrorKind};
use crate::events::EventTime;
use crate::key::AggregateKey;
use crate::manager::{
    AdminContext, AggregateStats, CreateOptions, CreateOutcome, CreateRequest, Inspect,
    OpaqueState, Point, Rebuilt, Retained, SnapshotAdmin, Verified, View,
};
use crate::record::{Record, SnapshotMeta};
use crate::retention::{Retention, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Cursor, Deleted, ListRequest, Page};

#[async_trait]
impl<A: Aggregate> Inspect for SnapshotReader<A> {
    fn folds_events(&self) -> bool {
        false
    }

    async fn view(&self, key: &AggregateKey, point: Point) -> Result<View, Error> {
        self.load_opaque(key, point).await?.show()
    }

    async fn load_opaque(&self, key: &AggregateKey, point: Point) -> Result<OpaqueState, Error> {
        let viewer = self.0.core.viewer()?;
        Ok(hidden(viewer, self.captured(key, point).await?))
    }

    /// Returns the captured versions and their times, each once.
    async fn times(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<EventTime>, Error> {
        let mut times: Vec<EventTime> = Vec::new();
        // Listed from the newest on. A version may be stored for several generations.
        for meta in self.0.core.list(key, versions).await?.iter().rev() {
            let is_known = times.last().is_some_and(|last| last.version == meta.version);
            if !is_known && !meta.is_retired() {
                times.push(EventTime::new(meta.version, Some(meta.as_of)));
            }
        }
        times.truncate(limit.max(1));
        Ok(times)
    }

    async fn record(&self, key: &AggregateKey, id: SnapshotId) -> Result<Option<Record>, Error> {
        self.0.core.stored_record(key, id).await
    }

    async fn verify(&self, key: &AggregateKey) -> Result<Verified, Error> {
        self.0.core.verify(key).await
    }
}

#[async_trait]
impl<A: Aggregate> SnapshotAdmin for SnapshotReader<A> {
    fn kind(&self) -> &str {
        A::KIND
    }

    async fn create(
        &self,
        _: &AggregateKey,
        _: CreateOptions,
        _: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        Err(refused("take a snapshot"))
    }

    async fn create_many(
        &self,
        requests: &[CreateRequest],
        _: &AdminContext,
    ) -> Vec<Result<CreateOutcome, Error>> {
        requests.iter().map(|_| Err(refused("take a snapshot"))).collect()
    }

    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        self.0.core.list(key, versions).await
    }

    async fn snapshot_page(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.0.admin().snapshot_page(request).await
    }

    async fn count(&self, key: &AggregateKey, versions: RangeInclusive<u64>) -> Result<u64, Error> {
        self.0.core.count(key, versions).await
    }

    async fn delete(&self, _: &AggregateKey, _: u64, _: &AdminContext) -> Result<Deleted, Error> {
        Err(refused("delete snapshots"))
    }

    async fn delete_before(
        &self,
        _: &AggregateKey,
        _: u64,
        _: &AdminContext,
    ) -> Result<Deleted, Error> {
        Err(refused("delete snapshots"))
    }

    async fn rebuild(&self, _: &AggregateKey, _: u64, _: &AdminContext) -> Result<Rebuilt, Error> {
        Err(refused("rebuild a snapshot"))
    }

    async fn keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.0.core.keys(tenant, after, limit).await
    }

    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        self.0.core.stats(key).await
    }

    async fn plan_retention(
        &self,
        _: &AggregateKey,
        _: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        Err(refused("plan retention"))
    }

    async fn apply_retention(
        &self,
        _: &AggregateKey,
        _: &dyn Retention,
        _: &AdminContext,
    ) -> Result<Retained, Error> {
        Err(refused("apply retention"))
    }
}

fn refused(what: &'static str) -> Error {
    let message = "a reader only reads: use an engine, which has the events";
    Error::new(ErrorKind::Unsupported, what, message)
}
