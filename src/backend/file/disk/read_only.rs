//! [`ReadOnlyDisk`]: a disk on which nothing is changed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use super::{Disk, DiskFile, Locking, PathKind};

/// A disk on which nothing is changed: every call that would create, change, rename or remove a file
/// fails, and files are opened for reading only.
///
/// The store refuses writes before they get here. This is the second barrier.
#[derive(Debug)]
pub(crate) struct ReadOnlyDisk(Arc<dyn Disk>);

impl ReadOnlyDisk {
    pub(crate) const fn new(disk: Arc<dyn Disk>) -> Self {
        Self(disk)
    }
}

fn refused<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the store is open read-only"))
}

impl Disk for ReadOnlyDisk {
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn look(&self, path: &Path) -> io::Result<PathKind> {
        self.0.look(path)
    }

    fn files(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.files(dir)
    }

    fn create(&self, _: &Path) -> io::Result<Arc<dyn DiskFile>> {
        refused()
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        if write { refused() } else { self.0.open(path, false) }
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn hard_link(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }

    fn lock(&self, _: &Path, _: bool) -> io::Result<Locking> {
        refused()
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}
