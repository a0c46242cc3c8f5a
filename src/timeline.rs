//! [`Timeline`]: snapshots ordered by version, searchable by version and time together.

use crate::timestamp::Timestamp;

/// A version, and a number that distinguishes snapshots of one version. Ordered by the version
/// first.
pub(crate) type Key = (u64, u32);

/// An entry of a [`Timeline`].
pub(crate) trait Entry {
    fn key(&self) -> Key;
    fn as_of(&self) -> Timestamp;
}

/// The maximum number of entries of a leaf, and of children of an inner node.
const WIDTH: usize = 64;

/// Entries in ascending order of their keys, at most one per key.
///
/// A tree in which each inner node stores the earliest time below each child. The newest entry at
/// or before a time is found in O(log n), even if times do not rise with versions: the search skips
/// whole subtrees that are too late and does not assume any order of times.
pub(crate) struct Timeline<E> {
    root: TimelineNode<E>,
}

enum TimelineNode<E> {
    Leaf(Vec<E>),
    Inner(Vec<TimelineChild<E>>),
}

/// A node that is not empty.
struct TimelineChild<E> {
    last: Key,
    summary: Summary,
    node: TimelineNode<E>,
}

/// Summarizes the entries below a node.
#[derive(Clone, Copy)]
struct Summary {
    earliest: Timestamp,
    /// The union of the bits `key.1 % 64` of all entries.
    kinds: u64,
}

/// Which entries are searched for. The bounds are inclusive, and all must hold.
#[derive(Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) at_most: Key,
    pub(crate) as_of: Timestamp,
    /// The second part of the key.
    pub(crate) kind: Option<u32>,
}

impl Wanted {
    fn admits(&self, entry: &impl Entry) -> bool {
        entry.as_of() <= self.as_of && self.kind.is_none_or(|kind| kind == entry.key().1)
    }

    fn may_be_in(&self, summary: Summary) -> bool {
        summary.earliest <= self.as_of
            && self.kind.is_none_or(|kind| summary.kinds & bit(kind) != 0)
    }
}

const fn bit(kind: u32) -> u64 {
    1 << (kind % 64)
}

impl Summary {
    const NONE: Self = Self { earliest: Timestamp::MAX, kinds: 0 };

    fn of(entry: &impl Entry) -> Self {
        Self { earliest: entry.as_of(), kinds: bit(entry.key().1) }
    }

    fn and(self, other: Self) -> Self {
        let earliest = self.earliest.min(other.earliest);
        Self { earliest, kinds: self.kinds | other.kinds }
    }
}

impl<E: Entry> Timeline<E> {
    pub(crate) const fn new() -> Self {
        Self { root: TimelineNode::Leaf(Vec::new()) }
    }

    /// Returns the last entry that is wanted.
    pub(crate) fn find(&self, wanted: Wanted) -> Option<&E> {
        self.root.find(&wanted)
    }

    pub(crate) fn get(&self, key: Key) -> Option<&E> {
        self.root.at_most(key).last().filter(|entry| entry.key() == key)
    }

    #[cfg(any(feature = "file", test))]
    pub(crate) fn last(&self) -> Option<&E> {
        self.descending((u64::MAX, u32::MAX)).next()
    }

    /// Returns the entries with keys at or below `at_most`, last first.
    pub(crate) fn descending(&self, at_most: Key) -> Descending<'_, E> {
        Descending { root: &self.root, rest: self.root.at_most(at_most) }
    }

    /// Adds an entry and returns the entry with the same key that it replaces.
    pub(crate) fn insert(&mut self, entry: E) -> Option<E> {
        let (replaced, split) = self.root.insert(entry);
        if let Some(right) = split {
            let left = std::mem::replace(&mut self.root, TimelineNode::Leaf(Vec::new()));
            self.root = TimelineNode::Inner(
                [left, right].into_iter().filter_map(TimelineChild::of).collect(),
            );
        }
        replaced
    }

    /// Keeps the entries for which `keep` returns true, and frees unused memory. Calls `keep` once
    /// per entry, in ascending order.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&E) -> bool) {
        let mut kept = Vec::new();
        let root = std::mem::replace(&mut self.root, TimelineNode::Leaf(Vec::new()));
        root.drain(&mut |entry| {
            if keep(&entry) {
                kept.push(entry);
            }
        });
        *self = kept.into_iter().collect();
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.root, TimelineNode::Leaf(entries) if entries.is_empty())
    }

    /// Returns the allocated bytes, used or not, without the memory that entries own.
    #[cfg(feature = "file")]
    pub(crate) fn memory(&self) -> usize {
        self.root.memory()
    }
}

/// The entries must be in ascending order.
impl<E: Entry> FromIterator<E> for Timeline<E> {
    fn from_iter<I: IntoIterator<Item = E>>(entries: I) -> Self {
        let mut entries = entries.into_iter().peekable();
        let mut nodes = Vec::new();
        while entries.peek().is_some() {
            let mut leaf = Vec::new();
            leaf.extend(entries.by_ref().take(WIDTH));
            leaf.shrink_to_fit();
            nodes.push(TimelineNode::Leaf(leaf));
        }
        while nodes.len() > 1 {
            let mut children = nodes.into_iter().filter_map(TimelineChild::of).peekable();
            let mut above = Vec::new();
            while children.peek().is_some() {
                above.push(TimelineNode::Inner(children.by_ref().take(WIDTH).collect()));
            }
            nodes = above;
        }
        Self { root: nodes.pop().unwrap_or(TimelineNode::Leaf(Vec::new())) }
    }
}

impl<E: Entry> TimelineChild<E> {
    /// Returns `None` for an empty node.
    fn of(node: TimelineNode<E>) -> Option<Self> {
        let last = node.last()?;
        Some(Self { last, summary: node.summary(), node })
    }
}

impl<E: Entry> TimelineNode<E> {
    fn last(&self) -> Option<Key> {
        match self {
            Self::Leaf(entries) => entries.last().map(Entry::key),
            Self::Inner(children) => children.last().map(|child| child.last),
        }
    }

    fn summary(&self) -> Summary {
        match self {
            Self::Leaf(entries) => {
                entries.iter().fold(Summary::NONE, |sum, entry| sum.and(Summary::of(entry)))
            }
            Self::Inner(children) => {
                children.iter().fold(Summary::NONE, |sum, child| sum.and(child.summary))
            }
        }
    }

    fn find(&self, wanted: &Wanted) -> Option<&E> {
        match self {
            Self::Leaf(entries) => {
                let end = entries.partition_point(|entry| entry.key() <= wanted.at_most);
                let within = entries.get(..end).unwrap_or_default();
                within.iter().rev().find(|entry| wanted.admits(*entry))
            }
            Self::Inner(children) => {
                // The first child that ends at or after the bound is the last that can begin before
                // it.
                let end = children.partition_point(|child| child.last < wanted.at_most) + 1;
                let within = children.get(..end.min(children.len())).unwrap_or_default();
                let mut candidates =
                    within.iter().rev().filter(|child| wanted.may_be_in(child.summary));
                candidates.find_map(|child| child.node.find(wanted))
            }
        }
    }

    /// Returns the entries at or below `at_most` in the last leaf that has any, or an empty slice.
    fn at_most(&self, at_most: Key) -> &[E] {
        match self {
            Self::Leaf(entries) => {
                let end = entries.partition_point(|entry| entry.key() <= at_most);
                entries.get(..end).unwrap_or_default()
            }
            Self::Inner(children) => {
                let end = children.partition_point(|child| child.last < at_most) + 1;
                let within = children.get(..end.min(children.len())).unwrap_or_default();
                // Only the last of these children may begin after the bound.
                let mut slices = within.iter().rev().map(|child| child.node.at_most(at_most));
                slices.find(|slice| !slice.is_empty()).unwrap_or_default()
            }
        }
    }

    /// Returns the replaced entry, and a new node for the part that did not fit. The new node comes
    /// directly after this one.
    fn insert(&mut self, entry: E) -> (Option<E>, Option<Self>) {
        match self {
            Self::Leaf(entries) => match entries.binary_search_by_key(&entry.key(), Entry::key) {
                Ok(at) => {
                    let there = entries.get_mut(at);
                    (there.map(|there| std::mem::replace(there, entry)), None)
                }
                Err(at) => (None, put(entries, at, entry).map(Self::Leaf)),
            },
            Self::Inner(children) => {
                let key = entry.key();
                let at = children.partition_point(|child| child.last < key);
                let at = at.min(children.len().saturating_sub(1));
                let Some(child) = children.get_mut(at) else { return (None, None) };
                let added = Summary::of(&entry);
                let (replaced, split) = child.node.insert(entry);
                if replaced.is_none() && split.is_none() {
                    child.last = child.last.max(key);
                    child.summary = child.summary.and(added);
                    return (None, None);
                }
                child.last = child.node.last().unwrap_or(child.last);
                child.summary = child.node.summary();
                let split = split.and_then(TimelineChild::of);
                (replaced, split.and_then(|right| put(children, at + 1, right)).map(Self::Inner))
            }
        }
    }

    fn drain(self, each: &mut impl FnMut(E)) {
        match self {
            Self::Leaf(entries) => entries.into_iter().for_each(each),
            Self::Inner(children) => children.into_iter().for_each(|child| child.node.drain(each)),
        }
    }

    #[cfg(feature = "file")]
    fn memory(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.capacity() * size_of::<E>(),
            Self::Inner(children) => {
                let below: usize = children.iter().map(|child| child.node.memory()).sum();
                children.capacity() * size_of::<TimelineChild<E>>() + below
            }
        }
    }
}

/// Inserts `item` at `at`. If the node overflows, returns the items of a new node to its right. An
/// item appended to a full node goes there alone, so that nodes stay full when items are only
/// appended.
fn put<T>(items: &mut Vec<T>, at: usize, item: T) -> Option<Vec<T>> {
    if items.len() < WIDTH {
        items.insert(at, item);
        return None;
    }
    if at == items.len() {
        return Some(vec![item]);
    }
    let half = items.len() / 2;
    let mut right = items.split_off(half);
    if at <= half {
        items.insert(at, item);
    } else {
        right.insert(at - half, item);
    }
    Some(right)
}

/// The entries up to some key, last first.
pub(crate) struct Descending<'a, E> {
    root: &'a TimelineNode<E>,
    /// The rest of the current leaf.
    rest: &'a [E],
}

impl<'a, E: Entry> Iterator for Descending<'a, E> {
    type Item = &'a E;

    fn next(&mut self) -> Option<&'a E> {
        let (last, rest) = self.rest.split_last()?;
        self.rest = rest;
        if rest.is_empty() {
            let below = match last.key() {
                (0, 0) => return Some(last),
                (version, 0) => (version - 1, u32::MAX),
                (version, kind) => (version, kind - 1),
            };
            self.rest = self.root.at_most(below);
        }
        Some(last)
    }
}

#[cfg(test)]
mod tests {
    //! Compared with an ordered map, with times in any order, under random changes.

    use std::collections::BTreeMap;

    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Point(Key, i64);

    impl Entry for Point {
        fn key(&self) -> Key {
            self.0
        }

        fn as_of(&self) -> Timestamp {
            Timestamp::from_micros(self.1)
        }
    }

    fn check(timeline: &Timeline<Point>, model: &BTreeMap<Key, i64>, dice: &mut fastrand::Rng) {
        let all: Vec<_> = model.iter().rev().map(|(key, time)| Point(*key, *time)).collect();
        let walked: Vec<_> = timeline.descending((u64::MAX, u32::MAX)).copied().collect();
        assert_eq!(walked, all);
        assert_eq!(timeline.is_empty(), all.is_empty());
        assert_eq!(timeline.last(), all.first());
        for _ in 0..50 {
            let at_most = (dice.u64(..600), dice.u32(..4));
            let time = dice.i64(-10..2000);
            let kind = dice.bool().then(|| dice.u32(..4));
            let found = all.iter().find(|Point((version, of), own)| {
                (*version, *of) <= at_most && *own <= time && kind.is_none_or(|kind| kind == *of)
            });
            let wanted = Wanted { at_most, as_of: Timestamp::from_micros(time), kind };
            assert_eq!(timeline.find(wanted), found);
            let exact = model.get(&at_most).map(|time| Point(at_most, *time));
            assert_eq!(timeline.get(at_most).copied(), exact);
            let below: Vec<_> = timeline.descending(at_most).take(3).copied().collect();
            let expected = all.iter().filter(|point| point.0 <= at_most).take(3);
            assert!(below.iter().eq(expected));
        }
    }

    #[test]
    fn a_timeline_agrees_with_an_ordered_map_whatever_the_times() {
        for seed in 0..60 {
            let mut dice = fastrand::Rng::with_seed(seed);
            let (mut timeline, mut model) = (Timeline::new(), BTreeMap::new());
            let rising = dice.bool();
            for version in 0..dice.u64(1..3000) {
                let key = if rising {
                    (version / 4, dice.u32(..4))
                } else {
                    (dice.u64(..600), dice.u32(..4))
                };
                let time = if rising { i64::try_from(version).unwrap() } else { dice.i64(..2000) };
                let old = timeline.insert(Point(key, time)).map(|point| point.1);
                assert_eq!(old, model.insert(key, time));
                if dice.u32(..400) == 0 {
                    let below = (dice.u64(..600), 0);
                    timeline.retain(|point| point.0 >= below);
                    model.retain(|key, _| *key >= below);
                }
            }
            check(&timeline, &model, &mut dice);
            timeline.retain(|point| point.0.0 % 3 == 0);
            model.retain(|key, _| key.0 % 3 == 0);
            check(&timeline, &model, &mut dice);
            timeline.retain(|_| false);
            check(&timeline, &BTreeMap::new(), &mut dice);
        }
    }
}
