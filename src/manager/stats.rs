//! [`AggregateStats`]: numbers about the snapshots of one aggregate.

use crate::snapshot_id::SnapshotId;

/// Numbers about what is stored of one aggregate, all generations together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AggregateStats {
    /// How many snapshots there are.
    pub snapshots: u64,
    /// How many generations they belong to.
    pub generations: u64,
    /// The bytes of their records.
    pub stored_bytes: u64,
    /// The bytes of their encoded states, before compression.
    pub raw_bytes: u64,
    /// The one with the highest version.
    pub newest: Option<SnapshotId>,
    /// The one with the lowest version.
    pub oldest: Option<SnapshotId>,
    /// The version of the newest event, if the event source can tell it without reading.
    pub head: Option<u64>,
}

impl AggregateStats {
    /// How many events lie after the newest snapshot, if the head is known.
    pub fn events_since(&self) -> Option<u64> {
        Some(self.head?.saturating_sub(self.newest.map_or(0, |id| id.version)))
    }
}
