//! [`EngineStatistics`]: what an engine did in the background, and what went wrong there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::timestamp::Timestamp;

/// What an engine and its clones did in the background since it was built, and the last thing that
/// went wrong there: for a health check that has no [`Observer`](crate::engine::Observer).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EngineStatistics {
    /// Background snapshots that were taken, including those that were already stored.
    pub saved: u64,
    /// Background snapshots, or measurements for them, that failed.
    pub saves_failed: u64,
    /// Background snapshots that were dropped before they were tried.
    pub saves_dropped: u64,
    /// Snapshots that the engine's retention policy deleted after background snapshots.
    pub deleted_by_retention: u64,
    /// How often applying it failed.
    pub retention_failures: u64,
    /// Calls of the observer that panicked.
    pub observer_panics: u64,
    /// Calls of the ledger that failed.
    pub ledger_failures: u64,
    /// The last failure: its time by the engine's clock, and its text with the causes.
    pub last_error: Option<(Timestamp, String)>,
}

/// Failures that no caller sees.
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
