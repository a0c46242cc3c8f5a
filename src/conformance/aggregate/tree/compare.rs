//! Comparing two trees: [`compare`], and finding out what has no order: [`discover`].

use std::collections::BTreeMap;

use super::node::{Kind, Node};
use super::path::{Path, Step, short_name};

/// Values that iterate in another order each time: their path, and their type.
pub(in super::super) type Unordered = BTreeMap<String, String>;

/// What [`compare`] finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum Compared {
    /// The same but for the order within these.
    Same(Unordered),
    /// The path of the first difference.
    Different(String),
}

/// Compares two states. The order of entries of maps does not count, nor does that of items whose
/// path is among the `unordered` or whose type is a hash set.
pub(in super::super) fn compare(a: &Node, b: &Node, unordered: &Unordered) -> Compared {
    run(a, b, Some(unordered))
}

/// Compares two states that came from the same bytes: whatever differs in nothing but its order is
/// taken to have none.
pub(in super::super) fn discover(a: &Node, b: &Node) -> Compared {
    run(a, b, None)
}

fn run(a: &Node, b: &Node, known: Option<&Unordered>) -> Compared {
    let mut walk = Walk { root: a.ty, known, path: Path::default(), found: Unordered::new() };
    match walk.value(a, b) {
        Ok(()) => Compared::Same(walk.found),
        Err(Differs) => Compared::Different(walk.path.exact(a.ty)),
    }
}

/// The values at the path differ.
struct Differs;

struct Walk<'u> {
    root: &'static str,
    /// What has no order; `None` to find out.
    known: Option<&'u Unordered>,
    path: Path,
    found: Unordered,
}

impl Walk<'_> {
    /// On a difference the path stays where it is.
    fn value(&mut self, a: &Node, b: &Node) -> Result<(), Differs> {
        match (&a.kind, &b.kind) {
            (Kind::Leaf(a), Kind::Leaf(b)) if a == b => Ok(()),
            (Kind::Inside(of, a), Kind::Inside(other, b)) if of == other => match of {
                Some(name) => self.at(Step::Variant(name), a, b),
                None => self.value(a, b),
            },
            (Kind::Fields(of, ours), Kind::Fields(other, theirs)) if of == other => {
                if let Some(name) = of {
                    self.path.enter(Step::Variant(name));
                }
                for ((label, a), (other, b)) in ours.iter().zip(theirs) {
                    if label != other {
                        return Err(Differs);
                    }
                    self.at(Step::Field(*label), a, b)?;
                }
                if ours.len() != theirs.len() {
                    return Err(Differs);
                }
                if of.is_some() {
                    self.path.leave();
                }
                Ok(())
            }
            (Kind::Items(ours), Kind::Items(theirs)) => self.items(a.ty, ours, theirs),
            (Kind::Entries(ours), Kind::Entries(theirs)) => self.entries(a.ty, ours, theirs),
            _ => Err(Differs),
        }
    }

    fn at(&mut self, step: Step, a: &Node, b: &Node) -> Result<(), Differs> {
        self.path.enter(step);
        self.value(a, b)?;
        self.path.leave();
        Ok(())
    }

    fn items(&mut self, ty: &'static str, a: &[Node], b: &[Node]) -> Result<(), Differs> {
        let (ours, theirs) = (ordered(a, Node::digest), ordered(b, Node::digest));
        let permuted = a.len() == b.len() && is_permuted(&ours, &theirs);
        if permuted && self.may_be_unordered(ty) {
            self.note(ty);
            return self.pairs(ours, theirs);
        }
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            self.at(Step::Item(at), a, b)?;
        }
        if a.len() == b.len() { Ok(()) } else { Err(Differs) }
    }

    fn pairs(
        &mut self,
        mut ours: Vec<(u64, &Node)>,
        mut theirs: Vec<(u64, &Node)>,
    ) -> Result<(), Differs> {
        ours.sort_by_key(|(digest, _)| *digest);
        theirs.sort_by_key(|(digest, _)| *digest);
        for (at, ((_, a), (_, b))) in ours.into_iter().zip(theirs).enumerate() {
            self.at(Step::Item(at), a, b)?;
        }
        Ok(())
    }

    fn entries(
        &mut self,
        ty: &'static str,
        a: &[(Node, Node)],
        b: &[(Node, Node)],
    ) -> Result<(), Differs> {
        let mut ours = ordered(a, |(key, _)| key.digest());
        let mut theirs = ordered(b, |(key, _)| key.digest());
        if is_permuted(&ours, &theirs) {
            self.note(ty);
            ours.sort_by_key(|(digest, _)| *digest);
            theirs.sort_by_key(|(digest, _)| *digest);
        }
        for ((_, a), (_, b)) in ours.iter().zip(&theirs) {
            self.at(Step::Key, &a.0, &b.0)?;
            self.at(Step::Value, &a.1, &b.1)?;
        }
        if a.len() == b.len() { Ok(()) } else { Err(Differs) }
    }

    fn may_be_unordered(&self, ty: &str) -> bool {
        let Some(known) = self.known else { return true };
        known.contains_key(&self.path.general(self.root)) || ty.contains("HashSet<")
    }

    fn note(&mut self, ty: &str) {
        let owned = short_name(ty.trim_start_matches('&'));
        self.found.insert(self.path.general(self.root), owned);
    }
}

fn ordered<T>(items: &[T], digest: impl Fn(&T) -> u64) -> Vec<(u64, &T)> {
    items.iter().map(|item| (digest(item), item)).collect()
}

/// The same digests in another order.
fn is_permuted<T>(a: &[(u64, &T)], b: &[(u64, &T)]) -> bool {
    let digests = |items: &[(u64, &T)]| items.iter().map(|(d, _)| *d).collect::<Vec<_>>();
    let (mut a, mut b) = (digests(a), digests(b));
    if a == b {
        return false;
    }
    a.sort_unstable();
    b.sort_unstable();
    a == b
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap, HashSet};

    use serde::Serialize;

    use super::super::write;
    use super::*;

    #[derive(Serialize)]
    struct Team<M, S> {
        scores: M,
        tags: S,
        rounds: Vec<Option<i32>>,
    }

    fn team<M, S>(scores: M, tags: S, rounds: &[Option<i32>]) -> Team<M, S> {
        Team { scores, tags, rounds: rounds.to_vec() }
    }

    fn tree<T: Serialize>(value: &T) -> Node {
        write(value, false).unwrap()
    }

    fn same(a: &Node, b: &Node) -> Compared {
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
