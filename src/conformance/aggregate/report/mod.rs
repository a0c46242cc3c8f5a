//! [`LawReport`]: the result of a check.

mod json;
mod text;

use std::fmt;

use super::law::Law;
use crate::codec::CodecId;
use crate::generation::Generation;

/// The result of checking an aggregate: one verdict for each [`Law`].
///
/// `Display` prints the report in at most 80 columns (except for longer words).
/// [`to_json`](Self::to_json) returns the report in machine-readable form. Both contain the seed,
/// so that a failure can be reproduced. They contain events only if the check
/// [shows](super::AggregateCheck::show_events) them, and never state values.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LawReport {
    /// The kind of aggregate: [`Aggregate::KIND`](crate::Aggregate::KIND).
    pub kind: String,
    /// The Rust type of the state, without its path.
    pub type_name: String,
    /// The current generation, or `None` if the codec cannot represent the type.
    pub generation: Option<Generation>,
    /// The codec of the check.
    pub codec: CodecId,
    /// The seed of the histories.
    pub seed: u64,
    /// The number of histories.
    pub histories: u64,
    /// The total number of events in the histories.
    pub events: u64,
    /// One verdict for each law, in the order of [`Law::ALL`].
    pub verdicts: Vec<LawVerdict>,
    /// Whether this is a second process that was started for another check.
    pub(super) is_bystander: bool,
}

/// The verdict on one law.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LawVerdict {
    /// The law.
    pub law: Law,
    /// Whether it holds.
    pub outcome: LawOutcome,
}

/// Whether a law holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LawOutcome {
    /// The law held in all histories.
    Holds {
        /// Additional information. Often empty.
        note: String,
    },
    /// The law is broken.
    Broken(LawFinding),
    /// The law is broken, and the check [accepts](super::AggregateCheck::accept) that.
    Accepted {
        /// The finding.
        finding: LawFinding,
        /// Why the violation is accepted.
        reason: String,
    },
    /// The law was not judged, so the result is unknown.
    Unjudged {
        /// Why the law was not judged, and what to do about it.
        why: String,
    },
}

/// A violation of a law.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LawFinding {
    /// A description of the violation, without a full stop. Its versions are those of the reduced
    /// history.
    pub text: String,
    /// The history that shows the violation, or `None` if no history is needed.
    pub history: Option<FailingHistory>,
}

/// A history that breaks a law, reduced to the smallest set of events that a bounded search finds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailingHistory {
    /// The number of the history, from 0.
    pub number: u32,
    /// The seed of all histories.
    pub seed: u64,
    /// The number of events before the reduction.
    pub length: u64,
    /// The versions of the remaining events in the original history, from 1. Empty if no event is
    /// needed.
    pub versions: Vec<u64>,
    /// The remaining events, formatted by [`show_events`](super::AggregateCheck::show_events).
    /// Empty if events are not shown.
    pub shown: Vec<String>,
}

/// The error for a check with at least one broken law. Prints the whole report, also with `{:?}`,
/// so that a test that returns this error shows the violation.
#[derive(Clone)]
pub struct LawsBroken(Box<LawReport>);

impl LawReport {
    /// Returns `Ok` if no law is broken. Laws that were not judged and accepted findings do not
    /// count. [`assert_all`](Self::assert_all) is stricter.
    ///
    /// # Errors
    /// Returns the report if a law is broken and not accepted.
    pub fn assert(&self) -> Result<(), LawsBroken> {
        if self.broken().next().is_none() {
            Ok(())
        } else {
            Err(LawsBroken(Box::new(self.clone())))
        }
    }

    /// Returns `Ok` if every law was judged, and each one holds or its violation was
    /// [accepted](super::AggregateCheck::accept). Also returns `Ok` in a second process that was
    /// started for another check, so that the process can reach that check.
    ///
    /// # Errors
    /// Returns the report if a law is broken and not accepted, or was not judged.
    pub fn assert_all(&self) -> Result<(), LawsBroken> {
        let whole = self.is_bystander || self.unjudged().next().is_none();
        if whole { self.assert() } else { Err(LawsBroken(Box::new(self.clone()))) }
    }

    /// Returns the outcome of `law`.
    pub fn outcome(&self, law: Law) -> Option<&LawOutcome> {
        self.verdicts.iter().find(|verdict| verdict.law == law).map(|verdict| &verdict.outcome)
    }

    /// Returns the broken laws in the order of their ids, without accepted ones.
    pub fn broken(&self) -> impl Iterator<Item = (Law, &LawFinding)> {
        self.verdicts.iter().filter_map(|verdict| match &verdict.outcome {
            LawOutcome::Broken(finding) => Some((verdict.law, finding)),
            _ => None,
        })
    }

    /// Returns the laws that were not judged, with the reasons, in the order of their ids.
    pub fn unjudged(&self) -> impl Iterator<Item = (Law, &str)> {
        self.verdicts.iter().filter_map(|verdict| match &verdict.outcome {
            LawOutcome::Unjudged { why } => Some((verdict.law, why.as_str())),
            _ => None,
        })
    }
}

impl LawOutcome {
    /// The law holds, without a note.
    pub(super) const HOLDS: Self = Self::Holds { note: String::new() };

    pub(super) fn of(finding: Option<LawFinding>) -> Self {
        finding.map_or(Self::HOLDS, Self::Broken)
    }

    pub(super) fn unjudged(why: impl Into<String>) -> Self {
        Self::Unjudged { why: why.into() }
    }
}

impl LawsBroken {
    /// Returns the report.
    pub fn report(&self) -> &LawReport {
        &self.0
    }
}

impl fmt::Display for LawsBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for LawsBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for LawsBroken {}
