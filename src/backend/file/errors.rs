//! Converts failures of the disk into errors.

use std::io;
use std::path::Path;

use super::format::Bad;
use super::format::flaw::Flaw;
use crate::error::{Error, ErrorKind, Retry};

/// Returns the error for a failed system call on `what`.
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
            "too many files are open: raise the open file limit, or use larger segments".to_owned()
        }
        None => error.kind().to_string(),
    };
    Error::new(kind, operation, format!("{}: {why}", what.display()))
        .with_source(error)
        .with_retry(retry)
}

/// Returns whether the limit on open files, of the process or of the system, is reached.
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

/// The instruction in the errors for damaged files.
pub(super) const REPAIR: &str = "run FileStore::repair() to keep the valid records";

/// Returns an error for a store file that is missing or damaged.
pub(super) fn corrupt(operation: &'static str, what: &Path, why: impl AsRef<str>) -> Error {
    let message = format!("{}: {}", what.display(), why.as_ref());
    Error::new(ErrorKind::CorruptStore, operation, message)
}

/// Returns the error for an invalid frame at `offset` of a file.
pub(super) fn bad_frame(operation: &'static str, what: &Path, offset: u64, flaw: &Flaw) -> Error {
    match flaw {
        Flaw::Torn(_) | Flaw::Written(_) => {
            corrupt(operation, what, format!("at offset {offset}, {flaw}: {REPAIR}"))
        }
        Flaw::Newer(_) | Flaw::Needs(_) => {
            let message =
                format!("{}: at offset {offset}, {flaw}: upgrade snapfold", what.display());
            Error::new(ErrorKind::Unsupported, operation, message)
        }
    }
}

/// Returns the error for a file that cannot be parsed.
pub(super) fn bad_file(operation: &'static str, what: &Path, bad: Bad) -> Error {
    match bad {
        Bad::Foreign => {
            corrupt(operation, what, format!("the file does not belong to a file store: {REPAIR}"))
        }
        Bad::Damaged(why) => corrupt(operation, what, format!("{why}: {REPAIR}")),
        Bad::Newer(format) => Error::new(
            ErrorKind::Unsupported,
            operation,
            format!(
                "{}: file format {format} is newer than this release supports: upgrade snapfold",
                what.display()
            ),
        ),
    }
}
