//! What the file store asks of an operating system, as a seam: the real one, and a simulated one
//! that loses power on command.

mod locked_dir;
mod real;
#[cfg(test)]
pub(super) mod sim;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub(super) use locked_dir::LockedDir;
pub(super) use real::RealDisk;

/// A file system, as far as the store needs one.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// Creates the directory and its parents; their entries are durable when it returns.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names of the regular files in `dir` and of links to such, in no particular order.
    fn files(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates the file, or empties one that is there; open for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file that exists, for reading and, if asked for, writing.
    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Renames a file over whatever has the new name.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file a second name, or fails where the file system cannot.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the entries of `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the lock that `path` stands for; it is held until the value is dropped.
    fn lock(&self, path: &Path, write: bool) -> io::Result<Locking>;
    /// An unpredictable number.
    fn random(&self) -> u64;
}

/// The answer to an attempt to take a lock.
pub(crate) enum Locking {
    /// Taken, until this value is dropped.
    Held(Box<dyn Lock>),
    /// Another handle has it; the text is what that one wrote into the file.
    Busy(String),
}

/// A lock that is held until this is dropped.
pub(crate) trait Lock: Send + Sync {
    /// Whether the file that stands for the lock still has its name: nobody has removed it or put
    /// another there.
    fn is_in_place(&self) -> bool;
}

/// An open file. All methods take offsets; there is no position.
pub(crate) trait DiskFile: fmt::Debug + Send + Sync {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// `len` bytes from `offset` on, fewer only at the end of the file.
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// The same if no device has to be waited for, else `WouldBlock`.
    fn read_cached(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Writes some of `pieces`, one after the other, at `offset`; returns how many bytes.
    fn write(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Has the system begin to write this part to the device, where it can be asked to: it will be
    /// synced soon. Promises nothing.
    fn begin_sync(&self, _offset: u64, _len: u64) {}
    /// Makes the content durable, and of the metadata what is needed to read it.
    fn sync(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros) to `len` bytes.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

/// All bytes of a file that the store wrote in one piece.
pub(super) fn read_whole(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let file = disk.open(path, false)?;
    let len = file.len()?;
    file.read(0, usize::try_from(len).unwrap_or(usize::MAX))
}

/// Writes a whole small file; its content is durable when this returns, its name is not.
pub(super) fn write_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = disk.create(path)?;
    write_all(&*file, 0, &mut [IoSlice::new(bytes)])?;
    file.sync()
}

/// Writes all of `pieces` at `offset`, however often the system takes only a part.
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

/// Fills a part of a file with zeros.
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
