//! The generation of a state type: [`Generation`].

use std::fmt;

/// A generation of a state type: its declared schema version and the fingerprint of its shape.
///
/// A store can contain snapshots of several generations of one aggregate. Old and new code can
/// therefore run at the same time, as in a rolling deploy, and each finds its own snapshots.
/// Generations are ordered by schema version first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the pair is part of the stored identity")]
pub struct Generation {
    /// The number that the application declares in
    /// [`Aggregate::SCHEMA_VERSION`](crate::Aggregate::SCHEMA_VERSION).
    pub schema_version: u32,
    /// The fingerprint that the codec derived from the type; 0 if the codec does not derive one.
    pub fingerprint: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema {} shape {:016x}", self.schema_version, self.fingerprint)
    }
}
