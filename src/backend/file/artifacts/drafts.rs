//! [`ArtifactDrafts`]: the files that are being written and that nobody sees yet.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::header::ArtifactHeader;
use crate::backend::file::disk::{Disk, DiskFile, Lock, Locking, write_all};

/// How often a new name is tried, when others take the file of a lock for that of a dead process.
const MAX_NAMES: usize = 16;

/// The drafts of one handle, in a folder that handles of all processes share.
///
/// `{handle}.lock` is locked as long as the handle exists, also by a process that is killed.
/// `{handle}-{number}.draft` is a draft of this handle. So whoever gets the lock of another handle
/// knows that its drafts are left over.
pub(super) struct ArtifactDrafts {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    handle: u64,
    lock: Box<dyn Lock>,
    next: AtomicU64,
}

impl ArtifactDrafts {
    pub(super) fn open(disk: Arc<dyn Disk>, dir: PathBuf) -> io::Result<Self> {
        for _ in 0..MAX_NAMES {
            let handle = disk.random();
            // Between its creation and its lock, another handle may find the file and remove it.
            if let Locking::Held(lock) = disk.lock(&lock_path(&dir, handle), true)?
                && lock.is_in_place()
            {
                return Ok(Self { disk, dir, handle, lock, next: AtomicU64::new(0) });
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "other processes take the names of locks"))
    }

    /// Creates an empty draft, with room for its header.
    pub(super) fn begin(self: &Arc<Self>) -> io::Result<ArtifactDraft> {
        if !self.lock.is_in_place() {
            let why = "the directory or its lock file was removed or replaced: reopen the store";
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.join(format!("{:016x}-{number}.draft", self.handle));
        let file = self.disk.create(&path)?;
        let end = ArtifactHeader::BYTES as u64;
        Ok(ArtifactDraft { drafts: Arc::clone(self), path: Some(path), file, end })
    }

    /// Removes the drafts of handles that do not exist any more. Returns how many there were.
    pub(super) fn collect(&self) -> io::Result<u64> {
        let mut names = self.disk.files(&self.dir)?;
        names.retain(|name| handle_of(name).is_some_and(|handle| handle != self.handle));
        // The lock of a handle, which the loop below removes last, follows its drafts.
        names.sort_unstable();
        let mut removed = 0;
        for of_one in names.chunk_by(|a, b| handle_of(a) == handle_of(b)) {
            let Some(handle) = of_one.first().and_then(|name| handle_of(name)) else { continue };
            let lock = match self.disk.lock(&lock_path(&self.dir, handle), false) {
                Ok(Locking::Busy(_)) => continue,
                Ok(Locking::Held(lock)) => Some(lock),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(error),
            };
            for name in of_one {
                match self.disk.remove(&self.dir.join(name)) {
                    Ok(()) => removed += u64::from(is_draft(name)),
                    // Another handle collects, too.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            drop(lock);
        }
        Ok(removed)
    }
}

impl Drop for ArtifactDrafts {
    fn drop(&mut self) {
        // All drafts are gone. A file that remains is collected later.
        let _ = self.disk.remove(&lock_path(&self.dir, self.handle));
    }
}

impl fmt::Debug for ArtifactDrafts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArtifactDrafts").field("dir", &self.dir).finish_non_exhaustive()
    }
}

fn lock_path(dir: &Path, handle: u64) -> PathBuf {
    dir.join(format!("{handle:016x}.lock"))
}

fn is_draft(name: &str) -> bool {
    name.strip_suffix(".draft").is_some()
}

/// Returns the handle to which a file belongs, or `None` for a file that is not of a store.
fn handle_of(name: &str) -> Option<u64> {
    let (digits, rest) = name.split_at_checked(16)?;
    let number = rest.strip_prefix('-').and_then(|rest| rest.strip_suffix(".draft"));
    let is_number = number.is_some_and(|number| number.parse::<u64>().is_ok());
    (is_number || rest == ".lock").then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

/// A file that is being written. It is removed when this is dropped.
pub(super) struct ArtifactDraft {
    drafts: Arc<ArtifactDrafts>,
    path: Option<PathBuf>,
    file: Arc<dyn DiskFile>,
    end: u64,
}

impl ArtifactDraft {
    /// Appends content.
    pub(super) fn append(&mut self, pieces: &[impl AsRef<[u8]>]) -> io::Result<()> {
        let mut slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece.as_ref())).collect();
        slices.retain(|slice| !slice.is_empty());
        let bytes: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        write_all(&*self.file, self.end, &mut slices)?;
        self.end += bytes;
        Ok(())
    }

    /// Writes the header and makes the file durable.
    pub(super) fn seal(&self, header: &ArtifactHeader) -> io::Result<()> {
        write_all(&*self.file, 0, &mut [IoSlice::new(&header.to_bytes())])?;
        self.file.sync()
    }

    /// Gives the file another name, unless something has this name.
    pub(super) fn link(&self, to: &Path) -> io::Result<()> {
        let path = self.path.as_deref().ok_or(io::ErrorKind::NotFound)?;
        self.drafts.disk.hard_link(path, to)
    }

    /// Removes the draft. Blocks.
    pub(super) fn discard(mut self) {
        if let Some(path) = self.path.take() {
            // If this fails, the file is collected when the handle is gone.
            let _ = self.drafts.disk.remove(&path);
        }
    }
}

impl Drop for ArtifactDraft {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let drafts = Arc::clone(&self.drafts);
        let remove = move || drop(drafts.disk.remove(&path));
        // A future that is dropped must not block its thread.
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_store_are_collected() {
        assert_eq!(handle_of("00000000000000ff.lock"), Some(255));
        assert_eq!(handle_of("00000000000000ff-12.draft"), Some(255));
        for name in [
            "",
            "ff.lock",
            "00000000000000ff",
            "00000000000000ff-.draft",
            "00000000000000ff.lock~",
            "000000000000000g.lock",
            "00000000000000ff-1.drafts",
            "\u{e9}00000000000000.lock",
        ] {
            assert_eq!(handle_of(name), None, "{name}");
        }
    }
}
