//! [`CliFailure`] and [`CliFinding`]: how a command ended.

use std::error::Error as StdError;
use std::io;

use crate::error::{Error, ErrorKind};

/// How a command that was completed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CliFinding {
    /// Exit code 0.
    Fine,
    /// Something is wrong, and the command has reported it. Exit code 1.
    Wrong,
}

impl CliFinding {
    /// Returns `Wrong` if something is wrong.
    pub(crate) const fn wrong_if(wrong: bool) -> Self {
        if wrong { Self::Wrong } else { Self::Fine }
    }
}

/// Why a command was not completed.
#[derive(Debug)]
pub(crate) enum CliFailure {
    /// The reader of standard output has gone, as in `| head -1`. This is no failure.
    Closed,
    /// What was asked for does not exist. Exit code 1.
    Absent(String),
    /// The request is wrong. Exit code 2.
    Usage(String),
    /// The store, the event source or the standard output failed. Exit code 3.
    Failed(String),
    /// An error of this crate, whose kind decides.
    Error(Error),
}

impl CliFailure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Absent(_) => 1,
            Self::Usage(_) => 2,
            Self::Failed(_) => 3,
            Self::Error(error) => match error.kind() {
                ErrorKind::BeyondHead | ErrorKind::InvalidInput => 2,
                _ => 3,
            },
        }
    }
}

impl From<Error> for CliFailure {
    fn from(error: Error) -> Self {
        let mut cause: Option<&(dyn StdError + 'static)> = error.source();
        // Chains of causes may be cyclic.
        for _ in 0..16 {
            let Some(at) = cause else { break };
            if at.downcast_ref::<io::Error>().is_some_and(is_closed) {
                return Self::Closed;
            }
            cause = at.source();
        }
        Self::Error(error)
    }
}

impl From<io::Error> for CliFailure {
    fn from(error: io::Error) -> Self {
        if is_closed(&error) {
            return Self::Closed;
        }
        Self::Failed(format!("cannot write to standard output: {error}"))
    }
}

fn is_closed(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::BrokenPipe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_failure_wherever_it_is_found() {
        let closed = || io::Error::from(io::ErrorKind::BrokenPipe);
        assert_eq!(CliFailure::from(closed()).exit_code(), 0);
        let export = Error::new(ErrorKind::Store, "export", "x").with_source(closed());
        assert_eq!(CliFailure::from(export).exit_code(), 0);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(CliFailure::from(full).exit_code(), 3);
        let invalid = Error::new(ErrorKind::InvalidInput, "x", "x");
        assert_eq!(CliFailure::from(invalid).exit_code(), 2);
    }
}
