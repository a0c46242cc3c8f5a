//! [`Health`]: whether a store can still be written and read.

use std::io;
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use super::access::Access;
use crate::backend::file::errors::io_error;
use crate::error::{Error, ErrorKind, Retry};

/// Whether a store can still be written and read.
pub(crate) struct Health {
    /// Set once, by a failure after which the content of the disk is unknown.
    poison: OnceLock<String>,
    closed: AtomicBool,
    access: Access,
}

impl Health {
    pub(super) const fn new(access: Access) -> Self {
        Self { poison: OnceLock::new(), closed: AtomicBool::new(false), access }
    }

    /// Stops all writes, because the content of the disk is unknown.
    pub(crate) fn poison(&self, why: String) {
        let _ = self.poison.set(why);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poison.get().is_some()
    }

    /// Closes the store. Returns false if it was already closed.
    pub(crate) fn close(&self) -> bool {
        !self.closed.swap(true, Ordering::SeqCst)
    }

    /// Releases the lock of the directory. After this, nothing in the directory is changed.
    pub(crate) fn unlock(&self) {
        if let Access::Locked(dir) = &self.access {
            dir.release();
        }
    }

    /// Fails if the store no longer accepts writes.
    pub(crate) fn check_writable(&self, operation: &'static str) -> Result<(), Error> {
        self.check_not_read_only(operation)?;
        if let Access::Locked(dir) = &self.access
            && dir.is_lost()
        {
            self.poison("its directory or lock file was removed or replaced".into());
        }
        if let Some(why) = self.poison.get() {
            let message = format!("the store accepts no more writes ({why}): reopen it");
            return Err(Error::new(ErrorKind::Poisoned, operation, message));
        }
        self.check_open(operation)
    }

    pub(crate) const fn is_read_only(&self) -> bool {
        matches!(self.access, Access::ReadOnly(_))
    }

    /// Fails if the store was opened read-only.
    pub(crate) fn check_not_read_only(&self, operation: &'static str) -> Result<(), Error> {
        if self.is_read_only() {
            let message = "the store is open read-only: open it with FileStore::open to change it";
            return Err(Error::new(ErrorKind::Unsupported, operation, message));
        }
        Ok(())
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

    /// Poisons the store after a failure that leaves the content of the disk unknown, and returns
    /// the error.
    pub(crate) fn unknown(&self, operation: &'static str, what: &Path, error: io::Error) -> Error {
        self.poison(format!("{}: {}", what.display(), error.kind()));
        io_error(operation, what, error).with_retry(Retry::Unknown)
    }
}
