//! [`Mark`]: a property of a stored snapshot that can change.

mod change;
mod marks;
#[cfg(any(feature = "file", feature = "object-store"))]
mod wire;

use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

pub use change::MarkChange;
pub use marks::Marks;
#[cfg(any(feature = "file", feature = "object-store"))]
pub(crate) use wire::{put_marks, read_marks};

/// The meaning of a [`Mark`] for its snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MarkKind {
    /// The snapshot is kept. No retention policy, sweep or delete removes it, unless the delete
    /// [overrules pins](crate::store::DeleteOptions::overrule_pins).
    Pin,
    /// The snapshot is not used. No load starts from it, and retention policies do not count it. It
    /// can still be listed, fetched by version and deleted.
    Retirement,
}

/// A pin or a retirement of a snapshot: who set it, when and why.
///
/// A stored record never changes, but its marks can: [`SnapshotStore::mark`] sets and clears them.
/// Within one snapshot, a mark is identified by its kind and name. Several parties can therefore
/// pin the same snapshot, and each of them clears only its own pin.
///
/// ```
/// use snapfold::Timestamp;
/// use snapfold::store::{Mark, MarkKind};
///
/// let mark = Mark::pin("audit-2026", Timestamp::from_seconds(1_800_000_000))
///     .actor("ops@example.com")
///     .note("kept until the audit is closed");
/// assert_eq!(mark.kind, MarkKind::Pin);
/// ```
///
/// [`SnapshotStore::mark`]: crate::SnapshotStore::mark
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mark {
    /// Whether the mark is a pin or a retirement.
    pub kind: MarkKind,
    /// The name, which is unique among the marks of this kind on one snapshot. Not empty, and at
    /// most [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES) long.
    pub name: String,
    /// The time when the mark was set.
    pub at: Timestamp,
    /// Who set the mark. May be empty, and is at most [`MAX_ACTOR_BYTES`](Self::MAX_ACTOR_BYTES)
    /// long.
    pub actor: String,
    /// The reason for the mark. May be empty, and is at most
    /// [`MAX_NOTE_BYTES`](Self::MAX_NOTE_BYTES) long.
    pub note: String,
}

impl Mark {
    /// The maximum length of a name in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 128;
    /// The maximum length of an actor in bytes (inclusive), which is the same as for an
    /// [`AdminContext`](crate::manager::AdminContext::MAX_NAME_BYTES).
    pub const MAX_ACTOR_BYTES: usize = 1_000;
    /// The maximum length of a note in bytes (inclusive).
    pub const MAX_NOTE_BYTES: usize = 1_024;

    /// Creates a mark without an actor or a note.
    pub fn new(kind: MarkKind, name: impl Into<String>, at: Timestamp) -> Self {
        Self { kind, name: name.into(), at, actor: String::new(), note: String::new() }
    }

    /// Creates a pin without an actor or a note.
    pub fn pin(name: impl Into<String>, at: Timestamp) -> Self {
        Self::new(MarkKind::Pin, name, at)
    }

    /// Creates a retirement without an actor or a note.
    pub fn retirement(name: impl Into<String>, at: Timestamp) -> Self {
        Self::new(MarkKind::Retirement, name, at)
    }

    /// Sets the [`actor`](Self::actor).
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Sets the [`note`](Self::note).
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Checks that the name, actor and note are within their length limits. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the name is empty, or if the name, actor or note is too long.
    pub fn check(&self) -> Result<(), Error> {
        check_name(&self.name)?;
        check_length("actor", &self.actor, Self::MAX_ACTOR_BYTES)?;
        check_length("note", &self.note, Self::MAX_NOTE_BYTES)
    }

    /// Returns the identity of the mark among the marks of its snapshot.
    fn id(&self) -> (MarkKind, &str) {
        (self.kind, &self.name)
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() {
        return Err(invalid("the name of the mark is empty: set a name".to_owned()));
    }
    check_length("name", name, Mark::MAX_NAME_BYTES)
}

fn check_length(what: &str, text: &str, limit: usize) -> Result<(), Error> {
    if text.len() <= limit {
        return Ok(());
    }
    let bytes = text.len();
    Err(invalid(format!(
        "the mark's {what} is {bytes} bytes long, but the limit is {limit}: shorten it"
    )))
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "mark a snapshot", message)
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pin => "pin",
            Self::Retirement => "retirement",
        })
    }
}
