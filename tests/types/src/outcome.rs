//! What became of a type under a codec: [`Outcome`], [`Report`].

use std::fmt;

/// What became of all values of a type under one codec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Each value was stored, and loaded as it was folded.
    Exact,
    /// No engine is built for the type; the text of the error.
    Build(String),
    /// No value is written; the text of the first error.
    Write(String),
    /// Some values are written and exact, the others are refused; the text of the first error.
    Some(String),
    /// A load gave another state than a replay.
    Wrong(String),
    /// Stored, and then not loaded from the snapshot.
    Unread(String),
    /// A refusal names a codec that does not carry the value, or none where one does.
    Misled(String),
    /// Something panicked.
    Panic(String),
}

impl Outcome {
    /// Whether the promise is broken.
    pub fn is_fault(&self) -> bool {
        matches!(self, Self::Wrong(_) | Self::Unread(_) | Self::Misled(_) | Self::Panic(_))
    }

    /// Whether a value of the type, or all, are refused.
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Build(_) | Self::Write(_) | Self::Some(_))
    }

    /// The text of the error or the description of the fault.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact => "",
            Self::Build(text)
            | Self::Write(text)
            | Self::Some(text)
            | Self::Wrong(text)
            | Self::Unread(text)
            | Self::Misled(text)
            | Self::Panic(text) => text,
        }
    }
}

/// One word of at most seven letters.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Exact => "exact",
            Self::Build(_) => "build",
            Self::Write(_) => "write",
            Self::Some(_) => "some",
            Self::Wrong(_) => "WRONG",
            Self::Unread(_) => "UNREAD",
            Self::Misled(_) => "MISLED",
            Self::Panic(_) => "PANIC",
        })
    }
}

/// An outcome, and whether the format's own crate did better.
#[derive(Clone, Debug)]
pub struct Report {
    /// What became of the values.
    pub outcome: Outcome,
    /// A value is refused that the format's own crate carries exactly. If the type is refused as a
    /// whole: the crate carries every value exactly.
    pub works_by_hand: bool,
}
