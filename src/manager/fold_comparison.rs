//! [`FoldComparison`]: stored snapshots against a fold of the events.

use std::fmt;

use super::provenance::Rejected;
use crate::record::RejectReason;
use crate::snapshot_id::SnapshotId;

/// The result of comparing the stored snapshots of an aggregate with a fold of its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoldComparison {
    /// The version at which the fold began: 0, or that of the snapshot that it started from because
    /// the first events are gone.
    pub began_at: u64,
    /// The version that the fold reached.
    pub folded_to: u64,
    /// The snapshots that are equal to the fold, lowest version first.
    pub equal: Vec<SnapshotId>,
    /// The snapshots that differ from the fold, lowest version first.
    pub different: Vec<FoldDifference>,
    /// The snapshots that cannot be read, lowest version first. A snapshot of a generation or codec
    /// that only other code reads is among them.
    pub unreadable: Vec<Rejected>,
    /// The number of snapshots that could not be compared: retired ones, those at or below the one
    /// that the fold began at, and those whose codec has no digest and encoded them differently.
    pub skipped: u64,
}

/// A snapshot that differs from the fold of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FoldDifference {
    /// The snapshot.
    pub id: SnapshotId,
    /// The highest version below at which a snapshot is equal to the fold, or at which the fold
    /// began. The snapshot and the events part after this version.
    pub equal_at: u64,
    /// What differs.
    pub cause: FoldCause,
}

/// How a snapshot differs from the fold of the events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FoldCause {
    /// There are fewer events than the snapshot contains.
    Ahead,
    /// The last event of the snapshot is a different one: its anchor or the recorded times differ.
    /// The history was replaced, for example by a restore.
    History,
    /// The events are the same as far as their anchors and times tell, but the state differs.
    /// `apply` changed, or an event was edited.
    State {
        /// The first part that differs, such as `lots[0].price`, if serde can locate it.
        place: Option<String>,
    },
}

impl FoldComparison {
    /// Returns whether every snapshot that was compared is equal to the fold.
    pub fn is_clean(&self) -> bool {
        self.different.is_empty()
    }

    /// Returns the snapshots that differ, lowest version first.
    pub fn ids_that_differ(&self) -> Vec<SnapshotId> {
        self.different.iter().map(|different| different.id).collect()
    }
}

/// The difference as the reason why a snapshot should not be used.
impl From<FoldDifference> for Rejected {
    fn from(FoldDifference { id, cause, .. }: FoldDifference) -> Self {
        let reason = match cause {
            FoldCause::Ahead => RejectReason::Ahead,
            FoldCause::History => RejectReason::Diverged,
            FoldCause::State { .. } => RejectReason::OtherFold,
        };
        Self::new(Some(id.version), reason)
    }
}

impl fmt::Display for FoldCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ahead => f.write_str("there are fewer events"),
            Self::History => f.write_str("its last event is a different one"),
            Self::State { place: None } => f.write_str("its state differs"),
            Self::State { place: Some(place) } => write!(f, "its state differs at {place}"),
        }
    }
}

impl fmt::Display for FoldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, equal_at, cause } = self;
        let SnapshotId { version, .. } = id;
        write!(f, "the snapshot at {version} parts from the events after {equal_at}: {cause}")
    }
}

/// Formats the result as one line, for logs.
impl fmt::Display for FoldComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { began_at, folded_to, equal, different, unreadable, skipped } = self;
        write!(
            f,
            "folded from {began_at} to {folded_to}: {} equal, {} different, {} unreadable, \
             {skipped} skipped",
            equal.len(),
            different.len(),
            unreadable.len()
        )?;
        different.iter().try_for_each(|different| write!(f, "; {different}"))?;
        unreadable.iter().try_for_each(|rejected| write!(f, "; {rejected}"))
    }
}
