//! Planning the puts and deletes of a group.

use std::collections::HashSet;

use bytes::Bytes;

use super::plan::{Effect, Identity, Plan, Planned};
use super::{Answer, DeleteItem, Pick, PutItem};
use crate::backend::file::core::Core;
use crate::backend::file::errors::{corrupt, io_error};
use crate::backend::file::format::names;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteBody, FRAME_BYTES, Kind, Scope};
use crate::backend::file::index::Note;
use crate::envelope::Record;
use crate::error::Error;
use crate::snapshot_id::SnapshotId;
use crate::store::{Deletable, DeletePlan, Deleted, PutOptions, PutOutcome};

/// What of a delete is written.
enum Part {
    /// Just as it was asked for.
    All(Scope),
    /// Less, or told in another way.
    Of(Scope),
}

impl Part {
    /// The scope, and the body that says so, made from the one that was asked for.
    fn with_body(self, asked: Bytes) -> Option<(Scope, Bytes)> {
        match self {
            Self::All(scope) => Some((scope, asked)),
            Self::Of(scope) => {
                let body = DeleteBody::parse(&asked)?.with_scope(&scope);
                Some((scope, Bytes::from(body)))
            }
        }
    }
}

impl Core {
    pub(super) fn plan_put(&self, plan: &mut Plan, items: Vec<PutItem>, options: &PutOptions) {
        let marks = &options.marks;
        let first = plan.frames.len();
        let mut outcomes = Vec::with_capacity(items.len());
        // What others of the group put, and this replaces.
        let mut replaced = Vec::new();
        for item in items {
            let identity = item.identity();
            let stays = !options.replace
                || (options.spare_pinned
                    && (self.is_pinned(identity)
                        || marks.is_pinned()
                            && plan.fresh.get(&identity).is_some_and(|frame| *frame >= first)));
            let existing = self.existing(plan, identity, &item.record);
            let decided = existing.and_then(|existing| match existing {
                Some(identical) if stays => Ok((PutOutcome::Existing { identical }, None)),
                Some(_) => Ok((PutOutcome::Replaced, self.marks_of_put(&item, true, marks)?)),
                None => Ok((PutOutcome::Stored, self.marks_of_put(&item, false, marks)?)),
            });
            match decided {
                Err(error) => {
                    // Nothing of the batch is written; what others of the group saw of it, they
                    // may see again when they try again.
                    plan.frames.truncate(first);
                    plan.fresh.retain(|_, frame| *frame < first);
                    plan.fresh.extend(replaced);
                    plan.answers.push(Err(error));
                    return;
                }
                Ok((outcome, marks)) => {
                    outcomes.push(outcome);
                    if matches!(outcome, PutOutcome::Existing { .. }) {
                        continue;
                    }
                    plan.frames.extend(marks);
                }
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
                effect: Effect::Put { id: item.id, generation: item.generation, as_of: item.as_of },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Put(outcomes)));
    }

    /// Nothing of the group before it changes marks of the same aggregate.
    fn is_pinned(&self, (tag, generation, version): Identity) -> bool {
        self.index.note(tag, generation, version).is_some_and(|note| note.marks.is_pinned())
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

    /// Plans the deletes that have something to delete: in the index, or among the puts planned
    /// before them, which reach the index only with this plan.
    pub(super) fn plan_delete(&self, plan: &mut Plan, items: Vec<DeleteItem>, work: usize) {
        let first = plan.frames.len();
        plan.sort_by_tag();
        let mut kept = Deleted::default();
        for item in items {
            let fresh = plan.by_tag.get(&item.tag).map_or(&[][..], Vec::as_slice);
            let (scope, kept_of_item) = self.deletable(&item, fresh);
            kept = [kept, kept_of_item].into_iter().sum();
            let Some((scope, body)) = scope.and_then(|scope| scope.with_body(item.body)) else {
                continue;
            };
            plan.frames.push(Planned {
                kind: Kind::Delete,
                more: true,
                body,
                tag: item.tag,
                effect: Effect::Delete { scope, work },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Delete(kept)));
    }

    /// The part of a delete that has something to delete, with `fresh` about to be stored, and how
    /// many of the selected snapshots stay.
    fn deletable(&self, item: &DeleteItem, fresh: &[(u32, u64)]) -> (Option<Part>, Deleted) {
        let pins_count = !item.options.overrule_pins && self.index.has_pins(item.tag);
        if let Pick::Scope(scope) = &item.pick
            && !pins_count
        {
            return (self.effective(item.tag, scope, fresh), Deleted::default());
        }
        let id = |(number, version): &(u32, u64)| {
            let generation = self.generations.value(*number)?;
            Some((*number, SnapshotId { generation, version: *version }))
        };
        let mut ids = self.stored_ids(item.tag);
        ids.extend(fresh.iter().filter_map(id));
        ids.sort_unstable();
        ids.dedup();
        let notes = self.index.notes_of(item.tag);
        let pinned: HashSet<_> =
            notes.iter().filter(|note| note.marks.is_pinned()).map(Note::snapshot).collect();
        let stored = ids.iter().map(|(generation, id)| {
            // What was deleted is counted when it is done.
            Deletable::new(*id, 0).pinned(pinned.contains(&(*generation, id.version)))
        });
        let stored: Vec<_> = stored.collect();
        let plan = DeletePlan::new(item.pick.selection(), item.options, &stored);
        let ids: Vec<_> = stored.iter().map(|one| one.id).filter(|id| plan.removes(*id)).collect();
        let part = (!ids.is_empty()).then_some(Part::Of(Scope::Ids(ids)));
        let Deleted { pinned, needed, .. } = plan.deleted;
        (part, Deleted::default().kept(pinned, needed))
    }

    /// The part of a delete that has something to delete if all that is selected may go; `None` if
    /// that is nothing.
    fn effective(&self, tag: Tag, scope: &Scope, fresh: &[(u32, u64)]) -> Option<Part> {
        let Scope::Ids(ids) = scope else {
            let covers = self.covers(scope);
            let there = self.index.any(tag, |item| covers(item.place.generation, item.version))
                || fresh.iter().any(|(generation, version)| covers(*generation, *version));
            return there.then(|| Part::All(scope.clone()));
        };
        let there = |id: &SnapshotId| {
            self.generations.find(id.generation).is_some_and(|generation| {
                self.index.exact(tag, generation, id.version, |_| ()).is_some()
                    || fresh.contains(&(generation, id.version))
            })
        };
        let kept: Vec<_> = ids.iter().filter(|id| there(id)).copied().collect();
        if kept.len() == ids.len() {
            return (!ids.is_empty()).then(|| Part::All(scope.clone()));
        }
        // What a caller invents takes no space.
        (!kept.is_empty()).then_some(Part::Of(Scope::Ids(kept)))
    }

    /// Tells which snapshots of an aggregate a delete covers.
    ///
    /// By generation number and version.
    pub(crate) fn covers(&self, scope: &Scope) -> impl Fn(u32, u64) -> bool + use<> {
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
        move |generation, version| {
            all || version < below || ids.binary_search(&(version, generation)).is_ok()
        }
    }
}
