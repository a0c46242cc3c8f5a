//! [`Work`]: what a caller wants written, checked and encoded before it is queued.

use bytes::Bytes;

use super::super::layout::{Scope, frame_bytes};
use super::super::tag::Tag;
use crate::envelope::Record;
use crate::snapshot_id::SnapshotId;
use crate::store::{Deleted, PutOutcome};
use crate::timestamp::Timestamp;

/// A snapshot to be put.
pub(in super::super) struct PutItem {
    pub(in super::super) tag: Tag,
    pub(in super::super) id: SnapshotId,
    /// The number of the generation in this store.
    pub(in super::super) generation: u32,
    pub(in super::super) as_of: Timestamp,
    pub(in super::super) record: Record,
}

/// A delete.
pub(in super::super) struct DeleteItem {
    pub(in super::super) tag: Tag,
    pub(in super::super) scope: Scope,
    pub(in super::super) body: Bytes,
}

/// What one call wants written: all of it, or nothing.
pub(in super::super) enum Work {
    Put { items: Vec<PutItem>, replace: bool },
    Delete { items: Vec<DeleteItem> },
}

/// What became of a [`Work`].
#[derive(Clone, Debug)]
pub(in super::super) enum Answer {
    Put(Vec<PutOutcome>),
    Delete(Deleted),
}

impl Work {
    /// The bytes it may take in the log.
    pub(in super::super) fn bytes(&self) -> u64 {
        let framed = |len: usize| frame_bytes(len as u64);
        match self {
            Self::Put { items, .. } => {
                items.iter().map(|item| framed(item.record.as_bytes().len())).sum()
            }
            Self::Delete { items } => items.iter().map(|item| framed(item.body.len())).sum(),
        }
    }

    pub(in super::super) fn operation(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put a snapshot",
            Self::Delete { .. } => "delete snapshots",
        }
    }
}
