//! Creates a [`StateValue`] from a state.

use std::any::type_name;
use std::fmt;

use serde::Serialize;

use super::StateValue;
use crate::digest::is_hash_set;
use crate::error::BoxError;
use crate::walker::{Inside, JSON_NUMBER, Name, Open, Parts, Visit, WalkStep, Walker, What};

/// Values that nest deeper cannot be converted.
const MAX_DEPTH: u16 = 1_024;

impl StateValue {
    /// Creates the tree of `state`.
    ///
    /// # Errors
    /// Any error returned by the state's `Serialize`, or an error if the state nests deeper than
    /// 1,024 levels.
    pub fn of<T: Serialize + ?Sized>(state: &T) -> Result<Self, BoxError> {
        Builder::ROOT.below(state).map_err(|refused| refused.0.into())
    }
}

/// Why a state cannot be converted.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(pub(super) String);

impl Refused {
    pub(super) fn without_key() -> Self {
        Self("a map value has no key".to_owned())
    }
}

impl serde::ser::Error for Refused {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

#[derive(Clone, Copy)]
pub(super) struct Builder {
    /// How many more levels are allowed.
    left: u16,
}

impl Builder {
    pub(super) const ROOT: Self = Self { left: MAX_DEPTH + 1 };

    pub(super) fn below<T: Serialize + ?Sized>(self, value: &T) -> Result<StateValue, Refused> {
        let mut built = value.serialize(Walker(self.down()?))?;
        sort_hash_set(type_name::<T>(), &mut built);
        Ok(built)
    }

    /// One level further down.
    pub(super) fn down(self) -> Result<Self, Refused> {
        let left = self.left.checked_sub(1);
        let too_deep = || Refused(format!("the state nests deeper than {MAX_DEPTH} levels"));
        Ok(Self { left: left.ok_or_else(too_deep)? })
    }
}

/// Sorts the elements of a value of the type `ty` if it is a hash set.
pub(super) fn sort_hash_set(ty: &str, value: &mut StateValue) {
    if let StateValue::List(items) = value
        && is_hash_set(ty)
    {
        items.sort_by_cached_key(ToString::to_string);
    }
}

impl Visit for Builder {
    type Ok = StateValue;
    type Error = Refused;
    type Parts = WholeValue;

    fn bits(self, what: What, bits: u64) -> Result<StateValue, Refused> {
        let signed = i128::from(bits.cast_signed());
        Ok(match what {
            What::Bool => StateValue::Bool(bits != 0),
            What::I8 | What::I16 | What::I32 | What::I64 => StateValue::Int(signed),
            What::F32 => {
                // Only the lower half is set.
                let bits = u32::try_from(bits).unwrap_or_default();
                StateValue::Float(f32::from_bits(bits).into())
            }
            What::F64 => StateValue::Float(f64::from_bits(bits)),
            What::Char => {
                let code = u32::try_from(bits).ok().and_then(char::from_u32);
                StateValue::Char(code.unwrap_or(char::REPLACEMENT_CHARACTER))
            }
            What::None | What::Unit | What::UnitStruct => StateValue::Null,
            _ => StateValue::UInt(bits.into()),
        })
    }

    fn wide(self, what: What, bits: u128) -> Result<StateValue, Refused> {
        Ok(match what {
            What::I128 => StateValue::Int(bits.cast_signed()),
            _ => StateValue::UInt(bits),
        })
    }

    fn bytes(self, what: What, bytes: &[u8]) -> Result<StateValue, Refused> {
        Ok(match what {
            What::Str => StateValue::Text(String::from_utf8_lossy(bytes).into_owned()),
            _ => StateValue::Bytes(bytes.to_vec()),
        })
    }

    fn variant(self, _: Name, variant: Name) -> Result<StateValue, Refused> {
        Ok(StateValue::Variant(variant.to_owned(), Box::new(StateValue::Null)))
    }

    fn inside<T: Serialize + ?Sized>(self, how: Inside, value: &T) -> Result<StateValue, Refused> {
        let inner = self.below(value)?;
        Ok(match how {
            Inside::Newtype(_) => inner,
            Inside::Some => StateValue::Some(Box::new(inner)),
            Inside::Variant(_, variant) => StateValue::Variant(variant.to_owned(), Box::new(inner)),
        })
    }

    fn open(self, what: Open) -> Result<WholeValue, Refused> {
        let is_number = is_number(&what);
        let (variant, value) = match what {
            Open::Seq(len) => (None, StateValue::List(room(len.unwrap_or(0)))),
            Open::Map(len) => (None, StateValue::Map(room(len.unwrap_or(0)))),
            Open::Tuple(_, variant, len) => (variant, StateValue::List(room(len))),
            Open::Struct(_, variant, len) => (variant, StateValue::Struct(room(len))),
        };
        Ok(WholeValue { builder: self, key: None, variant, is_number, value })
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

/// Room for the parts that a value announces. It may announce more than it has.
fn room<T>(parts: usize) -> Vec<T> {
    Vec::with_capacity(parts.min(256))
}

/// Returns whether a value represents a number of `serde_json`, which is passed as a string.
pub(super) fn is_number(what: &Open) -> bool {
    matches!(what, Open::Struct(JSON_NUMBER, None, _))
}

/// A value whose parts are being converted.
pub(super) struct WholeValue {
    builder: Builder,
    /// The key that the next value belongs to.
    key: Option<StateValue>,
    variant: Option<Name>,
    /// Whether the value represents a number of `serde_json`, which is passed as a string.
    is_number: bool,
    value: StateValue,
}

impl Parts for WholeValue {
    type Ok = StateValue;
    type Error = Refused;

    fn part<T: Serialize + ?Sized>(&mut self, step: WalkStep, value: &T) -> Result<(), Refused> {
        let part = self.builder.below(value)?;
        match (&mut self.value, step) {
            (StateValue::Map(_), WalkStep::Key) => self.key = Some(part),
            (StateValue::Map(entries), _) => {
                let key = self.key.take();
                let key = key.ok_or_else(Refused::without_key)?;
                entries.push((key, part));
            }
            (StateValue::Struct(fields), WalkStep::Field(name)) => {
                fields.push((name.to_owned(), part));
            }
            (StateValue::List(items), _) => items.push(part),
            _ => return Err(Refused("a part does not fit the value that contains it".to_owned())),
        }
        Ok(())
    }

    fn skip(&mut self, _: Name) {}

    fn end(self) -> Result<StateValue, Refused> {
        if self.is_number
            && let StateValue::Struct(fields) = &self.value
            && let [(_, StateValue::Text(text))] = fields.as_slice()
        {
            return Ok(number(text));
        }
        Ok(match self.variant {
            None => self.value,
            Some(variant) => StateValue::Variant(variant.to_owned(), Box::new(self.value)),
        })
    }
}

/// Converts a number that was passed as a string, as if `arbitrary_precision` were off.
fn number(text: &str) -> StateValue {
    if let Ok(number) = text.parse() {
        return StateValue::UInt(number);
    }
    if let Ok(number) = text.parse() {
        return StateValue::Int(number);
    }
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => StateValue::Float(number),
        _ => StateValue::Text(text.to_owned()),
    }
}
