//! Which shape of a state type: [`Generation`].

use std::fmt;

/// One generation of a state type: its declared schema version and the fingerprint of its shape.
///
/// Snapshots of several generations of one aggregate live side by side in a store, so that old
/// and new code can run at the same time (a rolling deploy) and each finds its own. A generation
/// orders by schema version first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the pair is part of the stored identity")]
pub struct Generation {
    /// The number that the application declares in
    /// [`Aggregate::SCHEMA_VERSION`](crate::Aggregate::SCHEMA_VERSION).
    pub schema_version: u32,
    /// What the codec derived from the type itself; 0 if the codec derives none.
    pub fingerprint: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema {} shape {:016x}", self.schema_version, self.fingerprint)
    }
}
