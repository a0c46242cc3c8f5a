//! What formats with a null cannot hold: [`check`].
//!
//! MessagePack and JSON write `Some(x)` as `x`, so a `Some` around anything that is written as
//! null comes back as `None`. What comes back encodes to the same bytes, so the check at the first
//! write cannot see it: this one looks at the state itself, at each write. JSON also writes
//! numbers that are not finite as null.

use std::fmt;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

/// How a format writes: what is null next to `None` and `()`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Nulls {
    pub(super) unit_structs: bool,
    pub(super) floats_not_finite: bool,
    /// How the format asks types to write themselves.
    pub(super) is_human_readable: bool,
}

/// Why a state would come back as another one.
#[derive(Debug)]
pub(super) enum Lossy {
    SomeOfNull,
    NotFinite,
    /// The state's own `Serialize` failed.
    Custom(String),
}

impl fmt::Display for Lossy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SomeOfNull => f.write_str("a Some holds what the format writes as null"),
            Self::NotFinite => f.write_str("a number is not finite, and the format has only those"),
            Self::Custom(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Lossy {}

impl serde::ser::Error for Lossy {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self::Custom(why.to_string())
    }
}

/// Fails if `state` holds something that a format with these `nulls` would lose. Writes nothing.
pub(super) fn check<S: Serialize>(state: &S, nulls: Nulls) -> Result<(), Lossy> {
    state.serialize(Check(nulls)).map(|_| ())
}

#[derive(Clone, Copy)]
struct Check(Nulls);

/// Whether a value is written as null.
type IsNull = bool;

macro_rules! holds {
    ($($method:ident($($arg:ident: $ty:ty),*) -> $null:expr;)*) => {$(
        fn $method(self, $($arg: $ty),*) -> Result<IsNull, Lossy> {
            $(let _ = $arg;)*
            Ok($null)
        }
    )*};
}

macro_rules! opens {
    ($($method:ident($($ty:ty),*);)*) => {$(
        fn $method(self, $(_: $ty),*) -> Result<Self, Lossy> {
            Ok(self)
        }
    )*};
}

impl Serializer for Check {
    type Ok = IsNull;
    type Error = Lossy;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    holds! {
        serialize_bool(value: bool) -> false;
        serialize_i8(value: i8) -> false;
        serialize_i16(value: i16) -> false;
        serialize_i32(value: i32) -> false;
        serialize_i64(value: i64) -> false;
        serialize_i128(value: i128) -> false;
        serialize_u8(value: u8) -> false;
        serialize_u16(value: u16) -> false;
        serialize_u32(value: u32) -> false;
        serialize_u64(value: u64) -> false;
        serialize_u128(value: u128) -> false;
        serialize_char(value: char) -> false;
        serialize_str(value: &str) -> false;
        serialize_bytes(value: &[u8]) -> false;
        serialize_none() -> true;
        serialize_unit() -> true;
        serialize_unit_variant(name: &'static str, index: u32, variant: &'static str) -> false;
    }

    opens! {
        serialize_seq(Option<usize>);
        serialize_tuple(usize);
        serialize_tuple_struct(&'static str, usize);
        serialize_tuple_variant(&'static str, u32, &'static str, usize);
        serialize_map(Option<usize>);
        serialize_struct(&'static str, usize);
        serialize_struct_variant(&'static str, u32, &'static str, usize);
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<IsNull, Lossy> {
        Ok(self.0.unit_structs)
    }

    fn serialize_f32(self, value: f32) -> Result<IsNull, Lossy> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<IsNull, Lossy> {
        if self.0.floats_not_finite && !value.is_finite() {
            return Err(Lossy::NotFinite);
        }
        Ok(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<IsNull, Lossy> {
        if value.serialize(self)? { Err(Lossy::SomeOfNull) } else { Ok(false) }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<IsNull, Lossy> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<IsNull, Lossy> {
        value.serialize(self).map(|_| false)
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, _: &T) -> Result<IsNull, Lossy> {
        Ok(false)
    }

    fn is_human_readable(&self) -> bool {
        self.0.is_human_readable
    }
}

macro_rules! compound {
    ($($of:ident $method:ident($($name:ty)?);)*) => {$(
        impl $of for Check {
            type Ok = IsNull;
            type Error = Lossy;

            fn $method<T: Serialize + ?Sized>(
                &mut self,
                $(_: $name,)?
                value: &T,
            ) -> Result<(), Lossy> {
                value.serialize(*self).map(|_| ())
            }

            fn end(self) -> Result<IsNull, Lossy> {
                Ok(false)
            }
        }
    )*};
}

compound! {
    SerializeSeq serialize_element();
    SerializeTuple serialize_element();
    SerializeTupleStruct serialize_field();
    SerializeTupleVariant serialize_field();
    SerializeStruct serialize_field(&'static str);
    SerializeStructVariant serialize_field(&'static str);
}

impl SerializeMap for Check {
    type Ok = IsNull;
    type Error = Lossy;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Lossy> {
        key.serialize(*self).map(|_| ())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Lossy> {
        value.serialize(*self).map(|_| ())
    }

    fn end(self) -> Result<IsNull, Lossy> {
        Ok(false)
    }
}
