//! [`Bases`]: which snapshots in one shard are deltas, and the versions of their bases.

use std::collections::HashMap;
use std::collections::hash_map;

use super::item::Item;
use crate::backend::file::format::tag::Tag;
use crate::timeline::{Entry, Key, Timeline};
use crate::timestamp::Timestamp;

/// The version of the base of each delta. Snapshots that are not deltas take no space. In a shard
/// without deltas, a lookup costs one comparison.
#[derive(Default)]
pub(super) struct Bases(HashMap<Tag, Timeline<Delta>>);

/// A delta and its base, in five words.
#[derive(Clone, Copy)]
struct Delta {
    version: [u32; 2],
    generation: u32,
    base: [u32; 2],
}

impl Delta {
    fn new(item: &Item, base: u64) -> Self {
        Self { version: words(item.version), generation: item.place.generation, base: words(base) }
    }

    fn base(self) -> u64 {
        number(self.base)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "each word takes its half of the bits")]
const fn words(number: u64) -> [u32; 2] {
    [number as u32, (number >> 32) as u32]
}

fn number([low, high]: [u32; 2]) -> u64 {
    u64::from(low) | u64::from(high) << 32
}

impl Entry for Delta {
    fn key(&self) -> Key {
        (number(self.version), self.generation)
    }

    /// Deltas are not searched by time.
    fn as_of(&self) -> Timestamp {
        Timestamp::MIN
    }
}

impl Bases {
    /// Returns whether an aggregate has a delta.
    pub(super) fn has(&self, tag: Tag) -> bool {
        !self.0.is_empty() && self.0.contains_key(&tag)
    }

    /// Returns the version of the base of a snapshot. `None` if the snapshot is not a delta.
    pub(super) fn find(&self, tag: Tag, item: &Item) -> Option<u64> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&tag)?.get(key(item)).map(|delta| delta.base())
    }

    /// Returns the deltas of an aggregate, newest first: their generation numbers and versions, and
    /// the versions of their bases.
    pub(super) fn of(&self, tag: Tag) -> impl Iterator<Item = ((u32, u64), u64)> {
        let deltas = (!self.0.is_empty()).then(|| self.0.get(&tag)).flatten();
        deltas.into_iter().flat_map(|deltas| deltas.descending((u64::MAX, u32::MAX))).map(|delta| {
            let (version, generation) = delta.key();
            ((generation, version), delta.base())
        })
    }

    /// Sets the base of a snapshot, or `None` if it is not a delta. Returns the previous base.
    pub(super) fn set(&mut self, tag: Tag, item: &Item, base: Option<u64>) -> Option<u64> {
        if let Some(base) = base {
            let deltas = self.0.entry(tag).or_insert_with(Timeline::new);
            return deltas.insert(Delta::new(item, base)).map(Delta::base);
        }
        let before = self.find(tag, item)?;
        self.remove(tag, |generation, version| (version, generation) == key(item));
        Some(before)
    }

    /// Removes the snapshots of an aggregate for which `covers` returns true. The arguments are the
    /// generation number and the version.
    pub(super) fn remove(&mut self, tag: Tag, covers: impl Fn(u32, u64) -> bool) {
        if self.0.is_empty() {
            return;
        }
        let hash_map::Entry::Occupied(mut entry) = self.0.entry(tag) else { return };
        entry.get_mut().retain(|delta| {
            let (version, generation) = delta.key();
            !covers(generation, version)
        });
        if entry.get().is_empty() {
            entry.remove();
        }
    }

    /// Returns the allocated bytes, without the overhead of the allocator.
    pub(super) fn memory(&self) -> usize {
        let table = self.0.capacity() * size_of::<(Tag, Timeline<Delta>)>();
        table + self.0.values().map(Timeline::memory).sum::<usize>()
    }
}

const fn key(item: &Item) -> Key {
    (item.version, item.place.generation)
}
