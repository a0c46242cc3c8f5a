//! [`Recorder`]: what the engine writes into its ledger, in batches and off the callers' path.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::Core;
use super::observer::Report;
use super::statistics::Trouble;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::ledger::{AuditEntry, DailyStatistics, Day, Ledger};
use crate::manager::Created;
use crate::state::Aggregate;

/// How many audit entries, and how many aggregates and days, wait at most. What is beyond is lost,
/// and reported.
const MAX_WAITING: usize = 4_096;
/// How many entries are appended by one call.
const BATCH: usize = 256;

/// Writes audit entries and statistics into a ledger. A task runs only while something waits.
pub(super) struct Recorder {
    ledger: Arc<dyn Ledger>,
    waiting: Mutex<Waiting>,
    /// Notified each time the task has ended.
    idle: Notify,
}

#[derive(Default)]
struct Waiting {
    entries: VecDeque<AuditEntry>,
    days: HashMap<(AggregateKey, Day), DailyStatistics>,
    running: bool,
}

impl Waiting {
    fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.days.is_empty()
    }
}

type Days = Vec<(AggregateKey, Day, DailyStatistics)>;

/// Something to be written.
pub(super) enum Noted {
    Audit(AuditEntry),
    Day(AggregateKey, DailyStatistics),
}

/// What the statistics say of a snapshot that was stored.
pub(super) fn creation(created: &Created, took: Duration) -> Option<Noted> {
    match created {
        Created::Stored(meta) | Created::Replaced(meta) => {
            let more = DailyStatistics::created(meta.stored_bytes, took);
            Some(Noted::Day(meta.key.clone(), more))
        }
        Created::Empty | Created::Existing { .. } => None,
    }
}

impl Recorder {
    pub(super) fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, waiting: Mutex::default(), idle: Notify::new() }
    }

    pub(super) fn ledger(&self) -> &dyn Ledger {
        &*self.ledger
    }

    // Each change is complete before anything that could panic.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        let waiting = self.lock();
        waiting.is_empty() && !waiting.running
    }

    /// How much waits.
    fn left(&self) -> usize {
        let waiting = self.lock();
        waiting.entries.len() + waiting.days.len()
    }

    /// Puts something into the queue; false if that is full.
    fn push(&self, noted: Noted, today: Day) -> bool {
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

    /// What is to be written next; `None` if nothing waits, which ends the turn of the task.
    fn next(&self, turn: &mut Turn) -> Option<(Days, Vec<AuditEntry>)> {
        let mut waiting = self.lock();
        if waiting.is_empty() {
            // Together with the look: whoever records something from here on starts another task.
            waiting.running = false;
            turn.is_over = true;
            return None;
        }
        let days = waiting.days.drain().map(|((key, day), sum)| (key, day, sum)).collect();
        let many = waiting.entries.len().min(BATCH);
        Some((days, waiting.entries.drain(..many).collect()))
    }

    /// Puts back what the ledger could not take for now.
    fn put_back(&self, days: Days, entries: Vec<AuditEntry>) {
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

impl<A: Aggregate> Core<A> {
    /// Has something written into the ledger, if there is one. Never waits for it.
    pub(super) fn enter(self: &Arc<Self>, noted: impl IntoIterator<Item = Noted>) {
        let Some(recorder) = &self.recorder else { return };
        let today = Day::of(self.clock.now());
        for noted in noted {
            if !recorder.push(noted, today) {
                let message = format!("{MAX_WAITING} records wait for the ledger already");
                let error = Error::new(ErrorKind::OutOfSpace, "write into the ledger", message);
                self.not_recorded(1, &error);
            }
        }
        self.start_recording(recorder);
    }

    /// Starts the task that writes, unless one runs. Without a runtime, what waits goes on waiting.
    fn start_recording(self: &Arc<Self>, recorder: &Arc<Recorder>) {
        let Ok(runtime) = Handle::try_current() else { return };
        {
            let mut waiting = recorder.lock();
            if waiting.running || waiting.is_empty() {
                return;
            }
            waiting.running = true;
        }
        let turn = Turn { recorder: Arc::clone(recorder), is_over: false };
        runtime.spawn(write(Arc::clone(self), turn));
    }

    fn not_recorded(&self, lost: usize, error: &Error) {
        self.failed(Trouble::LedgerFailed, format!("{lost} records were lost: {error:#}"));
        self.report(&Report::LedgerFailed { lost, error });
    }

    /// Reports what the ledger did not take; true if it may take the same later.
    fn may_come_later(&self, records: usize, error: &Error) -> bool {
        let is_later = error.retry() == Retry::Later;
        if is_later {
            self.failed(Trouble::LedgerFailed, format!("the ledger failed for now: {error:#}"));
            self.report(&Report::LedgerFailed { lost: 0, error });
        } else {
            self.not_recorded(records, error);
        }
        is_later
    }

    /// Waits until all that was recorded is in the ledger, for at most `within`.
    pub(super) async fn flush_records(self: &Arc<Self>, within: Duration) -> Result<(), Error> {
        let Some(recorder) = &self.recorder else { return Ok(()) };
        if recorder.is_idle() {
            return Ok(());
        }
        if Handle::try_current().is_err() {
            let message = "there is no tokio runtime to wait on";
            return Err(Error::new(ErrorKind::Unsupported, "flush the ledger", message));
        }
        let written = async {
            // What is noted before the look is not missed.
            let mut notified = std::pin::pin!(recorder.idle.notified());
            notified.as_mut().enable();
            self.start_recording(recorder);
            if recorder.lock().running {
                notified.await;
            }
        };
        if tokio::time::timeout(within, written).await.is_err() {
            let message = format!("some records are not in the ledger after {within:?}");
            return Err(Error::new(ErrorKind::Timeout, "flush the ledger", message)
                .with_retry(Retry::Later));
        }
        let left = recorder.left();
        if left > 0 {
            let message = format!("{left} records wait for a ledger that fails for now");
            return Err(
                Error::new(ErrorKind::Store, "flush the ledger", message).with_retry(Retry::Later)
            );
        }
        Ok(())
    }
}

/// Writes until nothing waits, or the ledger fails for now.
async fn write<A: Aggregate>(core: Arc<Core<A>>, mut turn: Turn) {
    let recorder = Arc::clone(&turn.recorder);
    while let Some((days, entries)) = recorder.next(&mut turn) {
        let (mut days_left, mut entries_left) = (Vec::new(), Vec::new());
        if !days.is_empty()
            && let Err(error) = recorder.ledger.add_statistics(&days).await
            && core.may_come_later(days.len(), &error)
        {
            days_left = days;
        }
        if !entries.is_empty()
            && let Err(error) = recorder.ledger.append_all(&entries).await
            && core.may_come_later(entries.len(), &error)
        {
            entries_left = entries;
        }
        if !(days_left.is_empty() && entries_left.is_empty()) {
            // The next record, or a flush, tries again.
            return recorder.put_back(days_left, entries_left);
        }
    }
}

/// Frees the queue for another task when this one ends, also if it is cancelled with its runtime.
struct Turn {
    recorder: Arc<Recorder>,
    is_over: bool,
}

impl Drop for Turn {
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
