//! [`TaskWork`]: a task for one aggregate, for several, or for all of a kind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};

use super::counts::{MAX_DETAILS, RunCounts};
use super::watcher::BatchWatcher;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::ledger::{KeepRule, ScheduleKey, Task};
use crate::manager::{
    AdminContext, CreateOptions, CreateOutcome, Point, Rejected, Retained, SnapshotAdmin,
    SnapshotFilter,
};
use crate::record::SnapshotMeta;
use crate::retention::{Retention, keep_last, keep_within};
use crate::snapshot_id::SnapshotId;
use crate::store::{Cursor, MarkChange, MarkKind, Page, Selection};
use crate::timestamp::Timestamp;

pub(super) const NAME: &str = "run a task";
/// The number of keys in one page.
const PAGE: usize = 256;
/// The same for retention, where each page takes one commit of the store.
const RETENTION_PAGE: usize = 1_024;
/// After this many failures without a success in between, the whole task fails.
const FAILURES_IN_A_ROW: u64 = 100;

/// What is done to each aggregate.
pub(super) enum TaskAction {
    Task(Task),
    /// A retention policy that is no [`KeepRule`].
    Policy(Arc<dyn Retention>),
    /// Retires the snapshots that the filter selects, under a name.
    Retire(SnapshotFilter, String),
    /// Pins a snapshot under a name: of the current state, or of the state at a time.
    Savepoint(String, Option<Timestamp>),
    /// Clears the pins of a name.
    Release(String),
    /// Looks for a snapshot of the current generation.
    Coverage,
}

pub(super) struct TaskWork {
    pub(super) admin: Arc<dyn SnapshotAdmin>,
    pub(super) action: TaskAction,
    pub(super) context: AdminContext,
    pub(super) budget: Arc<Semaphore>,
    pub(super) progress: Arc<RunProgress>,
}

/// What a run has done so far.
#[derive(Default)]
pub(super) struct RunProgress {
    state: Mutex<ProgressState>,
    watcher: Option<Arc<dyn BatchWatcher>>,
}

#[derive(Clone, Default)]
pub(super) struct ProgressState {
    pub(super) counts: RunCounts,
    pub(super) failures: Vec<(AggregateKey, Error)>,
    pub(super) rejected: Vec<(AggregateKey, Rejected)>,
    /// The number of aggregates without a snapshot of the current generation, and the first ones.
    pub(super) uncovered: u64,
    pub(super) uncovered_keys: Vec<AggregateKey>,
    in_a_row: u64,
}

impl RunProgress {
    // Each change is complete before anything that could panic.
    fn lock(&self) -> MutexGuard<'_, ProgressState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watched(watcher: Option<Arc<dyn BatchWatcher>>) -> Self {
        Self { watcher, ..Self::default() }
    }

    pub(super) fn read(&self) -> ProgressState {
        self.lock().clone()
    }

    /// Adds the outcome of one aggregate. Fails if too many failed in a row.
    fn add(&self, key: AggregateKey, outcome: Result<Acted, Error>) -> Result<(), Error> {
        let result = self.count(key, outcome);
        if let Some(watcher) = &self.watcher {
            watcher.counted(&self.lock().counts);
        }
        result
    }

    fn count(&self, key: AggregateKey, outcome: Result<Acted, Error>) -> Result<(), Error> {
        let mut state = self.lock();
        state.counts.aggregates += 1;
        let error = match outcome {
            Ok(acted) => {
                state.in_a_row = 0;
                state.counts.changed += u64::from(acted.changed);
                state.counts.deleted += acted.deleted;
                state.counts.rejected += acted.rejected.len() as u64;
                state.uncovered += u64::from(acted.is_uncovered);
                if acted.is_uncovered && state.uncovered_keys.len() < MAX_DETAILS {
                    state.uncovered_keys.push(key.clone());
                }
                let room = MAX_DETAILS.saturating_sub(state.rejected.len());
                let first = acted.rejected.into_iter().take(room);
                state.rejected.extend(first.map(|rejected| (key.clone(), rejected)));
                return Ok(());
            }
            Err(error) => error,
        };
        state.counts.failed += 1;
        state.in_a_row += 1;
        if state.failures.len() < MAX_DETAILS {
            state.failures.push((key, error.clone()));
        }
        if state.in_a_row < FAILURES_IN_A_ROW {
            return Ok(());
        }
        let message = format!("{FAILURES_IN_A_ROW} aggregates failed in a row");
        Err(Error::new(error.kind(), NAME, message).with_retry(error.retry()).with_source(error))
    }
}

/// What was done to one aggregate.
#[derive(Default)]
struct Acted {
    changed: bool,
    is_uncovered: bool,
    deleted: u64,
    rejected: Vec<Rejected>,
}

impl TaskWork {
    pub(super) async fn run(self: Arc<Self>, key: ScheduleKey) -> Result<(), Error> {
        let Some(key) = key.as_aggregate() else {
            return self.walk(key.tenant()).await;
        };
        let _permit = self.budget.acquire().await;
        let outcome = self.act(key).await;
        let failed = outcome.as_ref().err().cloned();
        self.progress.add(key.clone(), outcome)?;
        failed.map_or(Ok(()), Err)
    }

    /// Works on all aggregates of the kind, several at a time.
    async fn walk(self: Arc<Self>, tenant: &str) -> Result<(), Error> {
        let mut at_work = AtWork::default();
        let mut cursor = None;
        loop {
            let page = self.page(tenant, cursor.as_ref(), self.page_size()).await?;
            if let Some(policy) = self.policy() {
                self.retain_all(page.items, policy).await?;
            } else {
                for key in page.items {
                    at_work.start(&self, key).await?;
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        at_work.finish(&self.progress).await
    }

    /// Works on these aggregates, several at a time.
    pub(super) async fn all(self: &Arc<Self>, keys: Vec<AggregateKey>) -> Result<(), Error> {
        if let Some(policy) = self.policy() {
            return self.retain_all(keys, policy).await;
        }
        self.each(keys).await
    }

    /// Applies a retention policy to these aggregates, all together.
    async fn retain_all(
        self: &Arc<Self>,
        keys: Vec<AggregateKey>,
        policy: Arc<dyn Retention>,
    ) -> Result<(), Error> {
        // Never closed.
        let Ok(permit) = Arc::clone(&self.budget).acquire_owned().await else { return Ok(()) };
        let (work, all) = (Arc::clone(self), keys.clone());
        // A set, so that the task ends if this future is dropped.
        let mut task = JoinSet::new();
        task.spawn(async move {
            let retained = work.admin.apply_retention_many(&all, &*policy, &work.context).await;
            drop(permit);
            retained
        });
        match task.join_next().await {
            Some(Ok(retained)) if retained.len() == keys.len() => {
                let mut each = keys.into_iter().zip(retained);
                each.try_for_each(|(key, retained)| {
                    self.progress.add(key, retained.map(Acted::from))
                })
            }
            // A panic over one aggregate: a task for each shows which.
            _ => self.each(keys).await,
        }
    }

    /// Works on these aggregates, each in its own task.
    async fn each(self: &Arc<Self>, keys: Vec<AggregateKey>) -> Result<(), Error> {
        let mut at_work = AtWork::default();
        for key in keys {
            at_work.start(self, key).await?;
        }
        at_work.finish(&self.progress).await
    }

    /// Returns how many aggregates are taken at a time.
    pub(super) fn page_size(&self) -> usize {
        match self.action {
            TaskAction::Policy(_) | TaskAction::Task(Task::Retention(_) | Task::Keep(_)) => {
                RETENTION_PAGE
            }
            _ => PAGE,
        }
    }

    /// Returns a page of the aggregates that the task visits.
    pub(super) async fn page(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let page = match self.action {
            TaskAction::Task(Task::SnapshotAll)
            | TaskAction::Savepoint(..)
            | TaskAction::Coverage => self.admin.event_keys(tenant, after, limit).await?,
            _ => self.admin.keys(tenant, after, limit).await?,
        };
        advances(&page, after)?;
        Ok(page)
    }

    async fn act(&self, key: &AggregateKey) -> Result<Acted, Error> {
        let task = match &self.action {
            TaskAction::Task(task) => task,
            TaskAction::Policy(policy) => return self.retain(key, &**policy).await,
            TaskAction::Retire(filter, name) => {
                let retired = self.admin.retire(key, filter, name, &self.context).await?;
                return Ok(Acted { changed: retired > 0, ..Acted::default() });
            }
            TaskAction::Savepoint(pin, time) => return self.savepoint(key, pin, *time).await,
            TaskAction::Release(pin) => return self.release(key, pin).await,
            TaskAction::Coverage => {
                let is_uncovered = !self.admin.is_covered(key).await?;
                return Ok(Acted { is_uncovered, ..Acted::default() });
            }
        };
        match task {
            Task::Snapshot | Task::SnapshotAll => {
                let options = CreateOptions::new().if_changed();
                let created = self.admin.create(key, options, &self.context).await?;
                Ok(Acted { changed: is_change(&created), ..Acted::default() })
            }
            Task::Compare => self.compare(key).await,
            Task::Refold => {
                let refolded = self.admin.refold(key, None, &self.context).await?;
                Ok(Acted { changed: is_change(&refolded), ..Acted::default() })
            }
            Task::Retention(rule) => self.retain(key, &*policy(*rule)).await,
            Task::Keep(policy) => self.retain(key, policy).await,
            Task::Verify => {
                let rejected = self.admin.verify(key).await?.rejected;
                Ok(Acted { rejected, ..Acted::default() })
            }
            Task::SealAudit => {
                let message = "the task \"seal audit\" visits no aggregates: use a schedule";
                Err(Error::new(ErrorKind::Unsupported, NAME, message))
            }
            Task::Unknown(task) => Err(Error::new(ErrorKind::Unsupported, NAME, task.why())),
        }
    }

    /// Returns the snapshots with this pin.
    async fn pinned(&self, key: &AggregateKey, pin: &str) -> Result<Vec<SnapshotId>, Error> {
        let metas = self.admin.snapshots(key, 0..=u64::MAX).await?;
        let pinned = metas.iter().filter(|meta| meta.marks.find(MarkKind::Pin, pin).is_some());
        Ok(pinned.map(SnapshotMeta::id).collect())
    }

    /// Pins a snapshot of the current state, or of the state at a time, unless the aggregate has one
    /// with this pin.
    async fn savepoint(
        &self,
        key: &AggregateKey,
        pin: &str,
        time: Option<Timestamp>,
    ) -> Result<Acted, Error> {
        if !self.pinned(key, pin).await?.is_empty() {
            return Ok(Acted::default());
        }
        let mut options = CreateOptions::new().pin(pin);
        if let Some(time) = time {
            let version = self.admin.explain(key, Point::Time(time)).await?.version;
            if version == 0 {
                // No event was recorded by then.
                return Ok(Acted::default());
            }
            options = options.at_version(version);
        }
        let created = self.admin.create(key, options, &self.context).await?;
        Ok(Acted { changed: created.meta().is_some(), ..Acted::default() })
    }

    async fn release(&self, key: &AggregateKey, pin: &str) -> Result<Acted, Error> {
        let ids = self.pinned(key, pin).await?;
        if ids.is_empty() {
            return Ok(Acted::default());
        }
        let clear = MarkChange::Clear { kind: MarkKind::Pin, name: pin };
        self.admin.mark(key, Selection::Ids(&ids), clear, &self.context).await?;
        Ok(Acted { changed: true, ..Acted::default() })
    }

    /// Retires the snapshots that differ from the events.
    async fn compare(&self, key: &AggregateKey) -> Result<Acted, Error> {
        let compared = self.admin.compare_with_events(key).await?;
        let retired = self.admin.retire_different(key, &compared, &self.context).await?;
        let mut rejected = compared.unreadable;
        rejected.extend(compared.different.into_iter().map(Rejected::from));
        Ok(Acted { changed: retired > 0, rejected, ..Acted::default() })
    }

    async fn retain(&self, key: &AggregateKey, policy: &dyn Retention) -> Result<Acted, Error> {
        self.admin.apply_retention(key, policy, &self.context).await.map(Acted::from)
    }

    /// Returns the policy to apply if the action is retention.
    fn policy(&self) -> Option<Arc<dyn Retention>> {
        match &self.action {
            TaskAction::Policy(policy) => Some(Arc::clone(policy)),
            TaskAction::Task(Task::Retention(rule)) => Some(policy(*rule)),
            TaskAction::Task(Task::Keep(policy)) => Some(Arc::new(policy.clone())),
            _ => None,
        }
    }
}

impl From<Retained> for Acted {
    fn from(Retained { deleted, .. }: Retained) -> Self {
        let deleted = deleted.snapshots;
        Self { changed: deleted > 0, deleted, ..Self::default() }
    }
}

/// The tasks of a walk, and the aggregate of each.
#[derive(Default)]
struct AtWork {
    tasks: JoinSet<Result<Acted, Error>>,
    keys: HashMap<Id, AggregateKey>,
}

impl AtWork {
    /// Waits for a place in the budget, and starts to work on an aggregate.
    async fn start(&mut self, work: &Arc<TaskWork>, key: AggregateKey) -> Result<(), Error> {
        // Never closed. It bounds the number of tasks.
        let Ok(permit) = Arc::clone(&work.budget).acquire_owned().await else { return Ok(()) };
        while let Some(joined) = self.tasks.try_join_next_with_id() {
            self.ended(joined, &work.progress)?;
        }
        let (work, own) = (Arc::clone(work), key.clone());
        let task = self.tasks.spawn(async move {
            let acted = work.act(&own).await;
            drop(permit);
            acted
        });
        self.keys.insert(task.id(), key);
        Ok(())
    }

    /// Waits for all tasks.
    async fn finish(&mut self, progress: &RunProgress) -> Result<(), Error> {
        while let Some(joined) = self.tasks.join_next_with_id().await {
            self.ended(joined, progress)?;
        }
        Ok(())
    }

    fn ended(
        &mut self,
        joined: Result<(Id, Result<Acted, Error>), JoinError>,
        progress: &RunProgress,
    ) -> Result<(), Error> {
        let (id, outcome) = match joined {
            Ok(ended) => ended,
            Err(join) => (join.id(), Err(panicked(join))),
        };
        self.keys.remove(&id).map_or(Ok(()), |key| progress.add(key, outcome))
    }
}

/// Fails if a page ends where it began, which would have no end.
pub(super) fn advances(
    page: &Page<AggregateKey, Cursor>,
    after: Option<&Cursor>,
) -> Result<(), Error> {
    if page.next.is_some() && page.next.as_ref() == after {
        let message = "the next page of aggregates does not advance";
        return Err(Error::new(ErrorKind::Store, NAME, message));
    }
    Ok(())
}

fn is_change(created: &CreateOutcome) -> bool {
    matches!(created, CreateOutcome::Stored(_) | CreateOutcome::Replaced(_))
}

fn policy(rule: KeepRule) -> Arc<dyn Retention> {
    match (rule.keeps_last(), rule.keeps_within()) {
        (Some(last), Some(within)) => Arc::new(keep_last(last).or(keep_within(within))),
        (None, Some(within)) => Arc::new(keep_within(within)),
        // A rule has one of the two.
        (last, None) => Arc::new(keep_last(last.unwrap_or(usize::MAX))),
    }
}

/// The error of a task that ended without a result.
pub(super) fn panicked(join: JoinError) -> Error {
    let message = "the code of the application, the store or the ledger panicked";
    Error::new(ErrorKind::Encode, NAME, message).with_source(join).with_retry(Retry::Later)
}
