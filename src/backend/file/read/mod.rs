//! Reads: the index contains the position of a record, and one read of its segment gets it.
//!
//! [`get`] answers queries, and [`list`] and [`keys`] return lists. All of them use [`record`].

mod get;
mod keys;
mod list;
mod record;

use crate::error::{Error, ErrorKind, Retry};

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Only reads data that the system has in memory, up to this many bytes at a time.
    None(u32),
    /// Waits as long as necessary.
    Unlimited,
}

/// Why a read failed.
pub(crate) enum Unread {
    /// The read would have had to wait.
    WouldWait,
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Unread {
    /// Converts the error of a read that may wait.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            // A read that may wait does not return this.
            Self::WouldWait => Error::new(
                ErrorKind::Store,
                "read a snapshot",
                "the read would have blocked: try again",
            )
            .with_retry(Retry::Later),
        }
    }
}
