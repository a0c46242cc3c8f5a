//! [`AggregateStats`]: statistics about the snapshots of one aggregate.

use crate::snapshot_id::SnapshotId;

/// Statistics about the stored snapshots of one aggregate, over all generations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AggregateStats {
    /// The number of snapshots.
    pub snapshots: u64,
    /// The number of generations to which they belong.
    pub generations: u64,
    /// The total size of their records in bytes.
    pub stored_bytes: u64,
    /// The total size of their encoded states in bytes, before compression.
    pub raw_bytes: u64,
    /// The snapshot with the highest version.
    pub newest: Option<SnapshotId>,
    /// The snapshot with the lowest version.
    pub oldest: Option<SnapshotId>,
    /// The version of the newest event, if the event source knows it without reading events.
    pub head: Option<u64>,
}

impl AggregateStats {
    /// Returns the number of events after the newest snapshot, if the head is known.
    pub fn events_since(&self) -> Option<u64> {
        Some(self.head?.saturating_sub(self.newest.map_or(0, |id| id.version)))
    }
}
