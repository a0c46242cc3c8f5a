//! [`EventRange`]: a range of event versions.

use crate::snapshot_id::SnapshotId;

/// A range of events: those after one version, up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventRange {
    /// Read events with a version above this one (exclusive).
    pub after: u64,
    /// Read events up to this version (inclusive). At most [`SnapshotId::MAX_VERSION`], which is
    /// `i64::MAX` and means no bound, so `until as i64` is a valid bound in SQL.
    pub until: u64,
}

impl EventRange {
    /// Creates the range of events after `after` (exclusive) up to `until` (inclusive). Bounds
    /// above [`SnapshotId::MAX_VERSION`] are lowered to it: no event has such a version.
    pub const fn new(after: u64, until: u64) -> Self {
        Self { after: at_most_highest(after), until: at_most_highest(until) }
    }

    /// Returns whether the range contains the event with this version.
    pub const fn contains(self, version: u64) -> bool {
        self.after < version && version <= self.until
    }
}

const fn at_most_highest(version: u64) -> u64 {
    if version > SnapshotId::MAX_VERSION { SnapshotId::MAX_VERSION } else { version }
}
