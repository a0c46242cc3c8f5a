//! What a value serializes to: [`ShapeSurvey`].
//!
//! The trace serializes the values that it made and the application's samples. It learns which
//! fields are omitted, what the values in opaque parts are, and which values validating types
//! accept.

use std::any::type_name;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde::Serialize;
use twox_hash::XxHash3_64;

use super::candidates::{Harvest, Value};
use super::fault::ShapeFault;
use super::graph::Leaf;
use super::obstacle::ObstaclePlace;
use crate::value::short_name;
use crate::walker::{Inside, Name, Open, Parts, Visit, WalkStep, Walker, What};

/// The maximum number of leaves that are inspected per value.
const MAX_LEAVES: usize = 65_536;

/// What was seen in the values so far.
#[derive(Debug, Default)]
pub(super) struct SurveyNotes {
    /// The first field that was omitted by `skip_serializing_if`.
    pub(super) skipped: Option<ObstaclePlace>,
    /// Hashes of the paths of all leaves, each with its kind. A path consists of field names,
    /// variant names and positions, never of values.
    pub(super) written: BTreeSet<u64>,
    /// The leaves themselves, if they are wanted.
    pub(super) harvest: Option<Harvest>,
    /// The names of fields, including omitted ones.
    pub(super) names: BTreeSet<String>,
    pub(super) leaves: usize,
    /// The last name of a field of a struct with flattened fields.
    pub(super) name: String,
}

impl SurveyNotes {
    /// Returns a measure of what is known. It grows with each value that writes something new.
    pub(super) fn known(&self) -> usize {
        self.written.len() + self.names.len()
    }
}

/// Serializes `value` to collect notes. If serialization fails or panics, the notes taken so far
/// are kept.
pub(super) fn survey<T: Serialize>(value: &T, notes: &RefCell<SurveyNotes>) {
    notes.borrow_mut().leaves = 0;
    let survey =
        ShapeSurvey { notes, owner: type_name::<T>(), variant: "", path: 0, is_name: false };
    let _ = catch_unwind(AssertUnwindSafe(|| value.serialize(Walker(survey))));
}

/// A position in a value.
#[derive(Clone, Copy, Debug)]
struct ShapeSurvey<'n> {
    notes: &'n RefCell<SurveyNotes>,
    owner: &'static str,
    variant: &'static str,
    path: u64,
    /// Whether the value is a `str`: derived code writes the names of fields and variants as `str`,
    /// while strings that are data have other types.
    is_name: bool,
}

impl ShapeSurvey<'_> {
    fn see(self, leaf: Leaf, value: impl FnOnce() -> Value) -> Result<(), ShapeFault> {
        let mut notes = self.notes.borrow_mut();
        notes.leaves += 1;
        if notes.leaves > MAX_LEAVES {
            return Err(ShapeFault);
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

    /// Continues with a value of type `T`. Strings in a sample are data.
    fn to<T: ?Sized>(self) -> Self {
        let is_name = type_name::<T>() == "str" && self.notes.borrow().harvest.is_none();
        Self { is_name, ..self }
    }

    /// Continues inside a value of the type `owner`, if that has a name.
    fn of(self, owner: Option<Name>, variant: Option<Name>) -> Self {
        let Some(owner) = owner else { return self };
        let at = Self { owner, variant: variant.unwrap_or_default(), ..self };
        variant.map_or(at, |variant| at.step(variant))
    }
}

impl<'n> Visit for ShapeSurvey<'n> {
    type Ok = ();
    type Error = ShapeFault;
    type Parts = SurveyedContents<'n>;

    fn bits(self, what: What, bits: u64) -> Result<(), ShapeFault> {
        let signed = || Value::Int(bits.cast_signed().into());
        let unsigned = || Value::Int(bits.into());
        // The bits were widened from 32 bits, so the upper half is empty.
        let low = u32::try_from(bits).unwrap_or_default();
        let (leaf, value) = match what {
            What::Bool => (Leaf::Bool, unsigned()),
            What::I8 => (Leaf::I8, signed()),
            What::I16 => (Leaf::I16, signed()),
            What::I32 => (Leaf::I32, signed()),
            What::I64 => (Leaf::I64, signed()),
            What::U8 => (Leaf::U8, unsigned()),
            What::U16 => (Leaf::U16, unsigned()),
            What::U32 => (Leaf::U32, unsigned()),
            What::U64 => (Leaf::U64, unsigned()),
            What::F32 => (Leaf::F32, Value::Float(f32::from_bits(low).into())),
            What::F64 => (Leaf::F64, Value::Float(f64::from_bits(bits))),
            What::Char => (Leaf::Char, Value::Char(char::from_u32(low).unwrap_or_default())),
            What::UnitStruct => (Leaf::UnitStruct, unsigned()),
            What::None => return Ok(()),
            _ => (Leaf::Unit, unsigned()),
        };
        self.see(leaf, || value)
    }

    fn wide(self, what: What, bits: u128) -> Result<(), ShapeFault> {
        let leaf = if what == What::I128 { Leaf::I128 } else { Leaf::U128 };
        self.see(leaf, || Value::Int(bits.cast_signed()))
    }

    fn bytes(self, what: What, bytes: &[u8]) -> Result<(), ShapeFault> {
        if what != What::Str {
            return self.see(Leaf::Bytes, || Value::Bytes(bytes.to_vec().into()));
        }
        let text = String::from_utf8_lossy(bytes);
        if self.is_name {
            text.as_ref().clone_into(&mut self.notes.borrow_mut().name);
        }
        let at = if self.is_name { self.step(&text) } else { self };
        at.see(Leaf::Str, || Value::Text(text.into_owned().into()))
    }

    fn variant(self, owner: Name, variant: Name) -> Result<(), ShapeFault> {
        self.of(Some(owner), Some(variant)).bits(What::Unit, 0)
    }

    fn inside<T: Serialize + ?Sized>(self, how: Inside, value: &T) -> Result<(), ShapeFault> {
        value.serialize(Walker(match how {
            Inside::Some => self.step("?"),
            Inside::Newtype(owner) => self.of(Some(owner), None),
            Inside::Variant(owner, variant) => self.of(Some(owner), Some(variant)),
        }))
    }

    fn open(self, what: Open) -> Result<SurveyedContents<'n>, ShapeFault> {
        let at = match what {
            Open::Seq(len) | Open::Map(len) => {
                if let (Some(len), Some(harvest)) = (len, &mut self.notes.borrow_mut().harvest) {
                    harvest.add_length(len);
                }
                self.step("[]")
            }
            Open::Tuple(owner, variant, _) => self.of(owner, variant),
            Open::Struct(owner, variant, _) => self.of(Some(owner), variant),
        };
        Ok(SurveyedContents { at, done: 0, field: 0 })
    }
}

/// The parts of a value.
#[derive(Debug)]
struct SurveyedContents<'n> {
    at: ShapeSurvey<'n>,
    done: usize,
    /// In a map: the hash of the field name that the next value belongs to.
    field: u64,
}

impl Parts for SurveyedContents<'_> {
    type Ok = ();
    type Error = ShapeFault;

    fn part<T: Serialize + ?Sized>(&mut self, step: WalkStep, value: &T) -> Result<(), ShapeFault> {
        self.done += 1;
        let at = match step {
            WalkStep::Item => self.at.to::<T>(),
            // Structs with flattened fields write field names as `str`, unlike map keys, which are
            // data.
            WalkStep::Key => {
                ShapeSurvey { is_name: type_name::<T>() == "str", ..self.at.step("key") }
            }
            WalkStep::Value => ShapeSurvey { path: self.at.path ^ self.field, ..self.at }.to::<T>(),
            WalkStep::Place => self.at.step(&self.done.to_string()).to::<T>(),
            WalkStep::Field(name) => {
                self.at.name(name);
                self.at.step(name).to::<T>()
            }
        };
        value.serialize(Walker(at))?;
        if let WalkStep::Key = step {
            self.field = 0;
            if at.is_name {
                let name = std::mem::take(&mut self.at.notes.borrow_mut().name);
                self.field = XxHash3_64::oneshot(name.as_bytes());
                self.at.name(&name);
            }
        }
        Ok(())
    }

    fn skip(&mut self, field: Name) {
        let mut owner = short_name(self.at.owner);
        if !self.at.variant.is_empty() {
            owner = format!("{owner}::{}", self.at.variant);
        }
        let place = ObstaclePlace { owner, field: Some(field.to_owned()) };
        let mut notes = self.at.notes.borrow_mut();
        notes.skipped.get_or_insert(place);
        notes.written.insert(XxHash3_64::oneshot_with_seed(self.at.step(field).path, b"skipped"));
        drop(notes);
        self.at.name(field);
    }

    fn end(self) -> Result<(), ShapeFault> {
        Ok(())
    }
}
