//! What a trace has learned so far: a [`Graph`] of the requested types.
//!
//! A node represents a type that contains other types. Its slots are the places of its contents
//! (fields, elements, variants). A recursive type is a cycle. Leaves are not nodes.

use std::collections::HashMap;

/// Names of fields or variants, as the type passes them to serde.
pub(super) type NameSet = &'static [&'static str];

/// The root node, whose only slot contains the traced type.
pub(super) const ROOT: usize = 0;

/// A request that contains no other request.
///
/// The numbers are part of the fingerprint and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(super) enum Leaf {
    Bool = 1,
    I8 = 2,
    I16 = 3,
    I32 = 4,
    I64 = 5,
    I128 = 6,
    U8 = 7,
    U16 = 8,
    U32 = 9,
    U64 = 10,
    U128 = 11,
    F32 = 12,
    F64 = 13,
    Char = 14,
    Str = 15,
    Bytes = 16,
    Unit = 17,
    UnitStruct = 18,
    Any = 19,
    Identifier = 20,
    Ignored = 21,
}

/// A request that contains other requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ShapeKind {
    Root,
    Option,
    Seq,
    Map,
    Newtype,
    Tuple(usize),
    TupleStruct(usize),
    Struct(NameSet),
    Enum(NameSet),
    UnitVariant,
    NewtypeVariant,
    TupleVariant(usize),
    StructVariant(NameSet),
    /// A struct that reveals the names of its fields only when they are missing: a map whose keys
    /// are names. Slot 0 is for the keys.
    Named,
    /// An adjacently tagged enum, with the names of its tag and its content.
    Adjacent(NameSet),
}

impl ShapeKind {
    /// Returns whether a value of this kind can be empty, whatever its contents.
    pub(super) const fn may_be_empty(self) -> bool {
        matches!(self, Self::Option | Self::Seq | Self::Map)
    }

    /// Returns the field names of a struct or struct variant, or the variant names of an enum.
    pub(super) const fn names(self) -> NameSet {
        match self {
            Self::Struct(names)
            | Self::Enum(names)
            | Self::StructVariant(names)
            | Self::Adjacent(names) => names,
            _ => &[],
        }
    }
}

/// The contents of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Leaf(Leaf),
    Node(usize),
}

/// The address of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ShapeSite {
    pub(super) node: usize,
    pub(super) index: usize,
}

/// The slot that contains the traced type.
pub(super) const TOP: ShapeSite = ShapeSite { node: ROOT, index: 0 };

/// One place inside a node, and what the trace has decided for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShapeSlot {
    /// The request at this place; `None` until the first visit.
    pub(super) child: Option<Child>,
    /// Leaf: the candidate to offer. Option, sequence, map: the number of elements to offer.
    pub(super) pick: Option<usize>,
    /// Option, sequence, map: whether it was offered empty once.
    pub(super) emptied: bool,
    /// Opaque part: whether more values are to be tried here.
    pub(super) is_opening: bool,
    pub(super) fate: Fate,
}

/// Whether the trace still enters a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Open,
    /// Every value offered here was refused.
    Refused,
    /// A number that the type does not recognize, because its names include aliases.
    Absent,
}

/// A type that contains other types.
#[derive(Debug)]
pub(super) struct ShapeNode {
    pub(super) kind: ShapeKind,
    /// The name of the container, only for messages.
    pub(super) name: &'static str,
    /// The name of the variant, only for messages.
    pub(super) variant: &'static str,
    /// The type of the visitor, which distinguishes types within this process only.
    pub(super) visitor: &'static str,
    pub(super) slots: Vec<ShapeSlot>,
    /// The names of the slots of a [`ShapeKind::Named`], from slot 1 on.
    pub(super) labels: Vec<String>,
    /// How often the node is being visited at this moment. Above 1, it contains itself.
    pub(super) on_stack: usize,
    /// A value with contents was produced once, so every slot is known.
    pub(super) finished: bool,
    /// Whether the node is a struct whose visitor does not read sequences.
    pub(super) needs_names: bool,
}

impl ShapeSlot {
    /// Returns whether a value can be produced here, as far as is known.
    pub(super) fn is_alive(&self) -> bool {
        self.fate == Fate::Open
    }
}

impl ShapeNode {
    fn new(kind: ShapeKind, visitor: &'static str, name: &'static str) -> Self {
        let mut node = Self {
            kind,
            name,
            variant: "",
            visitor,
            slots: Vec::new(),
            labels: Vec::new(),
            on_stack: 0,
            finished: false,
            needs_names: false,
        };
        if let ShapeKind::Enum(variants) = kind {
            node.slots.resize_with(variants.len(), ShapeSlot::default);
        }
        node
    }

    /// Returns the slot of a field that is only known by name.
    pub(super) fn label(&mut self, name: &str) -> usize {
        let known = self.labels.iter().position(|label| label == name);
        1 + known.unwrap_or_else(|| {
            self.labels.push(name.to_owned());
            self.labels.len() - 1
        })
    }

    /// Returns the names and the slots, in an order that does not depend on how they were found.
    pub(super) fn parts(&self) -> (Vec<&str>, Vec<ShapeSlot>) {
        if self.kind != ShapeKind::Named {
            return (self.kind.names().to_vec(), self.slots.clone());
        }
        let labels = self.labels.iter().zip(self.slots.iter().skip(1));
        let mut known: Vec<(&str, ShapeSlot)> = labels
            .filter(|(_, slot)| slot.child.is_some())
            .map(|(label, slot)| (label.as_str(), *slot))
            .collect();
        known.sort_by_key(|(label, _)| *label);
        known.into_iter().unzip()
    }

    pub(super) fn slot(&self, index: usize) -> ShapeSlot {
        self.slots.get(index).copied().unwrap_or_default()
    }

    /// Returns whether no value with contents can be produced, because a part refuses everything.
    pub(super) fn is_barren(&self) -> bool {
        match self.kind {
            ShapeKind::Enum(_) => !self.slots.iter().any(ShapeSlot::is_alive),
            _ => self.slots.iter().any(|slot| slot.fate == Fate::Refused),
        }
    }

    /// Returns whether the node is a struct that is read one field at a time, by name. The fields
    /// after one that refuses everything are then seen too.
    pub(super) fn is_read_by_name(&self) -> bool {
        let is_struct = matches!(self.kind, ShapeKind::Struct(_) | ShapeKind::StructVariant(_));
        is_struct && (self.needs_names || self.is_barren())
    }

    /// Returns the fields of such a struct that were not requested yet.
    pub(super) fn unread_fields(&self) -> impl Iterator<Item = usize> {
        let names = self.kind.names().len();
        (0..names).filter(|&index| {
            let slot = self.slot(index);
            slot.child.is_none() && slot.is_alive()
        })
    }
}

/// The types found so far.
#[derive(Debug)]
pub(super) struct Graph {
    root: ShapeNode,
    rest: Vec<ShapeNode>,
    known: HashMap<(ShapeKind, &'static str), usize>,
}

impl Graph {
    pub(super) fn new() -> Self {
        Self {
            root: ShapeNode::new(ShapeKind::Root, "", ""),
            rest: Vec::new(),
            known: HashMap::new(),
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.rest.len() + 1
    }

    /// Returns the node with this number, or the root if the number is unknown.
    pub(super) fn node(&self, id: usize) -> &ShapeNode {
        id.checked_sub(1).and_then(|id| self.rest.get(id)).unwrap_or(&self.root)
    }

    pub(super) fn node_mut(&mut self, id: usize) -> &mut ShapeNode {
        match id.checked_sub(1).and_then(|id| self.rest.get_mut(id)) {
            Some(node) => node,
            None => &mut self.root,
        }
    }

    pub(super) fn slot(&self, site: ShapeSite) -> ShapeSlot {
        self.node(site.node).slot(site.index)
    }

    /// Changes a slot, and creates it first if necessary.
    pub(super) fn change(&mut self, site: ShapeSite, change: impl FnOnce(&mut ShapeSlot)) {
        let slots = &mut self.node_mut(site.node).slots;
        if slots.len() <= site.index {
            slots.resize_with(site.index + 1, ShapeSlot::default);
        }
        if let Some(slot) = slots.get_mut(site.index) {
            change(slot);
        }
    }

    /// Returns the node of the type that is requested at `site` and visited by `visitor`, or of a
    /// variant if `visitor` is empty. Creates the node on the first request.
    pub(super) fn node_for(
        &mut self,
        site: ShapeSite,
        kind: ShapeKind,
        visitor: &'static str,
        name: &'static str,
    ) -> usize {
        if let Some(Child::Node(id)) = self.slot(site).child
            && self.node(id).visitor == visitor
            && self.node(id).kind == kind
        {
            return id;
        }
        let mut node = ShapeNode::new(kind, visitor, name);
        if visitor.is_empty() {
            let owner = self.node(site.node);
            node.name = owner.name;
            node.variant = owner.kind.names().get(site.index).copied().unwrap_or_default();
            return self.add(node);
        }
        if let Some(&id) = self.known.get(&(kind, visitor)) {
            return id;
        }
        let id = self.add(node);
        self.known.insert((kind, visitor), id);
        id
    }

    fn add(&mut self, node: ShapeNode) -> usize {
        self.rest.push(node);
        self.rest.len()
    }

    /// Returns whether the contents of this slot are left empty in every pass, so that nothing
    /// inside is reached.
    pub(super) fn is_kept_empty(&self, slot: &ShapeSlot) -> bool {
        match slot.child {
            Some(Child::Node(id)) => {
                let node = self.node(id);
                node.kind.may_be_empty() && (slot.pick == Some(0) || node.is_barren())
            }
            _ => false,
        }
    }

    /// Returns whether this slot contains an option, sequence or map that could be empty and never
    /// was.
    pub(super) fn may_be_emptied(&self, slot: &ShapeSlot) -> bool {
        match slot.child {
            Some(Child::Node(id)) => {
                self.node(id).kind.may_be_empty() && !slot.emptied && slot.pick.is_none()
            }
            _ => false,
        }
    }

    /// Returns whether the contents of every type were seen.
    pub(super) fn is_finished(&self) -> bool {
        self.root.finished && self.rest.iter().all(|node| node.finished)
    }

    /// Returns whether values of the traced type can nest without a limit, because a type is
    /// recursive or accepts any value.
    pub(super) fn nests_without_end(&self) -> bool {
        // A type is bounded once all its contents are. Types on a cycle never are.
        let mut bounded = vec![false; self.len()];
        loop {
            let is_bounded = |slot: &ShapeSlot| match slot.child {
                Some(Child::Node(id)) => bounded.get(id).copied().unwrap_or_default(),
                // Values of any kind, or names that are followed by values of any kind.
                Some(Child::Leaf(Leaf::Any | Leaf::Identifier | Leaf::Ignored)) => false,
                _ => true,
            };
            let next: Vec<bool> =
                (0..self.len()).map(|id| self.node(id).slots.iter().all(is_bounded)).collect();
            if next == bounded {
                return bounded.contains(&false);
            }
            bounded = next;
        }
    }

    /// Returns whether the request at a site takes no bytes in a format that stores only values.
    pub(super) fn takes_no_bytes(&self, site: ShapeSite) -> bool {
        match self.slot(site).child {
            Some(Child::Leaf(leaf)) => matches!(leaf, Leaf::Unit | Leaf::UnitStruct),
            Some(Child::Node(id)) => matches!(
                self.node(id).kind,
                ShapeKind::Newtype
                    | ShapeKind::Tuple(_)
                    | ShapeKind::TupleStruct(_)
                    | ShapeKind::Struct(_)
            ),
            None => false,
        }
    }
}
