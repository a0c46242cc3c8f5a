//! [`Index`]: where each snapshot lies, in memory: about 40 bytes per aggregate and 24 per older
//! version, about 32 where there are many or where times were asked for, which then have their
//! as-of times there. Holds no keys: whoever finds a record verifies that it is of the aggregate.

mod chain;
mod generations;
mod item;
mod notes;
mod shard;

#[cfg(test)]
mod tests;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::format::tag::Tag;
use crate::mark::Marks;
use crate::timestamp::Timestamp;
use notes::Notes;
use shard::{SHARD_BITS, Shard};

pub(super) use generations::Generations;
pub(super) use item::{Item, Place, UNKNOWN};
pub(super) use notes::Note;

const SHARDS: usize = 1 << SHARD_BITS;

/// Where each snapshot lies.
pub(super) struct Index {
    shards: Box<[RwLock<Part>]>,
}

/// Snapshots and their marks, which change together.
struct Part {
    shard: Shard,
    notes: Notes,
}

impl Part {
    fn new() -> Self {
        Self { shard: Shard::new(), notes: Notes::default() }
    }

    /// As [`Shard::newest`], without retired snapshots.
    fn newest_in_use(
        &self,
        tag: Tag,
        generation: Option<u32>,
        at_most: u64,
        as_of: Timestamp,
    ) -> Result<(Item, Timestamp), bool> {
        let is_retired = |item: &Item| self.notes.is_retired(tag, item);
        let mut below = Some(at_most);
        while let Some(bound) = below {
            match self.shard.newest(tag, generation, bound, as_of) {
                Ok((item, _)) if is_retired(&item) => below = item.version.checked_sub(1),
                Ok(found) => return Ok(found),
                Err(_) => break,
            }
        }
        Err(self.shard.walk(tag, at_most).any(|item| !is_retired(&item)))
    }
}

/// What of a snapshot has left the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone<'a> {
    Record(&'a Item),
    Marks(&'a Item),
}

/// Which snapshot a search is for. All bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    /// `None` if the store has no snapshot of the generation.
    pub(super) generation: Option<u32>,
    pub(super) at_most: u64,
    pub(super) as_of: Timestamp,
    pub(super) include_retired: bool,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::new(Part::new())).collect() }
    }

    /// The newest snapshot of a generation at or below a version and at or before a time, retired
    /// ones left out unless they are wanted.
    ///
    /// `with` runs while the snapshot cannot be moved, on it and its as-of time, or [`UNKNOWN`] if
    /// its record has to be asked whether it is within `as_of`. If there is none, `with` gets
    /// whether the aggregate has another snapshot at or below the version. Takes O(log n) of the
    /// aggregate's snapshots, unless times and generations are mixed up at random.
    pub(super) fn newest<R>(
        &self,
        tag: Tag,
        sought: Sought,
        with: impl FnOnce(Result<(Item, Timestamp), bool>) -> R,
    ) -> R {
        let Sought { generation, at_most, as_of, include_retired } = sought;
        let part = self.read(tag);
        let all_count = include_retired || part.notes.of(tag).is_empty();
        with(if all_count {
            part.shard.newest(tag, generation, at_most, as_of)
        } else {
            part.newest_in_use(tag, generation, at_most, as_of)
        })
    }

    /// Makes room for the as-of times of an aggregate's snapshots, unless it has only one. They are
    /// not known before they are learned.
    pub(super) fn keep_times(&self, tag: Tag) {
        if !self.read(tag).shard.keeps_times(tag) {
            self.write(tag).shard.keep_times(tag);
        }
    }

    /// Takes note of the as-of time of a snapshot, where there is room for it.
    pub(super) fn learn(&self, tag: Tag, item: Item, as_of: Timestamp) {
        // Most aggregates have few snapshots, and no room: readers do not wait for each other
        // there.
        if self.read(tag).shard.keeps_times(tag) {
            self.write(tag).shard.learn(tag, item, as_of);
        }
    }

    /// Just the snapshot with this identity; `with` runs while it cannot be moved.
    pub(super) fn exact<R>(
        &self,
        tag: Tag,
        generation: u32,
        version: u64,
        with: impl FnOnce(Item) -> R,
    ) -> Option<R> {
        self.marked(tag, generation, version, |item, _| with(item))
    }

    /// The same, with the snapshot's marks.
    pub(super) fn marked<R>(
        &self,
        tag: Tag,
        generation: u32,
        version: u64,
        with: impl FnOnce(Item, Option<&Marks>) -> R,
    ) -> Option<R> {
        let part = self.read(tag);
        let item = part
            .shard
            .walk(tag, version)
            .take_while(|item| item.version == version)
            .find(|item| item.place.generation == generation)?;
        Some(with(item, part.notes.find(tag, &item).map(|note| &note.marks)))
    }

    /// The note of a snapshot, whether that is stored or not.
    pub(super) fn note(&self, tag: Tag, generation: u32, version: u64) -> Option<Note> {
        let notes = &self.read(tag).notes;
        notes.of(tag).iter().find(|note| note.snapshot() == (generation, version)).cloned()
    }

    /// The notes of all snapshots of an aggregate that have one, in no order.
    pub(super) fn notes_of(&self, tag: Tag) -> Vec<Note> {
        self.read(tag).notes.of(tag).to_vec()
    }

    /// Whether an aggregate has a pinned snapshot.
    pub(super) fn has_pins(&self, tag: Tag) -> bool {
        self.read(tag).notes.of(tag).iter().any(|note| note.marks.is_pinned())
    }

    /// Whether an aggregate has a snapshot that is `wanted`.
    pub(super) fn any(&self, tag: Tag, mut wanted: impl FnMut(&Item) -> bool) -> bool {
        self.read(tag).shard.walk(tag, u64::MAX).any(|item| wanted(&item))
    }

    /// The snapshots of an aggregate at or below `at_most` as long as `wanted` holds, newest first.
    pub(super) fn list(
        &self,
        tag: Tag,
        at_most: u64,
        mut wanted: impl FnMut(&[Item], &Item) -> bool,
    ) -> Vec<Item> {
        let mut items = Vec::new();
        for item in self.read(tag).shard.walk(tag, at_most) {
            if !wanted(&items, &item) {
                break;
            }
            items.push(item);
        }
        items
    }

    /// Up to `limit` tags above `after`, in order; fewer only at the end.
    pub(super) fn tags_after(&self, after: Option<Tag>, limit: usize) -> Vec<Tag> {
        let mut tags = Vec::new();
        let first = after.map_or(0, number);
        for (at, shard) in self.shards.iter().enumerate().skip(first) {
            let after = after.filter(|_| at == first);
            let part = shard.read().unwrap_or_else(PoisonError::into_inner);
            let left = limit - tags.len();
            tags.extend(part.shard.tags_after(after).take(left).map(|(tag, _)| tag));
            if tags.len() == limit {
                break;
            }
        }
        tags
    }

    /// Adds a snapshot; returns the one of the same identity that it replaces.
    pub(super) fn insert(&self, tag: Tag, item: Item, as_of: Timestamp) -> Option<Item> {
        self.write(tag).shard.insert(tag, item, as_of)
    }

    /// The same, together with the marks of the snapshot; also returns the note that they replace.
    pub(super) fn insert_marked(
        &self,
        tag: Tag,
        item: Item,
        as_of: Timestamp,
        note: Note,
    ) -> (Option<Item>, Option<Note>) {
        let mut part = self.write(tag);
        (part.shard.insert(tag, item, as_of), part.notes.insert(tag, note))
    }

    /// Enters the marks of a snapshot; returns the note with the lower sequence number if there are
    /// two now, which may be this one.
    pub(super) fn insert_note(&self, tag: Tag, note: Note) -> Option<Note> {
        self.write(tag).notes.insert(tag, note)
    }

    /// Removes the snapshots of an aggregate that `covers` tells, with their marks, and hands each
    /// part to `gone`.
    pub(super) fn remove(
        &self,
        tag: Tag,
        covers: impl Fn(&Item) -> bool,
        mut gone: impl FnMut(Gone<'_>),
    ) {
        let mut part = self.write(tag);
        part.shard.remove(tag, |item| {
            let covered = covers(item);
            if covered {
                gone(Gone::Record(item));
            }
            covered
        });
        part.notes.remove(tag, covers, |item| gone(Gone::Marks(item)));
    }

    /// Replaces `old` by `new`, which has the same identity; false if `old` is not there any more.
    pub(super) fn swap(&self, tag: Tag, old: &Item, new: Item) -> bool {
        self.write(tag).shard.swap(tag, old, new)
    }

    /// The same for the frame of marks.
    pub(super) fn swap_note(&self, tag: Tag, old: &Item, new: Item) -> bool {
        self.write(tag).notes.swap(tag, old, new)
    }

    /// Many snapshots are about to be added: memory does not matter before
    /// [`settle`](Self::settle).
    pub(super) fn expect_many(&self) {
        self.each(Shard::expect_many);
    }

    /// Gives back the memory that growing in large steps took.
    pub(super) fn settle(&self) {
        self.each(Shard::settle);
    }

    fn each(&self, change: impl Fn(&mut Shard)) {
        for shard in &self.shards {
            change(&mut shard.write().unwrap_or_else(PoisonError::into_inner).shard);
        }
    }

    /// The number of aggregates.
    pub(super) fn len(&self) -> usize {
        self.sum(|part| part.shard.len())
    }

    /// The number of snapshots whose marks have a frame.
    pub(super) fn notes(&self) -> usize {
        self.sum(|part| part.notes.len())
    }

    /// The bytes held, whether in use or not.
    pub(super) fn memory(&self) -> usize {
        self.sum(|part| part.shard.memory() + part.notes.memory())
    }

    fn sum(&self, of: impl Fn(&Part) -> usize) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| of(&shard.read().unwrap_or_else(PoisonError::into_inner))).sum()
    }

    // No change of a shard can panic half-way, so a poisoned lock still guards a whole part.
    fn read(&self, tag: Tag) -> RwLockReadGuard<'_, Part> {
        self.shard(tag).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, tag: Tag) -> RwLockWriteGuard<'_, Part> {
        self.shard(tag).write().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::indexing_slicing, reason = "six bits number the 64 shards")]
    fn shard(&self, tag: Tag) -> &RwLock<Part> {
        &self.shards[number(tag)]
    }
}

fn number(tag: Tag) -> usize {
    (tag.high >> (64 - SHARD_BITS)) as usize
}
