//! Writes a state as canonical JSON without making a tree of it: [`write_state`].

use std::any::type_name;
use std::mem;

use serde::Serialize;

use super::canonical;
use super::page::JsonPage;
use crate::digest::is_hash_set;
use crate::error::BoxError;
use crate::value::state_value::build::{Builder, Refused, WholeValue, is_number, sort_hash_set};
use crate::walker::{Inside, Name, Open, Parts, Visit, WalkStep, Walker, What};

/// Appends `state` to `out`: the bytes that [`canonical::write`] writes for the tree that
/// `StateValue::of` makes of it. After an error, `out` is what it was before.
///
/// # Errors
/// The same errors as `StateValue::of`.
pub(crate) fn write_state<T>(state: &T, out: &mut Vec<u8>) -> Result<(), BoxError>
where
    T: Serialize + ?Sized,
{
    let mut page = JsonPage::new(mem::take(out));
    let mark = page.mark();
    let written = write(&mut page, Builder::ROOT, state);
    if written.is_err() {
        page.back_to(mark);
    }
    *out = page.text;
    written.map(drop).map_err(|refused| refused.0.into())
}

/// Writes a part of the value at which `builder` is. Returns whether its tree is `Null`.
fn write<T>(page: &mut JsonPage, builder: Builder, value: &T) -> Result<bool, Refused>
where
    T: Serialize + ?Sized,
{
    value.serialize(Walker(JsonWriter { page, builder: builder.down()?, ty: type_name::<T>() }))
}

/// Writes one value.
struct JsonWriter<'p> {
    page: &'p mut JsonPage,
    /// Counts the levels, and makes the trees of values that cannot be written part by part.
    builder: Builder,
    /// The type of the value.
    ty: &'static str,
}

impl<'p> Visit for JsonWriter<'p> {
    type Ok = bool;
    type Error = Refused;
    type Parts = JsonParts<'p>;

    fn bits(self, what: What, bits: u64) -> Result<bool, Refused> {
        canonical::scalar(&self.builder.bits(what, bits)?, &mut self.page.text);
        Ok(matches!(what, What::None | What::Unit | What::UnitStruct))
    }

    fn wide(self, what: What, bits: u128) -> Result<bool, Refused> {
        canonical::scalar(&self.builder.wide(what, bits)?, &mut self.page.text);
        Ok(false)
    }

    fn bytes(self, what: What, bytes: &[u8]) -> Result<bool, Refused> {
        match str::from_utf8(bytes) {
            Ok(text) if what == What::Str => canonical::string(text, &mut self.page.text),
            _ => canonical::write(&self.builder.bytes(what, bytes)?, &mut self.page.text),
        }
        Ok(false)
    }

    fn variant(self, _: Name, variant: Name) -> Result<bool, Refused> {
        canonical::string(variant, &mut self.page.text);
        Ok(false)
    }

    fn inside<T: Serialize + ?Sized>(self, how: Inside, value: &T) -> Result<bool, Refused> {
        let Self { page, builder, .. } = self;
        let start = page.text.len();
        if let Inside::Variant(_, variant) = how {
            page.text.push(b'{');
            page.name(variant);
        }
        let is_null = write(page, builder, value)?;
        match how {
            Inside::Newtype(_) => return Ok(is_null),
            Inside::Some => {}
            Inside::Variant(_, variant) if is_null => {
                page.text.truncate(start);
                canonical::string(variant, &mut page.text);
            }
            Inside::Variant(..) => page.text.push(b'}'),
        }
        Ok(false)
    }

    fn open(self, what: Open) -> Result<JsonParts<'p>, Refused> {
        let Self { page, builder, ty } = self;
        if is_number(&what) || (matches!(what, Open::Seq(_)) && is_hash_set(ty)) {
            let form = Form::Tree(ty, Box::new(builder.open(what)?));
            return Ok(JsonParts { page, builder, form });
        }
        let (variant, bracket, form) = match what {
            Open::Seq(_) | Open::Tuple(_, None, _) => (None, b'[', Form::Plain("]")),
            Open::Tuple(_, variant, _) => (variant, b'[', Form::Plain("]}")),
            Open::Struct(_, None, _) => (None, b'{', Form::Plain("}")),
            Open::Struct(_, variant, _) => (variant, b'{', Form::Plain("}}")),
            Open::Map(_) => (None, b'{', Form::Map { first: page.mark().1, pending: None }),
        };
        if let Some(variant) = variant {
            page.text.push(b'{');
            page.name(variant);
        }
        page.text.push(bracket);
        Ok(JsonParts { page, builder, form })
    }

    fn is_human_readable(&self) -> bool {
        self.builder.is_human_readable()
    }
}

/// A value whose parts are being written.
struct JsonParts<'p> {
    page: &'p mut JsonPage,
    builder: Builder,
    form: Form,
}

enum Form {
    /// A list or a struct, and what ends it.
    Plain(&'static str),
    /// A map: which of the entries on the page is its first one, and where the entry starts that
    /// has only a key so far.
    Map { first: usize, pending: Option<usize> },
    /// A hash set, which is sorted by how its elements are displayed, or a number of `serde_json`:
    /// the type, and the tree that is written at the end.
    Tree(&'static str, Box<WholeValue>),
}

impl JsonParts<'_> {
    fn set_pending(&mut self, entry: Option<usize>) {
        if let Form::Map { pending, .. } = &mut self.form {
            *pending = entry;
        }
    }

    fn add<T: Serialize + ?Sized>(&mut self, step: WalkStep, value: &T) -> Result<(), Refused> {
        match (step, &mut self.form) {
            (_, Form::Tree(_, tree)) => return tree.part(step, value),
            (WalkStep::Key, Form::Map { pending, .. }) => {
                let dropped = *pending;
                let start = self.page.begin_entry(dropped);
                write(self.page, self.builder, value)?;
                if !self.page.end_key(start) {
                    self.page.text.truncate(start);
                    let name = canonical::name(&self.builder.below(value)?);
                    canonical::string(&name, &mut self.page.text);
                }
                let start = self.page.replace(dropped, start);
                self.set_pending(Some(start));
            }
            (_, Form::Map { pending, .. }) => {
                self.page.begin_value(pending.ok_or_else(Refused::without_key)?);
                write(self.page, self.builder, value)?;
                self.set_pending(None);
            }
            (WalkStep::Field(name), Form::Plain(_)) => {
                self.page.separate();
                self.page.name(name);
                write(self.page, self.builder, value)?;
            }
            (_, Form::Plain(_)) => {
                self.page.separate();
                write(self.page, self.builder, value)?;
            }
        }
        Ok(())
    }
}

impl Parts for JsonParts<'_> {
    type Ok = bool;
    type Error = Refused;

    fn part<T: Serialize + ?Sized>(&mut self, step: WalkStep, value: &T) -> Result<(), Refused> {
        let mark = self.page.mark();
        let written = self.add(step, value);
        if written.is_err() {
            // Nothing is left of a part that failed: a type may go on without it.
            self.page.back_to(mark);
        }
        written
    }

    fn skip(&mut self, _: Name) {}

    fn end(self) -> Result<bool, Refused> {
        match self.form {
            Form::Plain(end) => self.page.text.extend_from_slice(end.as_bytes()),
            Form::Map { first, pending } => self.page.end_map(first, pending),
            Form::Tree(ty, tree) => {
                let mut tree = tree.end()?;
                sort_hash_set(ty, &mut tree);
                canonical::write(&tree, &mut self.page.text);
            }
        }
        Ok(false)
    }
}
