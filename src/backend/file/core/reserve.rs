//! [`Reserve`]: disk space that is kept for deletes and compaction on a full disk.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::backend::file::disk::{Disk, write_zeros};
use crate::backend::file::errors::io_error;
use crate::error::Error;

/// A file that only occupies space and is removed when the disk is full.
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The length of the file, or 0 if no reserve is configured.
    bytes: u64,
    /// Whether the file is on the disk.
    is_there: AtomicBool,
}

impl Reserve {
    pub(super) const fn new(disk: Arc<dyn Disk>, path: PathBuf, bytes: u64) -> Self {
        Self { disk, path, bytes, is_there: AtomicBool::new(false) }
    }

    /// Writes the file if it is missing and a reserve is configured. Without the file, the store
    /// works until the disk is full.
    pub(super) fn fill(&self) -> Result<(), Error> {
        if self.bytes == 0 || self.is_there.load(Ordering::Relaxed) {
            return Ok(());
        }
        let whole = || self.disk.open(&self.path, false).and_then(|file| file.len());
        if !whole().is_ok_and(|len| len >= self.bytes)
            && let Err(error) = self.write()
        {
            let _ = self.disk.remove(&self.path);
            return Err(io_error("write the reserve", &self.path, error));
        }
        self.is_there.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn write(&self) -> io::Result<()> {
        let file = self.disk.create(&self.path)?;
        write_zeros(&*file, 0, self.bytes)?;
        file.sync()
    }

    /// Removes the file. Returns false if there was none.
    pub(crate) fn release(&self) -> bool {
        self.is_there.swap(false, Ordering::Relaxed) && self.disk.remove(&self.path).is_ok()
    }
}
