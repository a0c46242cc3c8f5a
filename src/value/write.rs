//! Converts a serde value to a tree: [`write`].

use std::any::type_name;
// An error without a message is enough, because callers only need to know whether there is a tree.
use std::fmt::Error;

use serde::Serialize;

use super::node::{Label, NodeKind, ValueNode};
use crate::digest;
use crate::walker::{Inside, Name, Open, Parts, Visit, WalkStep, Walker, What};

/// Values that nest deeper are compared by their bytes only.
const MAX_DEPTH: u16 = 256;

/// Returns the tree of `value`, or `None` if `value` cannot be serialized or nests too deep.
/// `is_human_readable` is reported to types when they serialize themselves.
pub(crate) fn write<T: Serialize + ?Sized>(
    value: &T,
    is_human_readable: bool,
) -> Option<ValueNode> {
    Writer { is_human_readable, left: MAX_DEPTH }.node(value).ok()
}

#[derive(Clone, Copy)]
struct Writer {
    is_human_readable: bool,
    left: u16,
}

impl Writer {
    fn node<T: Serialize + ?Sized>(self, value: &T) -> Result<ValueNode, Error> {
        let left = self.left.checked_sub(1).ok_or(Error)?;
        let kind = value.serialize(Walker(Self { left, ..self }))?;
        Ok(ValueNode::new(type_name::<T>(), kind))
    }
}

impl Visit for Writer {
    type Ok = NodeKind;
    type Error = Error;
    type Parts = Whole;

    fn bits(self, what: What, bits: u64) -> Result<NodeKind, Error> {
        self.bytes(what, &bits.to_le_bytes())
    }

    fn wide(self, what: What, bits: u128) -> Result<NodeKind, Error> {
        self.bytes(what, &bits.to_le_bytes())
    }

    fn bytes(self, what: What, bytes: &[u8]) -> Result<NodeKind, Error> {
        Ok(NodeKind::Leaf(digest::leaf(what, bytes)))
    }

    fn variant(self, _: Name, variant: Name) -> Result<NodeKind, Error> {
        self.bytes(What::Variant, variant.as_bytes())
    }

    fn inside<T: Serialize + ?Sized>(self, how: Inside, value: &T) -> Result<NodeKind, Error> {
        let variant = match how {
            Inside::Some | Inside::Newtype(_) => None,
            Inside::Variant(_, variant) => Some(variant),
        };
        Ok(NodeKind::Inside(variant, Box::new(self.node(value)?)))
    }

    fn open(self, what: Open) -> Result<Whole, Error> {
        let kind = match what {
            Open::Seq(_) => NodeKind::Items(Vec::new()),
            Open::Map(_) => NodeKind::Entries(Vec::new()),
            Open::Tuple(_, variant, _) | Open::Struct(_, variant, _) => {
                NodeKind::Fields(variant, Vec::new())
            }
        };
        Ok(Whole { writer: self, key: None, kind })
    }

    fn is_human_readable(&self) -> bool {
        self.is_human_readable
    }
}

/// A value whose parts are being converted.
struct Whole {
    writer: Writer,
    /// The key that the next value belongs to.
    key: Option<ValueNode>,
    kind: NodeKind,
}

impl Parts for Whole {
    type Ok = NodeKind;
    type Error = Error;

    fn part<T: Serialize + ?Sized>(&mut self, step: WalkStep, value: &T) -> Result<(), Error> {
        let node = self.writer.node(value)?;
        match (&mut self.kind, step) {
            (NodeKind::Entries(_), WalkStep::Key) => self.key = Some(node),
            (NodeKind::Entries(entries), _) => entries.push((self.key.take().ok_or(Error)?, node)),
            (NodeKind::Fields(_, fields), WalkStep::Field(name)) => {
                fields.push((Label::Name(name), node));
            }
            (NodeKind::Fields(_, fields), _) => fields.push((Label::Place(fields.len()), node)),
            (NodeKind::Items(items), _) => items.push(node),
            (NodeKind::Leaf(_) | NodeKind::Inside(..) | NodeKind::Skipped, _) => return Err(Error),
        }
        Ok(())
    }

    fn skip(&mut self, field: Name) {
        if let NodeKind::Fields(_, fields) = &mut self.kind {
            fields.push((Label::Name(field), ValueNode::new("", NodeKind::Skipped)));
        }
    }

    fn end(self) -> Result<NodeKind, Error> {
        Ok(self.kind)
    }
}
