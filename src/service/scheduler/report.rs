//! [`RunReport`]: what one run did.

use std::fmt;
use std::time::Duration;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{ScheduleKey, Task};
use crate::manager::Rejected;
use crate::service::counts::{MAX_DETAILS, RunCounts};
use crate::timestamp::Timestamp;

/// What one run of a schedule did. `Display` writes it as one line, for logs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RunReport {
    /// The schedule.
    pub key: ScheduleKey,
    /// What it does.
    pub task: Task,
    /// When the run was due.
    pub due: Timestamp,
    /// When it was claimed, by the clock of the node.
    pub started_at: Timestamp,
    /// How long it took, from the claim to the end, by the monotonic clock.
    pub took: Duration,
    /// The fencing token of its lease.
    pub token: u64,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What it did until then.
    pub counts: RunCounts,
    /// The first aggregates that failed, at most [`RunReport::MAX_DETAILS`].
    pub failures: Vec<(AggregateKey, Error)>,
    /// The first snapshots that a verification rejected, at most [`RunReport::MAX_DETAILS`].
    pub rejected: Vec<(AggregateKey, Rejected)>,
}

impl RunReport {
    /// Creates the report of a run that was claimed when it was due and took no time, for tests of
    /// a [`SchedulerObserver`](super::SchedulerObserver). Set the fields that matter.
    pub const fn new(key: ScheduleKey, task: Task, due: Timestamp, outcome: RunOutcome) -> Self {
        let counts = RunCounts { aggregates: 0, changed: 0, failed: 0, deleted: 0, rejected: 0 };
        Self {
            key,
            task,
            due,
            started_at: due,
            took: Duration::ZERO,
            token: 1,
            outcome,
            counts,
            failures: Vec::new(),
            rejected: Vec::new(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RunOutcome {
    /// All its work is done; single aggregates may have failed. It will not be repeated.
    Completed,
    /// It failed.
    Failed {
        /// Why.
        error: Error,
        /// When it is tried again; `None` if it is left to the next run.
        retry_at: Option<Timestamp>,
    },
    /// It was too late: see [`MissedRuns`](super::MissedRuns). No work was done.
    Skipped,
    /// It was stopped before its work was done, and will be repeated, here or on another node.
    Stopped {
        /// Why: the lease was lost, or the scheduler was shut down.
        reason: &'static str,
    },
}

impl RunReport {
    /// The maximum number of failures, and of rejected snapshots, that a report lists.
    pub const MAX_DETAILS: usize = MAX_DETAILS;

    /// Returns how long after its time the run was claimed.
    pub fn late_by(&self) -> Duration {
        self.started_at.since(self.due)
    }
}

impl fmt::Display for RunOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Completed => f.write_str("completed"),
            Self::Failed { error, retry_at: Some(at) } => {
                write!(f, "failed, next try at {at}: {error:#};")
            }
            Self::Failed { error, retry_at: None } => {
                write!(f, "failed, left to the next run: {error:#};")
            }
            Self::Skipped => f.write_str("skipped"),
            Self::Stopped { reason } => write!(f, "stopped ({reason})"),
        }
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (late, took) = (self.late_by(), self.took);
        write!(f, "{} of {}: {}", self.task, self.key, self.outcome)?;
        write!(f, " after {took:.1?}, started {late:.1?} late: {}", self.counts)?;
        for (key, error) in self.failures.iter().take(1) {
            write!(f, "; {key}: {error:#}")?;
        }
        for (key, rejected) in self.rejected.iter().take(1) {
            write!(f, "; {key}: {rejected}")?;
        }
        Ok(())
    }
}
