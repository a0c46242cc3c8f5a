//! What a check found: [`LawReport`].

mod json;
mod text;

use std::fmt;

use super::law::Law;
use crate::codec::CodecId;
use crate::generation::Generation;

/// What checking an aggregate found: one verdict for each [`Law`].
///
/// `Display` gives a text of at most 80 columns (longer words aside), [`to_json`](Self::to_json)
/// the same for machines. Both hold the seed, so that a failure can be had again. They hold events
/// only if the check was told how to [show](super::AggregateCheck::show_events) them, and never
/// values of states.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LawReport {
    /// The kind of aggregate: [`Aggregate::KIND`](crate::Aggregate::KIND).
    pub kind: String,
    /// The Rust type of the state, without its path.
    pub type_name: String,
    /// Today's generation; `None` if the codec cannot carry the type.
    pub generation: Option<Generation>,
    /// The codec of the check.
    pub codec: CodecId,
    /// The seed that gives the same histories again.
    pub seed: u64,
    /// How many histories were made up.
    pub histories: u64,
    /// How many events they have together.
    pub events: u64,
    /// One for each law, in the order of [`Law::ALL`].
    pub verdicts: Vec<LawVerdict>,
    /// This is a second process, started for another check.
    pub(super) is_bystander: bool,
}

/// How one law fared.
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
    /// It held in all that was tried.
    Holds {
        /// What is worth knowing all the same; often empty.
        note: String,
    },
    /// It does not hold.
    Broken(LawFinding),
    /// It does not hold, and the check was told to [accept](super::AggregateCheck::accept) that.
    Accepted {
        /// What was found.
        finding: LawFinding,
        /// Why it is accepted.
        reason: String,
    },
    /// It was not judged, so nothing is known.
    Unjudged {
        /// Why, and what to do about it.
        why: String,
    },
}

/// What breaks a law.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LawFinding {
    /// What was found, as a sentence without a full stop. Versions in it count the events of the
    /// reduced history.
    pub text: String,
    /// The history that shows it; `None` if it takes none.
    pub history: Option<FailingHistory>,
}

/// A history that breaks a law, reduced to events of which none can be left out (as far as a
/// bounded search can tell).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FailingHistory {
    /// The number of the history, from 0.
    pub number: u32,
    /// The seed of all histories.
    pub seed: u64,
    /// How many events it had before it was reduced.
    pub length: u64,
    /// The versions that the remaining events had in it: 1 for its first event. Empty if it takes
    /// no event.
    pub versions: Vec<u64>,
    /// The remaining events, written by [`show_events`](super::AggregateCheck::show_events); empty
    /// without it.
    pub shown: Vec<String>,
}

/// One law or more is broken. Prints as the whole report, also with `{:?}`, so that a test that
/// returns it shows what is wrong.
#[derive(Clone)]
pub struct LawsBroken(Box<LawReport>);

impl LawReport {
    /// `Ok` if no law is broken. Laws that were not judged and findings that were accepted do not
    /// count; [`assert_all`](Self::assert_all) is for those who want no gaps.
    ///
    /// # Errors
    /// The report, as an error.
    pub fn assert(&self) -> Result<(), LawsBroken> {
        if self.broken().next().is_none() {
            Ok(())
        } else {
            Err(LawsBroken(Box::new(self.clone())))
        }
    }

    /// `Ok` if every law was judged and holds, or is accepted. Also in a second process that was
    /// started for another check, so that it gets there.
    ///
    /// # Errors
    /// The report, as an error.
    pub fn assert_all(&self) -> Result<(), LawsBroken> {
        let whole = self.is_bystander || self.unjudged().next().is_none();
        if whole { self.assert() } else { Err(LawsBroken(Box::new(self.clone()))) }
    }

    /// How `law` fared.
    pub fn outcome(&self, law: Law) -> Option<&LawOutcome> {
        self.verdicts.iter().find(|verdict| verdict.law == law).map(|verdict| &verdict.outcome)
    }

    /// The broken laws, in the order of their ids, without those that are accepted.
    pub fn broken(&self) -> impl Iterator<Item = (Law, &LawFinding)> {
        self.verdicts.iter().filter_map(|verdict| match &verdict.outcome {
            LawOutcome::Broken(finding) => Some((verdict.law, finding)),
            _ => None,
        })
    }

    /// The laws that were not judged, and why, in the order of their ids.
    pub fn unjudged(&self) -> impl Iterator<Item = (Law, &str)> {
        self.verdicts.iter().filter_map(|verdict| match &verdict.outcome {
            LawOutcome::Unjudged { why } => Some((verdict.law, why.as_str())),
            _ => None,
        })
    }
}

impl LawOutcome {
    /// It holds, and there is nothing more to say.
    pub(super) const HOLDS: Self = Self::Holds { note: String::new() };

    pub(super) fn of(finding: Option<LawFinding>) -> Self {
        finding.map_or(Self::HOLDS, Self::Broken)
    }

    pub(super) fn unjudged(why: impl Into<String>) -> Self {
        Self::Unjudged { why: why.into() }
    }
}

impl LawsBroken {
    /// The report.
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
