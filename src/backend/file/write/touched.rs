//! [`Touched`]: which aggregates a part of a group is about, and what has to wait for that part.

use std::collections::HashSet;

use super::work::Work;
use crate::backend::file::format::tag::Tag;
use crate::backend::file::index::Index;

/// The aggregates that a part of a group writes. A part is planned before any of it is visible, so
/// what depends on something that the plan cannot foresee comes into the next part.
pub(super) struct Touched {
    put: HashSet<Tag>,
    deleted: HashSet<Tag>,
    marked: HashSet<Tag>,
    /// Whether a work of the group concerns marks. Otherwise nothing depends on plain puts.
    notes_puts: bool,
}

impl Touched {
    pub(super) fn new(group: &[Work]) -> Self {
        let notes_puts = group.iter().any(Work::concerns_marks);
        let none = HashSet::new;
        Self { put: none(), deleted: none(), marked: none(), notes_puts }
    }

    /// Whether `work` has to wait until all that was added is visible.
    pub(super) fn is_waited_for(&self, work: &Work, index: &Index) -> bool {
        let is_any = |tag: Tag| {
            self.put.contains(&tag) || self.deleted.contains(&tag) || self.marked.contains(&tag)
        };
        match work {
            _ if work.concerns_marks() => tags(work).any(is_any),
            // What is left decides whether a snapshot exists.
            Work::Put { .. } => tags(work).any(|tag| self.deleted.contains(&tag)),
            // What is left decides which ones are pinned.
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

    /// All that was added is visible.
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
