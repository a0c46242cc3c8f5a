//! Limits the nesting of decoded values, for formats without a limit.
//!
//! Without a limit, a crafted payload of a recursive type could make the decoder recurse until the
//! stack overflows, which aborts the process. The wrapper counts one level for each deserializer
//! that is opened inside another one. For JSON it also undoes how a feature of `serde_json`
//! represents numbers: see [`Numbers`].

use std::fmt;
use std::marker::PhantomData;

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::DecodeLimits;

/// The seed that decodes a `T` within the limits.
pub(super) struct Root<T> {
    limits: DecodeLimits,
    numbers: Numbers,
    of: PhantomData<T>,
}

impl<T> Root<T> {
    pub(super) const fn new(limits: DecodeLimits) -> Self {
        Self { limits, numbers: Numbers::Plain, of: PhantomData }
    }

    /// Sets whether `deserialize_any` yields numbers as maps.
    #[cfg(feature = "json")]
    pub(super) fn numbers_as_maps(self, are_maps: bool) -> Self {
        Self { numbers: if are_maps { Numbers::Maps } else { Numbers::Plain }, ..self }
    }
}

/// How the decoder passes numbers to a visitor that accepts any value.
///
/// `serde_json` passes them as maps with one private key if any crate in the program enables its
/// feature `arbitrary_precision`. Almost no visitor understands such a map.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Numbers {
    /// As numbers.
    Plain,
    /// As maps, if any value is requested.
    Maps,
    /// Any value was requested, so the next map may be a number.
    AskedForAny,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Root<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<T, D::Error> {
        let Self { limits, numbers, of } = self;
        match (limits.max_depth, numbers) {
            (None, Numbers::Plain) => T::deserialize(decoder),
            (max, _) => {
                let left = max.unwrap_or(u16::MAX).saturating_add(1);
                Limit { inner: of, left, numbers }.deserialize(decoder)
            }
        }
    }
}

/// A seed, deserializer or visitor, and the number of levels that may still open inside it.
struct Limit<T> {
    inner: T,
    left: u16,
    numbers: Numbers,
}

impl<T> Limit<T> {
    /// Wraps something that came from this wrapper, with the same limit.
    fn around<U>(left: u16, numbers: Numbers, inner: U) -> Limit<U> {
        let numbers = match numbers {
            Numbers::AskedForAny => Numbers::Maps,
            other => other,
        };
        Limit { inner, left, numbers }
    }

    fn deeper<E: Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(E::custom("the value nests deeper than the limit")),
        }
    }
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Limit<T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<T::Value, D::Error> {
        let Self { inner, left, numbers } = self.deeper()?;
        inner.deserialize(Self::around(left, numbers, decoder))
    }
}

macro_rules! forward {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, D::Error> {
            let Self { inner, left, numbers } = self;
            inner.$method($($arg,)* Self::around(left, numbers, visitor))
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Limit<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        let numbers = match self.numbers {
            Numbers::Plain => Numbers::Plain,
            Numbers::Maps | Numbers::AskedForAny => Numbers::AskedForAny,
        };
        self.inner.deserialize_any(Limit { inner: visitor, left: self.left, numbers })
    }

    forward! {
        deserialize_bool();
        deserialize_i8(); deserialize_i16(); deserialize_i32(); deserialize_i64(); deserialize_i128();
        deserialize_u8(); deserialize_u16(); deserialize_u32(); deserialize_u64(); deserialize_u128();
        deserialize_f32(); deserialize_f64(); deserialize_char();
        deserialize_str(); deserialize_string(); deserialize_bytes(); deserialize_byte_buf();
        deserialize_option(); deserialize_unit(); deserialize_seq(); deserialize_map();
        deserialize_identifier(); deserialize_ignored_any();
        deserialize_unit_struct(name: &'static str);
        deserialize_newtype_struct(name: &'static str);
        deserialize_tuple(len: usize);
        deserialize_tuple_struct(name: &'static str, len: usize);
        deserialize_struct(name: &'static str, fields: &'static [&'static str]);
        deserialize_enum(name: &'static str, variants: &'static [&'static str]);
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

macro_rules! pass {
    ($($method:ident: $ty:ty;)*) => {$(
        fn $method<E: Error>(self, value: $ty) -> Result<V::Value, E> {
            self.inner.$method(value)
        }
    )*};
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Limit<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.expecting(f)
    }

    pass! {
        visit_bool: bool;
        visit_i8: i8; visit_i16: i16; visit_i32: i32; visit_i64: i64; visit_i128: i128;
        visit_u8: u8; visit_u16: u16; visit_u32: u32; visit_u64: u64; visit_u128: u128;
        visit_f32: f32; visit_f64: f64; visit_char: char;
        visit_str: &str; visit_borrowed_str: &'de str; visit_string: String;
        visit_bytes: &[u8]; visit_borrowed_bytes: &'de [u8]; visit_byte_buf: Vec<u8>;
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_none()
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.inner.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, decoder: D) -> Result<V::Value, D::Error> {
        let Self { inner, left, numbers } = self.deeper()?;
        inner.visit_some(Self::around(left, numbers, decoder))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, decoder: D) -> Result<V::Value, D::Error> {
        let Self { inner, left, numbers } = self.deeper()?;
        inner.visit_newtype_struct(Self::around(left, numbers, decoder))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Self::around(self.left, self.numbers, access))
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let Self { inner, left, numbers } = self;
        #[cfg(feature = "json")]
        if numbers == Numbers::AskedForAny {
            return super::number::visit(inner, Self::around(left, numbers, access));
        }
        inner.visit_map(Self::around(left, numbers, access))
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Self::around(self.left, self.numbers, access))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Limit<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.inner.next_element_seed(Self::around(self.left, self.numbers, seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Limit<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        self.inner.next_key_seed(Self::around(self.left, self.numbers, seed))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(Self::around(self.left, self.numbers, seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.inner.size_hint()
    }
}

impl<'de, A: EnumAccess<'de>> EnumAccess<'de> for Limit<A> {
    type Error = A::Error;
    type Variant = Limit<A::Variant>;

    fn variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<(T::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, Self::around(self.left, self.numbers, variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Limit<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.newtype_variant_seed(Self::around(self.left, self.numbers, seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Self::around(self.left, self.numbers, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Self::around(self.left, self.numbers, visitor))
    }
}
