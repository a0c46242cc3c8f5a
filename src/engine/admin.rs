//! The engine's implementation of [`SnapshotAdmin`], through which all audited changes pass.

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};

use super::SnapshotEngine;
use super::audited::{audited, audited_schedule};
use super::cache::Outdates;
use super::core::check_kind;
use super::create_many::ExpectedSize;
use super::recorder::creation;
use super::spans::{Spanned, in_span};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{Schedule, ScheduleKey};
use crate::manager::{
    AdminContext, AggregateStats, CreateOptions, CreateOutcome, CreateRequest, FoldComparison,
    ROLLBACK, Rebuilt, Retained, SnapshotAdmin, SnapshotFilter,
};
use crate::mark::{MarkChange, MarkKind};
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Cursor, Deleted, Erased, ListRequest, Page, Selection};

impl<A: Aggregate> SnapshotEngine<A> {
    /// Remembers a snapshot that was stored by an explicit call (R13).
    pub(super) fn remember(&self, created: &CreateOutcome) {
        if let Some(meta) = created.meta() {
            self.saver.stored(meta);
        }
    }

    /// Runs `create`, and remembers and records the stored snapshot and the time taken.
    async fn creating(
        &self,
        create: impl Future<Output = Result<CreateOutcome, Error>>,
    ) -> Result<CreateOutcome, Error> {
        let started = self.core.clock.monotonic();
        let created = create.await?;
        self.remember(&created);
        let took = self.core.clock.monotonic().saturating_sub(started);
        self.core.enter(creation(&created, took));
        Ok(created)
    }

    /// Runs `delete`, forgets the newest snapshot of `key`, and records the number of deletions.
    async fn deleting(
        &self,
        key: &AggregateKey,
        delete: impl Future<Output = Result<Deleted, Error>>,
    ) -> Result<Deleted, Error> {
        let _forgets = self.saver.forgets(key);
        let deleted = delete.await?;
        self.core.record_deleted(key, &deleted);
        Ok(deleted)
    }
}

#[async_trait]
impl<A: Aggregate> SnapshotAdmin for SnapshotEngine<A> {
    fn kind(&self) -> &str {
        A::KIND
    }

    async fn create(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        let create = self.core.create(key, &options, context);
        let change = self.creating(in_span(Spanned::Create(key), create));
        let first = async { Box::pin(self.core.first_attempt(key, &options, context)).await };
        let audited = audited(&self.core, "create", key, options.version, context);
        audited.create_once(change, first).await
    }

    async fn create_many(
        &self,
        requests: &[CreateRequest],
        context: &AdminContext,
    ) -> Vec<Result<CreateOutcome, Error>> {
        let size = ExpectedSize::default();
        let create = self.create_requests(requests, context, &size);
        in_span(Spanned::CreateMany(requests.len()), create).await
    }

    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        self.core.list(key, versions).await
    }

    async fn snapshot_page(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        check_kind::<A>(request.key)?;
        self.core.store.list(request).await
    }

    async fn count(&self, key: &AggregateKey, versions: RangeInclusive<u64>) -> Result<u64, Error> {
        self.core.count(key, versions).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        let deleting = self.deleting(key, self.core.delete(key, version));
        audited(&self.core, "delete", key, Some(version), context).make(deleting).await
    }

    async fn delete_snapshot(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        let deleting = async {
            check_kind::<A>(key)?;
            let _outdates = Outdates { cache: &self.core.cache, key };
            self.core.delete_ids(key, &[id]).await
        };
        let deleting = self.deleting(key, deleting);
        audited(&self.core, "delete_snapshot", key, Some(id.version), context).make(deleting).await
    }

    async fn delete_before(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        let deleting = self.deleting(key, self.core.delete_before(key, version));
        audited(&self.core, "delete_before", key, Some(version), context).make(deleting).await
    }

    async fn rebuild(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Rebuilt, Error> {
        let change = async {
            let started = self.core.clock.monotonic();
            let rebuilt = self.core.rebuild(key, version).await?;
            self.saver.stored(&rebuilt.meta);
            let took = self.core.clock.monotonic().saturating_sub(started);
            self.core.enter(creation(&CreateOutcome::Stored(rebuilt.meta.clone()), took));
            Ok(rebuilt)
        };
        audited(&self.core, "rebuild", key, Some(version), context).make(change).await
    }

    async fn refold(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        let change = self.creating(self.core.refold(key, version));
        audited(&self.core, "refold", key, version, context).create(change).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        // Checked first, because the name becomes part of the audit entry.
        change.check()?;
        let (verb, signed) = match change {
            MarkChange::Set(mark) if mark.actor.is_empty() => {
                ("set", Some(mark.clone().actor(context.actor.as_str())))
            }
            MarkChange::Set(_) => ("set", None),
            MarkChange::Clear { .. } => ("clear", None),
        };
        let version = match selection {
            Selection::Ids([id]) => Some(id.version),
            _ => None,
        };
        let action = format!("{verb}_{} {}", change.kind(), change.name());
        let change = signed.as_ref().map_or(change, MarkChange::Set);
        let marking = async {
            let retires = change.kind() == MarkKind::Retirement;
            let _forgets = retires.then(|| self.saver.forgets(key));
            self.core.mark(key, selection, change).await
        };
        audited(&self.core, action, key, version, context).make(marking).await
    }

    async fn rollback(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let rolling_back = async {
            let _forgets = self.saver.forgets(key);
            self.core.rollback(key, version, context).await
        };
        audited(&self.core, "rollback", key, Some(version), context).make(rolling_back).await
    }

    async fn undo_rollback(
        &self,
        key: &AggregateKey,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let clear = MarkChange::Clear { kind: MarkKind::Retirement, name: ROLLBACK };
        let undoing = self.core.mark(key, Selection::All, clear);
        audited(&self.core, "undo_rollback", key, None, context).make(undoing).await
    }

    async fn erase(&self, key: &AggregateKey, context: &AdminContext) -> Result<Erased, Error> {
        let erasing = async {
            let _forgets = self.saver.forgets(key);
            let erased = self.core.erase(key).await?;
            let deleted = Deleted::new(erased.snapshots, erased.bytes);
            self.core.record_deleted(key, &deleted);
            Ok(erased)
        };
        audited(&self.core, "erase", key, None, context).make(erasing).await
    }

    async fn retire(
        &self,
        key: &AggregateKey,
        filter: &SnapshotFilter,
        name: &str,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let mark = self.core.retirement(name, context, &context.reason);
        mark.check()?;
        let metas = self.core.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        let ids = filter.without_mark(&metas, &mark);
        if ids.is_empty() {
            return Ok(0);
        }
        let set = MarkChange::Set(&mark);
        SnapshotAdmin::mark(self, key, Selection::Ids(&ids), set, context).await
    }

    async fn retire_different(
        &self,
        key: &AggregateKey,
        comparison: &FoldComparison,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        if comparison.is_clean() {
            return Ok(0);
        }
        let retiring = async {
            let _forgets = self.saver.forgets(key);
            self.core.retire_different(key, comparison, context).await
        };
        audited(&self.core, "retire_different", key, None, context).make(retiring).await
    }

    async fn flush(&self, within: Duration) -> Result<(), Error> {
        Self::flush(self, within).await
    }

    async fn is_covered(&self, key: &AggregateKey) -> Result<bool, Error> {
        self.core.is_covered(key).await
    }

    async fn keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.core.keys(tenant, after, limit).await
    }

    async fn event_keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.core.event_keys(tenant, after, limit).await
    }

    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        self.core.stats(key).await
    }

    async fn plan_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        self.core.plan(key, policy, None).await
    }

    async fn apply_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Result<Retained, Error> {
        let change = async {
            let retained = self.core.apply(key, policy).await?;
            self.core.record_deleted(key, &retained.deleted);
            Ok(retained)
        };
        audited(&self.core, "apply_retention", key, None, context).make(change).await
    }

    async fn apply_plan(
        &self,
        key: &AggregateKey,
        plan: &RetentionPlan,
        context: &AdminContext,
    ) -> Result<Retained, Error> {
        let change = async {
            let retained = self.core.apply_plan(key, plan).await?;
            self.core.record_deleted(key, &retained.deleted);
            Ok(retained)
        };
        audited(&self.core, "apply_plan", key, None, context).make(change).await
    }

    async fn apply_retention_many(
        &self,
        keys: &[AggregateKey],
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Vec<Result<Retained, Error>> {
        // An invalid context is refused, and an expected version is compared, for each aggregate.
        if context.expected_version.is_some() || context.check().is_err() {
            let admin = self.admin();
            let each = stream::iter(keys).then(|key| admin.apply_retention(key, policy, context));
            return each.collect().await;
        }
        let mut audited: Vec<_> = keys
            .iter()
            .map(|key| audited(&self.core, "apply_retention", key, None, context))
            .collect();
        let retained = self.core.apply_many(keys, policy).await;
        for ((key, audited), retained) in keys.iter().zip(&mut audited).zip(&retained) {
            if let Ok(retained) = retained {
                self.core.record_deleted(key, &retained.deleted);
            }
            audited.made(retained);
        }
        retained
    }

    async fn put_schedule(&self, schedule: &Schedule, context: &AdminContext) -> Result<(), Error> {
        let ledger = self.core.scheduler(Some(&schedule.key))?;
        let putting = ledger.put_schedule(schedule);
        audited_schedule(&self.core, "put_schedule", &schedule.key, context).make(putting).await
    }

    async fn remove_schedule(
        &self,
        key: &ScheduleKey,
        context: &AdminContext,
    ) -> Result<bool, Error> {
        let removing = self.core.scheduler(Some(key))?.remove_schedule(key);
        audited_schedule(&self.core, "remove_schedule", key, context).make(removing).await
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        self.core.schedules(after, limit).await
    }
}
