//! How failures of the disk become errors.

use std::io;
use std::path::Path;

use super::format::Bad;
use super::format::flaw::Flaw;
use crate::error::{Error, ErrorKind, Retry};

/// A failed call to the operating system about `what`.
pub(super) fn io_error(operation: &'static str, what: &Path, error: io::Error) -> Error {
    let (kind, retry) = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory => {
            (ErrorKind::OutOfSpace, Retry::Later)
        }
        io::ErrorKind::InvalidFilename
        | io::ErrorKind::InvalidInput
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::NotFound
        | io::ErrorKind::PermissionDenied
        | io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Store, Retry::Never),
        _ => (ErrorKind::Store, Retry::Later),
    };
    let why = match error.get_ref() {
        Some(why) => why.to_string(),
        None if too_many_files(&error) => {
            "too many files are open: raise the limit, or open the store with larger segments"
                .to_owned()
        }
        None => error.kind().to_string(),
    };
    Error::new(kind, operation, format!("{}: {why}", what.display()))
        .with_source(error)
        .with_retry(retry)
}

/// Whether the system or the process has no room for another open file.
fn too_many_files(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        use rustix::io::Errno;
        let codes = [Errno::MFILE, Errno::NFILE].map(Errno::raw_os_error);
        error.raw_os_error().is_some_and(|code| codes.contains(&code))
    }
    #[cfg(not(unix))]
    {
        let _ = error;
        false
    }
}

/// The store's own files are not as they must be.
pub(super) fn corrupt(operation: &'static str, what: &Path, why: impl AsRef<str>) -> Error {
    let message = format!("{}: {}", what.display(), why.as_ref());
    Error::new(ErrorKind::CorruptStore, operation, message)
}

/// What should be a frame, at an offset of a file.
pub(super) fn bad_frame(operation: &'static str, what: &Path, offset: u64, flaw: &Flaw) -> Error {
    match flaw {
        Flaw::Torn(why) => corrupt(operation, what, format!("damaged at offset {offset}: {why}")),
        Flaw::Written(why) => corrupt(operation, what, format!("{why}, at offset {offset}")),
        Flaw::Newer(_) | Flaw::Needs(_) => {
            let message = format!("{}: {flaw}, at offset {offset}", what.display());
            Error::new(ErrorKind::Unsupported, operation, message)
        }
    }
}

/// A file that does not parse.
pub(super) fn bad_file(operation: &'static str, what: &Path, bad: Bad) -> Error {
    match bad {
        Bad::Foreign => corrupt(operation, what, "it is not a file of a snapshot store"),
        Bad::Damaged(why) => {
            corrupt(operation, what, format!("{why}; FileStore::repair() keeps what verifies"))
        }
        Bad::Newer(format) => Error::new(
            ErrorKind::Unsupported,
            operation,
            format!(
                "{}: its format {format} is newer than this release of snapfold",
                what.display()
            ),
        ),
    }
}
