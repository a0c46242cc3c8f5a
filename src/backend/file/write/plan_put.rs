//! Plans the puts of a group.

use super::plan::{Effect, Plan, Planned};
use super::work::{Answer, PutItem};
use crate::backend::file::core::Core;
use crate::backend::file::core::flights::Identity;
use crate::backend::file::errors::{corrupt, io_error};
use crate::backend::file::format::{FRAME_BYTES, Kind, names};
use crate::error::Error;
use crate::record::Record;
use crate::store::{PutOptions, PutOutcome};

impl Core {
    pub(super) fn plan_put(&self, plan: &mut Plan, items: Vec<PutItem>, options: &PutOptions) {
        let marks = &options.marks;
        let first = plan.frames.len();
        let mut outcomes = Vec::with_capacity(items.len());
        // The earlier puts of the group that this put replaces.
        let mut replaced = Vec::new();
        for item in items {
            let identity = item.identity();
            let stays = !options.replace
                || (options.spare_pinned
                    && (self.is_pinned(identity)
                        || marks.is_pinned()
                            && plan.fresh.get(&identity).is_some_and(|frame| *frame >= first)));
            let existing = self.existing(plan, identity, &item.record);
            let decided = existing.and_then(|existing| match (existing, &item.expected) {
                (Some(there), Some(rewrite)) if rewrite.replaces(&there) => {
                    Ok((PutOutcome::Replaced, None))
                }
                (_, Some(_)) => Ok((PutOutcome::Existing { identical: false }, None)),
                (Some(there), None) if stays => {
                    let identical = there.has_state_of(&item.record);
                    Ok((PutOutcome::Existing { identical }, None))
                }
                (Some(_), None) => {
                    Ok((PutOutcome::Replaced, self.marks_of_put(&item, true, marks)?))
                }
                (None, None) => Ok((PutOutcome::Stored, self.marks_of_put(&item, false, marks)?)),
            });
            match decided {
                Err(error) => {
                    // Nothing of the batch is written, so the puts of the group that it replaced
                    // count again.
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
                effect: Effect::Put {
                    id: item.id,
                    generation: item.generation,
                    as_of: item.as_of,
                    base: item.base,
                },
            });
        }
        plan.close_batch(first);
        plan.answers.push(Ok(Answer::Put(outcomes)));
    }

    /// Returns whether the snapshot is pinned. No earlier work in the group may change marks of the
    /// aggregate.
    fn is_pinned(&self, (tag, generation, version): Identity) -> bool {
        self.index.note(tag, generation, version).is_some_and(|note| note.marks.is_pinned())
    }

    /// Returns the record of the snapshot if it already exists, in the index or earlier in the
    /// group.
    fn existing(
        &self,
        plan: &Plan,
        (tag, generation, version): Identity,
        record: &Record,
    ) -> Result<Option<Record>, Error> {
        let fresh = plan.fresh.get(&(tag, generation, version));
        if let Some(frame) = fresh.and_then(|frame| plan.frames.get(*frame)) {
            return Ok(Some(Record::from_bytes(frame.body.clone())));
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
            let why = "another aggregate has the same hash: use another id";
            return Err(corrupt("put a snapshot", self.dir(), why));
        }
        Ok(Some(stored))
    }
}
