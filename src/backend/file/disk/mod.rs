//! The operations that the file store needs from an operating system, as a trait with two
//! implementations: the real disk, and a simulated one that can lose power.

mod locked_dir;
mod read_only;
mod real;
#[cfg(test)]
pub(super) mod sim;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub(super) use locked_dir::LockedDir;
pub(super) use read_only::ReadOnlyDisk;
pub(super) use real::RealDisk;

/// The file system operations that the store needs.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Creates the directory and its parents. Their entries are durable when this returns.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Returns what is at `path`. Links are not followed.
    fn look(&self, path: &Path) -> io::Result<PathKind>;
    /// Returns the names of the regular files in `dir`, and of links to regular files, in no
    /// particular order.
    fn files(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates the file, or truncates it if it exists, and opens it for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens an existing file for reading and, if `write` is true, for writing.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file and replaces any file that has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name, as one step. Fails if something has this name, or if the file
    /// system does not support this.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the entries of `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock that `path` represents. The lock is held until the value is dropped.
    fn lock(&self, path: &Path, write: bool) -> io::Result<Locking>;
    /// Returns an unpredictable number.
    fn random(&self) -> u64;
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathKind {
    File,
    Dir,
    /// A link, a device, a pipe or a socket.
    Other,
}

/// The result of an attempt to take a lock.
pub(crate) enum Locking {
    /// The lock was taken. It is held until this value is dropped.
    Held(Box<dyn Lock>),
    /// Another handle has the lock. Contains what that handle wrote into the file.
    Busy(String),
}

/// A lock that is held until the value is dropped.
pub(crate) trait Lock: Send + Sync {
    /// Returns whether the lock file is still at its path: it has been neither removed nor
    /// replaced.
    fn is_in_place(&self) -> bool;
}

/// An open file. All methods take offsets: there is no file position.
pub(crate) trait DiskFile: fmt::Debug + Send + Sync {
    /// Returns the length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Reads `len` bytes at `offset`. Returns fewer only at the end of the file.
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Reads as `read` does, but fails with `WouldBlock` if it would have to wait for a device.
    fn read_cached(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Writes `pieces` one after the other at `offset`, or only part of them. Returns the number of
    /// bytes written.
    fn write(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Asks the system, where possible, to start writing this range to the device because it will
    /// be synced soon. This is only a hint.
    fn begin_sync(&self, _offset: u64, _len: u64) {}
    /// Makes the content durable, and the metadata that is needed to read it.
    fn sync(&self) -> io::Result<()>;
    /// Truncates the file to `len` bytes, or extends it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// Reads all bytes of a file that the store wrote in one piece.
pub(super) fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, false)?;
    let len = file.len()?;
    file.read(0, usize::try_from(len).unwrap_or(usize::MAX))
}

/// Writes a small file as a whole. On return its content is durable, but its name is not.
pub(super) fn write_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(path)?;
    write_all(&*file, 0, &mut [IoSlice::new(bytes)])?;
    file.sync()
}

/// Writes all of `pieces` at `offset`, in as many calls as the system needs.
pub(super) fn write_all(
    file: &dyn DiskFile,
    mut offset: u64,
    mut pieces: &mut [IoSlice<'_>],
) -> io::Result<()> {
    while !pieces.is_empty() {
        match file.write(offset, pieces) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                offset += written as u64;
                IoSlice::advance_slices(&mut pieces, written);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Fills a range of a file with zeros.
pub(super) fn write_zeros(file: &dyn DiskFile, mut from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; 1 << 18];
    while from < to {
        let len = usize::try_from(to - from).unwrap_or(usize::MAX).min(zeros.len());
        let piece = zeros.get(..len).unwrap_or_default();
        write_all(file, from, &mut [IoSlice::new(piece)])?;
        from += len as u64;
    }
    Ok(())
}
