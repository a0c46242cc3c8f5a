//! Walking through two trees side by side: [`Walk`], and [`difference`].

use std::collections::BTreeMap;

use super::node::{Kind, Label, Node};
use super::path::{Path, Step, short_name};
use crate::digest::keeps_order;

/// The path of the first difference between two states, such as `lots[0].price`; `None` if there is
/// none that a tree can show. The order counts within containers that are known to keep it.
pub(crate) fn difference(a: &Node, b: &Node) -> Option<String> {
    let mut walk = Walk::new(a.ty, Order::ByName);
    walk.value(a, b).err().map(|_| walk.path.relative())
}

/// The path of the first field that this state leaves out.
pub(crate) fn skipped(state: &Node) -> Option<String> {
    let mut path = Path::default();
    find(state, &|node| matches!(node.kind, Kind::Skipped), &mut path)?;
    Some(path.relative())
}

/// Whether a struct within `state` has a field, or an enum a variant, of this name.
pub(crate) fn has_field(state: &Node, name: &str) -> bool {
    let has = |node: &Node| match &node.kind {
        Kind::Inside(variant, _) => *variant == Some(name),
        Kind::Fields(variant, fields) => {
            *variant == Some(name)
                || fields.iter().any(|(label, _)| matches!(label, Label::Name(n) if *n == name))
        }
        _ => false,
    };
    find(state, &has, &mut Path::default()).is_some()
}

/// The path and the type of the first value that formats with names tend to lose inside of
/// free-form parts: an integer of 128 bits, a network address, a map whose keys are not text. For
/// messages only.
pub(crate) fn fragile(state: &Node) -> Option<String> {
    let is_text = |key: &Node| key.ty.ends_with("str") || key.ty.ends_with("String");
    let is_fragile = |node: &Node| match &node.kind {
        Kind::Entries(entries) => entries.iter().any(|(key, _)| !is_text(key)),
        _ => matches!(node.ty, "i128" | "u128") || node.ty.starts_with("core::net::"),
    };
    let mut path = Path::default();
    let found = find(state, &is_fragile, &mut path)?;
    Some(format!("{}, of type {}", path.relative(), short_name(found.ty.trim_start_matches('&'))))
}

/// The first value from `node` on that is `wanted`, the outermost first; `path` then leads to it.
fn find<'n>(node: &'n Node, wanted: &dyn Fn(&Node) -> bool, path: &mut Path) -> Option<&'n Node> {
    if wanted(node) {
        return Some(node);
    }
    let mut at = |step, node: &'n Node| {
        path.enter(step);
        let found = find(node, wanted, path);
        if found.is_none() {
            path.leave();
        }
        found
    };
    match &node.kind {
        Kind::Leaf(_) | Kind::Skipped => None,
        Kind::Inside(None, inner) => find(inner, wanted, path),
        Kind::Inside(Some(variant), inner) => at(Step::Variant(variant), inner),
        Kind::Fields(_, fields) => fields.iter().find_map(|(of, f)| at(Step::Field(*of), f)),
        Kind::Items(items) => {
            items.iter().enumerate().find_map(|(n, item)| at(Step::Item(n), item))
        }
        Kind::Entries(entries) => entries.iter().find_map(|(_, value)| at(Step::Value, value)),
    }
}

/// What is taken to have no order.
#[derive(Clone, Copy)]
pub(super) enum Order<'u> {
    /// Items of a container that is not known to keep its order.
    ByName,
    /// Items at these paths, and of hash sets.
    #[cfg_attr(not(feature = "conformance"), expect(dead_code, reason = "for the kit"))]
    Known(&'u BTreeMap<String, String>),
    /// Whatever differs in nothing but its order.
    #[cfg_attr(not(feature = "conformance"), expect(dead_code, reason = "for the kit"))]
    Unknown,
}

/// The values at the path differ.
pub(super) struct Differs;

/// Two trees, compared from the top.
pub(super) struct Walk<'u> {
    root: &'static str,
    order: Order<'u>,
    pub(super) path: Path,
    /// What was found to differ in nothing but its order: its path, and its type.
    pub(super) found: BTreeMap<String, String>,
}

impl<'u> Walk<'u> {
    pub(super) fn new(root: &'static str, order: Order<'u>) -> Self {
        Self { root, order, path: Path::default(), found: BTreeMap::new() }
    }

    /// On a difference the path stays where it is.
    pub(super) fn value(&mut self, a: &Node, b: &Node) -> Result<(), Differs> {
        match (&a.kind, &b.kind) {
            (Kind::Leaf(a), Kind::Leaf(b)) if a == b => Ok(()),
            (Kind::Skipped, Kind::Skipped) => Ok(()),
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
        if is_permuted(&ours, &theirs) && !keeps_order(ty) {
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
        match self.order {
            Order::ByName => !keeps_order(ty),
            Order::Known(known) => {
                known.contains_key(&self.path.general(self.root)) || ty.contains("HashSet<")
            }
            Order::Unknown => true,
        }
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
