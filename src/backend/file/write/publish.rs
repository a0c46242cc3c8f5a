//! Makes durable frames visible.

use std::sync::atomic::Ordering;

use super::append::Written;
use super::plan::{Effect, Plan};
use super::work::Answer;
use crate::backend::file::core::Core;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::format::{DeleteScope, frame_bytes};
use crate::backend::file::index::{Added, Gone, Item, Note, Place};
use crate::snapshot_id::SnapshotId;
use crate::store::Deleted;

impl Core {
    /// Makes durable frames visible.
    pub(super) fn publish(&self, plan: &mut Plan, written: &Written) {
        let segment = &written.segment;
        let (mut added, mut removed, mut unmarked) = (0, 0, 0);
        // The note for the next put. Both become visible together.
        let mut note_of_put = None;
        let Plan { frames, answers, .. } = plan;
        for (seq, (frame, offset)) in (written.first_seq..).zip(frames.iter().zip(&written.offsets))
        {
            let len = u32::try_from(frame.body.len()).unwrap_or(u32::MAX);
            let item = |id: &SnapshotId, generation: &u32| {
                let (slot, offset, generation) = (segment.slot, *offset, *generation);
                Item { version: id.version, place: Place { slot, offset, len, generation } }
            };
            match &frame.effect {
                Effect::Put { id, generation, as_of, base } => {
                    segment.add_live(frame.total_bytes());
                    added += 1;
                    let item = item(id, generation);
                    let new = Added { item, as_of: *as_of, base: *base };
                    let (old, old_note) = match note_of_put.take() {
                        None => (self.index.insert(frame.tag, new), None),
                        Some(note) => self.index.insert_marked(frame.tag, new, note),
                    };
                    if let Some(old) = old {
                        self.forget(&old.item);
                        removed += 1;
                    }
                    if let Some(old) = old_note {
                        self.forget(&old.item);
                        unmarked += 1;
                    }
                }
                Effect::Marks { id, generation, marks, with_put } => {
                    segment.add_live(frame.total_bytes());
                    let marks = marks.clone();
                    let note = Note { item: item(id, generation), seq, marks };
                    if *with_put {
                        note_of_put = Some(note);
                    } else if let Some(old) = self.index.insert_note(frame.tag, note) {
                        self.forget(&old.item);
                        unmarked += 1;
                    }
                }
                Effect::Delete { scope, work } => {
                    let deleted = self.remove(frame.tag, scope);
                    removed += deleted.snapshots;
                    if let Some(Ok(Answer::Delete(sum))) = answers.get_mut(*work) {
                        *sum = [*sum, deleted].into_iter().sum();
                    }
                }
            }
        }
        self.snapshots.fetch_add(added, Ordering::Relaxed);
        self.snapshots.fetch_sub(removed, Ordering::Relaxed);
        if removed + unmarked > 0 {
            self.maintenance.note();
        }
    }

    /// Removes snapshots from the index.
    fn remove(&self, tag: Tag, scope: &DeleteScope) -> Deleted {
        let mut deleted = Deleted::default();
        self.index.remove(tag, self.covers(scope), |gone| match gone {
            Gone::Record(item) => {
                deleted.snapshots += 1;
                deleted.bytes += u64::from(item.place.len);
                self.forget(item);
            }
            Gone::Marks(item) => self.forget(item),
        });
        deleted
    }

    /// Counts a frame that has left the index as dead.
    fn forget(&self, item: &Item) {
        if let Some(segment) = self.segments.get(item.place.slot) {
            segment.drop_live(frame_bytes(item.place.len.into()));
        }
    }
}
