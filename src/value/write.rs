//! Writing a serde value into a tree: [`write`].

use std::any::type_name;
use std::fmt;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::node::{Kind, Label, Node};

/// Deeper values are compared by their bytes only.
const MAX_DEPTH: u16 = 256;

/// The tree of `value`, or `None` if the value refuses to be written or nests too deep.
/// `is_human_readable` says how types are asked to write themselves.
pub(crate) fn write<T: Serialize + ?Sized>(value: &T, is_human_readable: bool) -> Option<Node> {
    Writer { is_human_readable, left: MAX_DEPTH }.node(value).ok()
}

/// The value cannot be written.
#[derive(Debug)]
pub(super) struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value cannot be written")
    }
}

impl std::error::Error for Refused {}

impl serde::ser::Error for Refused {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}

#[derive(Clone, Copy)]
struct Writer {
    is_human_readable: bool,
    left: u16,
}

impl Writer {
    fn node<T: Serialize + ?Sized>(self, value: &T) -> Result<Node, Refused> {
        let left = self.left.checked_sub(1).ok_or(Refused)?;
        let kind = value.serialize(Self { left, ..self })?;
        Ok(Node::new(type_name::<T>(), kind))
    }

    fn inside<T: Serialize + ?Sized>(
        self,
        variant: Option<&'static str>,
        value: &T,
    ) -> Result<Kind, Refused> {
        Ok(Kind::Inside(variant, Box::new(self.node(value)?)))
    }
}

macro_rules! numbers {
    ($($method:ident($ty:ty);)*) => {$(
        fn $method(self, value: $ty) -> Result<Kind, Refused> {
            Ok(Kind::leaf(stringify!($ty), &value.to_le_bytes()))
        }
    )*};
}

impl Serializer for Writer {
    type Ok = Kind;
    type Error = Refused;
    type SerializeSeq = Items;
    type SerializeTuple = Fields;
    type SerializeTupleStruct = Fields;
    type SerializeTupleVariant = Fields;
    type SerializeMap = Entries;
    type SerializeStruct = Fields;
    type SerializeStructVariant = Fields;

    numbers! {
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
    }

    fn serialize_bool(self, value: bool) -> Result<Kind, Refused> {
        Ok(Kind::leaf("bool", &[u8::from(value)]))
    }

    fn serialize_char(self, value: char) -> Result<Kind, Refused> {
        Ok(Kind::leaf("char", &u32::from(value).to_le_bytes()))
    }

    fn serialize_str(self, value: &str) -> Result<Kind, Refused> {
        Ok(Kind::leaf("str", value.as_bytes()))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<Kind, Refused> {
        Ok(Kind::leaf("bytes", value))
    }

    fn serialize_none(self) -> Result<Kind, Refused> {
        Ok(Kind::leaf("none", &[]))
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Kind, Refused> {
        self.inside(None, value)
    }

    fn serialize_unit(self) -> Result<Kind, Refused> {
        Ok(Kind::leaf("unit", &[]))
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<Kind, Refused> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Kind, Refused> {
        Ok(Kind::leaf("variant", variant.as_bytes()))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<Kind, Refused> {
        self.inside(None, value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<Kind, Refused> {
        self.inside(Some(variant), value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Refused> {
        Ok(Items { writer: self, items: Vec::new() })
    }

    fn serialize_tuple(self, _: usize) -> Result<Fields, Refused> {
        Ok(Fields::of(self, None))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Fields, Refused> {
        Ok(Fields::of(self, None))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, Refused> {
        Ok(Fields::of(self, Some(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Refused> {
        Ok(Entries { writer: self, key: None, whole: Vec::new() })
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Fields, Refused> {
        Ok(Fields::of(self, None))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Fields, Refused> {
        Ok(Fields::of(self, Some(variant)))
    }

    fn is_human_readable(&self) -> bool {
        self.is_human_readable
    }
}

struct Items {
    writer: Writer,
    items: Vec<Node>,
}

impl SerializeSeq for Items {
    type Ok = Kind;
    type Error = Refused;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        self.items.push(self.writer.node(value)?);
        Ok(())
    }

    fn end(self) -> Result<Kind, Refused> {
        Ok(Kind::Items(self.items))
    }
}

struct Entries {
    writer: Writer,
    /// The key whose value comes next.
    key: Option<Node>,
    whole: Vec<(Node, Node)>,
}

impl SerializeMap for Entries {
    type Ok = Kind;
    type Error = Refused;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refused> {
        self.key = Some(self.writer.node(key)?);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
        let key = self.key.take().ok_or(Refused)?;
        self.whole.push((key, self.writer.node(value)?));
        Ok(())
    }

    fn end(self) -> Result<Kind, Refused> {
        Ok(Kind::Entries(self.whole))
    }
}

struct Fields {
    writer: Writer,
    variant: Option<&'static str>,
    parts: Vec<(Label, Node)>,
}

impl Fields {
    fn of(writer: Writer, variant: Option<&'static str>) -> Self {
        Self { writer, variant, parts: Vec::new() }
    }

    fn push<T: Serialize + ?Sized>(&mut self, label: Label, value: &T) -> Result<(), Refused> {
        self.parts.push((label, self.writer.node(value)?));
        Ok(())
    }
}

macro_rules! fields {
    ($($of:ident $method:ident;)*) => {$(
        impl $of for Fields {
            type Ok = Kind;
            type Error = Refused;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refused> {
                self.push(Label::Place(self.parts.len()), value)
            }

            fn end(self) -> Result<Kind, Refused> {
                Ok(Kind::Fields(self.variant, self.parts))
            }
        }
    )*};
}

fields! {
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! named_fields {
    ($($of:ident;)*) => {$(
        impl $of for Fields {
            type Ok = Kind;
            type Error = Refused;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Refused> {
                self.push(Label::Name(name), value)
            }

            fn skip_field(&mut self, name: &'static str) -> Result<(), Refused> {
                let skipped = Node::new("", Kind::Skipped);
                self.parts.push((Label::Name(name), skipped));
                Ok(())
            }

            fn end(self) -> Result<Kind, Refused> {
                Ok(Kind::Fields(self.variant, self.parts))
            }
        }
    )*};
}

named_fields! {
    SerializeStruct;
    SerializeStructVariant;
}
