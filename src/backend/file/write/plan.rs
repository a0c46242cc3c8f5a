//! [`Plan`]: the frames of a group, and the answers that apply once they are durable.

use std::collections::HashMap;

use bytes::Bytes;

use super::work::{Answer, PutItem};
use crate::backend::file::core::flights::{Fresh, Identity};
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteScope, Kind, frame_bytes};
use crate::error::Error;
use crate::mark::Marks;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// The frames of a group, and the answers that apply once they are durable.
#[derive(Default)]
pub(crate) struct Plan {
    pub(super) frames: Vec<Planned>,
    pub(super) answers: Vec<Result<Answer, Error>>,
    pub(super) fresh: Fresh,
    /// The generation numbers and versions that the first `sorted` frames put, by aggregate. Only
    /// complete work items are sorted, and a failed item removes only its own frames.
    pub(super) by_tag: HashMap<Tag, Vec<(u32, u64)>>,
    sorted: usize,
}

/// A frame that will be written, and its effect.
pub(super) struct Planned {
    pub(super) kind: Kind,
    pub(super) more: bool,
    pub(super) body: Bytes,
    pub(super) tag: Tag,
    pub(super) effect: Effect,
}

pub(super) enum Effect {
    Put {
        id: SnapshotId,
        generation: u32,
        as_of: Timestamp,
        base: Option<u64>,
    },
    /// Also adds to the answer of the work item with this number.
    Delete {
        scope: DeleteScope,
        work: usize,
    },
    /// All marks of a snapshot from now on.
    Marks {
        id: SnapshotId,
        generation: u32,
        marks: Marks,
        /// Whether the frame belongs to the put in the next frame and becomes visible with it.
        with_put: bool,
    },
}

impl Plan {
    pub(super) fn with_capacity(works: usize) -> Self {
        Self {
            frames: Vec::with_capacity(works),
            answers: Vec::with_capacity(works),
            fresh: Fresh::with_capacity(works),
            ..Self::default()
        }
    }

    /// Returns the number of bytes that the frames take in the log.
    pub(super) fn bytes(&self) -> u64 {
        self.frames.iter().map(Planned::total_bytes).sum()
    }

    /// Ends the batch that starts at frame `first`.
    pub(super) fn close_batch(&mut self, first: usize) {
        if let Some(last) = self.frames.get_mut(first..).and_then(<[_]>::last_mut) {
            last.more = false;
        }
    }

    /// Updates `by_tag`.
    pub(super) fn sort_by_tag(&mut self) {
        for frame in self.frames.get(self.sorted..).unwrap_or_default() {
            if let Effect::Put { id, generation, .. } = &frame.effect {
                self.by_tag.entry(frame.tag).or_default().push((*generation, id.version));
            }
        }
        self.sorted = self.frames.len();
    }

    pub(super) fn fail(&mut self, error: &Error) {
        for answer in &mut self.answers {
            if answer.is_ok() {
                *answer = Err(error.clone());
            }
        }
    }
}

impl Planned {
    pub(super) fn total_bytes(&self) -> u64 {
        frame_bytes(self.body.len() as u64)
    }

    /// Returns whether the frame may use the reserve when the disk is full. This applies to
    /// deletes, which free space, and to marks, which may have to be cleared first.
    pub(super) fn makes_room(&self) -> bool {
        matches!(self.effect, Effect::Delete { .. } | Effect::Marks { with_put: false, .. })
    }
}

impl PutItem {
    pub(super) fn identity(&self) -> Identity {
        (self.tag, self.generation, self.id.version)
    }
}
