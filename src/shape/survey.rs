//! What a value looks like when it is written: [`Survey`].
//!
//! The trace writes the values it made, and those that the application gave it. It learns which
//! fields are left out, what the values in opaque parts are, and values that validating types
//! accept.

use std::any::type_name;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};
use twox_hash::XxHash3_64;

use super::candidates::{Harvest, Value};
use super::fault::Fault;
use super::graph::Leaf;
use super::obstacle::Place;
use crate::value::short_name;

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
    /// The names of fields, left out ones as well.
    pub(super) names: BTreeSet<String>,
    pub(super) leaves: usize,
    /// The last name of a field of a struct with flattened fields.
    pub(super) name: String,
}

impl Notes {
    /// How much is known: it grows with each value that writes something new.
    pub(super) fn known(&self) -> usize {
        self.written.len() + self.names.len()
    }
}

/// Writes `value` for the sake of the notes. A value that its type refuses to write, or panics
/// over, adds what was written before.
pub(super) fn survey<T: Serialize>(value: &T, notes: &RefCell<Notes>) {
    notes.borrow_mut().leaves = 0;
    let survey = Survey { notes, owner: type_name::<T>(), variant: "", path: 0, is_name: false };
    let _ = catch_unwind(AssertUnwindSafe(|| value.serialize(survey)));
}

/// Stands at one place of a value.
#[derive(Clone, Copy, Debug)]
struct Survey<'n> {
    notes: &'n RefCell<Notes>,
    owner: &'static str,
    variant: &'static str,
    path: u64,
    /// A `str` stands here: derived code writes the names of fields and variants as such. Texts
    /// that are data are of other types.
    is_name: bool,
}

impl Survey<'_> {
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

    fn step(self, name: &str) -> Self {
        Self { path: XxHash3_64::oneshot_with_seed(self.path, name.as_bytes()), ..self }
    }

    fn name(self, name: &str) {
        let mut notes = self.notes.borrow_mut();
        if !notes.names.contains(name) {
            notes.names.insert(name.to_owned());
        }
    }

    /// Goes on to a value of type `T`. Texts of a sample are data.
    fn to<T: ?Sized>(self) -> Self {
        let is_name = type_name::<T>() == "str" && self.notes.borrow().harvest.is_none();
        Self { is_name, ..self }
    }

    fn of(self, owner: &'static str) -> Self {
        Self { owner, variant: "", ..self }
    }

    fn of_variant(self, owner: &'static str, variant: &'static str) -> Self {
        Self { owner, variant, ..self }.step(variant)
    }

    fn many(self, len: Option<usize>) -> Self {
        if let (Some(len), Some(harvest)) = (len, &mut self.notes.borrow_mut().harvest) {
            harvest.add_length(len);
        }
        self.step("[]")
    }
}

type Str = &'static str;

macro_rules! leaves {
    ($($method:ident($type:ty) $leaf:ident $value:expr;)*) => {$(
        fn $method(self, value: $type) -> Result<(), Fault> {
            let make: fn($type) -> Value = $value;
            self.leaf(Leaf::$leaf, || make(value))
        }
    )*};
}

macro_rules! opens {
    ($($method:ident($($arg:ident: $type:ty),*) |$at:ident| $to:expr;)*) => {$(
        fn $method(self, $($arg: $type),*) -> Result<Parts<'n>, Fault> {
            let $at = self;
            Ok(Parts { at: $to, done: 0, field: 0 })
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
        serialize_bytes(&[u8]) Bytes |value| Value::Bytes(value.to_vec().into());
        serialize_unit_struct(Str) UnitStruct |_| Value::Int(0);
    }

    opens! {
        serialize_seq(len: Option<usize>) |at| at.many(len);
        serialize_map(len: Option<usize>) |at| at.many(len);
        serialize_tuple(_len: usize) |at| at;
        serialize_tuple_struct(name: Str, _len: usize) |at| at.of(name);
        serialize_struct(name: Str, _len: usize) |at| at.of(name);
        serialize_tuple_variant(name: Str, _number: u32, variant: Str, _len: usize) |at| {
            at.of_variant(name, variant)
        };
        serialize_struct_variant(name: Str, _number: u32, variant: Str, _len: usize) |at| {
            at.of_variant(name, variant)
        };
    }

    fn serialize_str(self, value: &str) -> Result<(), Fault> {
        if self.is_name {
            value.clone_into(&mut self.notes.borrow_mut().name);
        }
        let at = if self.is_name { self.step(value) } else { self };
        at.leaf(Leaf::Str, || Value::Text(value.to_owned().into()))
    }

    fn serialize_unit(self) -> Result<(), Fault> {
        self.leaf(Leaf::Unit, || Value::Int(0))
    }

    fn serialize_none(self) -> Result<(), Fault> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Fault> {
        value.serialize(self.step("?"))
    }

    fn serialize_newtype_struct<T>(self, name: Str, value: &T) -> Result<(), Fault>
    where
        T: Serialize + ?Sized,
    {
        value.serialize(self.of(name))
    }

    fn serialize_unit_variant(self, name: Str, _: u32, variant: Str) -> Result<(), Fault> {
        self.of_variant(name, variant).serialize_unit()
    }

    fn serialize_newtype_variant<T>(
        self,
        name: Str,
        _: u32,
        variant: Str,
        value: &T,
    ) -> Result<(), Fault>
    where
        T: Serialize + ?Sized,
    {
        value.serialize(self.of_variant(name, variant))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The values inside a value.
#[derive(Debug)]
struct Parts<'n> {
    at: Survey<'n>,
    done: usize,
    /// In a map: the hash of the name of the field that the next value belongs to.
    field: u64,
}

impl Parts<'_> {
    fn skip(&mut self, name: Str) {
        let mut owner = short_name(self.at.owner);
        if !self.at.variant.is_empty() {
            owner = format!("{owner}::{}", self.at.variant);
        }
        let place = Place { owner, field: Some(name.to_owned()) };
        let mut notes = self.at.notes.borrow_mut();
        notes.skipped.get_or_insert(place);
        notes.written.insert(XxHash3_64::oneshot_with_seed(self.at.step(name).path, b"skipped"));
        drop(notes);
        self.at.name(name);
    }
}

macro_rules! parts {
    ($($part:ident $method:ident($($name:ident)?) |$of:ident| $at:expr;)*) => {$(
        impl $part for Parts<'_> {
            type Ok = ();
            type Error = Fault;

            fn $method<T>(&mut self, $($name: Str,)? value: &T) -> Result<(), Fault>
            where
                T: Serialize + ?Sized,
            {
                self.done += 1;
                $(self.at.name($name);)?
                let $of = self;
                value.serialize($at.to::<T>())
            }

            $(fn skip_field(&mut self, $name: Str) -> Result<(), Fault> {
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
    SerializeSeq serialize_element() |of| of.at;
    SerializeTuple serialize_element() |of| of.at.step(&of.done.to_string());
    SerializeTupleStruct serialize_field() |of| of.at.step(&of.done.to_string());
    SerializeTupleVariant serialize_field() |of| of.at.step(&of.done.to_string());
    SerializeStruct serialize_field(name) |of| of.at.step(name);
    SerializeStructVariant serialize_field(name) |of| of.at.step(name);
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Fault;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Fault> {
        let is_name = type_name::<T>() == "str";
        key.serialize(Survey { is_name, ..self.at.step("key") })?;
        self.field = 0;
        if is_name {
            let name = std::mem::take(&mut self.at.notes.borrow_mut().name);
            self.field = XxHash3_64::oneshot(name.as_bytes());
            self.at.name(&name);
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Fault> {
        let at = Survey { path: self.at.path ^ self.field, ..self.at };
        value.serialize(at.to::<T>())
    }

    fn end(self) -> Result<(), Fault> {
        Ok(())
    }
}
