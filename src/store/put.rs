//! Options and outcome of a put.

use crate::error::{Error, ErrorKind};
use crate::mark::Marks;

/// How records are put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Whether to replace a snapshot that is stored under the same identity; false by default. The
    /// engine sets it only for an explicit rebuild or refold, and for background saves that correct
    /// a wrong snapshot.
    pub replace: bool,
    /// With [`replace`](Self::replace): whether to keep pinned snapshots
    /// ([`PutOutcome::Existing`]); false by default. The store checks the pins in the same atomic
    /// step, so that it does not miss one.
    pub spare_pinned: bool,
    /// The marks of each snapshot that this call stores, set in the same atomic step; none by
    /// default. A snapshot that was stored before and is kept ([`PutOutcome::Existing`]) keeps its
    /// own marks.
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

    /// For stores: whether a record replaces one of the same identity that has the marks `there`.
    pub fn replaces(&self, there: &Marks) -> bool {
        self.replace && !(self.spare_pinned && there.is_pinned())
    }

    /// For stores without [`Capabilities::marks`](crate::store::Capabilities::marks): refuses
    /// options with marks (obligation C-67).
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] if there are any.
    pub fn refuse_marks(&self) -> Result<(), Error> {
        if self.marks.is_empty() {
            return Ok(());
        }
        let message = "this store keeps no marks: choose one whose capabilities say that it does";
        Err(Error::new(ErrorKind::Unsupported, "put a snapshot", message))
    }
}

/// The outcome of putting one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PutOutcome {
    /// The identity was already taken; the stored record is kept. `identical` is true if its
    /// payload equals the one that was put (headers differ at least in their creation time).
    /// Different bytes are a hint, not a proof, that two folds disagree: a state with unordered
    /// maps encodes differently each time.
    Existing {
        /// Whether both payloads are byte for byte the same.
        identical: bool,
    },
    /// A stored record was replaced, as requested.
    Replaced,
    /// The record was stored.
    Stored,
}
