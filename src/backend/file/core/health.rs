//! [`Health`]: whether a store may still be written to and read.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::backend::file::disk::LockedDir;
use crate::backend::file::errors::io_error;
use crate::error::{Error, ErrorKind, Retry};

/// Whether a store may still be written to and read.
pub(crate) struct Health {
    /// Set once, by a failure after which nobody knows what the disk holds.
    poison: OnceLock<String>,
    closed: AtomicBool,
    locked_dir: Arc<LockedDir>,
}

impl Health {
    pub(super) const fn new(locked_dir: Arc<LockedDir>) -> Self {
        Self { poison: OnceLock::new(), closed: AtomicBool::new(false), locked_dir }
    }

    /// Nothing is written any more: what the disk holds is not known.
    pub(crate) fn poison(&self, why: String) {
        let _ = self.poison.set(why);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    /// Ends all use; false if that was done before.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }

    /// Gives the lock of the directory up. Nothing there is changed any more.
    pub(crate) fn unlock(&self) {
        self.locked_dir.release();
    }

    /// Fails if the store does not write any more.
    pub(crate) fn check_writable(&self, operation: &'static str) -> Result<(), Error> {
        if self.locked_dir.is_lost() {
            self.poison("its directory or lock file was removed or replaced".into());
        }
        if let Some(why) = self.poison.get() {
            let message = format!("the store accepts no more writes ({why}): reopen it");
            return Err(Error::new(ErrorKind::Poisoned, operation, message));
        }
        self.check_open(operation)
    }

    /// Fails if the store was closed.
    pub(crate) fn check_open(&self, operation: &'static str) -> Result<(), Error> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::new(
                ErrorKind::Store,
                operation,
                "the store was closed: open it again",
            ));
        }
        Ok(())
    }

    /// A failure after which it is not known what the disk holds: poisons, and says so.
    pub(crate) fn unknown(&self, operation: &'static str, what: &Path, error: io::Error) -> Error {
        self.poison(format!("{}: {}", what.display(), error.kind()));
        io_error(operation, what, error).with_retry(Retry::Unknown)
    }
}
