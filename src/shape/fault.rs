//! The error type of a trace, [`ShapeFault`], and the errors that types report: [`Heard`].

use std::cell::RefCell;
use std::fmt;

use serde::de::{Expected, Unexpected};
use serde::{de, ser};
use twox_hash::XxHash3_64;

use super::graph::NameSet;

/// The prefix of every mark's string.
pub(super) const MARK: &str = "snapfold?";

/// The maximum number of messages that are kept of one trial.
const MAX_HEARD: usize = 256;

thread_local! {
    /// The messages of the trial that runs on this thread; `None` if no trial runs.
    static HEARD: RefCell<Option<Vec<Heard>>> = const { RefCell::new(None) };
}

/// Returns the number of the mark with this string.
pub(super) fn mark_of(text: &str) -> Option<u32> {
    text.strip_prefix(MARK)?.parse().ok()
}

/// A type refused an offered value, or the trace ended a pass on purpose.
///
/// The error has no message: messages from user types about made-up values are of no use, and
/// formatting them would run more foreign code. The tracer itself records where the fault occurred.
/// Errors from derived code that contain the names of fields and variants are kept as [`Heard`]:
/// serde drops the errors of an untagged enum's variants, but creates them first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the type refused a sample value")]
pub(super) struct ShapeFault;

/// One reported error. A mark is the number of the [`Mark`](super::tree::ShapeTree::Mark) that was
/// refused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Heard {
    /// A field is missing.
    Missing(&'static str),
    /// The variant is unknown. Contains the known variants.
    Variants(Option<u32>, NameSet),
    /// The field is unknown. Contains the known fields.
    Fields(String, NameSet),
    /// A value of another kind or in another range is expected.
    Kind(Option<u32>),
    /// A variant with contents is expected.
    Contents,
    /// A list is too short or too long.
    Length(usize),
    /// Anything else.
    Other,
}

impl Heard {
    /// Returns a hash of the names in the message, if it contains any. A refused string is not one
    /// of them.
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

/// Collects the messages on this thread until it is dropped. A trace that starts in between
/// collects its own messages.
#[derive(Debug)]
pub(super) struct FaultListener {
    outer: Option<Vec<Heard>>,
}

impl FaultListener {
    pub(super) fn new() -> Self {
        Self { outer: HEARD.replace(Some(Vec::new())) }
    }
}

/// Takes the messages on this thread since the last call.
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
