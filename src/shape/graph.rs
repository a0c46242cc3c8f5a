//! What a trace has learned so far: a [`Graph`] of the types that were asked for.
//!
//! One node stands for one type that contains others; its slots are the places of its contents
//! (fields, elements, variants). A type that contains itself is a cycle. Leaves are not nodes.

use std::collections::HashMap;

/// Field or variant names, as the type passes them to serde.
pub(super) type Names = &'static [&'static str];

/// The node above the traced type: its only slot holds the type itself.
pub(super) const ROOT: usize = 0;

/// A request that contains no other.
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

impl Leaf {
    /// For messages: "a u8".
    pub(super) const fn describe(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::I8 => "an i8",
            Self::I16 => "an i16",
            Self::I32 => "an i32",
            Self::I64 => "an i64",
            Self::I128 => "an i128",
            Self::U8 => "a u8",
            Self::U16 => "a u16",
            Self::U32 => "a u32",
            Self::U64 => "a u64",
            Self::U128 => "a u128",
            Self::F32 => "an f32",
            Self::F64 => "an f64",
            Self::Char => "a char",
            Self::Str => "a string",
            Self::Bytes => "bytes",
            Self::Unit => "a unit",
            Self::UnitStruct => "a unit struct",
            Self::Any => "any value",
            Self::Identifier => "a name",
            Self::Ignored => "an ignored value",
        }
    }
}

/// A request that contains others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Root,
    Option,
    Seq,
    Map,
    Newtype,
    Tuple(usize),
    TupleStruct(usize),
    Struct(Names),
    Enum(Names),
    UnitVariant,
    NewtypeVariant,
    TupleVariant(usize),
    StructVariant(Names),
}

impl Kind {
    /// Whether a value of this kind can be empty, whatever it contains.
    pub(super) const fn may_be_empty(self) -> bool {
        matches!(self, Self::Option | Self::Seq | Self::Map)
    }

    /// The field names of a struct or struct variant, the variant names of an enum.
    pub(super) const fn names(self) -> Names {
        match self {
            Self::Struct(names) | Self::Enum(names) | Self::StructVariant(names) => names,
            _ => &[],
        }
    }

    /// For messages: "a tuple of 2".
    pub(super) fn describe(self) -> String {
        match self {
            Self::Root => "a state".to_owned(),
            Self::Option => "an option".to_owned(),
            Self::Seq => "a sequence".to_owned(),
            Self::Map => "a map".to_owned(),
            Self::Newtype => "a newtype".to_owned(),
            Self::Tuple(len) => format!("a tuple of {len}"),
            Self::TupleStruct(len) => format!("a tuple struct of {len}"),
            Self::Struct(_) => "a struct".to_owned(),
            Self::Enum(_) => "an enum".to_owned(),
            Self::UnitVariant => "a variant without fields".to_owned(),
            Self::NewtypeVariant => "a variant with one value".to_owned(),
            Self::TupleVariant(len) => format!("a variant with {len} values"),
            Self::StructVariant(_) => "a variant with named fields".to_owned(),
        }
    }
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Child {
    Leaf(Leaf),
    Node(usize),
}

/// The address of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Site {
    pub(super) node: usize,
    pub(super) index: usize,
}

/// The slot of the traced type itself.
pub(super) const TOP: Site = Site { node: ROOT, index: 0 };

/// One place inside a node, and what the trace has decided for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    /// What was asked for here; `None` until the first visit.
    pub(super) child: Option<Child>,
    /// Leaf: the candidate to offer. Option, sequence, map: the number of elements to offer.
    pub(super) pick: Option<usize>,
    /// The other basic value (empty, or the next candidate) was accepted or turned out refused.
    pub(super) sampled: bool,
    pub(super) fate: Fate,
}

/// Whether the trace still goes into a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fate {
    #[default]
    Open,
    /// The contents cannot be produced, so the option, sequence or map stays empty.
    Cut,
    /// A variant whose contents cannot be produced.
    Dead,
    /// A variant number that the enum does not know (its names include aliases).
    Absent,
}

/// One type that contains others.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) kind: Kind,
    /// The name of the container, for messages only.
    pub(super) name: &'static str,
    /// The name of the variant, for messages only.
    pub(super) variant: &'static str,
    /// The type of the visitor: tells one type from another within this process only.
    visitor: &'static str,
    pub(super) slots: Vec<Slot>,
    /// How often the node is being visited at this moment; above 1 it contains itself.
    pub(super) on_stack: usize,
    /// A value with contents was produced once, so every slot is known.
    pub(super) finished: bool,
}

impl Slot {
    /// Whether this slot of an enum stands for a variant that can be chosen.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.fate, Fate::Dead | Fate::Absent)
    }
}

impl Node {
    fn new(kind: Kind, visitor: &'static str, name: &'static str) -> Self {
        let mut node = Self {
            kind,
            name,
            variant: "",
            visitor,
            slots: Vec::new(),
            on_stack: 0,
            finished: false,
        };
        if let Kind::Enum(variants) = kind {
            node.slots.resize_with(variants.len(), Slot::default);
        }
        node
    }

    pub(super) fn slot(&self, index: usize) -> Slot {
        self.slots.get(index).copied().unwrap_or_default()
    }
}

/// The types met so far.
#[derive(Debug)]
pub(super) struct Graph {
    root: Node,
    rest: Vec<Node>,
    known: HashMap<(Kind, &'static str), usize>,
}

impl Graph {
    pub(super) fn new() -> Self {
        Self { root: Node::new(Kind::Root, "", ""), rest: Vec::new(), known: HashMap::new() }
    }

    pub(super) const fn len(&self) -> usize {
        self.rest.len() + 1
    }

    /// The node of this number; an unknown number reads as the root.
    pub(super) fn node(&self, id: usize) -> &Node {
        id.checked_sub(1).and_then(|id| self.rest.get(id)).unwrap_or(&self.root)
    }

    pub(super) fn node_mut(&mut self, id: usize) -> &mut Node {
        match id.checked_sub(1).and_then(|id| self.rest.get_mut(id)) {
            Some(node) => node,
            None => &mut self.root,
        }
    }

    pub(super) fn slot(&self, site: Site) -> Slot {
        self.node(site.node).slot(site.index)
    }

    /// Changes a slot, making it first if need be.
    pub(super) fn change(&mut self, site: Site, change: impl FnOnce(&mut Slot)) {
        let slots = &mut self.node_mut(site.node).slots;
        if slots.len() <= site.index {
            slots.resize_with(site.index + 1, Slot::default);
        }
        if let Some(slot) = slots.get_mut(site.index) {
            change(slot);
        }
    }

    /// The node of the type that is visited by `visitor`, made on the first call.
    pub(super) fn of_type(
        &mut self,
        kind: Kind,
        visitor: &'static str,
        name: &'static str,
    ) -> usize {
        if let Some(&id) = self.known.get(&(kind, visitor)) {
            return id;
        }
        let id = self.add(Node::new(kind, visitor, name));
        self.known.insert((kind, visitor), id);
        id
    }

    /// A new node for the contents of the variant at `site`.
    pub(super) fn of_variant(&mut self, kind: Kind, site: Site) -> usize {
        let owner = self.node(site.node);
        let mut node = Node::new(kind, "", owner.name);
        node.variant = owner.kind.names().get(site.index).copied().unwrap_or_default();
        self.add(node)
    }

    fn add(&mut self, node: Node) -> usize {
        self.rest.push(node);
        self.rest.len()
    }

    /// Whether what this slot holds stays empty in every pass, so that nothing inside is reached.
    pub(super) fn is_kept_empty(&self, slot: &Slot) -> bool {
        match slot.child {
            Some(Child::Node(id)) => slot.pick == Some(0) && self.node(id).kind.may_be_empty(),
            _ => false,
        }
    }

    /// Whether every type was seen from inside.
    pub(super) fn is_finished(&self) -> bool {
        self.root.finished && self.rest.iter().all(|node| node.finished)
    }

    /// Whether values of the traced type can nest without end: a type contains itself, or takes
    /// any value.
    pub(super) fn nests_without_end(&self) -> bool {
        let slots = |id: usize| self.node(id).slots.iter().filter_map(|slot| slot.child);
        let mut bounded = vec![false; self.len()];
        let is_bounded = |child: Child, bounded: &[bool]| match child {
            Child::Leaf(leaf) => leaf != Leaf::Any,
            Child::Node(id) => bounded.get(id).copied().unwrap_or_default(),
        };
        // A type is bounded once all that it contains is; what lies on a cycle never is.
        loop {
            let mut moved = false;
            for id in 0..self.len() {
                let now = slots(id).all(|child| is_bounded(child, &bounded));
                if let Some(known) = bounded.get_mut(id).filter(|known| now && !**known) {
                    *known = true;
                    moved = true;
                }
            }
            if !moved {
                return bounded.contains(&false);
            }
        }
    }

    /// A slot that holds a sequence or map whose elements take no bytes in a format that stores
    /// values and nothing else.
    pub(super) fn endless(&self) -> Option<Site> {
        let mut weightless = vec![false; self.len()];
        let takes_nothing = |slot: &Slot, weightless: &[bool]| match slot.child {
            Some(Child::Leaf(leaf)) => matches!(leaf, Leaf::Unit | Leaf::UnitStruct),
            Some(Child::Node(id)) => weightless.get(id).copied().unwrap_or_default(),
            None => false,
        };
        // Each pass may find types that consist of those found before.
        loop {
            let mut moved = false;
            for id in 0..self.len() {
                let node = self.node(id);
                let only_contents = matches!(
                    node.kind,
                    Kind::Newtype | Kind::Tuple(_) | Kind::TupleStruct(_) | Kind::Struct(_)
                );
                let now = only_contents
                    && node.finished
                    && node.slots.iter().all(|slot| takes_nothing(slot, &weightless));
                if let Some(known) = weightless.get_mut(id).filter(|known| now && !**known) {
                    *known = true;
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        let is_endless = |slot: &Slot| match slot.child {
            Some(Child::Node(id)) => {
                let node = self.node(id);
                matches!(node.kind, Kind::Seq | Kind::Map)
                    && !node.slots.is_empty()
                    && node.slots.iter().all(|slot| takes_nothing(slot, &weightless))
            }
            _ => false,
        };
        (0..self.len()).find_map(|node| {
            let index = self.node(node).slots.iter().position(is_endless)?;
            Some(Site { node, index })
        })
    }

    /// Whether node `id` stands for this type.
    pub(super) fn is(&self, id: usize, kind: Kind, visitor: &'static str) -> bool {
        let node = self.node(id);
        node.visitor == visitor && node.kind == kind
    }
}
