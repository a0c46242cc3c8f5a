//! [`Troubles`]: counts and reports the errors that no caller receives.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::segment::Segment;
use crate::backend::file::config::Listener;
use crate::error::Error;

/// The background errors so far, and the callback for them.
pub(crate) struct Troubles {
    count: AtomicU64,
    last: Mutex<Option<String>>,
    listener: Option<Listener>,
}

impl Troubles {
    pub(super) const fn new(listener: Option<Listener>) -> Self {
        Self { count: AtomicU64::new(0), last: Mutex::new(None), listener }
    }

    /// Counts `error`, and reports it unless the previous error was the same. An operation that is
    /// retried tends to fail in the same way each time.
    pub(crate) fn report(&self, error: &Error) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let text = format!("{error:#}");
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(text.clone());
        if last.as_ref() != Some(&text)
            && let Some(listener) = &self.listener
        {
            // A panic in the application's callback must not stop the store.
            let _ = catch_unwind(AssertUnwindSafe(|| (listener.0)(error)));
        }
    }

    /// Marks a segment as damaged or unreadable, so that compaction leaves it to a repair.
    pub(crate) fn report_damage(&self, segment: &Segment, error: &Error) {
        if !segment.damaged.swap(true, Ordering::Relaxed) {
            self.report(error);
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
