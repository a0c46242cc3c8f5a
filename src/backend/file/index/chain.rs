//! [`Chains`]: the snapshots of a shard's aggregates, except for the newest ones.

use super::item::{Item, Packed, Timed, UNKNOWN};
use crate::timeline::{Descending, Entry, Timeline};
use crate::timestamp::Timestamp;

/// Points to the older snapshots of one aggregate: nothing, a list of all but the newest snapshot,
/// or, if there are many, a tree of all snapshots including the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link(u32);

impl Link {
    pub(super) const NONE: Self = Self(u32::MAX);
    const TREE: u32 = 1 << 31;

    pub(super) fn is_tree(self) -> bool {
        self.tree().is_some()
    }

    fn tree(self) -> Option<usize> {
        (self != Self::NONE && self.0 & Self::TREE != 0).then_some((self.0 & !Self::TREE) as usize)
    }

    fn to(node: usize) -> Self {
        // 2^31 nodes per shard are 48 GiB, or 3 TiB in total, so memory runs out before the numbers
        // do.
        Self(u32::try_from(node).unwrap_or(u32::MAX))
    }

    fn node(self) -> Option<usize> {
        (self.0 & Self::TREE == 0).then_some(self.0 as usize)
    }
}

/// The maximum number of nodes that are reordered while chains grow, which takes one or two
/// milliseconds.
const MOST_ORDERED: usize = 1 << 16;
/// A longer list becomes a tree, so that searches stay fast for any number of versions.
const LONGEST_LIST: usize = 32;

#[derive(Clone, Copy)]
struct Node {
    packed: Packed,
    next: Link,
}

/// A tree of snapshots. The as-of times of the snapshots from the list are unknown until they are
/// learned.
pub(super) type Tree = Timeline<Timed>;

/// The older snapshots of a shard's aggregates: 24 bytes each while there are few, about 30 if
/// there are many.
pub(super) struct Chains {
    nodes: Vec<Node>,
    free: Link,
    trees: Vec<Tree>,
    free_trees: Vec<u32>,
    /// The number of nodes at the last reordering.
    ordered: usize,
    /// Grows in large steps, which is faster, until [`order`](Self::order) is called.
    pub(super) loading: bool,
}

impl Chains {
    pub(super) const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            free: Link::NONE,
            trees: Vec::new(),
            free_trees: Vec::new(),
            ordered: 0,
            loading: false,
        }
    }

    /// Returns whether calling [`order`](Self::order) is worthwhile.
    pub(super) fn is_unordered(&self) -> bool {
        let len = self.nodes.len();
        !self.loading && len > self.ordered + self.ordered / 4 + 64 && len <= MOST_ORDERED
    }

    /// Makes the nodes of each list adjacent, so that a search touches only one or two cache lines,
    /// and frees unused memory. `links` must contain all links.
    pub(super) fn order<'a>(&mut self, links: impl Iterator<Item = &'a mut Link>) {
        let mut nodes = Vec::new();
        nodes.reserve_exact(self.nodes.len());
        for link in links {
            let mut at = link.node().and_then(|node| self.nodes.get(node));
            if at.is_some() {
                *link = Link::to(nodes.len());
            }
            while let Some(node) = at {
                at = node.next.node().and_then(|next| self.nodes.get(next));
                let next = if at.is_some() { Link::to(nodes.len() + 1) } else { Link::NONE };
                nodes.push(Node { packed: node.packed, next });
            }
        }
        nodes.shrink_to_fit();
        self.ordered = nodes.len();
        self.nodes = nodes;
        self.free = Link::NONE;
        self.loading = false;
    }

    /// Returns the snapshots at `link` with versions up to `at_most`, newest first.
    pub(super) fn walk(&self, link: Link, at_most: u64) -> Walk<'_> {
        match self.tree(link) {
            Some(tree) => Walk::Tree(tree.descending((at_most, u32::MAX))),
            None => Walk::List { chains: self, link, at_most },
        }
    }

    pub(super) fn tree(&self, link: Link) -> Option<&Tree> {
        link.tree().and_then(|tree| self.trees.get(tree))
    }

    pub(super) fn tree_mut(&mut self, link: Link) -> Option<&mut Tree> {
        link.tree().and_then(|tree| self.trees.get_mut(tree))
    }

    /// Inserts `item` at the front of the list at `link`.
    pub(super) fn push(&mut self, link: Link, item: Item) -> Link {
        self.add_node(Packed::new(item), link)
    }

    /// Returns whether the list at `link` should become a tree.
    pub(super) fn is_long(&self, link: Link) -> bool {
        // Measuring each time would make long lists slow to build. One time in 16 is sufficient.
        link != Link::NONE
            && link.0.is_multiple_of(16)
            && self.walk(link, u64::MAX).nth(LONGEST_LIST).is_some()
    }

    /// Inserts `item` into the list at `link` by version. Returns the item that it replaces, and
    /// whether the list should become a tree.
    pub(super) fn insert(&mut self, link: &mut Link, item: Item) -> (Option<Item>, bool) {
        let mut steps = 0;
        let mut before = None;
        let mut at = *link;
        while let Some(node) = at.node().and_then(|node| self.nodes.get_mut(node)) {
            let here = node.packed.item();
            if here.is_same(&item) {
                node.packed = Packed::new(item);
                return (Some(here), false);
            }
            if here.version < item.version {
                break;
            }
            steps += 1;
            before = at.node();
            at = node.next;
        }
        let added = self.add_node(Packed::new(item), at);
        match before.and_then(|before| self.nodes.get_mut(before)) {
            Some(before) => before.next = added,
            None => *link = added,
        }
        (None, steps > LONGEST_LIST)
    }

    /// Removes the items for which `remove` returns true from the list at `link`.
    pub(super) fn retain(&mut self, link: &mut Link, mut remove: impl FnMut(&Item) -> bool) {
        let mut before: Option<usize> = None;
        let mut at = *link;
        while let Some(number) = at.node() {
            let Some(node) = self.nodes.get_mut(number) else { return };
            let next = node.next;
            if remove(&node.packed.item()) {
                node.next = self.free;
                self.free = at;
                match before.and_then(|before| self.nodes.get_mut(before)) {
                    Some(before) => before.next = next,
                    None => *link = next,
                }
            } else {
                before = Some(number);
            }
            at = next;
        }
    }

    /// Removes and returns the newest item of the list at `link`.
    pub(super) fn pop(&mut self, link: &mut Link) -> Option<Item> {
        let node = link.node().and_then(|node| self.nodes.get_mut(node))?;
        let (newest, next) = (node.packed.item(), node.next);
        node.next = self.free;
        self.free = *link;
        *link = next;
        Some(newest)
    }

    /// Removes the items for which `remove` returns true from the tree at `link`. Returns the
    /// newest remaining item. If none remains, the tree is freed.
    pub(super) fn prune(
        &mut self,
        link: &mut Link,
        mut remove: impl FnMut(&Item) -> bool,
    ) -> Option<Item> {
        let tree = self.tree_mut(*link)?;
        tree.retain(|timed| !remove(&timed.item()));
        let newest = tree.last().map(|timed| timed.item());
        if newest.is_none() {
            self.free_trees.push(link.0 & !Link::TREE);
            *link = Link::NONE;
        }
        newest
    }

    /// Replaces `old` with `new`, which has the same identity, in the list or tree at `link`.
    /// Returns false if `old` is not there.
    pub(super) fn swap(&mut self, link: Link, old: &Item, new: Item) -> bool {
        if let Some(tree) = self.tree_mut(link) {
            let there = tree.get(key(old)).filter(|there| there.item() == *old);
            let Some(as_of) = there.map(Entry::as_of) else { return false };
            tree.insert(Timed::new(new, as_of));
            return true;
        }
        let mut at = link;
        while let Some(node) = at.node().and_then(|node| self.nodes.get_mut(node)) {
            if node.packed.item() == *old {
                node.packed = Packed::new(new);
                return true;
            }
            at = node.next;
        }
        false
    }

    /// Returns the allocated bytes, used or not.
    pub(super) fn memory(&self) -> usize {
        let trees: usize = self.trees.iter().map(Timeline::memory).sum();
        let table = self.trees.capacity() * size_of::<Tree>();
        self.nodes.capacity() * size_of::<Node>() + table + trees
    }

    fn add_node(&mut self, packed: Packed, next: Link) -> Link {
        let taken = self.free;
        if let Some(node) = taken.node().and_then(|node| self.nodes.get_mut(node)) {
            self.free = node.next;
            *node = Node { packed, next };
            return taken;
        }
        let len = self.nodes.len();
        if len == self.nodes.capacity() && !self.loading {
            // Doubling would leave up to half of the memory unused.
            self.nodes.reserve_exact(len / 32 + 16);
        }
        self.nodes.push(Node { packed, next });
        Link::to(len)
    }

    /// Converts the list at `link` and the newest snapshot to a tree. The list contains no times.
    pub(super) fn grow_tree(&mut self, link: Link, newest: Item, as_of: Timestamp) -> Link {
        let mut all: Vec<_> =
            self.walk(link, u64::MAX).map(|item| Timed::new(item, UNKNOWN)).collect();
        all.insert(0, Timed::new(newest, as_of));
        // The list does not order items with the same version.
        all.sort_unstable_by_key(Entry::key);
        let tree: Tree = all.into_iter().collect();
        let mut list = link;
        self.retain(&mut list, |_| true);
        let number = if let Some(number) = self.free_trees.pop() {
            if let Some(place) = self.trees.get_mut(number as usize) {
                *place = tree;
            }
            number
        } else {
            self.trees.push(tree);
            u32::try_from(self.trees.len() - 1).unwrap_or(u32::MAX)
        };
        Link(number | Link::TREE)
    }
}

fn key(item: &Item) -> (u64, u32) {
    (item.version, item.place.generation)
}

/// The snapshots at a link, newest first.
pub(super) enum Walk<'a> {
    List { chains: &'a Chains, link: Link, at_most: u64 },
    Tree(Descending<'a, Timed>),
}

impl Iterator for Walk<'_> {
    type Item = Item;

    fn next(&mut self) -> Option<Item> {
        match self {
            Self::Tree(descending) => descending.next().map(|timed| timed.item()),
            Self::List { chains, link, at_most } => loop {
                let node = chains.nodes.get(link.node()?)?;
                *link = node.next;
                if node.packed.version() <= *at_most {
                    return Some(node.packed.item());
                }
            },
        }
    }
}
