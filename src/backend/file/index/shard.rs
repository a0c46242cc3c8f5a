//! [`Shard`]: a part of the index, as an open-addressing table ordered by tag.

use super::chain::{self, Chains, Link};
use super::item::{Item, Packed, Timed, UNKNOWN};
use crate::backend::file::format::tag::Tag;
use crate::timeline::{Entry, Wanted};
use crate::timestamp::Timestamp;

/// The number of high bits of a tag that select its shard.
pub(super) const SHARD_BITS: u32 = 6;

/// One aggregate: its tag, its newest snapshot, and a link to the others. 36 bytes.
#[derive(Clone, Copy)]
struct Slot {
    tag: [u32; 3],
    newest: Packed,
    older: Link,
}

const EMPTY: Slot = Slot { tag: [0; 3], newest: Packed::EMPTY, older: Link::NONE };

impl Slot {
    fn tag(&self) -> Tag {
        let [high, middle, low] = self.tag;
        Tag { high: u64::from(high) << 32 | u64::from(middle), low }
    }

    #[expect(clippy::cast_possible_truncation, reason = "each word takes its part of the bits")]
    fn of(tag: Tag, newest: Packed, older: Link) -> Self {
        Self { tag: [(tag.high >> 32) as u32, tag.high as u32, tag.low], newest, older }
    }
}

/// A part of the index.
///
/// Slots are ordered by tag. Each tag has a home slot, and is stored there or after it with no
/// empty slot in between. A search therefore runs from the home slot to the first larger tag or
/// empty slot, and the order of the table is the order in which keys are listed.
pub(super) struct Shard {
    slots: Vec<Slot>,
    homes: usize,
    used: usize,
    chains: Chains,
    /// Grows in large steps, which is faster, until [`settle`](Self::settle) is called.
    loading: bool,
}

impl Shard {
    pub(super) const fn new() -> Self {
        Self { slots: Vec::new(), homes: 0, used: 0, chains: Chains::new(), loading: false }
    }

    /// Prepares for many insertions. Memory is not a concern until [`settle`](Self::settle) is
    /// called.
    pub(super) fn expect_many(&mut self) {
        self.loading = true;
        self.chains.loading = true;
    }

    /// Frees the memory that was used for growing in large steps.
    pub(super) fn settle(&mut self) {
        self.loading = false;
        self.order();
        let homes = self.used + self.used / 6 + 8;
        if self.homes > homes {
            self.resize(homes);
        }
    }

    fn order(&mut self) {
        self.chains.order(self.slots.iter_mut().map(|slot| &mut slot.older));
    }

    /// Returns the number of aggregates.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Returns the allocated bytes, used or not.
    pub(super) fn memory(&self) -> usize {
        self.slots.capacity() * size_of::<Slot>() + self.chains.memory()
    }

    /// Returns the snapshots of the aggregate with versions up to `at_most`, newest first.
    pub(super) fn walk(&self, tag: Tag, at_most: u64) -> Walk<'_> {
        let slot = self.find(tag).ok().and_then(|at| self.slots.get(at));
        let older = slot.map_or(Link::NONE, |slot| slot.older);
        // A tree also contains the newest snapshot.
        let newest = slot.filter(|_| !older.is_tree()).map(|slot| slot.newest.item());
        Walk {
            newest: newest.filter(|newest| newest.version <= at_most),
            older: self.chains.walk(older, at_most),
        }
    }

    /// Returns the tags above `after`, in order, each with its newest snapshot.
    pub(super) fn tags_after(&self, after: Option<Tag>) -> impl Iterator<Item = (Tag, Item)> {
        let from = match after.map(|after| self.find(after)) {
            None => 0,
            Some(Ok(at)) => at + 1,
            Some(Err(at)) => at,
        };
        let slots = self.slots.get(from..).unwrap_or_default();
        slots
            .iter()
            .filter(|slot| !slot.newest.is_empty())
            .map(|slot| (slot.tag(), slot.newest.item()))
    }

    /// Finds the newest snapshot of a generation at or below `at_most` that is, or may be, within
    /// `as_of`. If the time is `UNKNOWN`, the record must be read to decide. If there is none,
    /// `Err` contains whether the aggregate has another snapshot at or below the version.
    pub(super) fn newest(
        &self,
        tag: Tag,
        generation: Option<u32>,
        at_most: u64,
        as_of: Timestamp,
    ) -> Result<(Item, Timestamp), bool> {
        let slot = self.find(tag).ok().and_then(|at| self.slots.get(at)).ok_or(false)?;
        let newest = slot.newest.item();
        let is_wanted = |item: &Item| Some(item.place.generation) == generation;
        let tree = self.chains.tree(slot.older);
        // The newest snapshot of the aggregate is almost always the right one.
        if newest.version <= at_most
            && is_wanted(&newest)
            && (tree.is_none() || as_of == Timestamp::MAX)
        {
            return Ok((newest, UNKNOWN));
        }
        let Some(tree) = tree else {
            let mut others = false;
            for item in self.walk(tag, at_most) {
                if is_wanted(&item) {
                    return Ok((item, UNKNOWN));
                }
                others = true;
            }
            return Err(others);
        };
        let wanted = Wanted { at_most: (at_most, u32::MAX), as_of, kind: generation };
        let found = generation.and_then(|_| tree.find(wanted));
        let others = || tree.descending(wanted.at_most).next().is_some();
        found.map(|timed| (timed.item(), timed.as_of())).ok_or_else(others)
    }

    /// Returns whether there is space for the as-of times of an aggregate's snapshots.
    pub(super) fn keeps_times(&self, tag: Tag) -> bool {
        self.find(tag).is_ok_and(|at| self.slots.get(at).is_some_and(|slot| slot.older.is_tree()))
    }

    /// Allocates space for the as-of times of an aggregate's snapshots if it has more than one.
    pub(super) fn keep_times(&mut self, tag: Tag) {
        let Some(slot) = self.find(tag).ok().and_then(|at| self.slots.get_mut(at)) else { return };
        if slot.older != Link::NONE && !slot.older.is_tree() {
            slot.older = self.chains.grow_tree(slot.older, slot.newest.item(), UNKNOWN);
        }
    }

    /// Stores the as-of time of a snapshot if there is space for it.
    pub(super) fn learn(&mut self, tag: Tag, item: Item, as_of: Timestamp) {
        let slot = self.find(tag).ok().and_then(|at| self.slots.get(at));
        let Some(tree) = slot.and_then(|slot| self.chains.tree_mut(slot.older)) else { return };
        let key = (item.version, item.place.generation);
        if tree.get(key).is_some_and(|there| there.item() == item) {
            tree.insert(Timed::new(item, as_of));
        }
    }

    /// Adds a snapshot. Returns the snapshot with the same identity that it replaces.
    pub(super) fn insert(&mut self, tag: Tag, item: Item, as_of: Timestamp) -> Option<Item> {
        let Ok(at) = self.find(tag) else {
            self.add_slot(tag, item);
            return None;
        };
        let slot = self.slots.get_mut(at)?;
        let newest = slot.newest.item();
        if let Some(tree) = self.chains.tree_mut(slot.older) {
            if newest.is_same(&item) || item.version > newest.version {
                slot.newest = Packed::new(item);
            }
            return tree.insert(Timed::new(item, as_of)).map(Timed::item);
        }
        if newest.is_same(&item) {
            slot.newest = Packed::new(item);
            return Some(newest);
        }
        if item.version > newest.version {
            slot.older = self.chains.push(slot.older, newest);
            slot.newest = Packed::new(item);
            if self.chains.is_long(slot.older) {
                slot.older = self.chains.grow_tree(slot.older, item, as_of);
            }
            if self.chains.is_unordered() {
                self.order();
            }
            return None;
        }
        let (replaced, is_long) = self.chains.insert(&mut slot.older, item);
        if is_long {
            slot.older = self.chains.grow_tree(slot.older, newest, UNKNOWN);
        }
        replaced
    }

    /// Removes the snapshots for which `remove` returns true.
    pub(super) fn remove(&mut self, tag: Tag, mut remove: impl FnMut(&Item) -> bool) {
        let Ok(at) = self.find(tag) else { return };
        let Some(slot) = self.slots.get_mut(at) else { return };
        let next = if slot.older.is_tree() {
            self.chains.prune(&mut slot.older, remove)
        } else {
            self.chains.retain(&mut slot.older, &mut remove);
            if remove(&slot.newest.item()) {
                self.chains.pop(&mut slot.older)
            } else {
                Some(slot.newest.item())
            }
        };
        match next {
            Some(next) => slot.newest = Packed::new(next),
            None => self.remove_slot(at),
        }
    }

    /// Replaces `old` with `new`, which has the same identity. Returns false if `old` is no longer
    /// there.
    pub(super) fn swap(&mut self, tag: Tag, old: &Item, new: Item) -> bool {
        let Ok(at) = self.find(tag) else { return false };
        let Some(slot) = self.slots.get_mut(at) else { return false };
        let is_newest = slot.newest.item() == *old;
        if is_newest {
            slot.newest = Packed::new(new);
        }
        // A tree also contains the newest snapshot.
        if is_newest && !slot.older.is_tree() {
            return true;
        }
        self.chains.swap(slot.older, old, new)
    }

    fn home(&self, tag: Tag) -> usize {
        // The highest bits have already selected the shard.
        let spread = u128::from(tag.high << SHARD_BITS) * self.homes as u128;
        usize::try_from(spread >> 64).unwrap_or(usize::MAX)
    }

    /// Returns the slot of the tag, or the slot where it would be inserted.
    fn find(&self, tag: Tag) -> Result<usize, usize> {
        let mut at = self.home(tag);
        while let Some(slot) = self.slots.get(at).filter(|slot| !slot.newest.is_empty()) {
            match slot.tag().cmp(&tag) {
                std::cmp::Ordering::Less => at += 1,
                std::cmp::Ordering::Equal => return Ok(at),
                std::cmp::Ordering::Greater => break,
            }
        }
        Err(at)
    }

    fn add_slot(&mut self, tag: Tag, item: Item) {
        // With nine tenths of the slots used, a search passes about five slots, in two or three
        // cache lines.
        if (self.used + 1) * 10 > self.homes * 9 {
            let step = if self.loading { self.homes } else { self.homes / 8 };
            self.resize(self.homes + step + 8);
        }
        let (Ok(at) | Err(at)) = self.find(tag);
        let rest = self.slots.get(at..).unwrap_or_default();
        let run = rest.iter().position(|slot| slot.newest.is_empty());
        let end = at + run.unwrap_or(rest.len());
        if run.is_none() {
            self.slots.reserve_exact(16);
            self.slots.push(EMPTY);
        }
        self.slots.copy_within(at..end, at + 1);
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Slot::of(tag, Packed::new(item), Link::NONE);
        }
        self.used += 1;
    }

    fn remove_slot(&mut self, at: usize) {
        let mut end = at + 1;
        while let Some(slot) = self.slots.get(end)
            && !slot.newest.is_empty()
            && self.home(slot.tag()) < end
        {
            end += 1;
        }
        self.slots.copy_within(at + 1..end, at);
        if let Some(slot) = self.slots.get_mut(end - 1) {
            *slot = EMPTY;
        }
        self.used -= 1;
        if self.homes > 64 && self.used * 10 < self.homes * 4 {
            self.resize(self.used + self.used / 8 + 8);
        }
    }

    fn resize(&mut self, homes: usize) {
        self.homes = homes;
        let mut slots = Vec::new();
        slots.reserve_exact(homes + 16);
        slots.resize(homes, EMPTY);
        let mut next = 0;
        for slot in self.slots.iter().filter(|slot| !slot.newest.is_empty()) {
            let at = self.home(slot.tag()).max(next);
            match slots.get_mut(at) {
                Some(place) => *place = *slot,
                None => slots.push(*slot),
            }
            next = at + 1;
        }
        self.slots = slots;
    }
}

/// The snapshots of an aggregate, newest first. This is a hand-written iterator because every read
/// uses it, and adapters of the standard library cost several times as much here.
pub(super) struct Walk<'a> {
    newest: Option<Item>,
    older: chain::Walk<'a>,
}

impl Iterator for Walk<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        self.newest.take().or_else(|| self.older.next())
    }
}
