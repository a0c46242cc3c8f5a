//! What fails out of the callers' sight is counted and told.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Core;
use super::segment::Segment;
use crate::backend::file::format::names;
use crate::error::Error;

impl Core {
    /// Counts `error`, and tells it if it is not the one that was told before: what is tried again
    /// and again fails in the same way.
    pub(crate) fn trouble(&self, error: &Error) {
        self.troubles.count.fetch_add(1, Ordering::Relaxed);
        let text = format!("{error:#}");
        let last =
            self.troubles.last.lock().unwrap_or_else(PoisonError::into_inner).replace(text.clone());
        if last.as_ref() != Some(&text)
            && let Some(listener) = &self.config.listener
        {
            // What panics is the application's; the store goes on.
            let _ = catch_unwind(AssertUnwindSafe(|| (listener.0)(error)));
        }
    }

    /// Notes that a file is damaged, or cannot be read: compaction leaves it to a repair.
    pub(crate) fn note_damage(&self, segment: &Segment, error: &Error) {
        if !segment.damaged.swap(true, Ordering::Relaxed) {
            self.trouble(error);
        }
    }

    /// The names of the files that were found damaged, or could not be read.
    pub(crate) fn damaged_files(&self) -> Vec<String> {
        let segments = self.segments.all();
        let damaged = segments.iter().filter(|segment| segment.damaged.load(Ordering::Relaxed));
        damaged.map(|segment| names::segment(segment.id)).collect()
    }
}
