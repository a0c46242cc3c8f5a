//! Hashing a value: passes what serde emits to a [`Hash`] as tokens.

// Measured: with mere inlining hints, a digest takes twice as long. In unoptimized builds, forced
// inlining would only add code to compile.
#![cfg_attr(not(debug_assertions), expect(clippy::inline_always, reason = "measured"))]

use std::any::type_name;
use std::fmt;

use serde::Serialize;

use super::failed::Failed;
use super::hash::{Hash, name, tag};
use super::order::keeps_order;
use crate::walker::{Inside, JSON_NUMBER, Name, Open, Parts, Visit, WalkStep, Walker, What};

// The tags of tokens, in addition to the numbers of [`What`]. They are part of the format.
const SOME: u64 = tag(18);
const VARIANT: u64 = tag(What::Variant as u64);
const SEQ: u64 = tag(21);
const TUPLE: u64 = tag(22);
const MAP: u64 = tag(23);
const STRUCT: u64 = tag(24);
const END: u64 = tag(25);
/// The context of a value without a name.
const VALUE: u64 = tag(26);
const SKIPPED: u64 = tag(27);

/// A hash in progress, and whether its containers have an order.
pub(super) struct Sink {
    pub(super) hash: Hash,
    /// Whether a container was hashed free of the order of its contents.
    pub(super) met_free: bool,
}

impl Sink {
    pub(super) const NEW: Self = Self { hash: Hash::NEW, met_free: false };
}

/// What hashing a value needs to know besides the value's context.
///
/// For a digest, all of it is known at compile time. A [`DigestWrite`] is then passed in two
/// registers, which halves the cost.
pub(super) trait DigestScope: Copy {
    /// Returns whether the order of contents does not count if the value is a container.
    fn is_free(self) -> bool;

    /// Returns the scope of a part of type `T`.
    fn part<T: ?Sized>(self) -> Result<Self, Failed>;
}

/// A digest. All containers are treated alike. The depth needs no limit: the state was decoded, so
/// it fits the stack.
#[derive(Clone, Copy)]
pub(super) struct Digest<const FREE: bool>;

impl<const FREE: bool> DigestScope for Digest<FREE> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn is_free(self) -> bool {
        FREE
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn part<T: ?Sized>(self) -> Result<Self, Failed> {
        Ok(self)
    }
}

/// A survey. Containers that are known to keep their order are ordered, and the depth is limited.
#[derive(Clone, Copy)]
pub(super) struct Surveyed {
    /// The type of the value, as its container passes it to serde.
    pub(super) of: &'static str,
    /// How many levels may still open.
    pub(super) left: u16,
}

impl DigestScope for Surveyed {
    #[inline]
    fn is_free(self) -> bool {
        !keeps_order(self.of)
    }

    #[inline]
    fn part<T: ?Sized>(self) -> Result<Self, Failed> {
        let left = self.left.checked_sub(1).ok_or_else(Failed::too_deep)?;
        Ok(Self { of: type_name::<T>(), left })
    }
}

/// Hashes one value.
pub(super) struct DigestWrite<'s, S> {
    sink: &'s mut Sink,
    /// The position of the value: the hash of its field's name, or [`VALUE`].
    context: u64,
    scope: S,
}

impl<'s, S: DigestScope> DigestWrite<'s, S> {
    #[inline]
    pub(super) fn new(sink: &'s mut Sink, scope: S) -> Self {
        Self { sink, context: VALUE, scope }
    }

    /// Hashes the name of a variant. The contents of a variant have no context.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of(self, variant: Option<Name>) -> Self {
        let Some(variant) = variant else { return self };
        self.sink.hash.token(self.context ^ VARIANT, name(variant));
        Self { context: VALUE, ..self }
    }

    /// Hashes a number that `serde_json` passes as a string, as if it were passed as a number.
    #[cold]
    fn json_number<T: Serialize + ?Sized>(self, number: &T) -> Result<(), Failed> {
        let mut text = String::new();
        if fmt::write(&mut text, format_args!("{}", Text(number))).is_err() {
            return number.serialize(Walker(self));
        }
        if let Ok(number) = text.parse::<u64>() {
            return self.bits(What::U64, number);
        }
        if let Ok(number) = text.parse::<i64>() {
            return self.bits(What::I64, number.cast_unsigned());
        }
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => self.bits(What::F64, number.to_bits()),
            _ => self.bytes(What::Str, text.as_bytes()),
        }
    }
}

impl<'s, S: DigestScope> Visit for DigestWrite<'s, S> {
    type Ok = ();
    type Error = Failed;
    type Parts = Contents<'s, S>;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn bits(self, what: What, bits: u64) -> Result<(), Failed> {
        let what = if what == What::UnitStruct { What::Unit } else { what };
        self.sink.hash.token(self.context ^ tag(what as u64), bits);
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn wide(self, what: What, bits: u128) -> Result<(), Failed> {
        self.bytes(what, &bits.to_le_bytes())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn bytes(self, what: What, bytes: &[u8]) -> Result<(), Failed> {
        self.sink.hash.bytes(self.context ^ tag(what as u64), bytes);
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn variant(self, _: Name, variant: Name) -> Result<(), Failed> {
        self.of(Some(variant));
        Ok(())
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn inside<T>(self, how: Inside, value: &T) -> Result<(), Failed>
    where
        T: Serialize + ?Sized,
    {
        let scope = self.scope.part::<T>()?;
        let inner = match how {
            Inside::Some => Self { context: (self.context ^ SOME).rotate_left(17), ..self },
            Inside::Newtype(_) => self,
            Inside::Variant(_, variant) => self.of(Some(variant)),
        };
        value.serialize(Walker(Self { scope, ..inner }))
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn open(self, what: Open) -> Result<Contents<'s, S>, Failed> {
        let (what, variant, len) = match what {
            Open::Seq(_) => (SEQ, None, 0),
            Open::Map(_) => (MAP, None, 0),
            Open::Tuple(_, variant, len) => (TUPLE, variant, len),
            Open::Struct(JSON_NUMBER, None, _) => {
                return Ok(Contents { number: Some(self.context), ..Contents::new(self, false) });
            }
            Open::Struct(_, variant, len) => (STRUCT, variant, len),
        };
        let is_free = matches!(what, SEQ | MAP) && self.scope.is_free();
        let whole = self.of(variant);
        whole.sink.hash.token(whole.context ^ what, len as u64);
        Ok(Contents::new(whole, is_free))
    }
}

/// Hashes the contents of a value.
pub(super) struct Contents<'s, S> {
    sink: &'s mut Sink,
    scope: S,
    /// The context of the value, if it is the struct that represents a number of `serde_json`.
    number: Option<u64>,
    /// Whether each element or entry is hashed separately and the hashes are summed.
    is_free: bool,
    /// If `is_free`: the hash of everything before this value.
    before: Hash,
    sum: (u64, u64),
    /// The number of elements or entries. 0 for tuples and structs, whose length was hashed first.
    len: u64,
}

impl<'s, S: DigestScope> Contents<'s, S> {
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn new(DigestWrite { sink, scope, .. }: DigestWrite<'s, S>, is_free: bool) -> Self {
        let before = sink.hash;
        if is_free {
            sink.met_free = true;
            sink.hash = Hash::NEW;
        }
        Self { sink, scope, number: None, is_free, before, sum: (0, 0), len: 0 }
    }
}

impl<S: DigestScope> Parts for Contents<'_, S> {
    type Ok = ();
    type Error = Failed;

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn part<T>(&mut self, step: WalkStep, value: &T) -> Result<(), Failed>
    where
        T: Serialize + ?Sized,
    {
        let scope = self.scope.part::<T>()?;
        if let Some(context) = self.number {
            return DigestWrite { sink: &mut *self.sink, context, scope }.json_number(value);
        }
        let context = match step {
            WalkStep::Field(field) => name(field),
            WalkStep::Key => MAP,
            WalkStep::Item | WalkStep::Value | WalkStep::Place => VALUE,
        };
        value.serialize(Walker(DigestWrite { sink: &mut *self.sink, context, scope }))?;
        if matches!(step, WalkStep::Item | WalkStep::Value) {
            self.len += 1;
            if self.is_free {
                let (a, b) = self.sink.hash.finish();
                self.sum = (self.sum.0.wrapping_add(a), self.sum.1.wrapping_add(b));
                self.sink.hash = Hash::NEW;
            }
        }
        Ok(())
    }

    /// An omitted field counts, so that a type that gains such a field gets another digest.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn skip(&mut self, field: Name) {
        self.sink.hash.token(name(field), SKIPPED);
    }

    #[cfg_attr(not(debug_assertions), inline(always))]
    fn end(self) -> Result<(), Failed> {
        if self.is_free {
            self.sink.hash = self.before;
            self.sink.hash.token(self.sum.0, self.sum.1);
        }
        if self.number.is_none() {
            self.sink.hash.token(END, self.len);
        }
        Ok(())
    }
}

/// Displays a value that serializes itself as a string.
struct Text<'v, T: ?Sized>(&'v T);

impl<T: Serialize + ?Sized> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}
