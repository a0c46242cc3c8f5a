//! Implementations of the manager traits for `Arc`, so that `Arc<dyn Loader<A>>` is a [`Loader`].

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{
    AdminContext, AggregateStats, Bisected, CreateOptions, CreateOutcome, CreateRequest, Decision,
    Explained, Fetched, FoldComparison, Inspect, Loaded, Loader, OpaqueState, Point, Question,
    Rebuilt, Retained, SafeTruncation, SnapshotAdmin, SnapshotFilter, SnapshotManager, StateDiff,
    TruncationRequest, Verified, View,
};
use crate::error::Error;
use crate::events::EventTime;
use crate::key::AggregateKey;
use crate::ledger::{Schedule, ScheduleKey};
use crate::mark::MarkChange;
use crate::record::{Record, SnapshotMeta};
use crate::retention::{Retention, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Cursor, Deleted, Erased, ListRequest, Page, Selection};
use crate::timestamp::Timestamp;

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<A: Aggregate, T: Loader<A> + ?Sized> Loader<A> for Arc<T> {
    async fn load(&self, key: &AggregateKey) -> Result<Loaded<A>, Error> {
        (**self).load(key).await
    }

    async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error> {
        (**self).at_version(key, version).await
    }

    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error> {
        (**self).at_time(key, time).await
    }

    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        (**self).latest_known(key, point).await
    }

    async fn at(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        (**self).at(key, point).await
    }

    async fn load_many(&self, keys: &[AggregateKey]) -> Vec<Result<Loaded<A>, Error>> {
        (**self).load_many(keys).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: SnapshotAdmin + ?Sized> SnapshotAdmin for Arc<T> {
    fn kind(&self) -> &str {
        (**self).kind()
    }

    async fn create(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        (**self).create(key, options, context).await
    }

    async fn create_many(
        &self,
        requests: &[CreateRequest],
        context: &AdminContext,
    ) -> Vec<Result<CreateOutcome, Error>> {
        (**self).create_many(requests, context).await
    }

    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        (**self).snapshots(key, versions).await
    }

    async fn snapshot_page(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        (**self).snapshot_page(request).await
    }

    async fn count(&self, key: &AggregateKey, versions: RangeInclusive<u64>) -> Result<u64, Error> {
        (**self).count(key, versions).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        (**self).delete(key, version, context).await
    }

    async fn delete_snapshot(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        (**self).delete_snapshot(key, id, context).await
    }

    async fn delete_before(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        (**self).delete_before(key, version, context).await
    }

    async fn rebuild(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Rebuilt, Error> {
        (**self).rebuild(key, version, context).await
    }

    async fn refold(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        (**self).refold(key, version, context).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        (**self).mark(key, selection, change, context).await
    }

    async fn rollback(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        (**self).rollback(key, version, context).await
    }

    async fn undo_rollback(
        &self,
        key: &AggregateKey,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        (**self).undo_rollback(key, context).await
    }

    async fn erase(&self, key: &AggregateKey, context: &AdminContext) -> Result<Erased, Error> {
        (**self).erase(key, context).await
    }

    async fn retire(
        &self,
        key: &AggregateKey,
        filter: &SnapshotFilter,
        name: &str,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        (**self).retire(key, filter, name, context).await
    }

    async fn retire_different(
        &self,
        key: &AggregateKey,
        comparison: &FoldComparison,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        (**self).retire_different(key, comparison, context).await
    }

    async fn flush(&self, within: Duration) -> Result<(), Error> {
        (**self).flush(within).await
    }

    async fn is_covered(&self, key: &AggregateKey) -> Result<bool, Error> {
        (**self).is_covered(key).await
    }

    async fn keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        (**self).keys(tenant, after, limit).await
    }

    async fn event_keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        (**self).event_keys(tenant, after, limit).await
    }

    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        (**self).stats(key).await
    }

    async fn plan_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        (**self).plan_retention(key, policy).await
    }

    async fn apply_plan(
        &self,
        key: &AggregateKey,
        plan: &RetentionPlan,
        context: &AdminContext,
    ) -> Result<Retained, Error> {
        (**self).apply_plan(key, plan, context).await
    }

    async fn apply_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Result<Retained, Error> {
        (**self).apply_retention(key, policy, context).await
    }

    async fn apply_retention_many(
        &self,
        keys: &[AggregateKey],
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Vec<Result<Retained, Error>> {
        (**self).apply_retention_many(keys, policy, context).await
    }

    async fn put_schedule(&self, schedule: &Schedule, context: &AdminContext) -> Result<(), Error> {
        (**self).put_schedule(schedule, context).await
    }

    async fn remove_schedule(
        &self,
        key: &ScheduleKey,
        context: &AdminContext,
    ) -> Result<bool, Error> {
        (**self).remove_schedule(key, context).await
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        (**self).schedules(after, limit).await
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<A: Aggregate, T: SnapshotManager<A> + ?Sized> SnapshotManager<A> for Arc<T> {
    async fn snapshot(&self, key: &AggregateKey, version: u64) -> Result<Fetched<A>, Error> {
        (**self).snapshot(key, version).await
    }

    async fn latest_snapshot(&self, key: &AggregateKey) -> Result<Fetched<A>, Error> {
        (**self).latest_snapshot(key).await
    }

    fn committed(&self, loaded: &Loaded<A>, version: u64) -> Decision {
        (**self).committed(loaded, version)
    }
}

#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl<T: Inspect + ?Sized> Inspect for Arc<T> {
    fn folds_events(&self) -> bool {
        (**self).folds_events()
    }

    async fn view(&self, key: &AggregateKey, point: Point) -> Result<View, Error> {
        (**self).view(key, point).await
    }

    async fn load_opaque(&self, key: &AggregateKey, point: Point) -> Result<OpaqueState, Error> {
        (**self).load_opaque(key, point).await
    }

    async fn times(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<EventTime>, Error> {
        (**self).times(key, versions, limit).await
    }

    async fn record(&self, key: &AggregateKey, id: SnapshotId) -> Result<Option<Record>, Error> {
        (**self).record(key, id).await
    }

    async fn verify(&self, key: &AggregateKey) -> Result<Verified, Error> {
        (**self).verify(key).await
    }

    async fn history(&self, key: &AggregateKey, versions: &[u64]) -> Result<Vec<View>, Error> {
        (**self).history(key, versions).await
    }

    async fn diff(
        &self,
        key: &AggregateKey,
        earlier: Point,
        later: Point,
    ) -> Result<StateDiff, Error> {
        (**self).diff(key, earlier, later).await
    }

    async fn bisect(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        question: &mut Question<'_>,
    ) -> Result<Bisected, Error> {
        (**self).bisect(key, versions, question).await
    }

    async fn explain(&self, key: &AggregateKey, point: Point) -> Result<Explained, Error> {
        (**self).explain(key, point).await
    }

    async fn explain_replay(&self, key: &AggregateKey, point: Point) -> Result<Explained, Error> {
        (**self).explain_replay(key, point).await
    }

    async fn compare_with_events(&self, key: &AggregateKey) -> Result<FoldComparison, Error> {
        (**self).compare_with_events(key).await
    }

    async fn safe_to_truncate_below(
        &self,
        key: &AggregateKey,
        request: &TruncationRequest,
    ) -> Result<SafeTruncation, Error> {
        (**self).safe_to_truncate_below(key, request).await
    }
}
