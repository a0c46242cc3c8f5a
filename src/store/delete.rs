//! The selection, options and result of a delete.

use std::iter::Sum;

use crate::generation::Generation;
use crate::snapshot_id::SnapshotId;

/// Selects snapshots of one aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection<'a> {
    /// All snapshots.
    All,
    /// All snapshots below this version (exclusive), of every generation.
    Below(u64),
    /// All snapshots except those of this generation.
    ExceptGeneration(Generation),
    /// All snapshots of this generation.
    Generation(Generation),
    /// Exactly these snapshots. Ids that do not exist are ignored.
    Ids(&'a [SnapshotId]),
}

impl Selection<'_> {
    /// Returns whether the snapshot `id` is selected.
    pub fn admits(&self, id: SnapshotId) -> bool {
        match self {
            Self::All => true,
            Self::Below(version) => id.version < *version,
            Self::ExceptGeneration(generation) => id.generation != *generation,
            Self::Generation(generation) => id.generation == *generation,
            Self::Ids(ids) => ids.contains(&id),
        }
    }
}

/// The options of a delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeleteOptions {
    /// Whether to delete pinned snapshots as well. False by default.
    pub overrule_pins: bool,
}

impl DeleteOptions {
    /// Sets [`overrule_pins`](Self::overrule_pins).
    pub const fn overrule_pins(mut self, overrule: bool) -> Self {
        self.overrule_pins = overrule;
        self
    }
}

/// The result of a delete: how much was deleted, and how many selected snapshots were kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deleted {
    /// The number of snapshots that were deleted.
    pub snapshots: u64,
    /// The total size of their records in bytes.
    pub bytes: u64,
    /// The number of selected snapshots that were kept because they are pinned.
    pub pinned: u64,
    /// The number of selected snapshots that were kept because a remaining delta is based on them.
    /// Snapshots that are also pinned are counted only as pinned.
    pub needed: u64,
}

impl Deleted {
    /// Creates a result with these totals and no kept snapshots.
    pub const fn new(snapshots: u64, bytes: u64) -> Self {
        Self { snapshots, bytes, pinned: 0, needed: 0 }
    }

    /// Sets the numbers of selected snapshots that were kept.
    pub const fn kept(mut self, pinned: u64, needed: u64) -> Self {
        self.pinned = pinned;
        self.needed = needed;
        self
    }
}

impl Sum for Deleted {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), |sum, part| {
            let bytes = sum.bytes.saturating_add(part.bytes);
            Self::new(sum.snapshots + part.snapshots, bytes)
                .kept(sum.pinned + part.pinned, sum.needed + part.needed)
        })
    }
}
