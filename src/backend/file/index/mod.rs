//! [`Index`]: the positions of all snapshots, in memory. It takes about 40 bytes per aggregate and
//! 24 bytes per older version. Aggregates with many versions, or that were searched by time, take
//! about 32 bytes per version and keep as-of times. A delta takes about 30 to 50 bytes more. The index
//! contains no keys, so a reader must check that a record belongs to the aggregate.

mod bases;
mod chain;
mod generations;
mod item;
mod notes;
mod shard;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::format::tag::Tag;
use crate::mark::Marks;
use crate::store::Found;
use crate::timestamp::Timestamp;
use bases::Bases;
use notes::Notes;
use shard::{SHARD_BITS, Shard};

pub(super) use generations::Generations;
pub(super) use item::{Item, Place, UNKNOWN};
pub(super) use notes::Note;

const SHARDS: usize = 1 << SHARD_BITS;

/// The positions of all snapshots.
pub(super) struct Index {
    shards: Box<[RwLock<Part>]>,
}

/// Snapshots, their marks and their bases, which are changed together.
struct Part {
    shard: Shard,
    notes: Notes,
    bases: Bases,
}

impl Part {
    fn new() -> Self {
        Self { shard: Shard::new(), notes: Notes::default(), bases: Bases::default() }
    }

    /// Returns the snapshot with this identity.
    fn exact(&self, tag: Tag, generation: u32, version: u64) -> Option<Item> {
        self.shard
            .walk(tag, version)
            .take_while(|item| item.version == version)
            .find(|item| item.place.generation == generation)
    }

    /// Returns the stored bases of a snapshot, nearest first.
    fn chain(&self, tag: Tag, item: &Item) -> Vec<Item> {
        let next = |above: &Item| {
            let base = self.bases.find(tag, above)?;
            self.exact(tag, above.place.generation, base)
        };
        std::iter::successors(next(item), next).take(Found::MAX_BASES).collect()
    }

    fn insert(&mut self, tag: Tag, added: Added) -> Option<Replaced> {
        let Added { item, as_of, base } = added;
        let item_before = self.shard.insert(tag, item, as_of);
        let base_before = self.bases.set(tag, &item, base);
        item_before.map(|item| Replaced { item, base: base_before })
    }

    /// Returns the newest snapshot as [`Shard::newest`] does, but ignores retired snapshots.
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

/// A snapshot to add.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    pub(super) item: Item,
    /// [`UNKNOWN`] if it is not known.
    pub(super) as_of: Timestamp,
    /// The version of its base if it is a delta. Always lower than its own.
    pub(super) base: Option<u64>,
}

/// A snapshot that was replaced by another one with the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Replaced {
    pub(super) item: Item,
    pub(super) base: Option<u64>,
}

/// The result of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) item: Item,
    /// The as-of time, or [`UNKNOWN`] if the record must be read to find it.
    pub(super) as_of: Timestamp,
    /// The stored bases of a delta, nearest first.
    pub(super) bases: Vec<Item>,
}

/// The part of a snapshot that was removed from the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gone<'a> {
    Record(&'a Item),
    Marks(&'a Item),
}

/// The criteria of a search. All bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    /// The number of the generation, or `None` if the store has no snapshot of it.
    pub(super) generation: Option<u32>,
    pub(super) at_most: u64,
    pub(super) as_of: Timestamp,
    pub(super) include_retired: bool,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::new(Part::new())).collect() }
    }

    /// Finds the newest snapshot of a generation at or below a version and at or before a time.
    /// Retired snapshots are ignored unless they are requested.
    ///
    /// Calls `with` while the snapshot and its bases cannot be moved. If its time is unknown, the
    /// record must be read to decide whether it is within `as_of`. If there is no such snapshot, the
    /// argument is whether the aggregate has another snapshot at or below the version. Takes O(log
    /// n) for n snapshots of the aggregate, unless times and generations are mixed at random.
    pub(super) fn newest<R>(
        &self,
        tag: Tag,
        sought: Sought,
        with: impl FnOnce(Result<Hit, bool>) -> R,
    ) -> R {
        let Sought { generation, at_most, as_of, include_retired } = sought;
        let part = self.read(tag);
        let all_count = include_retired || part.notes.of(tag).is_empty();
        let found = if all_count {
            part.shard.newest(tag, generation, at_most, as_of)
        } else {
            part.newest_in_use(tag, generation, at_most, as_of)
        };
        with(found.map(|(item, as_of)| Hit { item, as_of, bases: part.chain(tag, &item) }))
    }

    /// Allocates space for the as-of times of an aggregate's snapshots if it has more than one. The
    /// times are unknown until they are learned.
    pub(super) fn keep_times(&self, tag: Tag) {
        if !self.read(tag).shard.keeps_times(tag) {
            self.write(tag).shard.keep_times(tag);
        }
    }

    /// Stores the as-of time of a snapshot if there is space for it.
    pub(super) fn learn(&self, tag: Tag, item: Item, as_of: Timestamp) {
        // Most aggregates have few snapshots and no such space. For those, readers do not block
        // each other.
        if self.read(tag).shard.keeps_times(tag) {
            self.write(tag).shard.learn(tag, item, as_of);
        }
    }

    /// Finds the snapshot with this identity. `with` runs while the snapshot cannot be moved.
    pub(super) fn exact<R>(
        &self,
        tag: Tag,
        generation: u32,
        version: u64,
        with: impl FnOnce(Item) -> R,
    ) -> Option<R> {
        self.marked(tag, generation, version, |item, _| with(item))
    }

    /// Returns the same snapshot as [`exact`](Self::exact), and its marks.
    pub(super) fn marked<R>(
        &self,
        tag: Tag,
        generation: u32,
        version: u64,
        with: impl FnOnce(Item, Option<&Marks>) -> R,
    ) -> Option<R> {
        let part = self.read(tag);
        let item = part.exact(tag, generation, version)?;
        Some(with(item, part.notes.find(tag, &item).map(|note| &note.marks)))
    }

    /// Returns the note of a snapshot, whether or not the snapshot is stored.
    pub(super) fn note(&self, tag: Tag, generation: u32, version: u64) -> Option<Note> {
        let notes = &self.read(tag).notes;
        notes.of(tag).iter().find(|note| note.snapshot() == (generation, version)).cloned()
    }

    /// Returns the notes of all snapshots of an aggregate, in no particular order.
    pub(super) fn notes_of(&self, tag: Tag) -> Vec<Note> {
        self.read(tag).notes.of(tag).to_vec()
    }

    /// Returns whether an aggregate has a pinned snapshot.
    pub(super) fn has_pins(&self, tag: Tag) -> bool {
        self.read(tag).notes.of(tag).iter().any(|note| note.marks.is_pinned())
    }

    /// Returns whether an aggregate has a delta.
    pub(super) fn has_deltas(&self, tag: Tag) -> bool {
        self.read(tag).bases.has(tag)
    }

    /// Returns the deltas of an aggregate: their generation numbers and versions, and the versions
    /// of their bases.
    pub(super) fn bases_of(&self, tag: Tag) -> HashMap<(u32, u64), u64> {
        self.read(tag).bases.of(tag).collect()
    }

    /// Returns whether `wanted` is true for any snapshot of an aggregate.
    pub(super) fn any(&self, tag: Tag, mut wanted: impl FnMut(&Item) -> bool) -> bool {
        self.read(tag).shard.walk(tag, u64::MAX).any(|item| wanted(&item))
    }

    /// Returns the snapshots of an aggregate at or below `at_most`, newest first, while `wanted` is
    /// true.
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

    /// Returns up to `limit` tags above `after`, in order. Returns fewer only at the end.
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

    /// Adds a snapshot. Returns the snapshot with the same identity that it replaces.
    pub(super) fn insert(&self, tag: Tag, added: Added) -> Option<Replaced> {
        self.write(tag).insert(tag, added)
    }

    /// Adds a snapshot with its marks. Returns what [`insert`](Self::insert) returns, and the note
    /// that the marks replace.
    pub(super) fn insert_marked(
        &self,
        tag: Tag,
        added: Added,
        note: Note,
    ) -> (Option<Replaced>, Option<Note>) {
        let mut part = self.write(tag);
        (part.insert(tag, added), part.notes.insert(tag, note))
    }

    /// Adds the marks of a snapshot. If the snapshot already has a note, returns the one with the
    /// lower sequence number, which may be the new one.
    pub(super) fn insert_note(&self, tag: Tag, note: Note) -> Option<Note> {
        self.write(tag).notes.insert(tag, note)
    }

    /// Removes the snapshots of an aggregate for which `covers` returns true, with their marks. The
    /// arguments are the generation number and the version. Calls `gone` with each removed part.
    pub(super) fn remove(
        &self,
        tag: Tag,
        covers: impl Fn(u32, u64) -> bool,
        mut gone: impl FnMut(Gone<'_>),
    ) {
        let mut part = self.write(tag);
        part.bases.remove(tag, &covers);
        let covers = |item: &Item| covers(item.place.generation, item.version);
        part.shard.remove(tag, |item| {
            let covered = covers(item);
            if covered {
                gone(Gone::Record(item));
            }
            covered
        });
        part.notes.remove(tag, covers, |item| gone(Gone::Marks(item)));
    }

    /// Replaces `old` with `new`, which has the same identity. Returns false if `old` is no longer
    /// there.
    pub(super) fn swap(&self, tag: Tag, old: &Item, new: Item) -> bool {
        self.write(tag).shard.swap(tag, old, new)
    }

    /// Replaces the position of a marks frame. Returns false if `old` is no longer there.
    pub(super) fn swap_note(&self, tag: Tag, old: &Item, new: Item) -> bool {
        self.write(tag).notes.swap(tag, old, new)
    }

    /// Prepares for many insertions. Memory is not a concern until [`settle`](Self::settle) is
    /// called.
    pub(super) fn expect_many(&self) {
        self.each(Shard::expect_many);
    }

    /// Frees the memory that was used for growing in large steps.
    pub(super) fn settle(&self) {
        self.each(Shard::settle);
    }

    fn each(&self, change: impl Fn(&mut Shard)) {
        for shard in &self.shards {
            change(&mut shard.write().unwrap_or_else(PoisonError::into_inner).shard);
        }
    }

    /// Returns the number of aggregates.
    pub(super) fn len(&self) -> usize {
        self.sum(|part| part.shard.len())
    }

    /// Returns the number of snapshots whose marks have a frame.
    pub(super) fn notes(&self) -> usize {
        self.sum(|part| part.notes.len())
    }

    /// Returns the allocated bytes, used or not.
    pub(super) fn memory(&self) -> usize {
        self.sum(|part| part.shard.memory() + part.notes.memory() + part.bases.memory())
    }

    fn sum(&self, of: impl Fn(&Part) -> usize) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| of(&shard.read().unwrap_or_else(PoisonError::into_inner))).sum()
    }

    // No change of a shard can panic halfway, so the data under a poisoned lock is consistent.
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
