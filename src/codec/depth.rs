//! Limits the nesting of decoded values, for formats without a limit.
//!
//! Without a limit, a crafted payload of a recursive type could make the decoder recurse until the
//! stack overflows, which aborts the process. The wrapper counts one level for each deserializer
//! that is opened inside another one. For JSON it also undoes how a feature of `serde_json`
//! represents numbers: see [`Root::numbers_as_maps`].

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
    numbers_are_maps: bool,
    of: PhantomData<T>,
}

impl<T> Root<T> {
    pub(super) const fn new(limits: DecodeLimits) -> Self {
        Self { limits, numbers_are_maps: false, of: PhantomData }
    }

    /// Returns a seed that counts levels even if the type is not recursive. For rare paths: it is
    /// slower, but the code of `T` is compiled once for it, and twice for a [`Root`].
    pub(super) fn limited(self) -> Limit<PhantomData<T>> {
        let left = self.limits.max_depth.unwrap_or(u16::MAX).saturating_add(1);
        Limit { inner: self.of, within: Within { left, numbers_are_maps: self.numbers_are_maps } }
    }

    /// Sets whether the decoder passes numbers as maps to a visitor that accepts any value.
    ///
    /// `serde_json` does so, with one private key, if any crate in the program enables its feature
    /// `arbitrary_precision`. Almost no visitor understands such a map.
    #[cfg(feature = "json")]
    pub(super) fn numbers_as_maps(self, numbers_are_maps: bool) -> Self {
        Self { numbers_are_maps, ..self }
    }
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Root<T> {
    type Value = T;

    fn deserialize<D: Deserializer<'de>>(self, decoder: D) -> Result<T, D::Error> {
        if self.limits.max_depth.is_none() && !self.numbers_are_maps {
            return T::deserialize(decoder);
        }
        self.limited().deserialize(decoder)
    }
}

/// A seed, deserializer or visitor, and what applies to the values inside it.
pub(super) type Limit<T> = Wrapped<T, false>;

/// The visitor of a `deserialize_any`. A type of its own, so that the code for numbers is compiled
/// for these visitors only.
type LimitAny<V> = Wrapped<V, true>;

pub(super) struct Wrapped<T, const ANY: bool> {
    inner: T,
    within: Within,
}

#[derive(Clone, Copy)]
struct Within {
    /// The number of levels that may still open.
    left: u16,
    #[cfg_attr(not(feature = "json"), expect(dead_code, reason = "only JSON has such numbers"))]
    numbers_are_maps: bool,
}

impl Within {
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
        let within = self.within.deeper()?;
        self.inner.deserialize(Limit { inner: decoder, within })
    }
}

macro_rules! forward {
    ($($method:ident($($arg:ident: $ty:ty),*);)*) => {$(
        fn $method<V: Visitor<'de>>(self, $($arg: $ty,)* visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method($($arg,)* Limit { inner: visitor, within: self.within })
        }
    )*};
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Limit<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.inner.deserialize_any(LimitAny { inner: visitor, within: self.within })
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

impl<'de, V: Visitor<'de>, const ANY: bool> Visitor<'de> for Wrapped<V, ANY> {
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
        let within = self.within.deeper()?;
        self.inner.visit_some(Limit { inner: decoder, within })
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, decoder: D) -> Result<V::Value, D::Error> {
        let within = self.within.deeper()?;
        self.inner.visit_newtype_struct(Limit { inner: decoder, within })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_seq(Limit { inner: access, within: self.within })
    }

    fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        let access = Limit { inner: access, within: self.within };
        #[cfg(feature = "json")]
        if ANY && self.within.numbers_are_maps {
            return super::number::visit(self.inner, access);
        }
        self.inner.visit_map(access)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, access: A) -> Result<V::Value, A::Error> {
        self.inner.visit_enum(Limit { inner: access, within: self.within })
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Limit<A> {
    type Error = A::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, A::Error> {
        self.inner.next_element_seed(Limit { inner: seed, within: self.within })
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
        self.inner.next_key_seed(Limit { inner: seed, within: self.within })
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.next_value_seed(Limit { inner: seed, within: self.within })
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
        Ok((value, Limit { inner: variant, within: self.within }))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Limit<A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, A::Error> {
        self.inner.newtype_variant_seed(Limit { inner: seed, within: self.within })
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, Limit { inner: visitor, within: self.within })
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, Limit { inner: visitor, within: self.within })
    }
}
