//! [`Coverage`]: how many aggregates have a snapshot of the current generation.

use std::fmt;

use super::counts::MAX_DETAILS;
use super::work::ProgressState;
use crate::error::Error;
use crate::key::AggregateKey;

/// How many aggregates have a stored snapshot of the engine's generation, from
/// [`Batch::coverage`](super::Batch::coverage). `Display` writes it as one line, for logs.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Coverage {
    /// The number of aggregates with a snapshot of this generation that loads can use, as far as its
    /// metadata shows. Its contents were not read: [`Task::Verify`](crate::ledger::Task::Verify)
    /// does that.
    pub covered: u64,
    /// The number of aggregates without one. Their next load replays events from the beginning, or
    /// from a snapshot that an upcaster converts.
    pub uncovered: u64,
    /// The number of aggregates for which this could not be determined.
    pub failed: u64,
    /// The first aggregates that are not covered, at most [`Coverage::MAX_DETAILS`].
    pub uncovered_keys: Vec<AggregateKey>,
    /// The first aggregates that failed, at most [`Coverage::MAX_DETAILS`].
    pub failures: Vec<(AggregateKey, Error)>,
    /// Why not all aggregates were counted; `None` if all were.
    pub error: Option<Error>,
}

impl Coverage {
    /// The maximum number of aggregates in a list.
    pub const MAX_DETAILS: usize = MAX_DETAILS;

    pub(super) fn new(done: ProgressState, error: Option<Error>) -> Self {
        let counts = done.counts;
        Self {
            covered: counts.aggregates.saturating_sub(counts.failed + done.uncovered),
            uncovered: done.uncovered,
            failed: counts.failed,
            uncovered_keys: done.uncovered_keys,
            failures: done.failures,
            error,
        }
    }

    /// Returns whether all aggregates were counted and have a snapshot of this generation.
    pub fn is_complete(&self) -> bool {
        self.uncovered == 0 && self.failed == 0 && self.error.is_none()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { covered, uncovered, failed, error, .. } = self;
        write!(f, "covered {covered}, not covered {uncovered}, failed {failed}")?;
        match error {
            Some(error) => write!(f, "; not all were counted: {error:#}"),
            None => Ok(()),
        }
    }
}
