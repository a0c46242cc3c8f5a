//! [`Notes`]: the marks of a part of the snapshots.

use std::collections::HashMap;
use std::collections::hash_map;

use super::item::Item;
use crate::backend::file::format::tag::Tag;
use crate::mark::{Mark, Marks};

/// The marks of one snapshot, and the frame that says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The version and generation of the snapshot, and the place of the marks frame.
    pub(crate) item: Item,
    /// Of the frame.
    pub(crate) seq: u64,
    /// None once all were cleared: the frame still has to hide earlier ones.
    pub(crate) marks: Marks,
}

impl Note {
    /// The generation number and version of the snapshot.
    pub(crate) fn snapshot(&self) -> (u32, u64) {
        (self.item.place.generation, self.item.version)
    }
}

/// The marks of the snapshots of one shard. Snapshots that never had any take no space, and
/// lookups in a shard without marks one comparison.
#[derive(Default)]
pub(super) struct Notes(HashMap<Tag, Vec<Note>>);

impl Notes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of one aggregate, in no order.
    pub(super) fn of(&self, tag: Tag) -> &[Note] {
        if self.is_empty() {
            return &[];
        }
        self.0.get(&tag).map_or(&[], Vec::as_slice)
    }

    /// The one of a snapshot. The place in `snapshot` does not matter.
    pub(super) fn find(&self, tag: Tag, snapshot: &Item) -> Option<&Note> {
        self.of(tag).iter().find(|note| note.item.is_same(snapshot))
    }

    pub(super) fn is_retired(&self, tag: Tag, snapshot: &Item) -> bool {
        self.find(tag, snapshot).is_some_and(|note| note.marks.is_retired())
    }

    /// Enters a note; of two about one snapshot the one with the higher sequence number stays.
    /// Returns the other one.
    pub(super) fn insert(&mut self, tag: Tag, note: Note) -> Option<Note> {
        let notes = self.0.entry(tag).or_default();
        match notes.iter_mut().find(|there| there.item.is_same(&note.item)) {
            Some(there) if there.seq > note.seq => Some(note),
            Some(there) => Some(std::mem::replace(there, note)),
            None => {
                notes.push(note);
                None
            }
        }
    }

    /// Removes those of an aggregate that `covers` tells, and hands them to `gone`.
    pub(super) fn remove(
        &mut self,
        tag: Tag,
        covers: impl Fn(&Item) -> bool,
        mut gone: impl FnMut(&Item),
    ) {
        if self.is_empty() {
            return;
        }
        let hash_map::Entry::Occupied(mut entry) = self.0.entry(tag) else { return };
        entry.get_mut().retain(|note| {
            let covered = covers(&note.item);
            if covered {
                gone(&note.item);
            }
            !covered
        });
        if entry.get().is_empty() {
            entry.remove();
        }
    }

    /// Makes the note whose frame lay at `old` one whose frame lies at `new`; false if there is
    /// none any more.
    pub(super) fn swap(&mut self, tag: Tag, old: &Item, new: Item) -> bool {
        let notes = self.0.get_mut(&tag);
        let note = notes.and_then(|notes| notes.iter_mut().find(|note| note.item == *old));
        note.map(|note| note.item = new).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// The bytes held, but for what the allocator adds.
    pub(super) fn memory(&self) -> usize {
        let table = self.0.capacity() * size_of::<(Tag, Vec<Note>)>();
        let text = |mark: &Mark| mark.name.len() + mark.actor.len() + mark.note.len();
        let marks = |note: &Note| -> usize {
            note.marks.iter().map(|mark| size_of::<Mark>() + text(mark)).sum()
        };
        let notes = |notes: &Vec<Note>| {
            notes.capacity() * size_of::<Note>() + notes.iter().map(marks).sum::<usize>()
        };
        table + self.0.values().map(notes).sum::<usize>()
    }
}
