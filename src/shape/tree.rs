//! Values of any kind, offered to parts that accept any value: [`ShapeTree`].

use std::borrow::Cow;
use std::vec::IntoIter;

use serde::de::value::{
    CowStrDeserializer, MapAccessDeserializer, MapDeserializer, SeqDeserializer,
};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::fault::{MARK, ShapeFault, mark_of};

/// A self-describing value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ShapeTree {
    /// Undecided: a string that no type accepts. Errors identify the mark by the number in the
    /// string.
    Mark(u32),
    Unit,
    Bool,
    Float,
    /// A number, or a field or variant identified by its number.
    Number(u64),
    /// A name or another string.
    Text(Cow<'static, str>),
    Seq(Vec<ShapeTree>),
    Map(Vec<(ShapeTree, ShapeTree)>),
}

/// The path from a tree to a tree inside it: positions in sequences and maps.
pub(super) type TreePath = Vec<usize>;

impl ShapeTree {
    pub(super) fn text(text: impl Into<Cow<'static, str>>) -> Self {
        Self::Text(text.into())
    }

    /// Returns whether the tree is a key with this name.
    fn is(&self, name: &str) -> bool {
        matches!(self, Self::Text(text) if text == name)
    }

    /// Returns whether a map has an entry with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        matches!(self, Self::Map(entries) if entries.iter().any(|(key, _)| key.is(name)))
    }

    /// Returns whether a map has an entry with this name or mark.
    pub(super) fn has_key(&self, name: &str) -> bool {
        let is_mark = |key: &Self| matches!(key, Self::Mark(mark) if mark_of(name) == Some(*mark));
        let has_mark = |entries: &[(Self, Self)]| entries.iter().any(|(key, _)| is_mark(key));
        self.has(name) || matches!(self, Self::Map(entries) if has_mark(entries))
    }

    /// Returns the entries of a map for deserialization.
    pub(super) fn entries<'de>(
        &self,
    ) -> MapDeserializer<'de, impl Iterator<Item = (Shown<'_>, Shown<'_>)>, ShapeFault> {
        let entries = if let Self::Map(entries) = self { entries.as_slice() } else { &[] };
        MapDeserializer::new(entries.iter().map(|(key, value)| (Shown(key), Shown(value))))
    }

    pub(super) fn into_entries(self) -> IntoIter<(Self, Self)> {
        if let Self::Map(entries) = self { entries.into_iter() } else { Vec::new().into_iter() }
    }

    /// Returns whether a map has an entry without a name.
    pub(super) fn has_mark(&self) -> bool {
        matches!(self, Self::Map(entries) if entries.iter().any(|(key, _)| matches!(key, Self::Mark(_))))
    }

    /// Returns the number of entries of a map, or 0 for other trees.
    pub(super) const fn len(&self) -> usize {
        if let Self::Map(entries) = self { entries.len() } else { 0 }
    }

    pub(super) fn push_entry(&mut self, entry: (Self, Self)) {
        if let Self::Map(entries) = self {
            entries.push(entry);
        }
    }

    /// Removes the map entries whose values are not wanted.
    pub(super) fn retain(&mut self, is_wanted: impl Fn(&Self) -> bool) {
        if let Self::Map(entries) = self {
            entries.retain(|(_, value)| is_wanted(value));
        }
    }

    /// Removes the entries whose names are not listed, and adds the missing ones.
    pub(super) fn keep_only(&mut self, names: &[&'static str], values: Vec<Self>) {
        if let Self::Map(entries) = self {
            entries.retain(|(key, _)| names.iter().any(|name| key.is(name)));
            for (name, value) in names.iter().zip(values) {
                if !entries.iter().any(|(key, _)| key.is(name)) {
                    entries.push((Self::text(*name), value));
                }
            }
        }
    }

    pub(super) fn at(&self, path: &[usize]) -> Option<&Self> {
        let Some((&first, rest)) = path.split_first() else { return Some(self) };
        match self {
            Self::Seq(items) => items.get(first)?.at(rest),
            Self::Map(entries) => entries.get(first)?.1.at(rest),
            _ => None,
        }
    }

    /// Changes the tree at the end of the path, if there is one.
    pub(super) fn change(&mut self, path: &[usize], change: impl FnOnce(&mut Self)) {
        let Some((&first, rest)) = path.split_first() else { return change(self) };
        let inside = match self {
            Self::Seq(items) => items.get_mut(first),
            Self::Map(entries) => entries.get_mut(first).map(|(_, value)| value),
            _ => None,
        };
        if let Some(inside) = inside {
            inside.change(rest, change);
        }
    }

    /// Calls `visit` with this tree and each tree inside, outer ones first.
    pub(super) fn walk<'t>(
        &'t self,
        path: &mut TreePath,
        visit: &mut impl FnMut(&'t Self, &TreePath),
    ) {
        visit(self, path);
        let inside: Vec<&Self> = match self {
            Self::Seq(items) => items.iter().collect(),
            Self::Map(entries) => entries.iter().map(|(_, value)| value).collect(),
            _ => return,
        };
        for (position, tree) in inside.into_iter().enumerate() {
            path.push(position);
            tree.walk(path, visit);
            path.pop();
        }
    }

    /// Returns the paths to all wanted trees that are not inside an entry without a name.
    pub(super) fn known(&self, is_wanted: impl Fn(&Self) -> bool) -> Vec<TreePath> {
        let mut found = self.find(is_wanted);
        found.retain(|path| {
            (0..path.len()).all(|end| {
                match (self.at(path.get(..end).unwrap_or(&[])), path.get(end)) {
                    (Some(Self::Map(entries)), Some(&at)) => {
                        !matches!(entries.get(at), Some((Self::Mark(_) | Self::Number(_), _)))
                    }
                    _ => true,
                }
            })
        });
        found
    }

    /// Returns the paths to all wanted trees.
    pub(super) fn find(&self, is_wanted: impl Fn(&Self) -> bool) -> Vec<TreePath> {
        let mut found = Vec::new();
        self.walk(&mut TreePath::new(), &mut |tree, path| {
            if is_wanted(tree) {
                found.push(path.clone());
            }
        });
        found
    }
}

/// Deserializes a type from a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'t>(pub(super) &'t ShapeTree);

impl<'de> Deserializer<'de> for Shown<'_> {
    type Error = ShapeFault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        match self.0 {
            ShapeTree::Mark(number) => visitor.visit_string(format!("{MARK}{number}")),
            ShapeTree::Unit => visitor.visit_unit(),
            ShapeTree::Bool => visitor.visit_bool(true),
            ShapeTree::Float => visitor.visit_f64(0.5),
            ShapeTree::Number(number) => visitor.visit_u64(*number),
            ShapeTree::Text(text) => visitor.visit_str(text),
            ShapeTree::Seq(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.iter().map(Shown)))
            }
            tree @ ShapeTree::Map(_) => visitor.visit_map(tree.entries()),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        if *self.0 == ShapeTree::Unit { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        match self.0 {
            ShapeTree::Mark(number) => {
                visitor.visit_enum(CowStrDeserializer::new(format!("{MARK}{number}").into()))
            }
            ShapeTree::Text(text) => visitor.visit_enum(CowStrDeserializer::new(text.clone())),
            tree @ ShapeTree::Map(_) => {
                visitor.visit_enum(MapAccessDeserializer::new(tree.entries()))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl IntoDeserializer<'_, ShapeFault> for Shown<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
