//! The recording deserializer: [`ShapeCursor`].

use std::any::type_name;
use std::fmt::{self, Write};

use serde::de::{Deserializer, Visitor};

use super::access::{Entries, Items, Named, ShapeCursor, Variant, read_fields};
use super::candidates::Value;
use super::fault::ShapeFault;
use super::graph::{Leaf, ShapeKind, ShapeSite};
use super::obstacle::{Obstacle, ObstaclePlace};
use super::pass::{Cause, PassVisit};
use super::tracer::Tracer;
use super::tree::{ShapeTree, Shown};

impl ShapeCursor<'_> {
    fn leaf<T>(
        self,
        leaf: Leaf,
        visit: impl FnOnce(Value) -> Result<T, ShapeFault>,
    ) -> Result<T, ShapeFault> {
        let pick = self.tracer.leaf(self.site, leaf)?;
        let start = self.tracer.steps.len() - 1;
        visit(self.tracer.harvest.get(leaf, pick))
            .map_err(|_| self.tracer.fail(self.site, start, Cause::Refused))
    }

    /// Enters a type, lets it read its contents, and leaves it.
    fn inside<T>(
        self,
        kind: ShapeKind,
        visitor: &'static str,
        name: &'static str,
        read: impl FnOnce(&mut Tracer, &PassVisit) -> Result<T, ShapeFault>,
    ) -> Result<T, ShapeFault> {
        let visit = self.tracer.enter(self.site, kind, visitor, name)?;
        let result = read(self.tracer, &visit);
        self.tracer.leave(visit, result)
    }
}

/// Displays what a visitor expects.
struct Expects<'v, V>(&'v V);

impl<'de, V: Visitor<'de>> fmt::Display for Expects<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

macro_rules! leaves {
    ($($method:ident $visit:ident $leaf:ident $value:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
            let make = $value;
            self.leaf(Leaf::$leaf, |value: Value| visitor.$visit(make(value)))
        }
    )*};
}

/// Converts an integer. One from the application is only offered for its own kind, so it fits.
fn int<T: TryFrom<i128> + Default>(value: Value) -> T {
    value.int().try_into().unwrap_or_default()
}

impl<'de> Deserializer<'de> for ShapeCursor<'_> {
    type Error = ShapeFault;

    leaves! {
        deserialize_bool visit_bool Bool |value: Value| value.int() != 0;
        deserialize_i8 visit_i8 I8 int;
        deserialize_i16 visit_i16 I16 int;
        deserialize_i32 visit_i32 I32 int;
        deserialize_i64 visit_i64 I64 int;
        deserialize_i128 visit_i128 I128 Value::int;
        deserialize_u8 visit_u8 U8 int;
        deserialize_u16 visit_u16 U16 int;
        deserialize_u32 visit_u32 U32 int;
        deserialize_u64 visit_u64 U64 int;
        deserialize_u128 visit_u128 U128 |value: Value| value.int().cast_unsigned();
        deserialize_f64 visit_f64 F64 Value::float;
        deserialize_char visit_char Char Value::char;
    }

    #[expect(clippy::cast_possible_truncation, reason = "the value was an f32")]
    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.leaf(Leaf::F32, |value| visitor.visit_f32(value.float() as f32))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.leaf(Leaf::Str, |value| visitor.visit_str(&value.text()))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.leaf(Leaf::Bytes, |value| visitor.visit_bytes(&value.bytes()))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.leaf(Leaf::Unit, |_| visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.leaf(Leaf::UnitStruct, |_| visitor.visit_unit())
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        if self.tracer.is_in_trait_object(self.site) {
            self.tracer.trait_object = true;
        } else if self.tracer.obstacle.is_none() {
            let place = self.tracer.place(self.site);
            let mut expects = String::new();
            // If a visitor fails to describe itself, the description is empty.
            let _ = write!(expects, "{}", Expects(&visitor));
            self.tracer.meet(Obstacle::SelfDescribing { place, expects });
        }
        if self.tracer.graph.node(self.site.node).kind == ShapeKind::Named {
            // Unknown names may occur here. They leave no trace in the graph.
            let value = self.tracer.value.take().unwrap_or(ShapeTree::Unit);
            return Shown(&value).deserialize_any(visitor);
        }
        let start = self.tracer.steps.len();
        self.tracer.leaf(self.site, Leaf::Any)?;
        let tree = self.tracer.offer(self.site, ShapeTree::Mark(0));
        let result = Shown(&tree).deserialize_any(visitor);
        result.map_err(|_| self.tracer.fail(self.site, start, Cause::Refused))
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        let site = self.site;
        let owner = self.tracer.graph.node(site.node);
        let place = match owner.kind {
            ShapeKind::Map => self.tracer.flattened(site),
            ShapeKind::Struct(_) => ObstaclePlace { owner: owner.name.to_owned(), field: None },
            _ => self.tracer.place(site),
        };
        self.tracer.meet(Obstacle::ByName { place });
        let by_name = match self.tracer.graph.node(site.node).kind {
            ShapeKind::Map => Some(ShapeKind::Named),
            ShapeKind::Struct(names) if names.len() == 2 && site.index == 0 => {
                Some(ShapeKind::Adjacent(names))
            }
            _ => None,
        };
        if let Some(kind) = by_name {
            let start = self.tracer.steps.len();
            self.tracer.leaf(site, Leaf::Identifier)?;
            self.tracer.graph.node_mut(site.node).kind = kind;
            self.tracer.changed = true;
            return Err(self.tracer.fail(site, start, Cause::Barren));
        }
        self.leaf(Leaf::Identifier, |_| visitor.visit_u64(0))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        let owner = self.tracer.graph.node(self.site.node);
        if owner.is_read_by_name() || owner.kind == ShapeKind::Named {
            // A number beyond the last field, because there are fewer fields than names.
            return visitor.visit_unit();
        }
        let place = self.tracer.place(self.site);
        self.tracer.meet(Obstacle::SelfDescribing { place, expects: "anything".to_owned() });
        self.leaf(Leaf::Ignored, |_| visitor.visit_unit())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::Option, type_name::<V>(), "", |tracer, visit| {
            if visit.pick == 0 {
                return visitor.visit_none();
            }
            let site = ShapeSite { node: visit.node, index: 0 };
            visitor.visit_some(ShapeCursor { tracer, site })
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::Newtype, type_name::<V>(), name, |tracer, visit| {
            let site = ShapeSite { node: visit.node, index: 0 };
            visitor.visit_newtype_struct(ShapeCursor { tracer, site })
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::Seq, type_name::<V>(), "", |tracer, visit| {
            let (node, end) = (visit.node, visit.pick);
            visitor.visit_seq(Items { tracer, node, next: 0, end, same: true })
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::Tuple(len), type_name::<V>(), "", |tracer, visit| {
            visitor.visit_seq(Items { tracer, node: visit.node, next: 0, end: len, same: false })
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::TupleStruct(len), type_name::<V>(), name, |tracer, visit| {
            visitor.visit_seq(Items { tracer, node: visit.node, next: 0, end: len, same: false })
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::Map, type_name::<V>(), "", |tracer, visit| {
            if tracer.graph.node(visit.node).kind == ShapeKind::Named {
                let entries = tracer.offer(visit.site, ShapeTree::Map(Vec::new())).into_entries();
                return visitor.visit_map(Named { tracer, node: visit.node, entries, slot: 0 });
            }
            visitor.visit_map(Entries { tracer, node: visit.node, left: visit.pick })
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::Struct(fields), type_name::<V>(), name, |tracer, visit| {
            if let ShapeKind::Adjacent(&[_, content]) = tracer.graph.node(visit.node).kind {
                // Content that comes before the tag is buffered, so it has any kind.
                let first = ShapeTree::Map(vec![(ShapeTree::text(content), ShapeTree::Mark(0))]);
                let tree = tracer.offer(visit.site, first);
                return visitor.visit_map(tree.entries());
            }
            read_fields(tracer, visit.node, visitor)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ShapeFault> {
        self.inside(ShapeKind::Enum(variants), type_name::<V>(), name, |tracer, visit| {
            let site = ShapeSite { node: visit.node, index: visit.pick };
            visitor.visit_enum(Variant { tracer, site })
        })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
