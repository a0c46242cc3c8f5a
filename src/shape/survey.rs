//! What a value looks like when it is written: [`Survey`].
//!
//! The trace writes the values it made, and those that the application gave it. It learns which
//! fields are left out, what the values in opaque parts are, and values that validating types
//! accept.

use std::any::type_name;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use twox_hash::XxHash3_64;

use super::candidates::{Harvest, Value};
use super::fault::Fault;
use super::graph::Leaf;
use super::obstacle::{Place, short_name};

/// Most leaves of one value that are looked at.
const MAX_LEAVES: usize = 65_536;

/// What was seen in the values so far.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// The first field that was left out by `skip_serializing_if`.
    pub(super) skipped: Option<Place>,
    /// Hashes of the paths of all leaves, each with its kind. A path consists of names of fields
    /// and variants and of positions, never of values.
    pub(super) written: BTreeSet<u64>,
    /// The leaves themselves, if they are wanted.
    pub(super) harvest: Option<Harvest>,
    pub(super) leaves: usize,
}

/// Writes `value` for the sake of the notes. A value that its type refuses to write, or panics
/// over, adds what was written before.
pub(super) fn survey<T: Serialize>(value: &T, notes: &RefCell<Notes>) {
    notes.borrow_mut().leaves = 0;
    let survey = Survey { notes, owner: type_name::<T>(), variant: "", path: 0 };
    let _ = catch_unwind(AssertUnwindSafe(|| value.serialize(survey)));
}

/// Stands at one place of a value.
#[derive(Clone, Copy, Debug)]
struct Survey<'n> {
    notes: &'n RefCell<Notes>,
    owner: &'static str,
    variant: &'static str,
    path: u64,
}

impl<'n> Survey<'n> {
    fn leaf(self, leaf: Leaf, value: impl FnOnce() -> Value) -> Result<(), Fault> {
        let mut notes = self.notes.borrow_mut();
        notes.leaves += 1;
        if notes.leaves > MAX_LEAVES {
            return Err(Fault);
        }
        notes.written.insert(XxHash3_64::oneshot_with_seed(self.path, &[leaf as u8]));
        if let Some(harvest) = &mut notes.harvest {
            harvest.add(leaf, value());
        }
        Ok(())
    }

    fn into(self, step: &[u8]) -> Self {
        Self { path: XxHash3_64::oneshot_with_seed(self.path, step), ..self }
    }

    fn of(self, owner: &'static str) -> Self {
        Self { owner, variant: "", ..self }
    }

    fn of_variant(self, owner: &'static str, variant: &'static str) -> Self {
        Self { owner, variant, ..self }.into(variant.as_bytes())
    }

    fn parts(self) -> Result<Parts<'n>, Fault> {
        Ok(Parts { at: self, value: self, done: 0 })
    }

    fn many(self, len: Option<usize>) -> Result<Parts<'n>, Fault> {
        if let (Some(len), Some(harvest)) = (len, &mut self.notes.borrow_mut().harvest) {
            harvest.add_length(len);
        }
        self.into(b"[]").parts()
    }
}

macro_rules! leaves {
    ($($method:ident($type:ty) $leaf:ident $value:expr;)*) => {$(
        fn $method(self, value: $type) -> Result<(), Fault> {
            let make: fn($type) -> Value = $value;
            self.leaf(Leaf::$leaf, || make(value))
        }
    )*};
}

impl<'n> Serializer for Survey<'n> {
    type Ok = ();
    type Error = Fault;
    type SerializeSeq = Parts<'n>;
    type SerializeTuple = Parts<'n>;
    type SerializeTupleStruct = Parts<'n>;
    type SerializeTupleVariant = Parts<'n>;
    type SerializeMap = Parts<'n>;
    type SerializeStruct = Parts<'n>;
    type SerializeStructVariant = Parts<'n>;

    leaves! {
        serialize_bool(bool) Bool |value| Value::Int(value.into());
        serialize_i8(i8) I8 |value| Value::Int(value.into());
        serialize_i16(i16) I16 |value| Value::Int(value.into());
        serialize_i32(i32) I32 |value| Value::Int(value.into());
        serialize_i64(i64) I64 |value| Value::Int(value.into());
        serialize_i128(i128) I128 Value::Int;
        serialize_u8(u8) U8 |value| Value::Int(value.into());
        serialize_u16(u16) U16 |value| Value::Int(value.into());
        serialize_u32(u32) U32 |value| Value::Int(value.into());
        serialize_u64(u64) U64 |value| Value::Int(value.into());
        serialize_u128(u128) U128 |value| Value::Int(value.cast_signed());
        serialize_f32(f32) F32 |value| Value::Float(value.into());
        serialize_f64(f64) F64 Value::Float;
        serialize_char(char) Char Value::Char;
        serialize_str(&str) Str |value| Value::Text(value.to_owned().into());
        serialize_bytes(&[u8]) Bytes |value| Value::Bytes(value.to_vec().into());
        serialize_unit_struct(&'static str) UnitStruct |_| Value::Int(0);
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.leaf(Leaf::Unit, || Value::Int(0))
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Fault> {
        self.leaf(Leaf::Str, || Value::Text(value.to_string().into()))
    }

    fn serialize_none(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self.into(b"?"))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self.of(name))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Fault> {
        self.of_variant(name, variant).serialize_unit()
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Fault> {
        value.serialize(self.of_variant(name, variant))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Parts<'n>, Fault> {
        self.many(len)
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Parts<'n>, Fault> {
        self.many(len)
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'n>, Fault> {
        self.parts()
    }

    fn serialize_tuple_struct(self, name: &'static str, _: usize) -> Result<Parts<'n>, Fault> {
        self.of(name).parts()
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Parts<'n>, Fault> {
        self.of(name).parts()
    }

    fn serialize_tuple_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'n>, Fault> {
        self.of_variant(name, variant).parts()
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'n>, Fault> {
        self.of_variant(name, variant).parts()
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The values inside a value.
#[derive(Debug)]
struct Parts<'n> {
    at: Survey<'n>,
    /// Where the next value of a map stands.
    value: Survey<'n>,
    done: u64,
}

impl Parts<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        self.done += 1;
        value.serialize(self.at.into(&self.done.to_le_bytes()))
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Fault> {
        value.serialize(self.at.into(name.as_bytes()))
    }

    fn skip(&mut self, name: &'static str) {
        let mut owner = short_name(self.at.owner);
        if !self.at.variant.is_empty() {
            owner = format!("{owner}::{}", self.at.variant);
        }
        let place = Place { owner, field: Some(name.to_owned()) };
        self.at.notes.borrow_mut().skipped.get_or_insert(place);
    }
}

macro_rules! parts {
    ($($part:ident $method:ident($($name:ident: $type:ty)?) |$of:ident, $value:ident| $write:expr;)*) => {$(
        impl $part for Parts<'_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $($name: $type,)?
                value: &T,
            ) -> Result<(), Fault> {
                let ($of, $value) = (self, value);
                $write
            }

            $(fn skip_field(&mut self, $name: $type) -> Result<(), Fault> {
                self.skip($name);
                Ok(())
            })?

            fn end(self) -> Result<(), Fault> {
                Ok(())
            }
        }
    )*};
}

parts! {
    SerializeSeq serialize_element() |of, value| value.serialize(of.at);
    SerializeTuple serialize_element() |of, value| of.item(value);
    SerializeTupleStruct serialize_field() |of, value| of.item(value);
    SerializeTupleVariant serialize_field() |of, value| of.item(value);
    SerializeStruct serialize_field(name: &'static str) |of, value| of.field(name, value);
    SerializeStructVariant serialize_field(name: &'static str) |of, value| of.field(name, value);
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        self.value = self.at;
        key.serialize(self.at.into(b"key"))
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        value.serialize(self.value)
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}
