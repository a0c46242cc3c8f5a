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
pub(crate) fn keeps_order(mut name: &str) -> bool {
    while let Some(inner) = POINTERS.iter().find_map(|pointer| name.strip_prefix(pointer)) {
        name = inner;
    }
    ORDERED.iter().any(|ordered| name.starts_with(ordered))
}

#[cfg(test)]
mod tests {
    use std::any::type_name;
    use std::borrow::Cow;
    use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
    use std::sync::Arc;

    use super::keeps_order;

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
    }
}
