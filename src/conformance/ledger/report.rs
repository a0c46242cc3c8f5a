//! [`LedgerReport`]: the result of running the kit on a ledger.

use std::collections::BTreeSet;
use std::fmt;

use super::case::LedgerCase;
use crate::conformance::failure::Failure;

/// The result of running the kit on a ledger. Prints one line per case.
#[derive(Clone, Debug, Default)]
pub struct LedgerReport {
    results: Vec<(&'static LedgerCase, Option<Failure>)>,
}

impl LedgerReport {
    pub(super) fn add(&mut self, case: &'static LedgerCase, failure: Option<Failure>) {
        self.results.push((case, failure));
    }

    /// Returns the cases in the order in which they ran, each with its failure, if any.
    pub fn results(&self) -> impl Iterator<Item = (&'static LedgerCase, Option<&Failure>)> {
        self.results.iter().map(|(case, failure)| (*case, failure.as_ref()))
    }

    /// Returns the cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&'static LedgerCase, &Failure)> {
        self.results().filter_map(|(case, failure)| Some((case, failure?)))
    }

    /// Returns the ids of all broken obligations.
    pub fn broken(&self) -> BTreeSet<&'static str> {
        self.failures().flat_map(|(_, failure)| failure.broken.iter().copied()).collect()
    }

    /// Returns the report itself if no case failed, and otherwise an error that prints it.
    ///
    /// # Errors
    /// [`NotALedger`] if a case failed.
    pub fn into_result(self) -> Result<Self, NotALedger> {
        if self.failures().next().is_none() { Ok(self) } else { Err(NotALedger(self)) }
    }
}

impl fmt::Display for LedgerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (case, failure) in self.results() {
            match failure {
                None => writeln!(f, "passed  {} ({})", case.name(), case.ids().join(", "))?,
                Some(failure) => writeln!(f, "FAILED  {}: {failure}", case.name())?,
            }
        }
        Ok(())
    }
}

/// The error for a ledger that breaks an obligation. Prints the report, also with `{:?}`.
#[derive(Clone)]
pub struct NotALedger(LedgerReport);

impl NotALedger {
    /// Returns the report.
    pub fn report(&self) -> &LedgerReport {
        &self.0
    }
}

impl fmt::Display for NotALedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Failing tests print this form.
impl fmt::Debug for NotALedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        fmt::Display::fmt(&self.0, f)
    }
}

impl std::error::Error for NotALedger {}
