//! [`Work`]: a caller's write, checked and encoded before it is queued.

use bytes::Bytes;

use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteScope, frame_bytes};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::{Mark, MarkChange, MarkKind};
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, Deleted, PutOptions, PutOutcome, Rewrite, Selection};
use crate::timestamp::Timestamp;

/// A snapshot to put.
pub(crate) struct PutItem {
    pub(crate) tag: Tag,
    pub(crate) id: SnapshotId,
    /// The number of the generation in this store.
    pub(crate) generation: u32,
    pub(crate) as_of: Timestamp,
    /// The version of the base if the record is a delta.
    pub(crate) base: Option<u64>,
    pub(crate) record: Record,
    /// If given, the put replaces only a record that this admits.
    pub(crate) expected: Option<Rewrite>,
}

/// A delete.
pub(crate) struct DeleteItem {
    pub(crate) tag: Tag,
    pub(super) pick: Pick,
    /// The body for the case that everything selected can be deleted.
    pub(crate) body: Bytes,
    pub(crate) options: DeleteOptions,
}

/// An owned [`Selection`].
pub(crate) enum Pick {
    DeleteScope(DeleteScope),
    Generation(Generation),
    ExceptGeneration(Generation),
}

impl Pick {
    pub(crate) fn selection(&self) -> Selection<'_> {
        match self {
            Self::DeleteScope(DeleteScope::All) => Selection::All,
            Self::DeleteScope(DeleteScope::Below(version)) => Selection::Below(*version),
            Self::DeleteScope(DeleteScope::Ids(ids)) => Selection::Ids(ids),
            Self::Generation(generation) => Selection::Generation(*generation),
            Self::ExceptGeneration(generation) => Selection::ExceptGeneration(*generation),
        }
    }
}

impl From<Selection<'_>> for Pick {
    fn from(selection: Selection<'_>) -> Self {
        Self::DeleteScope(match selection {
            Selection::All => DeleteScope::All,
            Selection::Below(version) => DeleteScope::Below(version),
            Selection::Ids(ids) => {
                let mut ids = ids.to_vec();
                ids.sort_unstable();
                ids.dedup();
                DeleteScope::Ids(ids)
            }
            Selection::Generation(generation) => return Self::Generation(generation),
            Selection::ExceptGeneration(generation) => return Self::ExceptGeneration(generation),
        })
    }
}

/// A change of the marks of snapshots.
pub(crate) struct MarkItem {
    pub(crate) tag: Tag,
    pub(crate) key: AggregateKey,
    pub(super) pick: Pick,
    pub(crate) change: Change,
}

/// An owned [`MarkChange`].
pub(crate) enum Change {
    Set(Mark),
    Clear(MarkKind, String),
}

impl Change {
    pub(super) fn as_mark_change(&self) -> MarkChange<'_> {
        match self {
            Self::Set(mark) => MarkChange::Set(mark),
            Self::Clear(kind, name) => MarkChange::Clear { kind: *kind, name },
        }
    }
}

/// The write of one call, which is carried out completely or not at all.
pub(crate) enum Work {
    Put { items: Vec<PutItem>, options: PutOptions },
    Delete { items: Vec<DeleteItem> },
    Mark(Box<MarkItem>),
}

/// The outcome of a [`Work`].
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Put(Vec<PutOutcome>),
    Delete(Deleted),
    /// The number of snapshots whose marks changed.
    Mark(u64),
}

/// Each method handles answers of one kind of work and returns nothing for other kinds.
impl Answer {
    pub(crate) fn outcomes(self) -> Vec<PutOutcome> {
        match self {
            Self::Put(outcomes) => outcomes,
            Self::Delete(_) | Self::Mark(_) => Vec::new(),
        }
    }

    pub(crate) fn deleted(self) -> Deleted {
        match self {
            Self::Delete(deleted) => deleted,
            Self::Put(_) | Self::Mark(_) => Deleted::default(),
        }
    }

    pub(crate) fn marked(self) -> u64 {
        match self {
            Self::Mark(snapshots) => snapshots,
            Self::Put(_) | Self::Delete(_) => 0,
        }
    }

    /// Returns whether each put replaced a record.
    pub(crate) fn replaced(self) -> Vec<bool> {
        let outcomes = self.outcomes().into_iter();
        outcomes.map(|outcome| outcome == PutOutcome::Replaced).collect()
    }
}

impl Work {
    /// Returns the number of bytes that the work may take in the log.
    pub(crate) fn bytes(&self) -> u64 {
        let framed = |len: usize| frame_bytes(len as u64);
        match self {
            Self::Put { items, options } => {
                let marks = if options.marks.is_empty() { 0 } else { framed(Mark::MAX_NOTE_BYTES) };
                items.iter().map(|item| framed(item.record.as_bytes().len()) + marks).sum()
            }
            Self::Delete { items } => items.iter().map(|item| framed(item.body.len())).sum(),
            // The number of affected snapshots is determined during planning.
            Self::Mark(_) => framed(Mark::MAX_NOTE_BYTES),
        }
    }

    /// Returns whether the work changes marks or depends on existing ones. Plain puts and deletes
    /// do neither, except that deletes look up pins in the index.
    pub(super) fn concerns_marks(&self) -> bool {
        match self {
            Self::Put { options, .. } => options.spare_pinned || !options.marks.is_empty(),
            Self::Delete { .. } => false,
            Self::Mark(_) => true,
        }
    }

    pub(crate) fn operation(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put a snapshot",
            Self::Delete { .. } => "delete snapshots",
            Self::Mark(_) => "mark snapshots",
        }
    }
}
