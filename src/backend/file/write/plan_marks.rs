//! Plans changes of marks, both as part of puts and on their own.

use bytes::Bytes;

use super::plan::{Effect, Plan, Planned};
use super::work::{Answer, MarkItem, Pick, PutItem};
use crate::backend::file::core::Core;
use crate::backend::file::errors::corrupt;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteScope, Kind, MAX_OFFSET, MarksBody};
use crate::error::{Error, ErrorKind};
use crate::mark::Marks;
use crate::snapshot_id::SnapshotId;

impl Core {
    /// Returns the marks frame to write before the frame of a put, if the marks of the snapshot
    /// change. The new marks are `given`, merged with the existing ones if the snapshot
    /// `is_replaced`.
    pub(super) fn marks_of_put(
        &self,
        item: &PutItem,
        is_replaced: bool,
        given: &Marks,
    ) -> Result<Option<Planned>, Error> {
        if is_replaced && given.is_empty() {
            return Ok(None);
        }
        let note = self.index.note(item.tag, item.generation, item.id.version);
        // After a repair, there may be marks whose snapshot is lost. A new snapshot does not
        // inherit them.
        let before = note.map_or(Marks::NONE, |note| note.marks);
        let marks = if is_replaced { before.merged(given)? } else { given.clone() };
        if marks == before {
            return Ok(None);
        }
        let Ok(header) = item.record.header() else {
            // This cannot happen, because the record was verified.
            return Err(corrupt("put a snapshot", self.dir(), "the record is invalid"));
        };
        let body = MarksBody::of_header(&header, &marks);
        Ok(Some(planned(item.tag, item.id, item.generation, body, (marks, true))))
    }

    /// Plans a change of marks. No earlier work in the group may concern the same aggregate.
    pub(super) fn plan_mark(&self, plan: &mut Plan, item: &MarkItem) {
        let first = plan.frames.len();
        let answer = self.push_marks(plan, item).map(Answer::Mark);
        if answer.is_err() {
            plan.frames.truncate(first);
        }
        plan.close_batch(first);
        plan.answers.push(answer);
    }

    /// Adds a frame for each affected snapshot. Returns their number.
    fn push_marks(&self, plan: &mut Plan, item: &MarkItem) -> Result<u64, Error> {
        let (mut count, mut bytes) = (0, 0);
        for (generation, id) in self.picked(item.tag, &item.pick) {
            let note = self.index.note(item.tag, generation, id.version);
            let before = note.map_or(Marks::NONE, |note| note.marks);
            let Some(marks) = before.changed(item.change.as_mark_change())? else { continue };
            let body = MarksBody::of_key(&item.key, id, &marks);
            let frame = planned(item.tag, id, generation, body, (marks, false));
            bytes += frame.total_bytes();
            if bytes > MAX_OFFSET {
                let message = "the marks of the selected snapshots exceed 2 GiB: select fewer";
                return Err(Error::new(ErrorKind::InvalidInput, "mark snapshots", message));
            }
            plan.frames.push(frame);
            count += 1;
        }
        Ok(count)
    }

    /// Returns the selected stored snapshots of an aggregate, each with the number of its
    /// generation.
    fn picked(&self, tag: Tag, pick: &Pick) -> Vec<(u32, SnapshotId)> {
        if let Pick::DeleteScope(DeleteScope::Ids(ids)) = pick {
            let stored = |id: &SnapshotId| {
                let generation = self.generations.find(id.generation)?;
                self.index.exact(tag, generation, id.version, |_| (generation, *id))
            };
            return ids.iter().filter_map(stored).collect();
        }
        let selection = pick.selection();
        let mut ids = self.stored_ids(tag);
        ids.retain(|(_, id)| selection.admits(*id));
        ids
    }

    /// Returns all stored snapshots of an aggregate, each with the number of its generation.
    pub(super) fn stored_ids(&self, tag: Tag) -> Vec<(u32, SnapshotId)> {
        let items = self.index.list(tag, u64::MAX, |_, _| true);
        let id = |number: u32, version| {
            Some((number, SnapshotId { generation: self.generations.value(number)?, version }))
        };
        items.iter().filter_map(|item| id(item.place.generation, item.version)).collect()
    }
}

fn planned(
    tag: Tag,
    id: SnapshotId,
    generation: u32,
    body: Vec<u8>,
    (marks, with_put): (Marks, bool),
) -> Planned {
    Planned {
        kind: Kind::Marks,
        more: true,
        body: Bytes::from(body),
        tag,
        effect: Effect::Marks { id, generation, marks, with_put },
    }
}
