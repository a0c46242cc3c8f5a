//! The results of moves between the tiers.

use crate::store::Cursor;

/// The result of [`TieredStore::archive`](super::TieredStore::archive) and of the other methods that
/// move snapshots to the cold tier, or plan to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArchiveReport {
    /// The number of aggregates that were examined.
    pub keys: u64,
    /// The number of snapshots that were moved to the cold tier.
    pub moved: u64,
    /// The total size of their records in bytes.
    pub moved_bytes: u64,
    /// The number of snapshots that are old enough or selected, but stay in the hot tier.
    pub kept: u64,
    /// Where to continue if there may be more aggregates. Always `None` for one aggregate.
    pub next: Option<Cursor>,
}

impl ArchiveReport {
    /// Adds the counts of one aggregate.
    pub(super) fn add(&mut self, other: &Self) {
        self.keys = self.keys.saturating_add(other.keys);
        self.moved = self.moved.saturating_add(other.moved);
        self.moved_bytes = self.moved_bytes.saturating_add(other.moved_bytes);
        self.kept = self.kept.saturating_add(other.kept);
    }
}

/// The result of [`TieredStore::restore`](super::TieredStore::restore).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestoreReport {
    /// The number of snapshots that were copied to the hot tier.
    pub copied: u64,
    /// The number of snapshots that were deleted from the cold tier. Higher than `copied` if an
    /// interrupted call had copied some before. Lower if deltas that stay in the cold tier still
    /// need their base there, or if snapshots are damaged.
    pub deleted: u64,
    /// The total size of the deleted records in bytes.
    pub deleted_bytes: u64,
}
