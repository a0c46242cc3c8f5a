//! [`Recorder`]: queues entries for the ledger, which are written in batches in the background.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, DailyStatistics, Day, Ledger};
use crate::manager::CreateOutcome;

/// The maximum number of waiting audit entries, and separately of waiting daily statistics. Further
/// ones are lost and reported.
pub(super) const MAX_WAITING: usize = 4_096;
/// The maximum number of entries appended in one call.
const BATCH: usize = 256;

/// Writes audit entries and statistics to a ledger. A task runs only while something is queued.
pub(super) struct Recorder {
    ledger: Arc<dyn Ledger>,
    waiting: Mutex<Waiting>,
    /// Notified each time the task ends.
    pub(super) idle: Notify,
}

#[derive(Default)]
pub(super) struct Waiting {
    entries: VecDeque<AuditEntry>,
    days: HashMap<(AggregateKey, Day), DailyStatistics>,
    pub(super) running: bool,
}

impl Waiting {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.days.is_empty()
    }
}

pub(super) type Days = Vec<(AggregateKey, Day, DailyStatistics)>;

/// An item to write to the ledger.
pub(super) enum Noted {
    Audit(AuditEntry),
    Day(AggregateKey, DailyStatistics),
}

/// Returns the statistics for a snapshot that was stored, or `None` if none was.
pub(super) fn creation(created: &CreateOutcome, took: Duration) -> Option<Noted> {
    match created {
        CreateOutcome::Stored(meta) | CreateOutcome::Replaced(meta) => {
            let more = DailyStatistics::created(meta.stored_bytes, took);
            Some(Noted::Day(meta.key.clone(), more))
        }
        CreateOutcome::Empty | CreateOutcome::Existing { .. } | CreateOutcome::Unchanged { .. } => {
            None
        }
    }
}

impl Recorder {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, waiting: Mutex::default(), idle: Notify::new() }
    }

    pub(super) fn ledger(&self) -> &dyn Ledger {
        &*self.ledger
    }

    // A poisoned lock is safe to use: no change is interrupted by code that can panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_idle(&self) -> bool {
        let waiting = self.lock();
        waiting.is_empty() && !waiting.running
    }

    /// Returns how many items are waiting.
    pub(super) fn left(&self) -> usize {
        let waiting = self.lock();
        waiting.entries.len() + waiting.days.len()
    }

    /// Adds an item to the queue; returns false if the queue is full.
    pub(super) fn push(&self, noted: Noted, today: Day) -> bool {
        let mut waiting = self.lock();
        match noted {
            Noted::Audit(_) if waiting.entries.len() >= MAX_WAITING => return false,
            Noted::Audit(entry) => waiting.entries.push_back(entry),
            Noted::Day(key, more) => {
                let is_full = waiting.days.len() >= MAX_WAITING;
                let place = (key, today);
                if is_full && !waiting.days.contains_key(&place) {
                    return false;
                }
                let sum = waiting.days.entry(place).or_default();
                *sum = sum.plus(more);
            }
        }
        true
    }

    /// Takes the next items to write, or returns `None` and ends the task's turn if nothing waits.
    pub(super) fn next(&self, turn: &mut RecorderTurn) -> Option<(Days, Vec<AuditEntry>)> {
        let mut waiting = self.lock();
        if waiting.is_empty() {
            // Reset under the same lock as the check, so that a later item starts another task.
            waiting.running = false;
            turn.is_over = true;
            return None;
        }
        let days = waiting.days.drain().map(|((key, day), sum)| (key, day, sum)).collect();
        let many = waiting.entries.len().min(BATCH);
        Some((days, waiting.entries.drain(..many).collect()))
    }

    /// Puts back items that the ledger could not accept but may accept later.
    pub(super) fn put_back(&self, days: Days, entries: Vec<AuditEntry>) {
        let mut waiting = self.lock();
        for (key, day, more) in days {
            let sum = waiting.days.entry((key, day)).or_default();
            *sum = sum.plus(more);
        }
        for entry in entries.into_iter().rev() {
            waiting.entries.push_front(entry);
        }
    }
}

/// Lets another task start when this one ends, even if it is cancelled with its runtime.
pub(super) struct RecorderTurn {
    pub(super) recorder: Arc<Recorder>,
    pub(super) is_over: bool,
}

impl Drop for RecorderTurn {
    fn drop(&mut self) {
        if !self.is_over {
            self.recorder.lock().running = false;
        }
        self.recorder.idle.notify_waiters();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorder").field("ledger", &self.ledger).finish_non_exhaustive()
    }
}
