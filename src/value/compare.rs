//! Compares two trees ([`compare`]), and finds the containers without an order ([`discover`]).

use std::collections::BTreeMap;

use super::node::ValueNode;
use super::walk::{Order, StateWalk};

/// The containers whose iteration order varies: path and type.
pub(crate) type Unordered = BTreeMap<String, String>;

/// What [`compare`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Compared {
    /// Equal except for the order within these containers.
    Same(Unordered),
    /// The path of the first difference.
    Different(String),
}

/// Compares two states. The order of map entries does not count, except in maps that are known to
/// keep their order. The order of items does not count in containers whose path is in `unordered`
/// or whose type is a hash set.
pub(crate) fn compare(a: &ValueNode, b: &ValueNode, unordered: &Unordered) -> Compared {
    run(a, b, Order::Known(unordered))
}

/// Compares two states that were decoded from the same bytes. Containers that differ only in the
/// order of their contents are taken to be unordered.
pub(crate) fn discover(a: &ValueNode, b: &ValueNode) -> Compared {
    run(a, b, Order::Unknown)
}

fn run(a: &ValueNode, b: &ValueNode, order: Order<'_>) -> Compared {
    let mut walk = StateWalk::new(a.ty, order);
    match walk.value(a, b) {
        Ok(()) => Compared::Same(walk.found),
        Err(_) => Compared::Different(walk.path.exact(a.ty)),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde::Serialize;

    use super::*;
    use crate::value::write;

    #[derive(Serialize)]
    struct Team<M, S> {
        scores: M,
        tags: S,
        rounds: Vec<Option<i32>>,
    }

    fn team<M, S>(scores: M, tags: S, rounds: &[Option<i32>]) -> Team<M, S> {
        Team { scores, tags, rounds: rounds.to_vec() }
    }

    fn tree<T: Serialize>(value: &T) -> ValueNode {
        write(value, false).unwrap()
    }

    fn same(a: &ValueNode, b: &ValueNode) -> Compared {
        compare(a, b, &Unordered::new())
    }

    #[test]
    fn the_first_difference_is_named() {
        let with = |rounds: &[_]| tree(&team([1_u8; 2], BTreeMap::from([(1, 'a')]), rounds));
        let a = with(&[None, Some(4)]);
        assert_eq!(same(&a, &a), Compared::Same(Unordered::new()));
        let changed = same(&a, &with(&[None, Some(5)]));
        assert_eq!(
            changed,
            Compared::Different("Team<[u8; 2], BTreeMap<i32, char>>.rounds[1]".into())
        );
        let longer = same(&a, &with(&[None, Some(4), None]));
        assert_eq!(longer, Compared::Different("Team<[u8; 2], BTreeMap<i32, char>>.rounds".into()));
    }

    #[test]
    fn hash_maps_and_sets_are_the_same_in_any_order_and_are_named() {
        let make = || {
            let scores: HashMap<i32, HashSet<i32>> =
                (0..40).map(|n| (n, (0..n).collect())).collect();
            tree(&team(scores, HashSet::from([1, 2, 3, 4, 5, 6, 7, 8]), &[]))
        };
        let Compared::Same(found) = same(&make(), &make()) else { panic!("they are the same") };
        let tails: Vec<_> = found.iter().map(|(path, ty)| (path_tail(path), ty.clone())).collect();
        assert_eq!(
            tails,
            [
                (".scores", "HashMap<i32, HashSet<i32>>".to_owned()),
                (".scores{}", "HashSet<i32>".to_owned()),
                (".tags", "HashSet<i32>".to_owned())
            ]
            .map(|(path, ty)| (path.to_owned(), ty))
        );
    }

    fn path_tail(path: &str) -> String {
        path.rsplit_once('>').map(|(_, tail)| tail.to_owned()).unwrap()
    }

    #[test]
    fn a_list_in_another_order_is_another_list_unless_it_came_from_the_same_bytes() {
        let (a, b) = (tree(&vec![1, 2, 3]), tree(&vec![3, 1, 2]));
        assert_eq!(same(&a, &b), Compared::Different("Vec<i32>[0]".into()));
        let Compared::Same(found) = discover(&a, &b) else { panic!("it is a permutation") };
        assert_eq!(compare(&a, &b, &found), Compared::Same(found.clone()));
        assert_eq!(a.digest(), b.digest());
        assert_ne!(a.digest(), tree(&vec![1, 2, 4]).digest());
    }
}
