//! Compares two trees recursively: [`StateWalk`] and [`difference`].

use std::collections::BTreeMap;

use super::node::{Label, NodeKind, ValueNode};
use super::path::{Path, PathStep, short_name};
use crate::digest::keeps_order;

/// Returns the path of the first difference between two states, such as `lots[0].price`, or `None`
/// if the trees do not differ. The order counts in containers that are known to keep it.
pub(crate) fn difference(a: &ValueNode, b: &ValueNode) -> Option<String> {
    let mut walk = StateWalk::new(a.ty, Order::ByName);
    walk.value(a, b).err().map(|_| walk.path.relative())
}

/// Returns the path of the first field that this state omits.
pub(crate) fn skipped(state: &ValueNode) -> Option<String> {
    let mut path = Path::default();
    find(state, &|node| matches!(node.kind, NodeKind::Skipped), &mut path)?;
    Some(path.relative())
}

/// Returns whether any struct in `state` has a field, or any enum a variant, with this name.
pub(crate) fn has_field(state: &ValueNode, name: &str) -> bool {
    let has = |node: &ValueNode| match &node.kind {
        NodeKind::Inside(variant, _) => *variant == Some(name),
        NodeKind::Fields(variant, fields) => {
            *variant == Some(name)
                || fields.iter().any(|(label, _)| matches!(label, Label::Name(n) if *n == name))
        }
        _ => false,
    };
    find(state, &has, &mut Path::default()).is_some()
}

/// Returns the path and the type of the first value that formats with field names often cannot
/// store where serde buffers them (in flattened fields and in internally tagged and untagged
/// enums): an integer of 128 bits, a network address, or a map whose keys are not strings. For
/// error messages only.
pub(crate) fn fragile(state: &ValueNode) -> Option<String> {
    let is_text = |key: &ValueNode| key.ty.ends_with("str") || key.ty.ends_with("String");
    let is_fragile = |node: &ValueNode| match &node.kind {
        NodeKind::Entries(entries) => entries.iter().any(|(key, _)| !is_text(key)),
        _ => matches!(node.ty, "i128" | "u128") || node.ty.starts_with("core::net::"),
    };
    let mut path = Path::default();
    let found = find(state, &is_fragile, &mut path)?;
    Some(format!("{}, of type {}", path.relative(), short_name(found.ty.trim_start_matches('&'))))
}

/// Finds the first value at or below `node` that is `wanted`, outermost first, and leaves `path`
/// pointing to it.
fn find<'n>(
    node: &'n ValueNode,
    wanted: &dyn Fn(&ValueNode) -> bool,
    path: &mut Path,
) -> Option<&'n ValueNode> {
    if wanted(node) {
        return Some(node);
    }
    let mut at = |step, node: &'n ValueNode| {
        path.enter(step);
        let found = find(node, wanted, path);
        if found.is_none() {
            path.leave();
        }
        found
    };
    match &node.kind {
        NodeKind::Leaf(_) | NodeKind::Skipped => None,
        NodeKind::Inside(None, inner) => find(inner, wanted, path),
        NodeKind::Inside(Some(variant), inner) => at(PathStep::Variant(variant), inner),
        NodeKind::Fields(_, fields) => {
            fields.iter().find_map(|(of, f)| at(PathStep::Field(*of), f))
        }
        NodeKind::Items(items) => {
            items.iter().enumerate().find_map(|(n, item)| at(PathStep::Item(n), item))
        }
        NodeKind::Entries(entries) => {
            entries.iter().find_map(|(_, value)| at(PathStep::Value, value))
        }
    }
}

/// Which containers are treated as unordered.
#[derive(Clone, Copy)]
pub(super) enum Order<'u> {
    /// Containers that are not known to keep their order.
    ByName,
    /// Containers at these paths, and hash sets.
    #[cfg_attr(not(feature = "conformance"), expect(dead_code, reason = "for the kit"))]
    Known(&'u BTreeMap<String, String>),
    /// Every container that differs only in its order.
    #[cfg_attr(not(feature = "conformance"), expect(dead_code, reason = "for the kit"))]
    Unknown,
}

/// The values at the current path differ.
pub(super) struct Differs;

/// A comparison of two trees, from the root down.
pub(super) struct StateWalk<'u> {
    root: &'static str,
    order: Order<'u>,
    pub(super) path: Path,
    /// Containers that were found to differ only in their order: path and type.
    pub(super) found: BTreeMap<String, String>,
}

impl<'u> StateWalk<'u> {
    pub(super) fn new(root: &'static str, order: Order<'u>) -> Self {
        Self { root, order, path: Path::default(), found: BTreeMap::new() }
    }

    /// Compares two values. If they differ, `path` still points to the difference.
    pub(super) fn value(&mut self, a: &ValueNode, b: &ValueNode) -> Result<(), Differs> {
        match (&a.kind, &b.kind) {
            (NodeKind::Leaf(a), NodeKind::Leaf(b)) if a == b => Ok(()),
            (NodeKind::Skipped, NodeKind::Skipped) => Ok(()),
            (NodeKind::Inside(of, a), NodeKind::Inside(other, b)) if of == other => match of {
                Some(name) => self.at(PathStep::Variant(name), a, b),
                None => self.value(a, b),
            },
            (NodeKind::Fields(of, ours), NodeKind::Fields(other, theirs)) if of == other => {
                if let Some(name) = of {
                    self.path.enter(PathStep::Variant(name));
                }
                for ((label, a), (other, b)) in ours.iter().zip(theirs) {
                    if label != other {
                        return Err(Differs);
                    }
                    self.at(PathStep::Field(*label), a, b)?;
                }
                if ours.len() != theirs.len() {
                    return Err(Differs);
                }
                if of.is_some() {
                    self.path.leave();
                }
                Ok(())
            }
            (NodeKind::Items(ours), NodeKind::Items(theirs)) => self.items(a.ty, ours, theirs),
            (NodeKind::Entries(ours), NodeKind::Entries(theirs)) => {
                self.entries(a.ty, ours, theirs)
            }
            _ => Err(Differs),
        }
    }

    fn at(&mut self, step: PathStep, a: &ValueNode, b: &ValueNode) -> Result<(), Differs> {
        self.path.enter(step);
        self.value(a, b)?;
        self.path.leave();
        Ok(())
    }

    fn items(&mut self, ty: &'static str, a: &[ValueNode], b: &[ValueNode]) -> Result<(), Differs> {
        let (ours, theirs) = (ordered(a, ValueNode::digest), ordered(b, ValueNode::digest));
        let permuted = a.len() == b.len() && is_permuted(&ours, &theirs);
        if permuted && self.may_be_unordered(ty) {
            self.note(ty);
            return self.pairs(ours, theirs);
        }
        for (at, (a, b)) in a.iter().zip(b).enumerate() {
            self.at(PathStep::Item(at), a, b)?;
        }
        if a.len() == b.len() { Ok(()) } else { Err(Differs) }
    }

    fn pairs(
        &mut self,
        mut ours: Vec<(u64, &ValueNode)>,
        mut theirs: Vec<(u64, &ValueNode)>,
    ) -> Result<(), Differs> {
        ours.sort_by_key(|(digest, _)| *digest);
        theirs.sort_by_key(|(digest, _)| *digest);
        for (at, ((_, a), (_, b))) in ours.into_iter().zip(theirs).enumerate() {
            self.at(PathStep::Item(at), a, b)?;
        }
        Ok(())
    }

    fn entries(
        &mut self,
        ty: &'static str,
        a: &[(ValueNode, ValueNode)],
        b: &[(ValueNode, ValueNode)],
    ) -> Result<(), Differs> {
        let mut ours = ordered(a, |(key, _)| key.digest());
        let mut theirs = ordered(b, |(key, _)| key.digest());
        if is_permuted(&ours, &theirs) && !keeps_order(ty) {
            self.note(ty);
            ours.sort_by_key(|(digest, _)| *digest);
            theirs.sort_by_key(|(digest, _)| *digest);
        }
        for ((_, a), (_, b)) in ours.iter().zip(&theirs) {
            self.at(PathStep::Key, &a.0, &b.0)?;
            self.at(PathStep::Value, &a.1, &b.1)?;
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

/// Returns whether both contain the same digests in a different order.
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
