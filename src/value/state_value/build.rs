//! Making a [`StateValue`] of a state.

use std::fmt;

use serde::Serialize;

use super::StateValue;
use crate::error::BoxError;
use crate::walker::{Inside, Leaf, Name, Open, Parts, Step, Visit, Walker};

/// Deeper values have no tree.
const MAX_DEPTH: u16 = 1_024;

pub(super) fn build<T: Serialize + ?Sized>(state: &T) -> Result<StateValue, BoxError> {
    state.serialize(Walker(Builder { left: MAX_DEPTH })).map_err(|refused| refused.0.into())
}

/// Why there is no tree.
#[derive(Debug)]
struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl serde::ser::Error for Refused {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

#[derive(Clone, Copy)]
struct Builder {
    left: u16,
}

impl Builder {
    fn below<T: Serialize + ?Sized>(self, value: &T) -> Result<StateValue, Refused> {
        let left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| Refused(format!("the state nests deeper than {MAX_DEPTH} levels")))?;
        value.serialize(Walker(Self { left }))
    }
}

impl Visit for Builder {
    type Ok = StateValue;
    type Error = Refused;
    type Parts = Whole;

    fn leaf(self, leaf: Leaf<'_>) -> Result<StateValue, Refused> {
        Ok(match leaf {
            Leaf::Bool(value) => StateValue::Bool(value),
            Leaf::I8(value) => StateValue::Int(value.into()),
            Leaf::I16(value) => StateValue::Int(value.into()),
            Leaf::I32(value) => StateValue::Int(value.into()),
            Leaf::I64(value) => StateValue::Int(value.into()),
            Leaf::I128(value) => StateValue::Int(value),
            Leaf::U8(value) => StateValue::UInt(value.into()),
            Leaf::U16(value) => StateValue::UInt(value.into()),
            Leaf::U32(value) => StateValue::UInt(value.into()),
            Leaf::U64(value) => StateValue::UInt(value.into()),
            Leaf::U128(value) => StateValue::UInt(value),
            Leaf::F32(value) => StateValue::Float(value.into()),
            Leaf::F64(value) => StateValue::Float(value),
            Leaf::Char(value) => StateValue::Char(value),
            Leaf::Str(value) => StateValue::Text(value.to_owned()),
            Leaf::Bytes(value) => StateValue::Bytes(value.to_vec()),
            Leaf::None | Leaf::Unit | Leaf::UnitStruct => StateValue::Null,
            Leaf::Variant(_, variant) => {
                StateValue::Variant(variant.to_owned(), Box::new(StateValue::Null))
            }
        })
    }

    fn inside<T: Serialize + ?Sized>(self, how: Inside, value: &T) -> Result<StateValue, Refused> {
        let inner = self.below(value)?;
        Ok(match how {
            Inside::Newtype(_) => inner,
            Inside::Some => StateValue::Some(Box::new(inner)),
            Inside::Variant(_, variant) => StateValue::Variant(variant.to_owned(), Box::new(inner)),
        })
    }

    fn open(self, what: Open) -> Result<Whole, Refused> {
        let (variant, value) = match what {
            Open::Seq(_) => (None, StateValue::List(Vec::new())),
            Open::Map(_) => (None, StateValue::Map(Vec::new())),
            Open::Tuple(_, variant, _) => (variant, StateValue::List(Vec::new())),
            Open::Struct(_, variant, _) => (variant, StateValue::Struct(Vec::new())),
        };
        Ok(Whole { builder: self, key: None, variant, value })
    }

    fn is_human_readable(&self) -> bool {
        true
    }
}

/// A value whose parts are being written.
struct Whole {
    builder: Builder,
    /// The key whose value comes next.
    key: Option<StateValue>,
    variant: Option<Name>,
    value: StateValue,
}

impl Parts for Whole {
    type Ok = StateValue;
    type Error = Refused;

    fn part<T: Serialize + ?Sized>(&mut self, step: Step, value: &T) -> Result<(), Refused> {
        let part = self.builder.below(value)?;
        match (&mut self.value, step) {
            (StateValue::Map(_), Step::Key) => self.key = Some(part),
            (StateValue::Map(entries), _) => {
                let key = self.key.take();
                let key = key.ok_or_else(|| Refused("a value came without its key".to_owned()))?;
                entries.push((key, part));
            }
            (StateValue::Struct(fields), Step::Field(name)) => fields.push((name.to_owned(), part)),
            (StateValue::List(items), _) => items.push(part),
            _ => return Err(Refused("a part came that its value cannot have".to_owned())),
        }
        Ok(())
    }

    fn skip(&mut self, _: Name) {}

    fn end(self) -> Result<StateValue, Refused> {
        Ok(match self.variant {
            None => self.value,
            Some(variant) => StateValue::Variant(variant.to_owned(), Box::new(self.value)),
        })
    }
}
