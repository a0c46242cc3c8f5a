//! [`TaskWork`]: the task of one run, for one aggregate or for each of a kind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;
use tokio::task::{Id, JoinError, JoinSet};

use super::report::{RunCounts, RunReport};
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::ledger::{KeepRule, ScheduleKey, Task};
use crate::manager::{AdminContext, CreateOptions, CreateOutcome, Rejected, SnapshotAdmin};
use crate::retention::{Retention, keep_last, keep_within};

pub(super) const NAME: &str = "run a schedule";
/// The number of keys in one page.
const PAGE: usize = 256;
/// After this many failures without a success in between, the run fails.
const FAILURES_IN_A_ROW: u64 = 100;

pub(super) struct TaskWork {
    pub(super) admin: Arc<dyn SnapshotAdmin>,
    pub(super) task: Task,
    pub(super) context: AdminContext,
    pub(super) budget: Arc<Semaphore>,
    pub(super) progress: Arc<RunProgress>,
}

/// What a run has done so far.
#[derive(Default)]
pub(super) struct RunProgress(Mutex<ProgressState>);

#[derive(Clone, Default)]
pub(super) struct ProgressState {
    pub(super) counts: RunCounts,
    pub(super) failures: Vec<(AggregateKey, Error)>,
    pub(super) rejected: Vec<(AggregateKey, Rejected)>,
    in_a_row: u64,
}

impl RunProgress {
    // Each change is complete before anything that could panic.
    fn lock(&self) -> MutexGuard<'_, ProgressState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> ProgressState {
        self.lock().clone()
    }

    /// Adds the outcome of one aggregate. Fails if too many failed in a row.
    fn add(&self, key: AggregateKey, outcome: Result<Acted, Error>) -> Result<(), Error> {
        let mut state = self.lock();
        state.counts.aggregates += 1;
        let error = match outcome {
            Ok(acted) => {
                state.in_a_row = 0;
                state.counts.changed += u64::from(acted.changed);
                state.counts.deleted += acted.deleted;
                state.counts.rejected += acted.rejected.len() as u64;
                let room = RunReport::MAX_DETAILS.saturating_sub(state.rejected.len());
                let first = acted.rejected.into_iter().take(room);
                state.rejected.extend(first.map(|rejected| (key.clone(), rejected)));
                return Ok(());
            }
            Err(error) => error,
        };
        state.counts.failed += 1;
        state.in_a_row += 1;
        if state.failures.len() < RunReport::MAX_DETAILS {
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
            let page = match self.task {
                Task::SnapshotAll => self.admin.event_keys(tenant, cursor.as_ref(), PAGE).await?,
                _ => self.admin.keys(tenant, cursor.as_ref(), PAGE).await?,
            };
            if page.next.is_some() && page.next == cursor {
                let message = "the next page of aggregates does not advance";
                return Err(Error::new(ErrorKind::Store, NAME, message));
            }
            for key in page.items {
                // Never closed. It bounds the number of tasks.
                let Ok(permit) = Arc::clone(&self.budget).acquire_owned().await else { continue };
                while let Some(joined) = at_work.tasks.try_join_next_with_id() {
                    at_work.ended(joined, &self.progress)?;
                }
                let (work, own) = (Arc::clone(&self), key.clone());
                let task = at_work.tasks.spawn(async move {
                    let acted = work.act(&own).await;
                    drop(permit);
                    acted
                });
                at_work.keys.insert(task.id(), key);
            }
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        while let Some(joined) = at_work.tasks.join_next_with_id().await {
            at_work.ended(joined, &self.progress)?;
        }
        Ok(())
    }

    async fn act(&self, key: &AggregateKey) -> Result<Acted, Error> {
        match &self.task {
            Task::Snapshot | Task::SnapshotAll => {
                let options = CreateOptions::new().if_changed();
                let created = self.admin.create(key, options, &self.context).await?;
                Ok(Acted { changed: is_change(&created), ..Acted::default() })
            }
            Task::Refold => {
                let refolded = self.admin.refold(key, None, &self.context).await?;
                Ok(Acted { changed: is_change(&refolded), ..Acted::default() })
            }
            Task::Retention(rule) => {
                let policy = policy(*rule);
                let retained = self.admin.apply_retention(key, &*policy, &self.context).await?;
                let deleted = retained.deleted.snapshots;
                Ok(Acted { changed: deleted > 0, deleted, ..Acted::default() })
            }
            Task::Verify => {
                let rejected = self.admin.verify(key).await?.rejected;
                Ok(Acted { rejected, ..Acted::default() })
            }
            Task::Unknown(task) => {
                let message = format!("this release does not know the task {task}");
                Err(Error::new(ErrorKind::Unsupported, NAME, message))
            }
        }
    }
}

/// The tasks of a walk, and the aggregate of each.
#[derive(Default)]
struct AtWork {
    tasks: JoinSet<Result<Acted, Error>>,
    keys: HashMap<Id, AggregateKey>,
}

impl AtWork {
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

fn is_change(created: &CreateOutcome) -> bool {
    matches!(created, CreateOutcome::Stored(_) | CreateOutcome::Replaced(_))
}

fn policy(rule: KeepRule) -> Box<dyn Retention> {
    match (rule.keeps_last(), rule.keeps_within()) {
        (Some(last), Some(within)) => Box::new(keep_last(last).or(keep_within(within))),
        (None, Some(within)) => Box::new(keep_within(within)),
        // A rule has one of the two.
        (last, None) => Box::new(keep_last(last.unwrap_or(usize::MAX))),
    }
}

/// The error of a task that ended without a result.
pub(super) fn panicked(join: JoinError) -> Error {
    let message = "the code of the application, the store or the ledger panicked";
    Error::new(ErrorKind::Encode, NAME, message).with_source(join).with_retry(Retry::Later)
}
