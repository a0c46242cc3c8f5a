//! Traverses values: [`Walker`], the one `Serializer` behind the digest, the tree and the trace.
//!
//! serde describes a value by 37 methods. [`Walker`] maps them to the nine methods of [`Visit`] and
//! [`Parts`]. Everything is inlined, so the enums of these methods cost nothing at run time.

// Measured: with mere inlining hints, a digest takes twice as long. In unoptimized builds, forced
// inlining would only add code to compile.
#![cfg_attr(not(debug_assertions), expect(clippy::inline_always, reason = "measured"))]
#![cfg_attr(
    not(any(feature = "postcard", feature = "bincode", feature = "msgpack", feature = "json")),
    expect(dead_code, reason = "only the trace reads the names of types and the lengths")
)]

use serde::ser::{self, Serialize, Serializer};

/// The name of a type, a field or a variant.
pub(crate) type Name = &'static str;

/// The struct name with which `serde_json` passes the text of a number if any crate in the program
/// enables its feature `arbitrary_precision`.
pub(crate) const JSON_NUMBER: Name = "$serde_json::private::Number";

/// The kind of a value without parts. The numbers are part of the digest format.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum What {
    /// Equals `Unit` in a digest.
    UnitStruct = 0,
    I8 = 1,
    I16 = 2,
    I32 = 3,
    I64 = 4,
    U8 = 5,
    U16 = 6,
    U32 = 7,
    U64 = 8,
    I128 = 9,
    U128 = 10,
    Bool = 11,
    F32 = 12,
    F64 = 13,
    Char = 14,
    Str = 15,
    Bytes = 16,
    None = 17,
    Unit = 19,
    /// A variant without contents.
    Variant = 20,
}

/// How a value wraps exactly one other value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Inside {
    Some,
    /// Contains the name of the type.
    Newtype(Name),
    /// Contains the names of the type and the variant.
    Variant(Name, Name),
}

/// A value with parts. The lengths are the ones that the value announces.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Open {
    Seq(Option<usize>),
    Map(Option<usize>),
    /// The type, if it has a name, the variant, and the number of parts.
    Tuple(Option<Name>, Option<Name>, usize),
    /// The type, the variant, and the number of fields.
    Struct(Name, Option<Name>, usize),
}

/// The role of the next part of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WalkStep {
    /// An element of a sequence.
    Item,
    /// The key of an entry. The value follows.
    Key,
    Value,
    /// A part of a tuple.
    Place,
    /// A field of a struct.
    Field(Name),
}

/// Visits one value.
pub(crate) trait Visit: Sized {
    type Ok;
    type Error: ser::Error;
    type Parts: Parts<Ok = Self::Ok, Error = Self::Error>;

    /// Visits a value of at most 64 bits. Signed integers are sign-extended, floats are passed by
    /// their bits, and values without content are 0.
    fn bits(self, what: What, bits: u64) -> Result<Self::Ok, Self::Error>;

    /// Visits an integer of 128 bits.
    fn wide(self, what: What, bits: u128) -> Result<Self::Ok, Self::Error>;

    /// Visits text or bytes.
    fn bytes(self, what: What, bytes: &[u8]) -> Result<Self::Ok, Self::Error>;

    /// Visits a variant without contents: the names of its type and of the variant.
    fn variant(self, owner: Name, variant: Name) -> Result<Self::Ok, Self::Error>;

    fn inside<T>(self, how: Inside, value: &T) -> Result<Self::Ok, Self::Error>
    where
        T: Serialize + ?Sized;

    fn open(self, what: Open) -> Result<Self::Parts, Self::Error>;

    /// Returns whether types serialize themselves in human-readable form. By default in compact
    /// form.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Visits the parts of a value, one after the other.
pub(crate) trait Parts {
    type Ok;
    type Error: ser::Error;

    fn part<T>(&mut self, step: WalkStep, value: &T) -> Result<(), Self::Error>
    where
        T: Serialize + ?Sized;

    /// Notes a field that the value omits.
    fn skip(&mut self, field: Name);

    fn end(self) -> Result<Self::Ok, Self::Error>;
}

/// The serializer that passes its value to a [`Visit`], and the parts of the value to [`Parts`].
pub(crate) struct Walker<V>(pub(crate) V);

macro_rules! leaves {
    ($($method:ident($($value:ident: $type:ty),*) $as:ident($($leaf:expr),*);)*) => {$(
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn $method(self, $($value: $type),*) -> Result<V::Ok, V::Error> {
            self.0.$as($($leaf),*)
        }
    )*};
}

macro_rules! inside {
    ($($method:ident($($arg:ident: $type:ty),*) $how:expr;)*) => {$(
        #[cfg_attr(not(debug_assertions), inline(always))]
        fn $method<T>(self, $($arg: $type,)* value: &T) -> Result<V::Ok, V::Error>
        where
            T: Serialize + ?Sized,
        {
            self.0.inside($how, value)
        }
    )*};
}

macro_rules! opens {
    ($($of:ident $method:ident($($arg:ident: $type:ty),*) $what:expr;)*) => {
        $(type $of = Walker<V::Parts>;)*
        $(
            #[cfg_attr(not(debug_assertions), inline(always))]
            fn $method(self, $($arg: $type),*) -> Result<Walker<V::Parts>, V::Error> {
                Ok(Walker(self.0.open($what)?))
            }
        )*
    };
}

impl<V: Visit> Serializer for Walker<V> {
    type Ok = V::Ok;
    type Error = V::Error;

    leaves! {
        serialize_bool(value: bool) bits(What::Bool, value.into());
        serialize_i8(value: i8) bits(What::I8, i64::from(value).cast_unsigned());
        serialize_i16(value: i16) bits(What::I16, i64::from(value).cast_unsigned());
        serialize_i32(value: i32) bits(What::I32, i64::from(value).cast_unsigned());
        serialize_i64(value: i64) bits(What::I64, value.cast_unsigned());
        serialize_i128(value: i128) wide(What::I128, value.cast_unsigned());
        serialize_u8(value: u8) bits(What::U8, value.into());
        serialize_u16(value: u16) bits(What::U16, value.into());
        serialize_u32(value: u32) bits(What::U32, value.into());
        serialize_u64(value: u64) bits(What::U64, value);
        serialize_u128(value: u128) wide(What::U128, value);
        serialize_f32(value: f32) bits(What::F32, value.to_bits().into());
        serialize_f64(value: f64) bits(What::F64, value.to_bits());
        serialize_char(value: char) bits(What::Char, u32::from(value).into());
        serialize_str(value: &str) bytes(What::Str, value.as_bytes());
        serialize_bytes(value: &[u8]) bytes(What::Bytes, value);
        serialize_none() bits(What::None, 0);
        serialize_unit() bits(What::Unit, 0);
        serialize_unit_struct(_name: Name) bits(What::UnitStruct, 0);
        serialize_unit_variant(name: Name, _n: u32, variant: Name) variant(name, variant);
    }

    inside! {
        serialize_some() Inside::Some;
        serialize_newtype_struct(name: Name) Inside::Newtype(name);
        serialize_newtype_variant(name: Name, _n: u32, variant: Name) Inside::Variant(name, variant);
    }

    opens! {
        SerializeSeq serialize_seq(len: Option<usize>) Open::Seq(len);
        SerializeMap serialize_map(len: Option<usize>) Open::Map(len);
        SerializeTuple serialize_tuple(len: usize) Open::Tuple(None, None, len);
        SerializeTupleStruct serialize_tuple_struct(name: Name, len: usize) {
            Open::Tuple(Some(name), None, len)
        };
        SerializeTupleVariant
        serialize_tuple_variant(name: Name, _n: u32, variant: Name, len: usize) {
            Open::Tuple(Some(name), Some(variant), len)
        };
        SerializeStruct serialize_struct(name: Name, len: usize) Open::Struct(name, None, len);
        SerializeStructVariant
        serialize_struct_variant(name: Name, _n: u32, variant: Name, len: usize) {
            Open::Struct(name, Some(variant), len)
        };
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable()
    }
}

macro_rules! parts {
    ($($of:ident $($method:ident($($name:ident)?) $step:expr),*;)*) => {$(
        impl<P: Parts> ser::$of for Walker<P> {
            type Ok = P::Ok;
            type Error = P::Error;

            $(
                #[cfg_attr(not(debug_assertions), inline(always))]
                fn $method<T>(&mut self, $($name: Name,)? value: &T) -> Result<(), P::Error>
                where
                    T: Serialize + ?Sized,
                {
                    self.0.part($step, value)
                }

                $(
                    #[cfg_attr(not(debug_assertions), inline(always))]
                    fn skip_field(&mut self, $name: Name) -> Result<(), P::Error> {
                        self.0.skip($name);
                        Ok(())
                    }
                )?
            )*

            #[cfg_attr(not(debug_assertions), inline(always))]
            fn end(self) -> Result<P::Ok, P::Error> {
                self.0.end()
            }
        }
    )*};
}

parts! {
    SerializeSeq serialize_element() WalkStep::Item;
    SerializeMap serialize_key() WalkStep::Key, serialize_value() WalkStep::Value;
    SerializeTuple serialize_element() WalkStep::Place;
    SerializeTupleStruct serialize_field() WalkStep::Place;
    SerializeTupleVariant serialize_field() WalkStep::Place;
    SerializeStruct serialize_field(name) WalkStep::Field(name);
    SerializeStructVariant serialize_field(name) WalkStep::Field(name);
}
