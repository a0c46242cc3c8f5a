//! [`Chains`]: the snapshots of a shard's aggregates beside the newest of each.

use super::item::{Item, Packed, Timed, UNKNOWN};
use crate::timeline::{Descending, Entry, Timeline};
use crate::timestamp::Timestamp;

/// Leads to the other snapshots of one aggregate: nothing, or a list of nodes with all but the
/// newest, or, if there are many, a tree with all of them, the newest too.
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
        // 2^31 nodes of one shard are 48 GiB, 3 TiB of all: memory ends before the numbers do.
        Self(u32::try_from(node).unwrap_or(u32::MAX))
    }

    fn node(self) -> Option<usize> {
        (self.0 & Self::TREE == 0).then_some(self.0 as usize)
    }
}

/// Chains of up to so many nodes are put in order as they grow: it takes a millisecond or two.
const MOST_ORDERED: usize = 1 << 16;
/// A list longer than this becomes a tree, so that no number of versions makes a search slow.
const LONGEST_LIST: usize = 32;

#[derive(Clone, Copy)]
struct Node {
    packed: Packed,
    next: Link,
}

/// Knows the as-of times of what was added since it was made, and what is learned.
pub(super) type Tree = Timeline<Timed>;

/// The older snapshots of a shard's aggregates: 24 bytes each while there are few, about 30 if
/// there are many.
pub(super) struct Chains {
    nodes: Vec<Node>,
    free: Link,
    trees: Vec<Tree>,
    free_trees: Vec<u32>,
    /// How many nodes there were when they were last put in order.
    ordered: usize,
    /// Grows in large steps, for speed, until [`order`](Self::order).
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

    /// Whether [`order`](Self::order) is worth its time.
    pub(super) fn is_unordered(&self) -> bool {
        let len = self.nodes.len();
        !self.loading && len > self.ordered + self.ordered / 4 + 64 && len <= MOST_ORDERED
    }

    /// Puts the nodes of each list one behind the other, so that a search through it runs within a
    /// cache line or two, and gives back memory that is not used. `links` are all there are.
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

    /// The snapshots behind `link` with versions at or below `at_most`, newest first.
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

    /// Puts `item` before all others in the list behind `link`.
    pub(super) fn push(&mut self, link: Link, item: Item) -> Link {
        self.add_node(Packed::new(item), link)
    }

    /// Whether the list behind `link` should become a tree.
    pub(super) fn is_long(&self, link: Link) -> bool {
        // Measuring each time would make long lists slow to build; one time in 16 will do.
        link != Link::NONE
            && link.0.is_multiple_of(16)
            && self.walk(link, u64::MAX).nth(LONGEST_LIST).is_some()
    }

    /// Inserts `item` into the list behind `link` where its version belongs; returns the one that
    /// it replaces, and whether the list should become a tree.
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

    /// Removes those from the list behind `link` that `remove` wants gone.
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

    /// Takes the newest off the list behind `link`.
    pub(super) fn pop(&mut self, link: &mut Link) -> Option<Item> {
        let node = link.node().and_then(|node| self.nodes.get_mut(node))?;
        let (newest, next) = (node.packed.item(), node.next);
        node.next = self.free;
        self.free = *link;
        *link = next;
        Some(newest)
    }

    /// Removes what `remove` wants gone from the tree behind `link`; returns the newest that is
    /// left. If none is, there is no tree any more.
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

    /// Replaces `old` in the list or tree behind `link` by `new`, which has the same identity;
    /// false if it is not there.
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

    /// The bytes held, whether in use or not.
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

    /// Makes a tree of the list behind `link` and the newest snapshot. The list has no times.
    pub(super) fn grow_tree(&mut self, link: Link, newest: Item, as_of: Timestamp) -> Link {
        let mut all: Vec<_> =
            self.walk(link, u64::MAX).map(|item| Timed::new(item, UNKNOWN)).collect();
        all.insert(0, Timed::new(newest, as_of));
        // The list does not order those of one version among each other.
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

/// The snapshots behind a link, newest first.
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
