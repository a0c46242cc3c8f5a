//! The directory of a store: its lock and its manifest.

use std::path::{Path, PathBuf};

use crate::backend::file::disk::{Disk, Lock, Locking, read_whole};
use crate::backend::file::errors::{bad_file, io_error};
use crate::backend::file::format::{Manifest, names};
use crate::error::{Error, ErrorKind};

/// Takes the lock of a store.
pub(crate) fn lock(
    disk: &dyn Disk,
    dir: &Path,
    operation: &'static str,
    write: bool,
) -> Result<Box<dyn Lock>, Error> {
    lock_file(disk, &dir.join(names::LOCK), operation, write)
}

/// Takes the lock that the file at `path` represents.
pub(super) fn lock_file(
    disk: &dyn Disk,
    path: &Path,
    operation: &'static str,
    write: bool,
) -> Result<Box<dyn Lock>, Error> {
    match disk.lock(path, write).map_err(|error| io_error(operation, path, error))? {
        Locking::Held(held) => Ok(held),
        Locking::Busy(holder) => {
            let holder =
                if holder.is_empty() { "another process" } else { &format!("process {holder}") };
            let dir = path.parent().unwrap_or(path).display();
            let message = format!("{dir}: the store is open in {holder}: close it there first");
            Err(Error::new(ErrorKind::Locked, operation, message)
                .with_retry(crate::error::Retry::Later))
        }
    }
}

/// Returns the names of the files in a directory.
pub(crate) fn listing(
    disk: &dyn Disk,
    dir: &Path,
    operation: &'static str,
) -> Result<Vec<String>, Error> {
    disk.files(dir).map_err(|error| io_error(operation, dir, error))
}

/// Reads the manifest. Returns `None` if there is none.
pub(crate) fn read_manifest(
    disk: &dyn Disk,
    dir: &Path,
    files: &[String],
    operation: &'static str,
) -> Result<Option<Manifest>, Error> {
    if !files.iter().any(|name| name == names::MANIFEST) {
        return Ok(None);
    }
    let path = dir.join(names::MANIFEST);
    let bytes = read_whole(disk, &path).map_err(|error| io_error(operation, &path, error))?;
    let manifest = Manifest::parse(&bytes).map_err(|bad| bad_file(operation, &path, bad))?;
    Ok(Some(manifest))
}

/// Returns an absolute path, which stays valid when the working directory changes.
pub(super) fn absolute(dir: &Path, operation: &'static str) -> Result<PathBuf, Error> {
    std::path::absolute(dir).map_err(|error| io_error(operation, dir, error))
}
