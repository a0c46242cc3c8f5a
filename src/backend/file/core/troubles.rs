//! [`Troubles`]: what failed out of the callers' sight is counted and told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::segment::Segment;
use crate::backend::file::config::Listener;
use crate::error::Error;

/// What failed in the background so far, and who is told.
pub(crate) struct Troubles {
    count: AtomicU64,
    last: Mutex<Option<String>>,
    listener: Option<Listener>,
}

impl Troubles {
    pub(super) const fn new(listener: Option<Listener>) -> Self {
        Self { count: AtomicU64::new(0), last: Mutex::new(None), listener }
    }

    /// Counts `error`, and tells it if it is not the one that was told before: what is tried again
    /// and again fails in the same way.
    pub(crate) fn report(&self, error: &Error) {
        self.count.fetch_add(1, Ordering::Relaxed);
        let text = format!("{error:#}");
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).replace(text.clone());
        if last.as_ref() != Some(&text)
            && let Some(listener) = &self.listener
        {
            // What panics is the application's; the store goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| (listener.0)(error)));
        }
    }

    /// Notes that a file is damaged, or cannot be read: compaction leaves it to a repair.
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
