//! [`EngineStatistics`]: counters of background work and failures, and the [`LastError`] of each
//! sort.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// Counters of the background work that an engine and its clones have done since it was built.
///
/// Use them for health checks without an [`Observer`](crate::engine::Observer).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EngineStatistics {
    /// The number of background snapshots that were taken, or were found to be already stored.
    pub saved: u64,
    /// The number of background snapshots that failed, including measurements for them.
    pub saves_failed: u64,
    /// The number of background snapshots that were dropped before they were attempted.
    pub saves_dropped: u64,
    /// The number of snapshots that the retention policy deleted after background snapshots.
    pub deleted_by_retention: u64,
    /// The number of times that the retention policy could not be applied.
    pub retention_failures: u64,
    /// The number of observer calls that panicked.
    pub observer_panics: u64,
    /// The number of ledger calls that failed.
    pub ledger_failures: u64,
    /// The number of calls of the store that failed during loads, whether or not the load failed.
    pub store_failures: u64,
    /// The number of [spot checks](crate::engine::SpotChecks) that compared snapshots with events.
    pub spot_checks: u64,
    /// The number of spot checks that failed.
    pub spot_checks_failed: u64,
    /// The number of snapshots that differed from the events in a spot check.
    pub snapshots_that_differ: u64,
    /// The last failure: its time by the engine's clock, and its message with all causes.
    pub last_error: Option<(Timestamp, String)>,
}

/// A sort of failure that an engine counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Trouble {
    /// A background snapshot failed.
    SaveFailed,
    /// A background snapshot was dropped before it was attempted.
    SaveDropped,
    /// An observer panicked.
    ObserverPanicked,
    /// A call of the ledger failed.
    LedgerFailed,
    /// The retention policy could not be applied after a background snapshot.
    RetentionFailed,
    /// The store failed during a load.
    StoreFailed,
    /// A spot check failed.
    SpotCheckFailed,
    /// A spot check found a snapshot that differs from the events.
    SnapshotDiffers,
}

/// The last failure of one sort. `Display` formats it as one line, for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastError {
    /// What failed.
    pub trouble: Trouble,
    /// The kind of the error, if there was one.
    pub kind: Option<ErrorKind>,
    /// When it failed, by the engine's clock.
    pub at: Timestamp,
    /// What happened. Contains keys and the message of the error, but not those of its causes.
    pub message: String,
}

impl fmt::Display for LastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {}: ", self.at)?;
        // The message of a store's author may contain line breaks.
        self.message.split(char::is_control).try_for_each(|part| f.write_str(part))
    }
}

/// The live counters.
#[derive(Debug, Default)]
pub(super) struct Counters {
    saved: AtomicU64,
    saves_failed: AtomicU64,
    saves_dropped: AtomicU64,
    observer_panics: AtomicU64,
    ledger_failures: AtomicU64,
    retained: AtomicU64,
    retention_failures: AtomicU64,
    store_failures: AtomicU64,
    spot_checks: AtomicU64,
    spot_checks_failed: AtomicU64,
    snapshots_that_differ: AtomicU64,
    last: Mutex<LastErrors>,
}

#[derive(Debug, Default)]
struct LastErrors {
    /// With all causes.
    last: Option<(Timestamp, String)>,
    of_each: BTreeMap<Trouble, LastError>,
}

impl Counters {
    pub(super) fn saved(&self) {
        self.saved.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retained(&self, deleted: u64) {
        self.retained.fetch_add(deleted, Ordering::Relaxed);
    }

    pub(super) fn spot_checked(&self) {
        self.spot_checks.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a failure. `what` is followed by the error.
    pub(super) fn failed(
        &self,
        trouble: Trouble,
        at: Timestamp,
        what: &str,
        error: Option<&Error>,
    ) {
        let counter = match trouble {
            Trouble::SaveFailed => &self.saves_failed,
            Trouble::SaveDropped => &self.saves_dropped,
            Trouble::ObserverPanicked => &self.observer_panics,
            Trouble::LedgerFailed => &self.ledger_failures,
            Trouble::RetentionFailed => &self.retention_failures,
            Trouble::StoreFailed => &self.store_failures,
            Trouble::SpotCheckFailed => &self.spot_checks_failed,
            Trouble::SnapshotDiffers => &self.snapshots_that_differ,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        let (whole, message) = match error {
            Some(error) => (format!("{what}: {error:#}"), format!("{what}: {error}")),
            None => (what.to_owned(), what.to_owned()),
        };
        let kind = error.map(Error::kind);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.last = Some((at, whole));
        last.of_each.insert(trouble, LastError { trouble, kind, at, message });
    }

    /// Returns the last failure of each sort, newest first.
    pub(super) fn last_errors(&self) -> Vec<LastError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut errors: Vec<_> = last.of_each.values().cloned().collect();
        drop(last);
        errors.sort_by_key(|error| Reverse(error.at));
        errors
    }

    pub(super) fn read(&self) -> EngineStatistics {
        let last_error = self.last.lock().unwrap_or_else(PoisonError::into_inner).last.clone();
        EngineStatistics {
            saved: self.saved.load(Ordering::Relaxed),
            saves_failed: self.saves_failed.load(Ordering::Relaxed),
            saves_dropped: self.saves_dropped.load(Ordering::Relaxed),
            observer_panics: self.observer_panics.load(Ordering::Relaxed),
            ledger_failures: self.ledger_failures.load(Ordering::Relaxed),
            deleted_by_retention: self.retained.load(Ordering::Relaxed),
            retention_failures: self.retention_failures.load(Ordering::Relaxed),
            store_failures: self.store_failures.load(Ordering::Relaxed),
            spot_checks: self.spot_checks.load(Ordering::Relaxed),
            spot_checks_failed: self.spot_checks_failed.load(Ordering::Relaxed),
            snapshots_that_differ: self.snapshots_that_differ.load(Ordering::Relaxed),
            last_error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_a_store_stays_on_one_line_and_keeps_its_cause_to_itself() {
        let counters = Counters::default();
        let at = Timestamp::from_seconds(0);
        let error = Error::new(ErrorKind::Store, "get", "no\nroute\r\nto host\u{1b}[0m")
            .with_source(std::io::Error::other("postgres://me:secret@db"));
        counters.failed(Trouble::StoreFailed, at, "a load failed", Some(&error));
        let [last] = &counters.last_errors()[..] else { panic!() };
        assert!(!format!("{last} {last:?}").contains("secret"), "{last:?}");
        assert!(!last.to_string().contains(char::is_control), "{last}");
        assert!(counters.read().last_error.unwrap().1.contains("secret"));
    }
}
