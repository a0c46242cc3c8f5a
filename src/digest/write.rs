//! Hashing a value: serde's calls, as tokens of a [`Hash`].

use std::any::type_name;

use serde::ser::{
    Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::failed::Failed;
use super::hash::{Hash, name, tag};
use super::order::keeps_order;

// What a token stands for. The numbers are part of the format.
const I8: u64 = tag(1);
const I16: u64 = tag(2);
const I32: u64 = tag(3);
const I64: u64 = tag(4);
const U8: u64 = tag(5);
const U16: u64 = tag(6);
const U32: u64 = tag(7);
const U64: u64 = tag(8);
const I128: u64 = tag(9);
const U128: u64 = tag(10);
const BOOL: u64 = tag(11);
const F32: u64 = tag(12);
const F64: u64 = tag(13);
const CHAR: u64 = tag(14);
const STR: u64 = tag(15);
const BYTES: u64 = tag(16);
const NONE: u64 = tag(17);
const SOME: u64 = tag(18);
const UNIT: u64 = tag(19);
const VARIANT: u64 = tag(20);
const SEQ: u64 = tag(21);
const TUPLE: u64 = tag(22);
const MAP: u64 = tag(23);
const STRUCT: u64 = tag(24);
const END: u64 = tag(25);
/// The context of a value without a name.
const VALUE: u64 = tag(26);
const SKIPPED: u64 = tag(27);

/// How `serde_json` passes the text of a number if any crate of the program has switched on its
/// feature `arbitrary_precision`.
const JSON_NUMBER: &str = "$serde_json::private::Number";

/// A hash in progress, and what is known of its containers.
#[derive(Clone, Copy)]
pub(super) struct Sink {
    pub(super) hash: Hash,
    /// Containers count as unordered; in a survey, those that are not known to keep their order.
    free: bool,
    /// A survey met a container that is not known to keep its order.
    pub(super) unsure: bool,
}

impl Sink {
    pub(super) const fn new(free: bool) -> Self {
        Self { hash: Hash::NEW, free, unsure: false }
    }
}

/// Hashes one value. A `SURVEY` looks at the names of types and bounds the depth.
pub(super) struct Write<'s, const SURVEY: bool> {
    sink: &'s mut Sink,
    /// Where the value stands: the hash of its field's name, or [`VALUE`].
    context: u64,
    /// The type of the value, as its container passes it to serde.
    of: &'static str,
    /// How many levels may still open; survey only.
    left: u16,
    /// The value is the text of a number of `serde_json`.
    number: bool,
}

impl<'s, const SURVEY: bool> Write<'s, SURVEY> {
    pub(super) fn new(sink: &'s mut Sink, of: &'static str, max_depth: u16) -> Self {
        Self { sink, context: VALUE, of, left: max_depth, number: false }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what each method of a serializer returns")]
    #[inline]
    fn leaf(self, what: u64, value: u64) -> Result<(), Failed> {
        self.sink.hash.token(self.context ^ what, value);
        Ok(())
    }

    /// Hashes what this value contains, one level deeper.
    #[inline]
    fn inside<T: Serialize + ?Sized>(self, context: u64, value: &T) -> Result<(), Failed> {
        let left = deeper::<SURVEY>(self.left)?;
        value.serialize(Self { context, of: type_name::<T>(), left, ..self })
    }

    #[inline]
    fn fields(self, what: u64, len: usize) -> Fields<'s, SURVEY> {
        self.sink.hash.token(self.context ^ what, len as u64);
        Fields { sink: self.sink, left: self.left, context: self.context, number: false }
    }

    #[inline]
    fn variant(self, variant: &'static str) -> Self {
        self.sink.hash.token(self.context ^ VARIANT, name(variant));
        Self { context: VALUE, ..self }
    }

    #[inline]
    fn items(self, what: u64) -> Items<'s, SURVEY> {
        self.sink.hash.token(self.context ^ what, 0);
        let free = self.sink.free && !(SURVEY && keeps_order(self.of));
        if SURVEY && free {
            self.sink.unsure = true;
        }
        let each = Sink::new(self.sink.free);
        Items { sink: self.sink, left: self.left, free, each, sum: (0, 0), len: 0 }
    }

    /// A number that came as text, as it would have come without that feature.
    #[cold]
    fn json_number(self, text: &str) -> Result<(), Failed> {
        if let Ok(number) = text.parse::<u64>() {
            return self.serialize_u64(number);
        }
        if let Ok(number) = text.parse::<i64>() {
            return self.serialize_i64(number);
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => self.serialize_f64(number),
            _ => Self { number: false, ..self }.serialize_str(text),
        }
    }
}

#[inline]
fn deeper<const SURVEY: bool>(left: u16) -> Result<u16, Failed> {
    if !SURVEY {
        return Ok(left);
    }
    left.checked_sub(1).ok_or(Failed::TooDeep)
}

macro_rules! leaves {
    ($($method:ident($ty:ty) $what:ident $bits:expr;)*) => {$(
        #[inline]
        fn $method(self, value: $ty) -> Result<(), Failed> {
            let bits: fn($ty) -> u64 = $bits;
            self.leaf($what, bits(value))
        }
    )*};
}

impl<'s, const SURVEY: bool> Serializer for Write<'s, SURVEY> {
    type Ok = ();
    type Error = Failed;
    type SerializeSeq = Items<'s, SURVEY>;
    type SerializeTuple = Fields<'s, SURVEY>;
    type SerializeTupleStruct = Fields<'s, SURVEY>;
    type SerializeTupleVariant = Fields<'s, SURVEY>;
    type SerializeMap = Items<'s, SURVEY>;
    type SerializeStruct = Fields<'s, SURVEY>;
    type SerializeStructVariant = Fields<'s, SURVEY>;

    leaves! {
        serialize_bool(bool) BOOL u64::from;
        serialize_i8(i8) I8 |value| i64::from(value).cast_unsigned();
        serialize_i16(i16) I16 |value| i64::from(value).cast_unsigned();
        serialize_i32(i32) I32 |value| i64::from(value).cast_unsigned();
        serialize_i64(i64) I64 i64::cast_unsigned;
        serialize_u8(u8) U8 u64::from;
        serialize_u16(u16) U16 u64::from;
        serialize_u32(u32) U32 u64::from;
        serialize_u64(u64) U64 |value| value;
        serialize_f32(f32) F32 |value| value.to_bits().into();
        serialize_f64(f64) F64 f64::to_bits;
        serialize_char(char) CHAR |value| u32::from(value).into();
    }

    fn serialize_i128(self, value: i128) -> Result<(), Failed> {
        self.sink.hash.bytes(self.context ^ I128, &value.to_le_bytes());
        Ok(())
    }

    fn serialize_u128(self, value: u128) -> Result<(), Failed> {
        self.sink.hash.bytes(self.context ^ U128, &value.to_le_bytes());
        Ok(())
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), Failed> {
        if self.number {
            return Self { number: false, ..self }.json_number(value);
        }
        self.sink.hash.bytes(self.context ^ STR, value.as_bytes());
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Failed> {
        self.sink.hash.bytes(self.context ^ BYTES, value);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Result<(), Failed> {
        self.leaf(NONE, 0)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Failed> {
        let context = (self.context ^ SOME).rotate_left(17);
        self.inside(context, value)
    }

    fn serialize_unit(self) -> Result<(), Failed> {
        self.leaf(UNIT, 0)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Failed> {
        self.leaf(UNIT, 0)
    }

    #[inline]
    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Failed> {
        self.leaf(VARIANT, name(variant))
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        let context = self.context;
        self.inside(context, value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Failed> {
        self.variant(variant).inside(VALUE, value)
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Items<'s, SURVEY>, Failed> {
        Ok(self.items(SEQ))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Fields<'s, SURVEY>, Failed> {
        Ok(self.fields(TUPLE, len))
    }

    #[inline]
    fn serialize_tuple_struct(
        self,
        _: &'static str,
        len: usize,
    ) -> Result<Fields<'s, SURVEY>, Failed> {
        Ok(self.fields(TUPLE, len))
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'s, SURVEY>, Failed> {
        Ok(self.variant(variant).fields(TUPLE, len))
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Items<'s, SURVEY>, Failed> {
        Ok(self.items(MAP))
    }

    #[inline]
    fn serialize_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Fields<'s, SURVEY>, Failed> {
        if name == JSON_NUMBER {
            let Self { sink, left, context, .. } = self;
            return Ok(Fields { sink, left, context, number: true });
        }
        Ok(self.fields(STRUCT, len))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Fields<'s, SURVEY>, Failed> {
        Ok(self.variant(variant).fields(STRUCT, len))
    }

    // Always the compact form, whatever the codec writes: both values are compared in it.
    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The parts of a tuple or a struct, in order.
pub(super) struct Fields<'s, const SURVEY: bool> {
    sink: &'s mut Sink,
    left: u16,
    /// Where the whole stands; only for a number.
    context: u64,
    number: bool,
}

impl<const SURVEY: bool> Fields<'_, SURVEY> {
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, context: u64, value: &T) -> Result<(), Failed> {
        let left = deeper::<SURVEY>(self.left)?;
        let context = if self.number { self.context } else { context };
        let (of, number) = (type_name::<T>(), self.number);
        value.serialize(Write::<SURVEY> { sink: &mut *self.sink, context, of, left, number })
    }

    /// A field that this value leaves out. It counts, so that a type which gains such a field does
    /// not look the same.
    #[inline]
    fn skip(&mut self, field: &'static str) {
        self.sink.hash.token(name(field), SKIPPED);
    }

    #[inline]
    fn done(self) {
        if !self.number {
            self.sink.hash.token(END, 0);
        }
    }
}

macro_rules! tuples {
    ($($of:ident $method:ident;)*) => {$(
        impl<const SURVEY: bool> $of for Fields<'_, SURVEY> {
            type Ok = ();
            type Error = Failed;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
                self.part(VALUE, value)
            }

            #[inline]
            fn end(self) -> Result<(), Failed> {
                self.done();
                Ok(())
            }
        }
    )*};
}

tuples! {
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! structs {
    ($($of:ident;)*) => {$(
        impl<const SURVEY: bool> $of for Fields<'_, SURVEY> {
            type Ok = ();
            type Error = Failed;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                field: &'static str,
                value: &T,
            ) -> Result<(), Failed> {
                self.part(name(field), value)
            }

            #[inline]
            fn skip_field(&mut self, field: &'static str) -> Result<(), Failed> {
                self.skip(field);
                Ok(())
            }

            #[inline]
            fn end(self) -> Result<(), Failed> {
                self.done();
                Ok(())
            }
        }
    )*};
}

structs! {
    SerializeStruct;
    SerializeStructVariant;
}

/// The elements of a sequence or the entries of a map.
pub(super) struct Items<'s, const SURVEY: bool> {
    sink: &'s mut Sink,
    left: u16,
    /// Each element is hashed for itself, and the hashes are added up.
    free: bool,
    /// The element in progress, if they are free.
    each: Sink,
    sum: (u64, u64),
    len: u64,
}

impl<const SURVEY: bool> Items<'_, SURVEY> {
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, context: u64, value: &T) -> Result<(), Failed> {
        let left = deeper::<SURVEY>(self.left)?;
        let sink = if self.free { &mut self.each } else { &mut *self.sink };
        let of = type_name::<T>();
        value.serialize(Write::<SURVEY> { sink, context, of, left, number: false })
    }

    /// Ends an element or an entry.
    #[inline]
    fn count(&mut self) {
        self.len += 1;
        if self.free {
            let (a, b) = self.each.hash.finish();
            self.sum = (self.sum.0.wrapping_add(a), self.sum.1.wrapping_add(b));
            self.each.hash = Hash::NEW;
        }
    }

    #[inline]
    fn done(self) {
        if self.free {
            self.sink.hash.token(self.sum.0, self.sum.1);
            self.sink.unsure |= self.each.unsure;
        }
        self.sink.hash.token(END, self.len);
    }
}

impl<const SURVEY: bool> SerializeSeq for Items<'_, SURVEY> {
    type Ok = ();
    type Error = Failed;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.part(VALUE, value)?;
        self.count();
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<(), Failed> {
        self.done();
        Ok(())
    }
}

impl<const SURVEY: bool> SerializeMap for Items<'_, SURVEY> {
    type Ok = ();
    type Error = Failed;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Failed> {
        self.part(MAP, key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Failed> {
        self.part(VALUE, value)?;
        self.count();
        Ok(())
    }

    #[inline]
    fn end(self) -> Result<(), Failed> {
        self.done();
        Ok(())
    }
}
