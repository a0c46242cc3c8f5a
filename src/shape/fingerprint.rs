//! The fingerprint of a traced type: a hash of the canonical bytes of the graph.
//!
//! The bytes describe the type as it unfolds, not how it is divided into named types. Two graphs
//! that unfold to the same (possibly infinite) tree of requests give the same bytes. The
//! fingerprint therefore does not depend on how a compiler names types, on whether two fields share
//! one type or have two types of the same shape, or on the order in which the trace found them.
//!
//! Layout, with all numbers little-endian: the text of [`FORMAT`], then one entry per class of
//! equal nodes, in the order in which they are first mentioned. Entry 0 is the root, and its only
//! slot contains the traced type. Each entry consists of: kind `u8`; length `u64` (for tuples,
//! otherwise 0); names: `u32` count, each with `u32` length and UTF-8; slots: `u32` count, each one
//! of `0x00` (nothing was requested), `0x01` and the leaf's number `u8`, or `0x02` and the number
//! of an entry `u32`. `0x10` is added to a slot where every offered value was refused.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};

use twox_hash::XxHash3_64;

use super::graph::{Child, Fate, Graph, ROOT, ShapeKind};

/// Changes whenever the bytes of an unchanged type would change.
const FORMAT: &[u8] = b"snapfold shape 1\n";

/// Returns the hash of [`canonical`]. Never 0, which means "not traced".
///
/// `told` contains hashes of what is known about opaque parts: the names that their types
/// requested, and what their values write.
pub(super) fn fingerprint(graph: &Graph, told: &BTreeSet<u64>) -> u64 {
    let mut bytes = canonical(graph);
    for hash in told {
        bytes.extend_from_slice(&hash.to_le_bytes());
    }
    XxHash3_64::oneshot(&bytes).max(1)
}

fn canonical(graph: &Graph) -> Vec<u8> {
    let class = classes(graph);
    let class_of = |id: usize| class.get(id).copied().unwrap_or_default();
    let mut numbers = HashMap::from([(class_of(ROOT), 0)]);
    let mut order = vec![ROOT];
    let mut bytes = FORMAT.to_vec();
    let mut next = 0;
    while let Some(&id) = order.get(next) {
        next += 1;
        let node = graph.node(id);
        let (tag, len) = tag(node.kind);
        bytes.push(tag);
        bytes.extend_from_slice(&u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes());
        let (names, slots) = node.parts();
        put_len(&mut bytes, names.len());
        for name in names {
            put_len(&mut bytes, name.len());
            bytes.extend_from_slice(name.as_bytes());
        }
        put_len(&mut bytes, slots.len());
        for slot in slots {
            let unseen = if slot.fate == Fate::Refused { 0x10 } else { 0 };
            match slot.child {
                None => bytes.push(unseen),
                Some(Child::Leaf(leaf)) => bytes.extend_from_slice(&[unseen | 1, leaf as u8]),
                Some(Child::Node(child)) => {
                    let number = *numbers.entry(class_of(child)).or_insert_with(|| {
                        order.push(child);
                        order.len() - 1
                    });
                    bytes.push(unseen | 2);
                    put_len(&mut bytes, number);
                }
            }
        }
    }
    bytes
}

fn put_len(bytes: &mut Vec<u8>, len: usize) {
    bytes.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
}

/// Returns the number of a kind, which never changes, and the length of a tuple.
const fn tag(kind: ShapeKind) -> (u8, usize) {
    match kind {
        ShapeKind::Root => (0, 0),
        ShapeKind::Option => (1, 0),
        ShapeKind::Seq => (2, 0),
        ShapeKind::Map => (3, 0),
        ShapeKind::Newtype => (4, 0),
        ShapeKind::Tuple(len) => (5, len),
        ShapeKind::TupleStruct(len) => (6, len),
        ShapeKind::Struct(_) => (7, 0),
        ShapeKind::Enum(_) => (8, 0),
        ShapeKind::UnitVariant => (9, 0),
        ShapeKind::NewtypeVariant => (10, 0),
        ShapeKind::TupleVariant(len) => (11, len),
        ShapeKind::StructVariant(_) => (12, 0),
        ShapeKind::Named => (13, 0),
        ShapeKind::Adjacent(_) => (14, 0),
    }
}

/// Assigns each node a number. Two nodes have the same number exactly if they unfold to the same
/// tree.
///
/// Nodes are first divided by their own description, then repeatedly by the classes of their slots,
/// until a round divides no class. The numbers are only valid within this call.
fn classes(graph: &Graph) -> Vec<u64> {
    let mut classes: Vec<u64> = vec![0; graph.len()];
    let mut told_apart = 0;
    loop {
        let next: Vec<u64> = (0..graph.len()).map(|id| describe(graph, id, &classes)).collect();
        let now = next.iter().collect::<HashSet<_>>().len();
        if now <= told_apart {
            return next;
        }
        told_apart = now;
        classes = next;
    }
}

fn describe(graph: &Graph, id: usize, classes: &[u64]) -> u64 {
    let node = graph.node(id);
    let mut hasher = DefaultHasher::new();
    let (names, slots) = node.parts();
    (node.kind, names).hash(&mut hasher);
    for slot in slots {
        (slot.fate == Fate::Refused).hash(&mut hasher);
        match slot.child {
            None => 0_u8.hash(&mut hasher),
            Some(Child::Leaf(leaf)) => leaf.hash(&mut hasher),
            Some(Child::Node(child)) => classes.get(child).hash(&mut hasher),
        }
    }
    hasher.finish()
}
