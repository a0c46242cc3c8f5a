//! Hashing a value: what serde tells of it, as tokens of a [`Hash`].

// Measured: with hints alone a digest takes twice as long. Without optimization it would only be
// more code to compile.
#![cfg_attr(not(debug_assertions), expect(clippy::inline_always, reason = "measured"))]

use std::any::type_name;
use std::fmt;

use serde::Serialize;

use super::failed::Failed;
use super::hash::{Hash, name, tag};
use super::order::keeps_order;
use crate::walker::{Inside, JSON_NUMBER, Name, Open, Parts, Visit, WalkStep, Walker, What};

// What a token stands for, besides the numbers of [`What`]. They are part of the format.
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

/// A hash in progress, and what is known of its containers.
pub(super) struct Sink {
    pub(super) hash: Hash,
    /// A container was met whose contents are hashed free of their order.
    pub(super) met_free: bool,
}

impl Sink {
    pub(super) const NEW: Self = Self { hash: Hash::NEW, met_free: false };
}

/// What a place in a value needs to know besides its context.
///
/// A digest knows all of it at compile time: then a [`DigestWrite`] is passed in two registers,
/// which halves the cost.
pub(super) trait DigestScope: Copy {
    /// Whether the order of a container's contents does not count, if one stands here.
    fn is_free(self) -> bool;

    /// The scope of a part, of type `T`.
    fn part<T: ?Sized>(self) -> Result<Self, Failed>;
}

/// A digest: all containers are alike, and the state fits the stack, for it was decoded.
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

/// A survey: containers that are known to keep their order are ordered, and the depth is bounded.
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
    /// Where the value stands: the hash of its field's name, or [`VALUE`].
    context: u64,
    scope: S,
}

impl<'s, S: DigestScope> DigestWrite<'s, S> {
    #[inline]
    pub(super) fn new(sink: &'s mut Sink, scope: S) -> Self {
        Self { sink, context: VALUE, scope }
    }

    /// Hashes the name of a variant; its contents have no context of their own.
    #[cfg_attr(not(debug_assertions), inline(always))]
    fn of(self, variant: Option<Name>) -> Self {
        let Some(variant) = variant else { return self };
        self.sink.hash.token(self.context ^ VARIANT, name(variant));
        Self { context: VALUE, ..self }
    }

    /// A number that came as text, as it would have come without that feature.
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

/// Hashes what a value contains.
pub(super) struct Contents<'s, S> {
    sink: &'s mut Sink,
    scope: S,
    /// This stands for a number of `serde_json`; the context of that.
    number: Option<u64>,
    /// Each element or entry is hashed for itself, and the hashes are added up.
    is_free: bool,
    /// If they are free: the hash of what came before this value.
    before: Hash,
    sum: (u64, u64),
    /// How many elements or entries there were; of tuples and structs the length came first.
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

    /// It counts, so that a type which gains such a field does not look the same.
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

/// Displays what serializes itself as text.
struct Text<'v, T: ?Sized>(&'v T);

impl<T: Serialize + ?Sized> fmt::Display for Text<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.serialize(f)
    }
}
