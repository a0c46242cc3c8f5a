//! Writing the recorder's queue to the ledger in the background.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::core::EngineCore;
use super::observer::Observation;
use super::recorder::{MAX_WAITING, Noted, Recorder, RecorderTurn};
use super::statistics::Trouble;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::ledger::{DailyStatistics, Day};
use crate::state::Aggregate;
use crate::store::Deleted;

impl<A: Aggregate> EngineCore<A> {
    /// Queues items for the ledger, if there is one. Never waits for the ledger.
    pub(super) fn enter(self: &Arc<Self>, noted: impl IntoIterator<Item = Noted>) {
        let Some(recorder) = &self.recorder else { return };
        let today = Day::of(self.clock.now());
        for noted in noted {
            if !recorder.push(noted, today) {
                let message = format!("{MAX_WAITING} records are already waiting for the ledger");
                let error = Error::new(ErrorKind::OutOfSpace, "write to the ledger", message);
                self.not_recorded(1, &error);
            }
        }
        self.start_recording(recorder);
    }

    /// Records how many snapshots of an aggregate were deleted.
    pub(super) fn record_deleted(self: &Arc<Self>, key: &AggregateKey, deleted: &Deleted) {
        if deleted.snapshots > 0 {
            let more = DailyStatistics::deleted(deleted.snapshots);
            self.enter([Noted::Day(key.clone(), more)]);
        }
    }

    /// Starts the writing task, unless one is running. Without a runtime, the items stay queued.
    fn start_recording(self: &Arc<Self>, recorder: &Arc<Recorder>) {
        let Ok(runtime) = Handle::try_current() else { return };
        {
            let mut waiting = recorder.lock();
            if waiting.running || waiting.is_empty() {
                return;
            }
            waiting.running = true;
        }
        let turn = RecorderTurn { recorder: Arc::clone(recorder), is_over: false };
        runtime.spawn(write(Arc::clone(self), turn));
    }

    fn not_recorded(&self, lost: usize, error: &Error) {
        self.failed(Trouble::LedgerFailed, &format!("{lost} records were lost"), Some(error));
        self.report(&Observation::LedgerFailed { lost, error });
    }

    /// Reports a failed write to the ledger; returns true if the same write may succeed later.
    fn may_come_later(&self, records: usize, error: &Error) -> bool {
        let is_later = error.retry() == Retry::Later;
        if is_later {
            let what = "a write to the ledger failed and will be retried";
            self.failed(Trouble::LedgerFailed, what, Some(error));
            self.report(&Observation::LedgerFailed { lost: 0, error });
        } else {
            self.not_recorded(records, error);
        }
        is_later
    }

    /// Waits until all queued items are in the ledger, for at most `within`.
    pub(super) async fn flush_records(self: &Arc<Self>, within: Duration) -> Result<(), Error> {
        let Some(recorder) = &self.recorder else { return Ok(()) };
        if recorder.is_idle() {
            return Ok(());
        }
        if Handle::try_current().is_err() {
            let message = "this thread has no tokio runtime: call flush() or drain() inside one";
            return Err(Error::new(ErrorKind::Unsupported, "flush the ledger", message));
        }
        let written = async {
            // Enabled before the check, so that no notification is missed.
            let mut notified = std::pin::pin!(recorder.idle.notified());
            notified.as_mut().enable();
            self.start_recording(recorder);
            if recorder.lock().running {
                notified.await;
            }
        };
        if tokio::time::timeout(within, written).await.is_err() {
            let message =
                format!("some records were not written within {within:?}: try again later");
            return Err(Error::new(ErrorKind::Timeout, "flush the ledger", message)
                .with_retry(Retry::Later));
        }
        let left = recorder.left();
        if left > 0 {
            let message =
                format!("the ledger failed and {left} records are still waiting: try again later");
            return Err(
                Error::new(ErrorKind::Store, "flush the ledger", message).with_retry(Retry::Later)
            );
        }
        Ok(())
    }
}

/// Records that were passed to the ledger. If the ledger panics or the runtime shuts down before it
/// answers, they are reported as lost and not retried, since they may have been written.
struct Unanswered<'a, A: Aggregate> {
    core: &'a EngineCore<A>,
    records: usize,
}

impl<A: Aggregate> Drop for Unanswered<'_, A> {
    fn drop(&mut self) {
        if self.records > 0 {
            let message = "the ledger panicked, or the runtime shut down before the write finished";
            let error = Error::new(ErrorKind::Store, "write to the ledger", message)
                .with_retry(Retry::Unknown);
            self.core.not_recorded(self.records, &error);
        }
    }
}

/// Writes until the queue is empty, or the ledger fails temporarily.
async fn write<A: Aggregate>(core: Arc<EngineCore<A>>, mut turn: RecorderTurn) {
    let recorder = Arc::clone(&turn.recorder);
    while let Some((days, entries)) = recorder.next(&mut turn) {
        let (mut days_left, mut entries_left) = (Vec::new(), Vec::new());
        let mut unanswered = Unanswered { core: &core, records: days.len() + entries.len() };
        if !days.is_empty()
            && let Err(error) = recorder.ledger().add_statistics(&days).await
            && core.may_come_later(days.len(), &error)
        {
            days_left = days;
        }
        unanswered.records = days_left.len() + entries.len();
        if !entries.is_empty()
            && let Err(error) = recorder.ledger().append_all(&entries).await
            && core.may_come_later(entries.len(), &error)
        {
            entries_left = entries;
        }
        unanswered.records = 0;
        if !(days_left.is_empty() && entries_left.is_empty()) {
            // The next item or a flush starts another attempt.
            return recorder.put_back(days_left, entries_left);
        }
    }
}
