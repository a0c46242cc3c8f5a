//! [`MarkChange`]: one change to the marks of snapshots.

use super::{Mark, MarkKind, check_name};
use crate::error::Error;

/// One change to the marks of each selected snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarkChange<'a> {
    /// Sets the mark; it replaces the one of the same kind and name.
    Set(&'a Mark),
    /// Removes the mark of this kind and name, if there is one.
    Clear {
        /// The kind.
        kind: MarkKind,
        /// The name.
        name: &'a str,
    },
}

impl<'a> MarkChange<'a> {
    /// The kind of the mark that is set or removed.
    pub const fn kind(&self) -> MarkKind {
        match self {
            Self::Set(mark) => mark.kind,
            Self::Clear { kind, .. } => *kind,
        }
    }

    /// The name of the mark that is set or removed.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Set(mark) => &mark.name,
            Self::Clear { name, .. } => name,
        }
    }

    /// Whether all texts are within their limits. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
    ///
    /// # Errors
    /// As [`Mark::check`].
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Set(mark) => mark.check(),
            Self::Clear { name, .. } => check_name(name),
        }
    }
}
