//! [`Touched`]: the aggregates that a part of a group affects, and the work that must wait for it.

use std::collections::HashSet;

use super::work::Work;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::index::Index;

/// The aggregates that a part of a group writes. A part is planned before any of it is visible, so
/// work that depends on something the plan cannot foresee goes into the next part.
pub(super) struct Touched {
    put: HashSet<Tag>,
    /// The aggregates of which deltas are put.
    put_deltas: HashSet<Tag>,
    deleted: HashSet<Tag>,
    marked: HashSet<Tag>,
    /// Whether any work in the group concerns marks or is a delete. If not, nothing depends on
    /// plain puts.
    notes_puts: bool,
}

impl Touched {
    pub(super) fn new(group: &[Work]) -> Self {
        let depends = |work: &Work| work.concerns_marks() || matches!(work, Work::Delete { .. });
        let notes_puts = group.iter().any(depends);
        let none = HashSet::new;
        Self { put: none(), put_deltas: none(), deleted: none(), marked: none(), notes_puts }
    }

    /// Returns whether `work` must wait until everything added so far is visible.
    pub(super) fn is_waited_for(&self, work: &Work, index: &Index) -> bool {
        let is_any = |tag: Tag| {
            self.put.contains(&tag) || self.deleted.contains(&tag) || self.marked.contains(&tag)
        };
        match work {
            _ if work.concerns_marks() => tags(work).any(is_any),
            // Whether a snapshot exists depends on the deletes.
            Work::Put { .. } => tags(work).any(|tag| self.deleted.contains(&tag)),
            // Which snapshots are pinned or needed depends on earlier work. A put that replaces a
            // delta ends the need for its base, but only if it is written, so it must be visible.
            _ => tags(work).any(|tag| {
                let is_deleted = self.deleted.contains(&tag);
                self.marked.contains(&tag)
                    || self.put_deltas.contains(&tag)
                    || (is_deleted && index.has_pins(tag))
                    || ((is_deleted || self.put.contains(&tag)) && index.has_deltas(tag))
            }),
        }
    }

    pub(super) fn add(&mut self, work: &Work) {
        match work {
            _ if work.concerns_marks() => self.marked.extend(tags(work)),
            Work::Put { items, .. } if self.notes_puts => {
                self.put.extend(tags(work));
                let deltas = items.iter().filter(|item| item.base.is_some());
                self.put_deltas.extend(deltas.map(|item| item.tag));
            }
            Work::Put { .. } | Work::Mark(_) => {}
            Work::Delete { .. } => self.deleted.extend(tags(work)),
        }
    }

    /// Clears the sets after everything that was added has become visible.
    pub(super) fn clear(&mut self) {
        self.put.clear();
        self.put_deltas.clear();
        self.deleted.clear();
        self.marked.clear();
    }
}

fn tags(work: &Work) -> impl Iterator<Item = Tag> {
    let (puts, deletes, mark) = match work {
        Work::Put { items, .. } => (items.as_slice(), &[][..], None),
        Work::Delete { items } => (&[][..], items.as_slice(), None),
        Work::Mark(item) => (&[][..], &[][..], Some(item.tag)),
    };
    let puts = puts.iter().map(|item| item.tag);
    puts.chain(deletes.iter().map(|item| item.tag)).chain(mark)
}
