//! The API of [`SnapshotEngine`]: its inherent methods, and the traits that call them.

use std::ops::RangeInclusive;
use std::pin::Pin;

use async_trait::async_trait;

use super::SnapshotEngine;
use super::core::boxed;
use super::load::{LATEST_KNOWN, reached};
use super::observer::Observation;
use super::reconstructed::{Purpose, Reconstructed};
use super::spans::{self, Spanned};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{Schedule, ScheduleKey};
use crate::manager::{
    AdminContext, AggregateStats, CreateOptions, CreateOutcome, CreateRequest, Decision, Fetched,
    Loaded, Loader, Point, Rebuilt, Retained, SnapshotAdmin, SnapshotManager,
};
use crate::mark::MarkChange;
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Cursor, Deleted, Page, Selection};
use crate::timestamp::Timestamp;

type LoadFuture<'f, A> = Pin<Box<dyn Future<Output = Result<Loaded<A>, Error>> + Send + 'f>>;

/// Loading states: see [`Loader`].
impl<A: Aggregate> SnapshotEngine<A> {
    /// Loads the current state, including all events that were committed before the call.
    ///
    /// # Errors
    /// Any error that [`Loader`] lists.
    pub fn load<'f>(
        &'f self,
        key: &'f AggregateKey,
    ) -> impl Future<Output = Result<Loaded<A>, Error>> + Send + 'f {
        self.boxed_load(key)
    }

    // The two futures differ in size, and the one through the cache is small. Each is built in its
    // box.
    fn boxed_load<'f>(&'f self, key: &'f AggregateKey) -> LoadFuture<'f, A> {
        if spans::are_enabled() {
            return Box::pin(spans::in_span(Spanned::Load(key), async {
                let loaded = self.core.load_alone::<Loaded<A>>(key, Purpose::Answer).await;
                loaded.inspect_err(|error| self.core.report_failed(key, error))
            }));
        }
        if self.core.observer.is_some() {
            return boxed(|| async {
                let loaded = self.core.load_alone::<Loaded<A>>(key, Purpose::Answer).await;
                loaded.inspect_err(|error| self.core.report_failed(key, error))
            });
        }
        if self.core.cache.is_enabled() {
            boxed(|| self.core.load_cached(key, Purpose::Answer))
        } else {
            boxed(|| self.core.reconstruct(key, Point::Now, Purpose::Answer))
        }
    }

    /// Loads the current states of several aggregates: see [`Loader::load_many`].
    pub async fn load_many(&self, keys: &[AggregateKey]) -> Vec<Result<Loaded<A>, Error>> {
        spans::in_span(Spanned::LoadMany(keys.len()), self.core.load_many(keys, Purpose::Answer))
            .await
    }

    /// Loads the state at `point` for the caller.
    async fn located<T: From<Reconstructed<A>>>(
        &self,
        key: &AggregateKey,
        point: Point,
    ) -> Result<T, Error> {
        if !spans::are_enabled() {
            return self.core.reconstruct(key, point, Purpose::Answer).await;
        }
        let load = self.core.reconstruct(key, point, Purpose::Answer);
        Box::pin(spans::in_span(Spanned::Load(key), load)).await
    }

    /// Loads the state at `version`, after exactly that many events. Version 0 is the empty state.
    ///
    /// # Errors
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) if there are fewer events; any error that
    /// [`Loader`] lists.
    pub async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error> {
        let loaded = self.located(key, Point::Version(version)).await;
        let loaded = loaded.and_then(|loaded| reached(loaded, version, LATEST_KNOWN));
        loaded.map(Loaded::from).inspect_err(|error| self.core.report_failed(key, error))
    }

    /// Loads the state at `time` (inclusive): see [`Loader::at_time`].
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if an event has no recorded time but the load
    /// needs it; any error that [`Loader`] lists.
    pub async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error> {
        let loaded = self.located(key, Point::Time(time)).await;
        loaded.inspect_err(|error| self.core.report_failed(key, error))
    }

    /// Loads the state at `point`, or the newest state if the point lies beyond the head.
    ///
    /// # Errors
    /// For a time, the same errors as [`at_time`](Self::at_time); otherwise, the same errors as
    /// [`load`](Self::load).
    pub async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        let loaded = self.located(key, point).await;
        loaded.inspect_err(|error| self.core.report_failed(key, error))
    }

    /// Loads the state at `point` by calling the corresponding method: see [`Loader::at`].
    ///
    /// # Errors
    /// The same errors as [`load`](Self::load), [`at_version`](Self::at_version) or
    /// [`at_time`](Self::at_time).
    pub async fn at(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        Loader::at(self, key, point).await
    }

    /// Fetches and decodes the stored snapshot at exactly `version`, even if it is retired. The
    /// snapshot is not compared with the events.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the key is for a different kind of
    /// aggregate; any error returned by the store.
    pub async fn snapshot(&self, key: &AggregateKey, version: u64) -> Result<Fetched<A>, Error> {
        self.core.fetch(key, Some(version)).await
    }

    /// Fetches and decodes the newest stored snapshot that is not retired. The snapshot is not
    /// compared with the events.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the key is for a different kind of
    /// aggregate; any error returned by the store.
    pub async fn latest_snapshot(&self, key: &AggregateKey) -> Result<Fetched<A>, Error> {
        self.core.fetch(key, None).await
    }

    /// Notifies the engine that events were committed on top of `loaded`, up to `version`. The
    /// engine may then take a snapshot in the background. Never blocks and never fails: see
    /// [`SnapshotManager::committed`].
    pub fn committed(&self, loaded: &Loaded<A>, version: u64) -> Decision {
        let decision = self.saver.committed(&self.core, loaded, version);
        if version <= SnapshotId::MAX_VERSION {
            self.core.report(&Observation::Committed { key: &loaded.key, version });
        }
        decision
    }
}

/// Snapshot management by the application itself. [`SnapshotAdmin`] documents the errors. To act on
/// behalf of a user, pass an [`AdminContext`] to the methods of [`admin`](Self::admin).
impl<A: Aggregate> SnapshotEngine<A> {
    /// Returns this engine as a [`SnapshotAdmin`], whose methods take an [`AdminContext`].
    pub fn admin(&self) -> &dyn SnapshotAdmin {
        self
    }

    /// Takes a snapshot of the current state. The snapshot is durable when the call returns.
    pub async fn create(&self, key: &AggregateKey) -> Result<CreateOutcome, Error> {
        self.create_with(key, CreateOptions::default()).await
    }

    /// Takes a snapshot of the current state or of an earlier version, with labels and pins: see
    /// [`CreateOptions`].
    pub async fn create_with(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
    ) -> Result<CreateOutcome, Error> {
        self.admin().create(key, options, &AdminContext::default()).await
    }

    /// Takes several snapshots in batches. Returns one result per request, in order: see
    /// [`SnapshotAdmin::create_many`].
    ///
    /// A request is a key or a [`CreateRequest`].
    ///
    /// ```
    /// use snapfold::manager::{CreateOptions, CreateRequest};
    /// # use snapfold::{Aggregate, AggregateKey, SnapshotEngine};
    /// # async fn create<A: Aggregate>(engine: &SnapshotEngine<A>, keys: Vec<AggregateKey>) {
    ///
    /// engine.create_many(&keys).await;
    ///
    /// let options = CreateOptions::new().label("before the migration");
    /// let request = |key: &AggregateKey| CreateRequest::new(key.clone(), options.clone());
    /// engine.create_many(keys.iter().map(request)).await;
    /// # }
    /// ```
    pub fn create_many(
        &self,
        requests: impl IntoIterator<Item = impl Into<CreateRequest>>,
    ) -> impl Future<Output = Vec<Result<CreateOutcome, Error>>> + Send {
        let requests: Vec<_> = requests.into_iter().map(Into::into).collect();
        async move { self.admin().create_many(&requests, &AdminContext::default()).await }
    }

    /// Lists the stored snapshots of an aggregate within a range of versions (inclusive). The list
    /// contains snapshots of all generations, newest first.
    pub async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        self.admin().snapshots(key, versions).await
    }

    /// Deletes the snapshots of all generations at exactly `version`, except pinned ones: see
    /// [`SnapshotAdmin::delete`].
    pub async fn delete(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error> {
        self.admin().delete(key, version, &AdminContext::default()).await
    }

    /// Deletes the snapshots of all generations below `version` (exclusive), except pinned ones:
    /// see [`SnapshotAdmin::delete_before`].
    pub async fn delete_before(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error> {
        self.admin().delete_before(key, version, &AdminContext::default()).await
    }

    /// Refolds the events up to `version` (inclusive) and replaces the snapshot at that version
    /// with the result: see [`SnapshotAdmin::rebuild`].
    pub async fn rebuild(&self, key: &AggregateKey, version: u64) -> Result<Rebuilt, Error> {
        self.admin().rebuild(key, version, &AdminContext::default()).await
    }

    /// Refolds the events from the beginning up to `version` (inclusive), or all of them if it is
    /// `None`. Stores the state, or replaces the stored snapshot with it, unless that snapshot
    /// already holds the same state: see [`SnapshotAdmin::refold`].
    pub async fn refold(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
    ) -> Result<CreateOutcome, Error> {
        self.admin().refold(key, version, &AdminContext::default()).await
    }

    /// Sets or clears one mark on each selected snapshot. Returns how many snapshots changed: see
    /// [`SnapshotAdmin::mark`].
    pub async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.admin().mark(key, selection, change, &AdminContext::default()).await
    }

    /// Returns whether the aggregate has a stored snapshot of the current generation: see
    /// [`SnapshotAdmin::is_covered`].
    pub async fn is_covered(&self, key: &AggregateKey) -> Result<bool, Error> {
        self.admin().is_covered(key).await
    }

    /// Lists the aggregates of a tenant that have snapshots: see [`SnapshotAdmin::keys`].
    pub async fn keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.admin().keys(tenant, after, limit).await
    }

    /// Lists the aggregates of a tenant that have events: see [`SnapshotAdmin::event_keys`].
    pub async fn event_keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.admin().event_keys(tenant, after, limit).await
    }

    /// Returns statistics about the stored snapshots of an aggregate.
    pub async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        self.admin().stats(key).await
    }

    /// Returns the plan that [`apply_retention`](Self::apply_retention) would follow under
    /// `policy`, without deleting anything.
    pub async fn plan_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        self.admin().plan_retention(key, policy).await
    }

    /// Deletes the snapshots of `key` that `policy` does not keep: see
    /// [`SnapshotAdmin::apply_retention`].
    pub async fn apply_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<Retained, Error> {
        self.admin().apply_retention(key, policy, &AdminContext::default()).await
    }

    /// Drops what `plan` drops, where that is still safe: see [`SnapshotAdmin::apply_plan`].
    pub async fn apply_plan(
        &self,
        key: &AggregateKey,
        plan: &RetentionPlan,
    ) -> Result<Retained, Error> {
        self.admin().apply_plan(key, plan, &AdminContext::default()).await
    }

    /// Stores a schedule of this kind in the ledger: see [`SnapshotAdmin::put_schedule`].
    pub async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        self.admin().put_schedule(schedule, &AdminContext::default()).await
    }

    /// Removes a schedule of this kind from the ledger. Returns whether the schedule existed.
    pub async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error> {
        self.admin().remove_schedule(key, &AdminContext::default()).await
    }

    /// Returns a page of the schedules of this kind in all tenants: see
    /// [`SnapshotAdmin::schedules`].
    pub async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        self.admin().schedules(after, limit).await
    }
}

#[async_trait]
impl<A: Aggregate> Loader<A> for SnapshotEngine<A> {
    fn load<'s: 'f, 'k: 'f, 'f>(&'s self, key: &'k AggregateKey) -> LoadFuture<'f, A> {
        self.boxed_load(key)
    }

    async fn load_many(&self, keys: &[AggregateKey]) -> Vec<Result<Loaded<A>, Error>> {
        self.load_many(keys).await
    }

    async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error> {
        self.at_version(key, version).await
    }

    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error> {
        self.at_time(key, time).await
    }

    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        self.latest_known(key, point).await
    }
}

#[async_trait]
impl<A: Aggregate> SnapshotManager<A> for SnapshotEngine<A> {
    async fn snapshot(&self, key: &AggregateKey, version: u64) -> Result<Fetched<A>, Error> {
        self.snapshot(key, version).await
    }

    async fn latest_snapshot(&self, key: &AggregateKey) -> Result<Fetched<A>, Error> {
        self.latest_snapshot(key).await
    }

    fn committed(&self, loaded: &Loaded<A>, version: u64) -> Decision {
        self.committed(loaded, version)
    }
}
