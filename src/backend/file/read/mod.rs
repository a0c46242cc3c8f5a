//! Reads: the index tells where a record lies, one read of its segment gets it.
//!
//! A query is answered in [`get`], lists in [`list`] and [`keys`]; all of them read by [`record`].

mod get;
mod keys;
mod list;
mod record;

use crate::error::{Error, ErrorKind, Retry};

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Only what the system has in memory; up to this many bytes at a time.
    None(u32),
    /// As long as it takes.
    Unlimited,
}

/// Why a read did not succeed.
pub(crate) enum Unread {
    /// It would have had to wait.
    WouldWait,
    Failed(Error),
}

impl From<Error> for Unread {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Unread {
    /// The error of a read that may wait.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Failed(error) => error,
            // Does not come from a read that may wait.
            Self::WouldWait => Error::new(
                ErrorKind::Store,
                "read a snapshot",
                "the read would have blocked: try again",
            )
            .with_retry(Retry::Later),
        }
    }
}
