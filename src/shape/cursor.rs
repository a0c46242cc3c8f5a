//! The recording deserializer: [`Cursor`].

use std::any::type_name;
use std::fmt::{self, Write};

use serde::de::value::U32Deserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

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

    /// A visitor that never asked for a field of its struct cannot be read in order.
    fn fields<'de, V: Visitor<'de>>(
        tracer: &mut Tracer,
        node: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let fields = tracer.graph.node(node).kind.names().len();
        let result = visitor.visit_seq(Items { tracer, node, next: 0, end: fields, same: false });
        let here = tracer.graph.node(node);
        if result.is_err() && fields > 0 && here.slots.is_empty() {
            let place = Place { owner: here.name.to_owned(), field: None };
            tracer.meet(Obstacle::ByName { place });
        }
        result
    }
}

impl Tracer {
    fn child<'de, S: DeserializeSeed<'de>>(
        &mut self,
        site: Site,
        seed: S,
    ) -> Result<S::Value, Fault> {
        let at = At { site, reader: type_name::<S>() };
        self.graph.change(site, |_| ());
        let start = self.steps.len();
        match seed.deserialize(Cursor { tracer: self, at }) {
            Ok(value) => {
                self.accepted(at);
                Ok(value)
            }
            Err(Fault) => Err(self.fail(site, start, Cause::Refused)),
        }
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
            Self::fields(tracer, visit.node, visitor)
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

/// The elements of a sequence, which share a slot, or of a tuple, each with its own.
struct Items<'t> {
    tracer: &'t mut Tracer,
    node: usize,
    next: usize,
    end: usize,
    same: bool,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        if self.next >= self.end {
            return Ok(None);
        }
        let index = if self.same { 0 } else { self.next };
        self.next += 1;
        self.tracer.child(Site { node: self.node, index }, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.end - self.next)
    }
}

/// The entries of a map: one slot for keys, one for values.
struct Entries<'t> {
    tracer: &'t mut Tracer,
    node: usize,
    left: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.tracer.child(Site { node: self.node, index: 0 }, seed).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        self.tracer.child(Site { node: self.node, index: 1 }, seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The chosen variant of an enum; stands at the slot of that variant.
struct Variant<'t> {
    tracer: &'t mut Tracer,
    at: At,
}

impl<'de> EnumAccess<'de> for Variant<'_> {
    type Error = Fault;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Fault> {
        // Positional codecs name a variant by its number.
        let number = u32::try_from(self.at.site.index).unwrap_or(u32::MAX);
        let number: U32Deserializer<Fault> = number.into_deserializer();
        if let Ok(value) = seed.deserialize(number) {
            return Ok((value, self));
        }
        let start = self.tracer.steps.len();
        Err(self.tracer.fail(self.at.site, start, Cause::NoSuchVariant))
    }
}

impl Variant<'_> {
    fn inside<T>(
        self,
        kind: Kind,
        read: impl FnOnce(&mut Tracer, &Visit) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let visit = self.tracer.enter_variant(self.at, kind)?;
        let result = read(self.tracer, &visit);
        self.tracer.leave(&visit, result)
    }
}

impl<'de> VariantAccess<'de> for Variant<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        self.inside(Kind::UnitVariant, |_, _| Ok(()))
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        self.inside(Kind::NewtypeVariant, |tracer, visit| {
            tracer.child(Site { node: visit.node, index: 0 }, seed)
        })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Fault> {
        self.inside(Kind::TupleVariant(len), |tracer, visit| {
            visitor.visit_seq(Items { tracer, node: visit.node, next: 0, end: len, same: false })
        })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.inside(Kind::StructVariant(fields), |tracer, visit| {
            Cursor::fields(tracer, visit.node, visitor)
        })
    }
}

/// An empty sequence or map, for a request that leaves the kind open.
struct Nothing;

impl<'de> SeqAccess<'de> for Nothing {
    type Error = Fault;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        _seed: S,
    ) -> Result<Option<S::Value>, Fault> {
        Ok(None)
    }
}

impl<'de> MapAccess<'de> for Nothing {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        _seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, _seed: V) -> Result<V::Value, Fault> {
        Err(Fault)
    }
}
