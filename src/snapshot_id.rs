//! The identity of a snapshot within its aggregate: [`SnapshotId`].

use std::fmt;

use crate::generation::Generation;

/// Identifies a snapshot within its aggregate. Ordered by version first, then by generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the pair is part of the stored identity")]
pub struct SnapshotId {
    /// The generation of the state type.
    pub generation: Generation,
    /// The number of events folded into the state.
    pub version: u64,
}

impl SnapshotId {
    /// The highest version of events and snapshots: `i64::MAX`. Every version that the engine
    /// requests fits a signed 64-bit column.
    pub const MAX_VERSION: u64 = i64::MAX as u64;
}

impl Ord for SnapshotId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.version, self.generation).cmp(&(other.version, other.generation))
    }
}

impl PartialOrd for SnapshotId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} ({})", self.version, self.generation)
    }
}
