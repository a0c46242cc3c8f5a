//! [`TransferReport`]: what a transfer did.

use std::fmt;

use crate::key::AggregateKey;

/// What an import or a merge did, or would do. `Display` writes it as one line, for logs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferReport {
    /// Whether nothing was stored, because only a report was asked for.
    pub dry_run: bool,
    /// The number of aggregates that had snapshots to move.
    pub aggregates: u64,
    /// The number of snapshots that the target did not have, and has now.
    pub stored: u64,
    /// The number of snapshots that the target already had with the same state.
    pub existing: u64,
    /// The number of snapshots that the target has with another state, and has kept.
    pub different: u64,
    /// The number of snapshots that the target had with another state, and that were replaced.
    pub replaced: u64,
    /// The number of aggregates whose newest snapshot in the target was newer than the newest one
    /// moved.
    pub ahead: u64,
    /// The number of aggregates whose newest snapshot in the target was older than the newest one
    /// moved.
    pub behind: u64,
    /// The first differences, at most [`MAX_NOTES`](Self::MAX_NOTES).
    pub notes: Vec<TransferNote>,
}

/// A difference between what was moved and what the target had.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TransferNote {
    /// The aggregate.
    pub key: AggregateKey,
    /// The difference.
    pub difference: TransferDifference,
}

/// A difference between what was moved and what the target had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferDifference {
    /// The newest snapshot in the target was newer.
    Ahead {
        /// The version of the newest snapshot that was moved.
        moved: u64,
        /// The version of the newest snapshot in the target, before.
        target: u64,
    },
    /// The newest snapshot in the target was older.
    Behind {
        /// The version of the newest snapshot that was moved.
        moved: u64,
        /// The version of the newest snapshot in the target, before.
        target: u64,
    },
    /// The states of a snapshot differ.
    Different {
        /// The version of the snapshot.
        version: u64,
        /// Whether the one in the target was replaced.
        replaced: bool,
    },
}

impl TransferReport {
    /// The maximum number of notes (inclusive). All differences are counted.
    pub const MAX_NOTES: usize = 1_000;

    pub(super) fn note(&mut self, key: &AggregateKey, difference: TransferDifference) {
        match difference {
            TransferDifference::Ahead { .. } => self.ahead += 1,
            TransferDifference::Behind { .. } => self.behind += 1,
            TransferDifference::Different { replaced: true, .. } => self.replaced += 1,
            TransferDifference::Different { replaced: false, .. } => self.different += 1,
        }
        if self.notes.len() < Self::MAX_NOTES {
            self.notes.push(TransferNote { key: key.clone(), difference });
        }
    }
}

impl fmt::Display for TransferReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { aggregates, stored, existing, different, replaced, ahead, behind, .. } = self;
        if self.dry_run {
            f.write_str("dry run: ")?;
        }
        write!(f, "{aggregates} aggregates: {stored} snapshots stored, {existing} already there")?;
        for (count, what) in [
            (different, "different and kept"),
            (replaced, "replaced"),
            (ahead, "aggregates were ahead"),
            (behind, "aggregates were behind"),
        ] {
            if *count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for TransferNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let key = &self.key;
        match self.difference {
            TransferDifference::Ahead { moved, target } => {
                write!(f, "{key}: the target was ahead, at version {target} instead of {moved}")
            }
            TransferDifference::Behind { moved, target } => {
                write!(f, "{key}: the target was behind, at version {target} instead of {moved}")
            }
            TransferDifference::Different { version, replaced } => {
                let what = if replaced { "was replaced" } else { "was kept" };
                write!(f, "{key}: the states at version {version} differ, and the target's {what}")
            }
        }
    }
}
