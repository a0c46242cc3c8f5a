//! [`RealDisk`]: the files of the operating system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Disk, DiskFile, Lock, Locking, PathKind};

/// The files of the operating system.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
        if let Some(parent) = parent {
            self.create_dir(parent)?;
        }
        match fs::create_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // The path may be a file or a dangling link, or another process was faster.
                if !dir.is_dir() {
                    return Err(io::ErrorKind::NotADirectory.into());
                }
            }
            other => other?,
        }
        self.sync_dir(parent.unwrap_or(Path::new(".")))
    }

    fn look(&self, path: &Path) -> io::Result<PathKind> {
        let kind = fs::symlink_metadata(path)?.file_type();
        Ok(match (kind.is_file(), kind.is_dir()) {
            (true, _) => PathKind::File,
            (_, true) => PathKind::Dir,
            _ => PathKind::Other,
        })
    }

    fn files(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            let links_to_file = || fs::metadata(entry.path()).is_ok_and(|target| target.is_file());
            let is_file = kind.is_file() || (kind.is_symlink() && links_to_file());
            // A name that is not valid UTF-8 cannot belong to the store.
            if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true);
        Ok(Arc::new(RealFile(options.open(path)?)))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(RealFile(OpenOptions::new().read(true).write(write).open(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    // Directories cannot be opened for syncing here, but the file system journals their entries.
    #[cfg(not(unix))]
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, path: &Path, write: bool) -> io::Result<Locking> {
        let mut options = OpenOptions::new();
        options.read(true).write(write).create(write).truncate(false);
        let mut file = options.open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The content is used only in the message. The lock holder may still be writing it.
                let _ = Read::take(&mut file, 32).read_to_string(&mut holder);
                holder.retain(|c| c.is_ascii_digit());
                return Ok(Locking::Busy(holder));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
        if write {
            file.set_len(0)?;
            file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        }
        Ok(Locking::Held(Box::new(Held { file, path: path.to_owned() })))
    }

    fn random(&self) -> u64 {
        // The operating system seeds the hash, and the result differs at each call.
        RandomState::new().hash_one(std::process::id())
    }
}

/// A lock that is released when this is dropped.
struct Held {
    file: File,
    path: PathBuf,
}

impl Drop for Held {
    fn drop(&mut self) {
        // Closing the file is not enough: until it calls `exec`, a child process that was just
        // started may have a copy of the handle. If a call here fails, closing the file still
        // releases the lock. The process id is removed because the next lock holder may only read
        // and not write its own.
        let _ = self.file.set_len(0);
        let _ = self.file.unlock();
    }
}

impl Lock for Held {
    #[cfg(unix)]
    fn is_in_place(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        match (fs::metadata(&self.path), self.file.metadata()) {
            (Ok(named), Ok(held)) => (named.dev(), named.ino()) == (held.dev(), held.ino()),
            (Err(error), _) => {
                !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
            }
            (Ok(_), Err(_)) => true,
        }
    }

    // The system does not allow an open file to be removed.
    #[cfg(not(unix))]
    fn is_in_place(&self) -> bool {
        self.path.exists()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    #[cfg(unix)]
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if len == 0 {
            return Ok(bytes);
        }
        bytes.try_reserve_exact(len)?;
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            let spare = rustix::buffer::spare_capacity(&mut bytes);
            match rustix::io::pread(&self.0, spare, at) {
                Ok(0) => break,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        // The allocator may have provided more capacity than requested.
        bytes.truncate(len);
        Ok(bytes)
    }

    #[cfg(windows)]
    fn read(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        use std::os::windows::fs::FileExt;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while let Some(rest @ [_, ..]) = bytes.get_mut(filled..) {
            match self.0.seek_read(rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    #[cfg(target_os = "linux")]
    fn read_cached(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        use rustix::io::{Errno, ReadWriteFlags};
        let mut bytes = vec![0; len];
        let mut pieces = [io::IoSliceMut::new(&mut bytes)];
        match rustix::io::preadv2(&self.0, &mut pieces, offset, ReadWriteFlags::NOWAIT) {
            Ok(read) if read == len => Ok(bytes),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::INTR)
            | Ok(_) => Err(io::ErrorKind::WouldBlock.into()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(target_os = "linux"))]
    fn read_cached(&self, _: u64, _: usize) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    #[cfg(all(unix, not(any(target_vendor = "apple", target_os = "android"))))]
    fn write(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        // The maximum number of pieces in one call.
        const MOST: usize = 1024;
        Ok(rustix::io::pwritev(&self.0, pieces.get(..MOST).unwrap_or(pieces), offset)?)
    }

    #[cfg(any(target_vendor = "apple", target_os = "android"))]
    fn write(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        use std::os::unix::fs::FileExt;
        let piece = pieces.iter().find(|piece| !piece.is_empty());
        piece.map_or(Ok(0), |piece| self.0.write_at(piece, offset))
    }

    #[cfg(windows)]
    fn write(&self, offset: u64, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        use std::os::windows::fs::FileExt;
        let piece = pieces.iter().find(|piece| !piece.is_empty());
        piece.map_or(Ok(0), |piece| self.0.seek_write(piece, offset))
    }

    #[cfg(target_os = "linux")]
    fn begin_sync(&self, offset: u64, len: u64) {
        use rustix::fs::{Advice, fadvise};
        // Linux starts writing dirty pages when told that they are not needed, and keeps them in
        // memory. The sync reports any error.
        let _ = fadvise(&self.0, offset, std::num::NonZeroU64::new(len), Advice::DontNeed);
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
}
