//! [`SchedulerStatistics`]: what a scheduler has done so far.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::event::SchedulerEvent;
use super::report::RunOutcome;
use crate::timestamp::Timestamp;

/// The counters of a [`Scheduler`](super::Scheduler) since it was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchedulerStatistics {
    /// The number of completed runs.
    pub completed: u64,
    /// The number of failed runs. Each attempt counts.
    pub failed: u64,
    /// The number of runs that were skipped because they were too late.
    pub skipped: u64,
    /// The number of runs that were stopped because their lease was lost, or on shutdown.
    pub stopped: u64,
    /// The number of runs in progress.
    pub running: usize,
    /// The number of due schedules that this node did not run at the last poll: see
    /// [`SchedulerEvent::Ignored`].
    pub ignored: usize,
    /// The number of failed calls of the ledger.
    pub ledger_failures: u64,
    /// The number of panics of the observer.
    pub observer_panics: u64,
    /// The last poll that succeeded, by the clock of the node.
    pub last_poll: Option<Timestamp>,
    /// The last failure of a run or of the ledger, as one line.
    pub last_error: Option<String>,
}

#[derive(Default)]
pub(super) struct SchedulerCounters(Mutex<SchedulerStatistics>);

impl SchedulerCounters {
    // Each change is complete before anything that could panic.
    fn lock(&self) -> MutexGuard<'_, SchedulerStatistics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn read(&self) -> SchedulerStatistics {
        self.lock().clone()
    }

    pub(super) fn polled(&self, now: Timestamp, ignored: usize) {
        let mut counts = self.lock();
        (counts.last_poll, counts.ignored) = (Some(now), ignored);
    }

    pub(super) fn running(&self, runs: usize) {
        self.lock().running = runs;
    }

    pub(super) fn observer_panicked(&self) {
        self.lock().observer_panics += 1;
    }

    pub(super) fn count(&self, event: &SchedulerEvent<'_>) {
        let mut counts = self.lock();
        match event {
            SchedulerEvent::Ended(report) => match &report.outcome {
                RunOutcome::Completed => counts.completed += 1,
                RunOutcome::Skipped => counts.skipped += 1,
                RunOutcome::Stopped { .. } => counts.stopped += 1,
                RunOutcome::Failed { .. } => {
                    counts.failed += 1;
                    counts.last_error = Some(report.to_string());
                }
            },
            SchedulerEvent::LedgerFailed { .. } => {
                counts.ledger_failures += 1;
                counts.last_error = Some(event.to_string());
            }
            SchedulerEvent::Ignored { .. } => {}
        }
    }
}
