//! The error type of a trace, [`ShapeFault`], and what types say through it: [`Heard`].

use std::cell::RefCell;
use std::fmt;

use serde::de::{Expected, Unexpected};
use serde::{de, ser};
use twox_hash::XxHash3_64;

use super::graph::NameSet;

/// What every text of a mark starts with.
pub(super) const MARK: &str = "snapfold?";

/// Most messages that are kept of one trial.
const MAX_HEARD: usize = 256;

thread_local! {
    /// The messages of the trial that runs on this thread; none if no trial runs.
    static HEARD: RefCell<Option<Vec<Heard>>> = const { RefCell::new(None) };
}

/// The number of the mark with this text.
pub(super) fn mark_of(text: &str) -> Option<u32> {
    text.strip_prefix(MARK)?.parse().ok()
}

/// An offered value was not accepted, or the trace ended a pass on purpose.
///
/// It carries no text: what a user type says about a made-up value helps nobody, and formatting
/// it would run more foreign code. The tracer itself remembers where the fault appeared. What
/// derived code reports in a form of its own (names of fields and variants) is kept as [`Heard`]:
/// serde drops the errors of an untagged enum's variants, but not before it has made them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a sample value was not accepted")]
pub(super) struct ShapeFault;

/// One reported error. A mark is the number of the [`Mark`](super::tree::Tree::Mark) that was
/// refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Heard {
    /// A field is missing.
    Missing(&'static str),
    /// No variant is called so; these are the variants.
    Variants(Option<u32>, NameSet),
    /// No field is called so; these are the fields.
    Fields(String, NameSet),
    /// A value of another kind, or in another range, is wanted.
    Kind(Option<u32>),
    /// A variant with contents is wanted.
    Contents,
    /// A list is too short or too long.
    Length(usize),
    /// Anything else.
    Other,
}

impl Heard {
    /// A hash of the names that the message tells, if it tells any. A text that was refused is not
    /// among them.
    pub(super) fn told(&self) -> Option<u64> {
        let (kind, names) = match self {
            Self::Missing(name) => (1, std::slice::from_ref(name)),
            Self::Variants(_, names) => (2, *names),
            Self::Fields(_, names) => (3, *names),
            _ => return None,
        };
        let with = |hash, name: &&str| XxHash3_64::oneshot_with_seed(hash, name.as_bytes());
        Some(names.iter().fold(kind, with))
    }
}

/// Collects the messages on this thread from its creation on, until it is dropped. A trace that
/// starts meanwhile keeps its own.
#[derive(Debug)]
pub(super) struct FaultListener {
    outer: Option<Vec<Heard>>,
}

impl FaultListener {
    pub(super) fn new() -> Self {
        Self { outer: HEARD.replace(Some(Vec::new())) }
    }
}

/// Takes what was heard on this thread since it was last taken.
pub(super) fn take_heard() -> Vec<Heard> {
    HEARD.with_borrow_mut(|heard| heard.as_mut().map(std::mem::take).unwrap_or_default())
}

impl Drop for FaultListener {
    fn drop(&mut self) {
        HEARD.set(self.outer.take());
    }
}

impl ShapeFault {
    fn with(heard: impl FnOnce() -> Heard) -> Self {
        HEARD.with_borrow_mut(|all| {
            if let Some(all) = all.as_mut().filter(|all| all.len() < MAX_HEARD) {
                all.push(heard());
            }
        });
        Self
    }

    fn with_kind(unexpected: Unexpected<'_>) -> Self {
        Self::with(|| match unexpected {
            Unexpected::UnitVariant => Heard::Contents,
            Unexpected::Str(text) => Heard::Kind(mark_of(text)),
            _ => Heard::Kind(None),
        })
    }
}

impl de::Error for ShapeFault {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::with(|| Heard::Other)
    }

    fn invalid_type(unexpected: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::with_kind(unexpected)
    }

    fn invalid_value(unexpected: Unexpected<'_>, _: &dyn Expected) -> Self {
        Self::with_kind(unexpected)
    }

    fn invalid_length(len: usize, _: &dyn Expected) -> Self {
        Self::with(|| Heard::Length(len))
    }

    fn unknown_variant(variant: &str, names: NameSet) -> Self {
        Self::with(|| Heard::Variants(mark_of(variant), names))
    }

    fn unknown_field(field: &str, names: NameSet) -> Self {
        Self::with(|| Heard::Fields(field.to_owned(), names))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::with(|| Heard::Missing(field))
    }

    fn duplicate_field(_: &'static str) -> Self {
        Self::with(|| Heard::Other)
    }
}

impl ser::Error for ShapeFault {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self
    }
}
