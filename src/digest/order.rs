//! Which containers are known to keep their order: [`keeps_order`].

/// Pointer types that may wrap a container.
const POINTERS: [&str; 6] = [
    "alloc::boxed::Box<",
    "alloc::sync::Arc<",
    "alloc::rc::Rc<",
    "alloc::borrow::Cow<'_, ",
    "alloc::borrow::Cow<",
    "&",
];

/// Containers that serialize and restore their contents in an order that is part of their value.
const ORDERED: [&str; 13] = [
    "[",
    "alloc::vec::Vec<",
    "alloc::collections::vec_deque::",
    "alloc::collections::linked_list::",
    "alloc::collections::btree::",
    "indexmap::",
    "smallvec::",
    "arrayvec::",
    "tinyvec::",
    "bytes::",
    "imbl::vector",
    "imbl::ord",
    "heapless::vec",
];

/// Returns whether a container with this type name is known to keep the order of its contents.
///
/// Type names change with releases of compilers and crates, so nothing that depends on the result
/// may enter stored bytes. A type that is not listed counts as unordered: the check then detects
/// less, but never raises a false alarm. `BinaryHeap` is deliberately missing, because equal heaps
/// may have different layouts.
pub(crate) fn keeps_order(name: &str) -> bool {
    let name = without_pointers(name);
    ORDERED.iter().any(|ordered| name.starts_with(ordered))
}

fn without_pointers(mut name: &str) -> &str {
    while let Some(inner) = POINTERS.iter().find_map(|pointer| name.strip_prefix(pointer)) {
        name = inner;
    }
    name
}

/// The modules of sets whose order differs from one equal set to the next.
const HASH_SETS: [&str; 6] = [
    "std::collections::hash::set::",
    "hashbrown::set::",
    "ahash::hash_set::",
    "dashmap::set::",
    "imbl::hash::set::",
    "im::hash::set::",
];

/// Returns whether a container with this type name is a set that is known to have no order. As with
/// [`keeps_order`], nothing that depends on the result may enter stored bytes.
pub(crate) fn is_hash_set(name: &str) -> bool {
    let name = without_pointers(name);
    HASH_SETS.iter().any(|module| name.starts_with(module))
}

#[cfg(test)]
mod tests {
    use std::any::type_name;
    use std::borrow::Cow;
    use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
    use std::sync::Arc;

    use super::{is_hash_set, keeps_order};

    #[test]
    fn ordered_containers_are_known_by_the_names_that_this_compiler_gives_them() {
        for name in [
            type_name::<Vec<HashSet<u8>>>(),
            type_name::<[u8]>(),
            type_name::<&[u8; 4]>(),
            type_name::<VecDeque<u8>>(),
            type_name::<LinkedList<u8>>(),
            type_name::<BTreeMap<u8, u8>>(),
            type_name::<Arc<Box<Vec<u8>>>>(),
            type_name::<Cow<'_, [u8]>>(),
        ] {
            assert!(keeps_order(name), "{name}");
        }
        for name in [
            type_name::<HashSet<Vec<u8>>>(),
            type_name::<HashMap<u8, u8>>(),
            type_name::<BinaryHeap<u8>>(),
            type_name::<Option<Vec<u8>>>(),
        ] {
            assert!(!keeps_order(name), "{name}");
        }
        assert!(is_hash_set(type_name::<&Arc<HashSet<Vec<u8>>>>()));
        assert!(!is_hash_set(type_name::<Vec<HashSet<u8>>>()));
    }
}
