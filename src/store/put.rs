//! Options and outcome of a put.

/// How records are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Replace a snapshot that is already stored under the same identity. Only an explicit repair
    /// sets this; false by default.
    pub replace: bool,
}

impl PutOptions {
    /// The same with [`replace`](Self::replace) set.
    pub const fn replace(mut self, replace: bool) -> Self {
        self.replace = replace;
        self
    }
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PutOutcome {
    /// The identity was taken; the stored record stays. `identical` says whether its
    /// payload is the one that was put (headers differ, if only in their creation time). Other bytes are a hint, not a proof, that two folds
    /// disagree: a state with unordered maps encodes differently each time.
    Existing {
        /// Whether both payloads are byte for byte the same.
        identical: bool,
    },
    /// A stored record was replaced, as asked for.
    Replaced,
    /// The record is stored.
    Stored,
}
