//! The options and the outcome of a put.

use crate::error::{Error, ErrorKind};
use crate::mark::Marks;

/// The options of a put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Whether to replace a stored snapshot with the same identity. False by default. The engine
    /// sets this only for an explicit rebuild or refold, and for background saves that correct a
    /// wrong snapshot.
    pub replace: bool,
    /// Whether a put with [`replace`](Self::replace) keeps pinned snapshots
    /// ([`PutOutcome::Existing`]). False by default. The store checks the pins in the same atomic
    /// step, so it does not miss any.
    pub spare_pinned: bool,
    /// The marks of each snapshot that this call stores, set in the same atomic step. None by
    /// default. A snapshot that already exists and is kept ([`PutOutcome::Existing`]) keeps its own
    /// marks.
    pub marks: Marks,
}

impl PutOptions {
    /// Sets [`replace`](Self::replace).
    pub const fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }

    /// Sets [`spare_pinned`](Self::spare_pinned).
    pub const fn spare_pinned(mut self, spare: bool) -> Self {
        self.spare_pinned = spare;
        self
    }

    /// Sets [`marks`](Self::marks).
    pub fn marks(mut self, marks: Marks) -> Self {
        self.marks = marks;
        self
    }

    /// Returns whether a record replaces an existing one that has the marks `there`. For
    /// implementers of [`SnapshotStore`](crate::SnapshotStore).
    pub fn replaces(&self, there: &Marks) -> bool {
        self.replace && !(self.spare_pinned && there.is_pinned())
    }

    /// Refuses options with marks (obligation C-67). For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore) without
    /// [`Capabilities::marks`](crate::store::Capabilities::marks).
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if the options contain marks.
    pub fn refuse_marks(&self) -> Result<(), Error> {
        if self.marks.is_empty() {
            return Ok(());
        }
        let message = "this store does not support marks: use a store with Capabilities::marks";
        Err(Error::new(ErrorKind::Unsupported, "put a snapshot", message))
    }
}

/// The outcome of putting one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PutOutcome {
    /// The identity already existed, and the stored record was kept. `identical` is true if its
    /// payload equals the new one (the headers differ at least in their creation time). Different
    /// payloads suggest, but do not prove, that two folds disagree: a state with unordered maps may
    /// be encoded differently each time.
    Existing {
        /// Whether both payloads are the same, byte for byte.
        identical: bool,
    },
    /// A stored record was replaced, as requested.
    Replaced,
    /// The record was stored.
    Stored,
}
