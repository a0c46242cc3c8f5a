//! [`LockedDir`]: a directory that is used under a lock.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use super::{Disk, DiskFile, Lock, Locking, PathKind};

/// A disk, and a directory on it that is used under a lock.
///
/// Nothing in the directory is created, renamed or removed after the lock is released, or after the
/// directory or its lock file has been removed or replaced. From then on, a file at one of these
/// paths may belong to another store.
pub(crate) struct LockedDir {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Held for reading while a name is changed, so that no change is in progress when the lock is
    /// released.
    lock: RwLock<Option<Box<dyn Lock>>>,
    lost: AtomicBool,
}

impl LockedDir {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: PathBuf, lock: Box<dyn Lock>) -> Self {
        Self { disk, dir, lock: RwLock::new(Some(lock)), lost: AtomicBool::new(false) }
    }

    /// Returns whether the directory or its lock file was found removed or replaced.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Releases the lock.
    pub(crate) fn release(&self) {
        self.lock.write().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Runs `change` on the name `path`, unless the directory may belong to another store.
    fn change<T>(&self, path: &Path, change: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        if path.parent() != Some(self.dir.as_path()) {
            return change();
        }
        let lock = self.lock.read().unwrap_or_else(PoisonError::into_inner);
        let Some(lock) = &*lock else {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                "the store was closed: open it again",
            ));
        };
        if !lock.is_in_place() {
            self.lost.store(true, Ordering::Relaxed);
            let why = "the directory or its lock file was removed or replaced: reopen the store";
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        change()
    }
}

impl Disk for LockedDir {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn look(&self, path: &Path) -> io::Result<PathKind> {
        self.disk.look(path)
    }

    fn files(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.files(dir)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        self.change(path, || self.disk.create(path))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        self.disk.open(path, write)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(to, || self.disk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.change(path, || self.disk.remove(path))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(from, || self.disk.hard_link(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn lock(&self, path: &Path, write: bool) -> io::Result<Locking> {
        self.disk.lock(path, write)
    }

    fn random(&self) -> u64 {
        self.disk.random()
    }
}

impl fmt::Debug for LockedDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockedDir")
            .field("disk", &self.disk)
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}
