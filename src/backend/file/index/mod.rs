//! [`Index`]: where each snapshot lies, in memory: about 40 bytes per aggregate and 24 per older
//! version, about 32 where there are many or where times were asked for, which then have their as-of
//! times there. Holds no keys: whoever finds a record verifies that it is of the aggregate.

mod chain;
mod item;
mod shard;

#[cfg(test)]
mod tests;

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::tag::Tag;
use crate::timestamp::Timestamp;
use shard::Shard;

pub(super) use item::{Item, Place, UNKNOWN};

const SHARD_BITS: u32 = 6;
const SHARDS: usize = 1 << SHARD_BITS;

/// Where each snapshot lies.
pub(super) struct Index {
    shards: Box<[RwLock<Shard>]>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| RwLock::new(Shard::new())).collect() }
    }

    /// The newest snapshot of a generation at or below a version and at or before a time.
    ///
    /// `with` runs while the snapshot cannot be moved, on it and its as-of time, or [`UNKNOWN`] if
    /// its record has to be asked whether it is within `as_of`. If there is none, `with` gets whether
    /// the aggregate has another snapshot at or below the version. Takes O(log n) of the aggregate's
    /// snapshots, unless times and generations are mixed up at random.
    pub(super) fn newest<R>(
        &self,
        tag: Tag,
        generation: Option<u32>,
        at_most: u64,
        as_of: Timestamp,
        with: impl FnOnce(Result<(Item, Timestamp), bool>) -> R,
    ) -> R {
        let shard = self.read(tag);
        with(shard.newest(tag, generation, at_most, as_of))
    }

    /// Makes room for the as-of times of an aggregate's snapshots, unless it has only one. They are not
    /// known before they are learned.
    pub(super) fn keep_times(&self, tag: Tag) {
        if !self.read(tag).keeps_times(tag) {
            self.write(tag).keep_times(tag);
        }
    }

    /// Takes note of the as-of time of a snapshot, where there is room for it.
    pub(super) fn learn(&self, tag: Tag, item: Item, as_of: Timestamp) {
        // Most aggregates have few snapshots, and no room: readers do not wait for each other there.
        if self.read(tag).keeps_times(tag) {
            self.write(tag).learn(tag, item, as_of);
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
        let shard = self.read(tag);
        let item = shard
            .walk(tag, version)
            .take_while(|item| item.version == version)
            .find(|item| item.place.generation == generation);
        item.map(with)
    }

    /// Whether an aggregate has a snapshot that is `wanted`.
    pub(super) fn any(&self, tag: Tag, mut wanted: impl FnMut(&Item) -> bool) -> bool {
        self.read(tag).walk(tag, u64::MAX).any(|item| wanted(&item))
    }

    /// The snapshots of an aggregate at or below `at_most` as long as `wanted` holds, newest first.
    pub(super) fn list(
        &self,
        tag: Tag,
        at_most: u64,
        mut wanted: impl FnMut(&[Item], &Item) -> bool,
    ) -> Vec<Item> {
        let mut items = Vec::new();
        for item in self.read(tag).walk(tag, at_most) {
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
            let shard = shard.read().unwrap_or_else(PoisonError::into_inner);
            let left = limit - tags.len();
            tags.extend(shard.tags_after(after).take(left).map(|(tag, _)| tag));
            if tags.len() == limit {
                break;
            }
        }
        tags
    }

    /// Adds a snapshot; returns the one of the same identity that it replaces.
    pub(super) fn insert(&self, tag: Tag, item: Item, as_of: Timestamp) -> Option<Item> {
        self.write(tag).insert(tag, item, as_of)
    }

    /// Removes the snapshots of an aggregate that `remove` wants gone.
    pub(super) fn remove(&self, tag: Tag, remove: impl FnMut(&Item) -> bool) {
        self.write(tag).remove(tag, remove);
    }

    /// Replaces `old` by `new`, which has the same identity; false if `old` is not there any more.
    pub(super) fn swap(&self, tag: Tag, old: &Item, new: Item) -> bool {
        self.write(tag).swap(tag, old, new)
    }

    /// Many snapshots are about to be added: memory does not matter before [`settle`](Self::settle).
    pub(super) fn expect_many(&self) {
        self.each(Shard::expect_many);
    }

    /// Gives back the memory that growing in large steps took.
    pub(super) fn settle(&self) {
        self.each(Shard::settle);
    }

    fn each(&self, change: impl Fn(&mut Shard)) {
        for shard in &self.shards {
            change(&mut shard.write().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// The number of aggregates.
    pub(super) fn len(&self) -> usize {
        self.sum(Shard::len)
    }

    /// The bytes held, whether in use or not.
    pub(super) fn memory(&self) -> usize {
        self.sum(Shard::memory)
    }

    fn sum(&self, of: impl Fn(&Shard) -> usize) -> usize {
        let shards = self.shards.iter();
        shards.map(|shard| of(&shard.read().unwrap_or_else(PoisonError::into_inner))).sum()
    }

    // No change of a shard can panic half-way, so a poisoned lock still guards a whole shard.
    fn read(&self, tag: Tag) -> RwLockReadGuard<'_, Shard> {
        self.shard(tag).read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, tag: Tag) -> RwLockWriteGuard<'_, Shard> {
        self.shard(tag).write().unwrap_or_else(PoisonError::into_inner)
    }

    #[expect(clippy::indexing_slicing, reason = "six bits number the 64 shards")]
    fn shard(&self, tag: Tag) -> &RwLock<Shard> {
        &self.shards[number(tag)]
    }
}

fn number(tag: Tag) -> usize {
    (tag.high >> (64 - SHARD_BITS)) as usize
}
