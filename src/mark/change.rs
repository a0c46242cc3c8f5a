//! [`MarkChange`]: a change to the marks of snapshots.

use super::{Mark, MarkKind, check_name};
use crate::error::Error;

/// A change to one mark on each selected snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MarkChange<'a> {
    /// Sets the mark. Replaces a mark with the same kind and name.
    Set(&'a Mark),
    /// Removes the mark with this kind and name, if there is one.
    Clear {
        /// The kind of the mark.
        kind: MarkKind,
        /// The name of the mark.
        name: &'a str,
    },
}

impl<'a> MarkChange<'a> {
    /// Returns the kind of the mark that is set or removed.
    pub const fn kind(&self) -> MarkKind {
        match self {
            Self::Set(mark) => mark.kind,
            Self::Clear { kind, .. } => *kind,
        }
    }

    /// Returns the name of the mark that is set or removed.
    pub fn name(&self) -> &'a str {
        match self {
            Self::Set(mark) => &mark.name,
            Self::Clear { name, .. } => name,
        }
    }

    /// Checks that the name, actor and note are within their length limits. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
    ///
    /// # Errors
    /// The same errors as [`Mark::check`].
    pub fn check(&self) -> Result<(), Error> {
        match self {
            Self::Set(mark) => mark.check(),
            Self::Clear { name, .. } => check_name(name),
        }
    }
}
