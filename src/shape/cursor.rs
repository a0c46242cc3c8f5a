//! The recording deserializer: [`Cursor`].

use std::any::type_name;
use std::fmt::{self, Write};

use serde::de::{Deserializer, Visitor};

use super::access::{Entries, Items, Nothing, Variant, read_fields};
use super::candidates::{self, Open};
use super::fault::Fault;
use super::graph::{Kind, Leaf, Site};
use super::obstacle::{Obstacle, Place};
use super::tracer::{At, Cause, Tracer, Visit};

/// Stands at one place of the graph and answers the request that is made there.
#[derive(Debug)]
pub(super) struct Cursor<'t> {
    pub(super) tracer: &'t mut Tracer,
    pub(super) at: At,
}

impl Cursor<'_> {
    fn leaf<T>(
        self,
        leaf: Leaf,
        visit: impl FnOnce(usize) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let pick = self.tracer.leaf(self.at, leaf)?;
        let start = self.tracer.steps.len() - 1;
        visit(pick).map_err(|_| self.tracer.fail(self.at.site, start, Cause::Refused))
    }

    /// Enters a type, lets it read its contents, and leaves it.
    fn inside<T>(
        self,
        kind: Kind,
        visitor: &'static str,
        name: &'static str,
        read: impl FnOnce(&mut Tracer, &Visit) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let visit = self.tracer.enter(self.at, kind, visitor, name)?;
        let result = read(self.tracer, &visit);
        self.tracer.leave(&visit, result)
    }
}

/// What a visitor says that it expects.
struct Expects<'v, V>(&'v V);

impl<'de, V: Visitor<'de>> fmt::Display for Expects<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

macro_rules! integers {
    ($($method:ident $visit:ident $leaf:ident $candidate:ident,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.leaf(Leaf::$leaf, |pick| {
                visitor.$visit(candidates::$candidate(pick).try_into().unwrap_or_default())
            })
        }
    )*};
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = Fault;

    integers! {
        deserialize_i8 visit_i8 I8 signed,
        deserialize_i16 visit_i16 I16 signed,
        deserialize_i32 visit_i32 I32 signed,
        deserialize_u8 visit_u8 U8 unsigned,
        deserialize_u16 visit_u16 U16 unsigned,
        deserialize_u32 visit_u32 U32 unsigned,
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::I64, |pick| visitor.visit_i64(candidates::signed(pick)))
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::U64, |pick| visitor.visit_u64(candidates::unsigned(pick)))
    }

    fn deserialize_i128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::I128, |pick| visitor.visit_i128(candidates::signed(pick).into()))
    }

    fn deserialize_u128<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::U128, |pick| visitor.visit_u128(candidates::unsigned(pick).into()))
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::F32, |pick| visitor.visit_f32(candidates::float(pick)))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::F64, |pick| visitor.visit_f64(candidates::float(pick).into()))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::Bool, |pick| visitor.visit_bool(pick > 0))
    }

    fn deserialize_char<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::Char, |pick| visitor.visit_char(candidates::char(pick)))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::Str, |pick| visitor.visit_borrowed_str(candidates::string(pick)))
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::Bytes, |pick| visitor.visit_borrowed_bytes(candidates::bytes(pick)))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.leaf(Leaf::Unit, |_| visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.leaf(Leaf::UnitStruct, |_| visitor.visit_unit())
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.tracer.obstacle.is_none() {
            let place = self.tracer.place(self.at.site);
            let mut expects = String::new();
            // A visitor that fails to describe itself is described by nothing.
            let _ = write!(expects, "{}", Expects(&visitor));
            self.tracer.meet(Obstacle::SelfDescribing { place, expects });
        }
        self.leaf(Leaf::Any, |pick| match candidates::open(pick) {
            Open::Unit => visitor.visit_unit(),
            Open::Number => visitor.visit_u64(0),
            Open::Text => visitor.visit_borrowed_str(""),
            Open::Bool => visitor.visit_bool(false),
            Open::Seq => visitor.visit_seq(Nothing),
            Open::Map => visitor.visit_map(Nothing),
        })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let site = self.at.site;
        let owner = self.tracer.graph.node(site.node);
        let place = match owner.kind {
            Kind::Map => self.tracer.flattened(site),
            Kind::Struct(_) => Place { owner: owner.name.to_owned(), field: None },
            _ => self.tracer.place(site),
        };
        self.tracer.meet(Obstacle::ByName { place });
        self.leaf(Leaf::Identifier, |_| visitor.visit_u64(0))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let place = self.tracer.place(self.at.site);
        self.tracer.meet(Obstacle::SelfDescribing { place, expects: "anything".to_owned() });
        self.leaf(Leaf::Ignored, |_| visitor.visit_unit())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.inside(Kind::Option, type_name::<V>(), "", |tracer, visit| {
            if visit.pick == 0 {
                return visitor.visit_none();
            }
            let site = Site { node: visit.node, index: 0 };
            visitor.visit_some(Cursor { tracer, at: At { site, reader: type_name::<V>() } })
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside(Kind::Newtype, type_name::<V>(), name, |tracer, visit| {
            let site = Site { node: visit.node, index: 0 };
            visitor
                .visit_newtype_struct(Cursor { tracer, at: At { site, reader: type_name::<V>() } })
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.inside(Kind::Seq, type_name::<V>(), "", |tracer, visit| {
            let (node, end) = (visit.node, visit.pick);
            visitor.visit_seq(Items { tracer, node, next: 0, end, same: true })
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.inside(Kind::Tuple(len), type_name::<V>(), "", |tracer, visit| {
            visitor.visit_seq(Items { tracer, node: visit.node, next: 0, end: len, same: false })
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside(Kind::TupleStruct(len), type_name::<V>(), name, |tracer, visit| {
            visitor.visit_seq(Items { tracer, node: visit.node, next: 0, end: len, same: false })
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.inside(Kind::Map, type_name::<V>(), "", |tracer, visit| {
            visitor.visit_map(Entries { tracer, node: visit.node, left: visit.pick })
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside(Kind::Struct(fields), type_name::<V>(), name, |tracer, visit| {
            read_fields(tracer, visit.node, visitor)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside(Kind::Enum(variants), type_name::<V>(), name, |tracer, visit| {
            let site = Site { node: visit.node, index: visit.pick };
            visitor.visit_enum(Variant { tracer, at: At { site, reader: type_name::<V>() } })
        })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
