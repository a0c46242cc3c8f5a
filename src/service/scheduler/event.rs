//! What a scheduler reports: [`SchedulerEvent`].

use std::fmt;

use super::report::RunReport;
use crate::error::Error;
use crate::ledger::Schedule;

/// An event of a [`Scheduler`](super::Scheduler). `Display` writes it as one line, for logs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SchedulerEvent<'a> {
    /// A run ended: completed, failed, skipped, or stopped.
    Ended(&'a RunReport),
    /// A due schedule is not run by this node. Reported once for each schedule, until it changes.
    Ignored {
        /// The schedule.
        schedule: &'a Schedule,
        /// Why.
        reason: &'a str,
    },
    /// A call of the ledger failed. It is tried again at the next poll.
    LedgerFailed {
        /// Why.
        error: &'a Error,
    },
}

/// Receives the events of a [`Scheduler`](super::Scheduler), for logs and metrics.
///
/// Implemented by closures: `|event: &SchedulerEvent<'_>| println!("{event}")`.
///
/// # Obligations
/// Called between polls, so it must be cheap and must not block. A panic in it is caught and
/// counted.
pub trait SchedulerObserver: Send + Sync {
    /// Handles one event.
    fn observe(&self, event: &SchedulerEvent<'_>);
}

impl<F: Fn(&SchedulerEvent<'_>) + Send + Sync> SchedulerObserver for F {
    fn observe(&self, event: &SchedulerEvent<'_>) {
        self(event);
    }
}

impl fmt::Display for SchedulerEvent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(report) => fmt::Display::fmt(report, f),
            Self::Ignored { schedule, reason } => {
                write!(f, "the {} of {} is not run here: {reason}", schedule.task, schedule.key)
            }
            Self::LedgerFailed { error } => write!(f, "schedules wait for the ledger: {error:#}"),
        }
    }
}
