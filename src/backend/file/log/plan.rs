//! [`Plan`]: the frames that a group becomes, and the answers that hold once they are durable.

use std::collections::HashMap;

use bytes::Bytes;

use super::super::core::Core;
use super::super::fault::{corrupt, io_error};
use super::super::index::Item;
use super::super::layout::{FRAME_BYTES, Kind, Scope, frame_bytes};
use super::super::names;
use super::super::tag::Tag;
use super::{Answer, DeleteItem, PutItem};
use crate::envelope::Record;
use crate::error::Error;
use crate::snapshot_id::SnapshotId;
use crate::store::{Deleted, PutOutcome};

/// What tells a snapshot from all others of a store: aggregate, generation, version.
pub(super) type Identity = (Tag, u32, u64);

/// The snapshots that a group puts, each with the number of its frame.
pub(super) type Fresh = HashMap<Identity, usize>;

/// The frames that a group becomes, and the answers that hold once they are durable.
#[derive(Default)]
pub(in super::super) struct Plan {
    pub(super) frames: Vec<Planned>,
    pub(super) answers: Vec<Result<Answer, Error>>,
    pub(super) fresh: Fresh,
}

/// A frame that is to be written, and what it changes.
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
    },
    /// Also counts towards the answer of the work with this number.
    Delete {
        scope: Scope,
        work: usize,
    },
}

impl Plan {
    pub(super) fn with_capacity(works: usize) -> Self {
        Self {
            frames: Vec::with_capacity(works),
            answers: Vec::with_capacity(works),
            fresh: Fresh::with_capacity(works),
        }
    }

    /// What its frames take in the log.
    pub(super) fn bytes(&self) -> u64 {
        self.frames.iter().map(Planned::total_bytes).sum()
    }

    /// The last frame from `first` on ends its batch.
    fn close_batch(&mut self, first: usize) {
        if let Some(last) = self.frames.get_mut(first..).and_then(<[_]>::last_mut) {
            last.more = false;
        }
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
}

impl PutItem {
    pub(super) fn identity(&self) -> Identity {
        (self.tag, self.generation, self.id.version)
    }
}

impl Core {
    pub(super) fn plan_put(&self, plan: &mut Plan, items: Vec<PutItem>, replace: bool) {
        let first = plan.frames.len();
        let mut outcomes = Vec::with_capacity(items.len());
        // What others of the group put, and this replaces.
        let mut replaced = Vec::new();
        for item in items {
            let identity = item.identity();
            match self.existing(plan, identity, &item.record) {
                Err(error) => {
                    // Nothing of the batch is written; what others of the group saw of it, they
                    // may see again when they try again.
                    plan.frames.truncate(first);
                    plan.fresh.retain(|_, frame| *frame < first);
                    plan.fresh.extend(replaced);
                    plan.answers.push(Err(error));
                    return;
                }
                Ok(Some(identical)) if !replace => {
                    outcomes.push(PutOutcome::Existing { identical });
                    continue;
                }
                Ok(Some(_)) => outcomes.push(PutOutcome::Replaced),
                Ok(None) => outcomes.push(PutOutcome::Stored),
            }
            if let Some(frame) = plan.fresh.insert(identity, plan.frames.len())
                && frame < first
            {
                replaced.push((identity, frame));
            }
            plan.frames.push(Planned {
                kind: Kind::Put,
                more: true,
                body: item.record.into_bytes(),
                tag: item.tag,
                effect: Effect::Put { id: item.id, generation: item.generation },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Put(outcomes)));
    }

    /// Whether the snapshot is there already, or comes earlier in the group; if so, whether it has
    /// the same payload.
    fn existing(
        &self,
        plan: &Plan,
        (tag, generation, version): Identity,
        record: &Record,
    ) -> Result<Option<bool>, Error> {
        let fresh = plan.fresh.get(&(tag, generation, version));
        if let Some(frame) = fresh.and_then(|frame| plan.frames.get(*frame)) {
            let fresh = Record::from_bytes(frame.body.clone());
            return Ok(Some(fresh.has_state_of(record)));
        }
        let there = self
            .index
            .exact(tag, generation, version, |item| (self.segments.get(item.place.slot), item));
        let Some((Some(segment), item)) = there else { return Ok(None) };
        let offset = item.place.offset + FRAME_BYTES;
        let bytes = segment.file.read(offset, item.place.len as usize).map_err(|error| {
            io_error("put a snapshot", &self.path(&names::segment(segment.id)), error)
        })?;
        let stored = Record::from_bytes(bytes);
        if let (Ok(ours), Ok(theirs)) = (record.header(), stored.header())
            && (ours.tenant, ours.kind, ours.id) != (theirs.tenant, theirs.kind, theirs.id)
        {
            let why = "two aggregates have the same hash: one of them cannot be stored";
            return Err(corrupt("put a snapshot", self.dir(), why));
        }
        Ok(Some(stored.has_state_of(record)))
    }

    pub(super) fn plan_delete(&self, plan: &mut Plan, items: Vec<DeleteItem>, work: usize) {
        let first = plan.frames.len();
        for item in items {
            let covers = self.covers(&item.scope);
            if !self.index.any(item.tag, covers) {
                continue;
            }
            plan.frames.push(Planned {
                kind: Kind::Delete,
                more: true,
                body: item.body,
                tag: item.tag,
                effect: Effect::Delete { scope: item.scope, work },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Delete(Deleted::default())));
    }

    /// Tells which snapshots of an aggregate a delete covers.
    pub(in super::super) fn covers(&self, scope: &Scope) -> impl Fn(&Item) -> bool + use<> {
        let (all, below, ids) = match scope {
            Scope::All => (true, 0, Vec::new()),
            Scope::Below(version) => (false, *version, Vec::new()),
            Scope::Ids(ids) => {
                let number =
                    |id: &SnapshotId| Some((id.version, self.generations.find(id.generation)?));
                let mut ids: Vec<_> = ids.iter().filter_map(number).collect();
                ids.sort_unstable();
                (false, 0, ids)
            }
        };
        move |item| {
            all || item.version < below
                || ids.binary_search(&(item.version, item.place.generation)).is_ok()
        }
    }
}
