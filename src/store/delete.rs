//! What to delete, and how much it was.

use std::iter::Sum;

use crate::snapshot_id::SnapshotId;

/// Selects snapshots of one aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection<'a> {
    /// All of them.
    All,
    /// Those with a version below this one (exclusive), of every generation.
    Below(u64),
    /// Just these; ids that do not exist are passed over.
    Ids(&'a [SnapshotId]),
}

impl Selection<'_> {
    /// Whether the snapshot `id` is selected.
    pub fn admits(&self, id: SnapshotId) -> bool {
        match self {
            Self::All => true,
            Self::Below(version) => id.version < *version,
            Self::Ids(ids) => ids.contains(&id),
        }
    }
}

/// How much was deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The number of snapshots.
    pub snapshots: u64,
    /// The bytes of their records.
    pub bytes: u64,
}

impl Deleted {
    /// So many snapshots of so many bytes together.
    pub const fn new(snapshots: u64, bytes: u64) -> Self {
        Self { snapshots, bytes }
    }
}

impl Sum for Deleted {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| {
            Self::new(sum.snapshots + part.snapshots, sum.bytes.saturating_add(part.bytes))
        })
    }
}
