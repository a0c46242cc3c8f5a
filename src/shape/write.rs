//! The recording serializer: serde's calls, handed to [`Sample`] and [`Parts`].

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::fault::Fault;
use super::graph::{Kind, Leaf};
use super::sample::{Parts, Sample, Where};

macro_rules! leaves {
    ($($method:ident($type:ty) $leaf:ident,)*) => {$(
        fn $method(self, _value: $type) -> Result<(), Fault> {
            self.leaf(Leaf::$leaf)
        }
    )*};
}

impl<'g> Serializer for Sample<'g> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Parts<'g>;
    type SerializeTuple = Parts<'g>;
    type SerializeTupleStruct = Parts<'g>;
    type SerializeTupleVariant = Parts<'g>;
    type SerializeMap = Parts<'g>;
    type SerializeStruct = Parts<'g>;
    type SerializeStructVariant = Parts<'g>;

    leaves! {
        serialize_bool(bool) Bool,
        serialize_i8(i8) I8,
        serialize_i16(i16) I16,
        serialize_i32(i32) I32,
        serialize_i64(i64) I64,
        serialize_i128(i128) I128,
        serialize_u8(u8) U8,
        serialize_u16(u16) U16,
        serialize_u32(u32) U32,
        serialize_u64(u64) U64,
        serialize_u128(u128) U128,
        serialize_f32(f32) F32,
        serialize_f64(f64) F64,
        serialize_char(char) Char,
        serialize_str(&str) Str,
        serialize_bytes(&[u8]) Bytes,
        serialize_unit_struct(&'static str) UnitStruct,
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.leaf(Leaf::Unit)
    }

    fn collect_str<T: ?Sized>(self, _value: &T) -> Result<(), Fault> {
        self.leaf(Leaf::Str)
    }

    fn serialize_none(self) -> Result<(), Fault> {
        self.option().map(|_| ())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self.option()?)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self)
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::UnitVariant, 0, at, false).map(|_| ())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::NewtypeVariant, 1, at, false)?.item(value)
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Parts<'g>, Fault> {
        self.elements(Kind::Seq, len)
    }

    fn serialize_tuple(self, len: usize) -> Result<Parts<'g>, Fault> {
        let at = self.at;
        self.fixed(Kind::Tuple(len), len, at, false)
    }

    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Parts<'g>, Fault> {
        self.fixed(Kind::TupleStruct(len), len, Where::of(name), false)
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'g>, Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::TupleVariant(len), len, at, false)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Parts<'g>, Fault> {
        self.elements(Kind::Map, len)
    }

    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Parts<'g>, Fault> {
        self.fixed(Kind::Struct(&[]), len, Where::of(name), true)
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        number: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Parts<'g>, Fault> {
        let at = Where { owner: name, variant, field: None };
        self.variant(at, number)?.fixed(Kind::StructVariant(&[]), len, at, true)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl SerializeSeq for Parts<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.part(0, self.at, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.part(0, self.at, key)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.part(1, self.at, value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}

macro_rules! tuples {
    ($($part:ident $method:ident,)*) => {$(
        impl $part for Parts<'_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
                self.item(value)
            }

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    )*};
}

tuples! {
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field,
}

macro_rules! structs {
    ($($part:ident,)*) => {$(
        impl $part for Parts<'_> {
            type Ok = ();
            type Error = Fault;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                key: &'static str,
                value: &T,
            ) -> Result<(), Fault> {
                self.field(key, value)
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), Fault> {
                Err(self.skip(key))
            }

            fn end(self) -> Result<(), Fault> {
                self.all_written()
            }
        }
    )*};
}

structs! {
    SerializeStruct,
    SerializeStructVariant,
}
