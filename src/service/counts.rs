//! [`RunCounts`]: what was done to many aggregates.

use std::fmt;

/// The maximum number of failures, and of rejected snapshots, that a report lists.
pub(super) const MAX_DETAILS: usize = 10;

/// What a run did to aggregates and snapshots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunCounts {
    /// The number of aggregates that were visited, including those that failed.
    pub aggregates: u64,
    /// The number of aggregates of which a snapshot was stored, replaced or deleted.
    pub changed: u64,
    /// The number of aggregates that failed.
    pub failed: u64,
    /// The number of snapshots that were deleted.
    pub deleted: u64,
    /// The number of snapshots that a verification rejected.
    pub rejected: u64,
}

impl fmt::Display for RunCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aggregates, changed, failed, deleted, rejected } = self;
        write!(f, "visited {aggregates}, changed {changed}, failed {failed}")?;
        if *deleted > 0 {
            write!(f, ", snapshots deleted {deleted}")?;
        }
        if *rejected > 0 {
            write!(f, ", snapshots rejected {rejected}")?;
        }
        Ok(())
    }
}
