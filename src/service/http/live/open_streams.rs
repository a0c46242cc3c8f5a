//! [`OpenStreams`]: how many streams are open, and whose.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::streams::LiveStreams;
use crate::service::http::problem::HttpProblem;

/// When a client that found too many streams may ask again.
const RETRY: Duration = Duration::from_secs(10);

/// Counts the open streams of a service and of each principal.
#[derive(Clone, Default)]
pub(crate) struct OpenStreams(Arc<Mutex<StreamCounts>>);

#[derive(Default)]
struct StreamCounts {
    all: usize,
    /// By the name of the principal. Only those that have some.
    of: HashMap<String, usize>,
}

/// A stream that may be open.
pub(super) struct StreamPermit {
    streams: OpenStreams,
    name: String,
}

impl OpenStreams {
    /// Counts a stream of the principal, which is empty for everybody.
    pub(super) fn open(&self, name: &str, most: &LiveStreams) -> Result<StreamPermit, HttpProblem> {
        let mut counts = self.lock();
        if counts.all >= most.at_most {
            return Err(HttpProblem::busy("too many streams are open"));
        }
        if !name.is_empty() {
            let own = counts.of.get(name).copied().unwrap_or_default();
            if own >= most.for_each {
                let detail = "close a stream before the next one is opened";
                return Err(HttpProblem::too_many(RETRY).detail(detail));
            }
            counts.of.insert(name.to_owned(), own + 1);
        }
        counts.all += 1;
        drop(counts);
        Ok(StreamPermit { streams: self.clone(), name: name.to_owned() })
    }

    // No change is interrupted by code that can panic.
    fn lock(&self) -> MutexGuard<'_, StreamCounts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut counts = self.streams.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(own) = counts.of.get_mut(&self.name) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                counts.of.remove(&self.name);
            }
        }
    }
}
