//! [`Troubles`]: what failed out of the callers' sight so far.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// The application's function for errors of the background.
#[derive(Clone)]
pub(crate) struct Listener(pub(crate) Arc<dyn Fn(&Error) + Send + Sync>);

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}

/// What failed in the background so far.
#[derive(Default)]
pub(crate) struct Troubles {
    pub(crate) count: AtomicU64,
    pub(crate) last: Mutex<Option<String>>,
}

impl Troubles {
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn last(&self) -> Option<String> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
