//! [`Touched`]: the aggregates that a part of a group affects, and the work that must wait for it.

use std::collections::HashSet;

use super::work::Work;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::index::Index;

/// The aggregates that a part of a group writes. A part is planned before any of it is visible, so
/// work that depends on something the plan cannot foresee goes into the next part.
pub(super) struct Touched {
    put: HashSet<Tag>,
    deleted: HashSet<Tag>,
    marked: HashSet<Tag>,
    /// Whether any work in the group concerns marks. If not, nothing depends on plain puts.
    notes_puts: bool,
}

impl Touched {
    pub(super) fn new(group: &[Work]) -> Self {
        let notes_puts = group.iter().any(Work::concerns_marks);
        let none = HashSet::new;
        Self { put: none(), deleted: none(), marked: none(), notes_puts }
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
            // Which snapshots are pinned depends on earlier work.
            _ => tags(work).any(|tag| {
                self.marked.contains(&tag) || (self.deleted.contains(&tag) && index.has_pins(tag))
            }),
        }
    }

    pub(super) fn add(&mut self, work: &Work) {
        match work {
            _ if work.concerns_marks() => self.marked.extend(tags(work)),
            Work::Put { .. } if self.notes_puts => self.put.extend(tags(work)),
            Work::Put { .. } | Work::Mark(_) => {}
            Work::Delete { .. } => self.deleted.extend(tags(work)),
        }
    }

    /// Clears the sets after everything that was added has become visible.
    pub(super) fn clear(&mut self) {
        self.put.clear();
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
