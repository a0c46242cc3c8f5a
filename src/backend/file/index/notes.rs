//! [`Notes`]: the marks of the snapshots in one shard.

use std::collections::HashMap;
use std::collections::hash_map;

use super::item::Item;
use crate::backend::file::format::tag::Tag;
use crate::mark::{Mark, Marks};

/// The marks of one snapshot, and the frame that contains them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    /// The version and generation of the snapshot, and the position of the marks frame.
    pub(crate) item: Item,
    /// The sequence number of the frame.
    pub(crate) seq: u64,
    /// Empty after all marks were cleared. The frame is still needed to hide earlier marks.
    pub(crate) marks: Marks,
}

impl Note {
    /// Returns the generation number and version of the snapshot.
    pub(crate) fn snapshot(&self) -> (u32, u64) {
        (self.item.place.generation, self.item.version)
    }
}

/// The marks of the snapshots in one shard. Snapshots that never had marks take no space. In a
/// shard without marks, a lookup costs one comparison.
#[derive(Default)]
pub(super) struct Notes(HashMap<Tag, Vec<Note>>);

impl Notes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all notes of one aggregate, in no particular order.
    pub(super) fn of(&self, tag: Tag) -> &[Note] {
        if self.is_empty() {
            return &[];
        }
        self.0.get(&tag).map_or(&[], Vec::as_slice)
    }

    /// Returns the note of a snapshot. The position in `snapshot` is ignored.
    pub(super) fn find(&self, tag: Tag, snapshot: &Item) -> Option<&Note> {
        self.of(tag).iter().find(|note| note.item.is_same(snapshot))
    }

    pub(super) fn is_retired(&self, tag: Tag, snapshot: &Item) -> bool {
        self.find(tag, snapshot).is_some_and(|note| note.marks.is_retired())
    }

    /// Adds a note. Of two notes for the same snapshot, keeps the one with the higher sequence
    /// number and returns the other one.
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

    /// Removes the notes of an aggregate for which `covers` returns true, and calls `gone` with
    /// them.
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

    /// Changes the position of the note whose frame is at `old` to `new`. Returns false if there is
    /// no such note.
    pub(super) fn swap(&mut self, tag: Tag, old: &Item, new: Item) -> bool {
        let notes = self.0.get_mut(&tag);
        let note = notes.and_then(|notes| notes.iter_mut().find(|note| note.item == *old));
        note.map(|note| note.item = new).is_some()
    }

    pub(super) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// Returns the allocated bytes, without the overhead of the allocator.
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
