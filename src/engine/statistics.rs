//! [`EngineStatistics`]: counters of background work and failures.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

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
    /// The last failure: its time by the engine's clock, and its message with all causes.
    pub last_error: Option<(Timestamp, String)>,
}

/// A failure that is not returned to any caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    SaveFailed,
    SaveDropped,
    ObserverPanicked,
    LedgerFailed,
    RetentionFailed,
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
    last_error: Mutex<Option<(Timestamp, String)>>,
}

impl Counters {
    pub(super) fn saved(&self) {
        self.saved.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn retained(&self, deleted: u64) {
        self.retained.fetch_add(deleted, Ordering::Relaxed);
    }

    pub(super) fn failed(&self, trouble: Trouble, at: Timestamp, what: String) {
        let counter = match trouble {
            Trouble::SaveFailed => &self.saves_failed,
            Trouble::SaveDropped => &self.saves_dropped,
            Trouble::ObserverPanicked => &self.observer_panics,
            Trouble::LedgerFailed => &self.ledger_failures,
            Trouble::RetentionFailed => &self.retention_failures,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some((at, what));
    }

    pub(super) fn read(&self) -> EngineStatistics {
        let last_error = self.last_error.lock().unwrap_or_else(PoisonError::into_inner);
        EngineStatistics {
            saved: self.saved.load(Ordering::Relaxed),
            saves_failed: self.saves_failed.load(Ordering::Relaxed),
            saves_dropped: self.saves_dropped.load(Ordering::Relaxed),
            observer_panics: self.observer_panics.load(Ordering::Relaxed),
            ledger_failures: self.ledger_failures.load(Ordering::Relaxed),
            deleted_by_retention: self.retained.load(Ordering::Relaxed),
            retention_failures: self.retention_failures.load(Ordering::Relaxed),
            last_error: last_error.clone(),
        }
    }
}
