//! [`Scorecard`]: the result of running the kit.

mod json;
mod table;

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::case::Case;
use super::failure::{Failure, Stop};
use super::level::Level;
use crate::store::Capabilities;

/// The result of running a kit, such as that on a store. `Display` prints a table of at most 80
/// columns, and `{:#}` lists every case.
#[derive(Clone)]
pub struct Scorecard {
    subject: Subject,
    seed: u64,
    results: Vec<CaseResult>,
}

/// What was tested.
#[derive(Clone, Debug)]
pub(super) enum Subject {
    /// The store's capabilities, if it could be opened, and the number of aggregates at scale.
    Store { capabilities: Option<Capabilities>, scale: usize },
    /// The name of its site.
    EventSource(&'static str),
    /// The name of the artifact store.
    Artifacts(&'static str),
    /// A store of publications.
    #[cfg(feature = "publish")]
    Publications,
}

/// The result of one case.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CaseResult {
    /// The case.
    pub case: &'static Case,
    /// The verdict.
    pub verdict: CaseVerdict,
    /// Numbers measured by the case. They are the same whenever the same store is tested with the
    /// same settings.
    pub notes: Vec<String>,
    /// How long calls took. For information only, and not part of the JSON.
    pub times: Vec<String>,
    /// How long the case took, including its site.
    pub took: Duration,
}

/// The verdict on a case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseVerdict {
    /// The statement is false, or could not be checked.
    Failed(Failure),
    /// The statement held.
    Passed,
    /// The statement was not checked.
    Skipped {
        /// The ability that the store or its site lacks, such as `"Capabilities::durable"`.
        needs: &'static str,
    },
}

/// The numbers of cases that passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that were skipped.
    pub skipped: usize,
}

impl CaseVerdict {
    /// Returns the verdict on a case that ended with this result.
    pub(super) fn of(stopped: Result<(), Stop>) -> Self {
        match stopped {
            Ok(()) => Self::Passed,
            Err(Stop::Failed(failure)) => Self::Failed(failure),
            Err(Stop::Skipped(needs)) => Self::Skipped { needs },
        }
    }
}

impl CaseResult {
    /// Creates the result of a case that has passed so far.
    pub(super) fn new(case: &'static Case) -> Self {
        let took = Duration::ZERO;
        Self { case, verdict: CaseVerdict::Passed, notes: Vec::new(), times: Vec::new(), took }
    }
}

impl Scorecard {
    pub(super) fn new(subject: Subject, seed: u64, results: Vec<CaseResult>) -> Self {
        Self { subject, seed, results }
    }

    /// Returns the name of the store or of the event source's site, or `"unknown"` if it could not
    /// be opened.
    pub fn store_name(&self) -> &'static str {
        match self.subject {
            Subject::Store { capabilities: Some(capabilities), .. } => capabilities.name,
            Subject::Store { capabilities: None, .. } => "unknown",
            Subject::EventSource(name) | Subject::Artifacts(name) => name,
            #[cfg(feature = "publish")]
            Subject::Publications => "publications",
        }
    }

    /// Returns the store's capabilities. `None` if it is not a `SnapshotStore`, and if the
    /// store could not be opened.
    pub fn capabilities(&self) -> Option<Capabilities> {
        match self.subject {
            Subject::Store { capabilities, .. } => capabilities,
            _ => None,
        }
    }

    /// Returns the seed of the run.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns the results of all chosen cases, in the order in which they ran.
    pub fn results(&self) -> &[CaseResult] {
        &self.results
    }

    /// Returns the failed cases, with their failures.
    pub fn failures(&self) -> impl Iterator<Item = (&'static Case, &Failure)> {
        self.results.iter().filter_map(|result| match &result.verdict {
            CaseVerdict::Failed(failure) => Some((result.case, failure)),
            CaseVerdict::Passed | CaseVerdict::Skipped { .. } => None,
        })
    }

    /// Returns the skipped cases, with the missing ability.
    pub fn skipped(&self) -> impl Iterator<Item = (&'static Case, &'static str)> {
        self.results.iter().filter_map(|result| match &result.verdict {
            CaseVerdict::Skipped { needs } => Some((result.case, *needs)),
            CaseVerdict::Passed | CaseVerdict::Failed(_) => None,
        })
    }

    /// Returns the ids of all broken obligations.
    pub fn broken_promises(&self) -> BTreeSet<&'static str> {
        self.failures().flat_map(|(_, failure)| failure.broken.iter().copied()).collect()
    }

    /// Returns whether no case failed and at least one passed. Skipped cases are allowed (see
    /// [`skipped`](Self::skipped)).
    pub fn is_conformant(&self) -> bool {
        let tally = self.tally();
        tally.failed == 0 && tally.passed > 0
    }

    /// Returns the scorecard itself if the store is conformant, and otherwise an error that prints
    /// it. A test can end with `card.into_result()?`.
    ///
    /// # Errors
    /// [`NotConformant`] unless [`is_conformant`](Self::is_conformant).
    pub fn into_result(self) -> Result<Self, NotConformant> {
        if self.is_conformant() { Ok(self) } else { Err(NotConformant(Box::new(self))) }
    }

    /// Returns the counts of all cases.
    pub fn tally(&self) -> Tally {
        Tally::of(self.results.iter())
    }

    /// Returns the counts of the cases in a level.
    pub fn tally_of(&self, level: Level) -> Tally {
        Tally::of(self.results.iter().filter(|result| result.case.level() == level))
    }

    /// Returns the levels that were run.
    fn levels(&self) -> impl Iterator<Item = Level> {
        let mut levels: Vec<_> = self.results.iter().map(|result| result.case.level()).collect();
        levels.dedup();
        levels.into_iter()
    }
}

impl Tally {
    fn of<'r>(results: impl Iterator<Item = &'r CaseResult>) -> Self {
        let mut tally = Self::default();
        for result in results {
            match result.verdict {
                CaseVerdict::Failed(_) => tally.failed += 1,
                CaseVerdict::Passed => tally.passed += 1,
                CaseVerdict::Skipped { .. } => tally.skipped += 1,
            }
        }
        tally
    }

    /// Returns the number of all cases.
    pub fn all(self) -> usize {
        self.passed + self.failed + self.skipped
    }
}

impl fmt::Debug for Scorecard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scorecard")
            .field("store", &self.store_name())
            .field("tally", &self.tally())
            .field("broken", &self.broken_promises())
            .finish_non_exhaustive()
    }
}

/// The error for what is not conformant. Prints the scorecard, also with
/// `{:?}`.
#[derive(Clone)]
pub struct NotConformant(Box<Scorecard>);

impl NotConformant {
    /// Returns the scorecard.
    pub fn scorecard(&self) -> &Scorecard {
        &self.0
    }
}

impl fmt::Display for NotConformant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Failing tests print this form.
impl fmt::Debug for NotConformant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for NotConformant {}
