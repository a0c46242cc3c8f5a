//! One run: claim, work under the lease, and record the end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::event::SchedulerEvent;
use super::lease::HeldLease;
use super::race::{Winner, first};
use super::report::{RunOutcome, RunReport};
use super::settings::{MissedRuns, Settings};
use crate::error::{Error, ErrorKind};
use crate::ledger::{AuditEntry, Schedule, Task, cut};
use crate::manager::{AdminContext, SnapshotAdmin};
use crate::service::work::{NAME, RunProgress, TaskAction, TaskWork, panicked};
use crate::timestamp::Timestamp;

/// How long a shutdown waits for the ledger.
pub(super) const RELEASE_WITHIN: Duration = Duration::from_secs(5);
const RETRY_FIRST: Duration = Duration::from_secs(10);
const RETRY_MOST: Duration = Duration::from_secs(15 * 60);

const LOST: &str = "another node has its lease, or the schedule was removed";
const ENDED: &str = "its lease ended before the ledger renewed it";
const SHUT_DOWN: &str = "the scheduler was shut down";

pub(super) enum RunEnd {
    /// Another node has the run.
    NotClaimed,
    ClaimFailed(Error),
    Ended(Box<RunReport>),
}

/// A schedule whose run is due, and can be made here.
pub(super) struct DueRun {
    pub(super) schedule: Schedule,
    pub(super) due: Timestamp,
    pub(super) admin: Arc<dyn SnapshotAdmin>,
}

/// How the work of a run ended.
enum WorkEnd {
    Done(Result<(), Error>),
    /// Stopped before it was done.
    Lost(&'static str),
    ShutDown,
}

impl DueRun {
    /// Claims and makes the run.
    pub(super) async fn make(
        self,
        settings: Arc<Settings>,
        stopped: watch::Receiver<bool>,
    ) -> RunEnd {
        let mut lease = match HeldLease::claim(&settings, &self.schedule, self.due).await {
            Ok(Some(lease)) => lease,
            Ok(None) => return RunEnd::NotClaimed,
            Err(error) => return RunEnd::ClaimFailed(error),
        };
        let progress = Arc::new(RunProgress::default());
        let late = lease.claimed_at.since(self.due);
        let outcome = match settings.missed {
            MissedRuns::SkipOlderThan(bound) if late > bound => {
                self.recorded(&lease, RunOutcome::Skipped).await
            }
            _ => match self.work(&settings, &mut lease, &progress, stopped).await {
                WorkEnd::Done(Ok(())) => self.recorded(&lease, RunOutcome::Completed).await,
                WorkEnd::Done(Err(error)) => self.failed(&lease, error).await,
                WorkEnd::Lost(reason) => RunOutcome::Stopped { reason },
                WorkEnd::ShutDown => {
                    // If the ledger fails, the lease ends by itself.
                    let _ = timeout(RELEASE_WITHIN, lease.release()).await;
                    RunOutcome::Stopped { reason: SHUT_DOWN }
                }
            },
        };
        let done = progress.read();
        RunEnd::Ended(Box::new(RunReport {
            key: self.schedule.key,
            task: self.schedule.task,
            due: self.due,
            started_at: lease.claimed_at,
            took: lease.elapsed(),
            token: lease.claim.token,
            outcome,
            counts: done.counts,
            failures: done.failures,
            rejected: done.rejected,
        }))
    }

    /// Does the work in a task of its own, and renews the lease meanwhile.
    async fn work(
        &self,
        settings: &Settings,
        lease: &mut HeldLease,
        progress: &Arc<RunProgress>,
        mut stopped: watch::Receiver<bool>,
    ) -> WorkEnd {
        let key = &self.schedule.key;
        let reason = format!("schedule of {key}: {}, due at {}", self.schedule.task, self.due);
        let context = AdminContext::new(cut(settings.owner.clone(), AdminContext::MAX_NAME_BYTES))
            .reason(cut(reason, AdminContext::MAX_REASON_BYTES))
            .idempotency_key(format!("run {}", lease.claim.token));
        let work = Arc::new(TaskWork {
            admin: Arc::clone(&self.admin),
            action: TaskAction::Task(self.schedule.task.clone()),
            context,
            budget: Arc::clone(&settings.budget),
            progress: Arc::clone(progress),
        });
        // In a set, so that it ends with this future.
        let mut task = JoinSet::new();
        if self.schedule.task == Task::SealAudit {
            task.spawn(seal_audit(settings.clone(), key.tenant().to_owned(), lease.now()));
        } else {
            task.spawn(work.run(key.clone()));
        }
        let mut wait = settings.lease / 3;
        let end = loop {
            let joined = timeout(wait, task.join_next());
            let shut_down = async { drop(stopped.wait_for(|stop| *stop).await) };
            match first(shut_down, joined).await {
                Winner::Left(()) => break WorkEnd::ShutDown,
                Winner::Right(Ok(joined)) => {
                    return WorkEnd::Done(match joined {
                        Some(joined) => joined.unwrap_or_else(|join| Err(panicked(join))),
                        None => Err(Error::new(ErrorKind::Encode, NAME, "its task is gone")),
                    });
                }
                Winner::Right(Err(_)) if lease.left().is_zero() => break WorkEnd::Lost(ENDED),
                Winner::Right(Err(_)) => match lease.renew(lease.left()).await {
                    Ok(true) => wait = settings.lease / 3,
                    Ok(false) => break WorkEnd::Lost(LOST),
                    Err(error) => {
                        settings.report(&SchedulerEvent::LedgerFailed { error: &error });
                        wait = (settings.lease / 12).min(lease.left());
                    }
                },
            }
        };
        // The work must be over before another node is let in.
        task.shutdown().await;
        end
    }

    /// Sets the next run, which ends this one.
    async fn recorded(&self, lease: &HeldLease, outcome: RunOutcome) -> RunOutcome {
        let recorded = match self.schedule.cadence.following(self.due, lease.now()) {
            Ok(next) => lease.complete(next).await,
            Err(error) => Err(error),
        };
        match recorded {
            Ok(true) => outcome,
            Ok(false) => RunOutcome::Stopped { reason: LOST },
            // It is repeated when its lease has ended.
            Err(error) => RunOutcome::Failed { error, retry_at: Some(lease.ends_at()) },
        }
    }

    /// Sets when a failed run is tried again.
    async fn failed(&self, lease: &HeldLease, error: Error) -> RunOutcome {
        let now = lease.now();
        let retry_at = now.saturating_add(now.since(self.due).clamp(RETRY_FIRST, RETRY_MOST));
        let following = self.schedule.cadence.following(self.due, now);
        let next_is_first = matches!(following, Ok(Some(next)) if next <= retry_at);
        if next_is_first || !error.is_retryable() {
            return self.recorded(lease, RunOutcome::Failed { error, retry_at: None }).await;
        }
        match lease.park(retry_at).await {
            Ok(true) => RunOutcome::Failed { error, retry_at: Some(retry_at) },
            Ok(false) => RunOutcome::Stopped { reason: LOST },
            Err(_) => RunOutcome::Failed { error, retry_at: Some(lease.ends_at()) },
        }
    }
}

/// Seals all trails, and signs that of a tenant.
async fn seal_audit(settings: Settings, tenant: String, now: Timestamp) -> Result<(), Error> {
    let ledger = &*settings.ledger;
    ledger.seal_audit().await?;
    if let Some(keys) = &settings.signing_keys {
        let actor = cut(settings.owner.clone(), AuditEntry::MAX_NAME_BYTES);
        keys.sign_trail(ledger, &tenant, now, &actor).await?;
    }
    Ok(())
}
