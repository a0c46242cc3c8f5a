//! [`LawCase`]: an aggregate and its histories, and the search for a history that breaks a law.

use std::fmt::Display;

use super::history::History;
use super::panics::catch;
use super::report::{FailingHistory, LawFinding};
use super::shrink::{ShrinkFault, shrink};
use super::under_test::AggregateUnderTest;
use crate::state::Aggregate;

/// Formats an event for reports.
pub(super) type Show<E> = dyn Fn(&E) -> String + Send + Sync;

pub(super) struct LawCase<A: Aggregate> {
    pub(super) subject: AggregateUnderTest<A>,
    pub(super) seed: u64,
    pub(super) histories: Vec<History<A::Event>>,
    pub(super) show: Option<Box<Show<A::Event>>>,
}

/// The maximum length of a formatted event in a report, in characters.
const SHOWN: usize = 120;

impl<A: Aggregate> LawCase<A> {
    /// Returns the finding for the first history in which `probe` finds a fault, reduced as far as
    /// possible.
    pub(super) fn search(
        &self,
        probe: impl Fn(&AggregateUnderTest<A>, &[&A::Event]) -> Option<ShrinkFault>,
    ) -> Option<LawFinding> {
        let probe = |events: &[&A::Event]| {
            catch(|| probe(&self.subject, events)).unwrap_or_else(|panicked| {
                Some(ShrinkFault {
                    sort: panicked.to_string(),
                    text: format!("the code under test panicked with {panicked}"),
                })
            })
        };
        self.histories.iter().find_map(|history| {
            let fault = probe(&history.events())?;
            Some(self.finding(history, fault, probe))
        })
    }

    /// Returns the finding for a `fault` in `history`. It contains the whole history if `probe`
    /// cannot reproduce the fault.
    pub(super) fn finding(
        &self,
        history: &History<A::Event>,
        fault: ShrinkFault,
        probe: impl Fn(&[&A::Event]) -> Option<ShrinkFault>,
    ) -> LawFinding {
        let events = history.events();
        let (kept, fault) = match probe(&events) {
            Some(again) => shrink(&events, again, probe),
            None => ((0..events.len()).collect(), fault),
        };
        let shown = kept.iter().filter_map(|at| Some(self.shown(events.get(*at)?)));
        LawFinding {
            text: fault.text,
            history: Some(FailingHistory {
                number: history.number,
                seed: self.seed,
                length: events.len() as u64,
                shown: if self.show.is_some() { shown.collect() } else { Vec::new() },
                versions: kept.iter().map(|at| *at as u64 + 1).collect(),
            }),
        }
    }

    fn shown(&self, event: &A::Event) -> String {
        let Some(show) = &self.show else { return String::new() };
        let text = catch(|| show(event)).unwrap_or_else(|_| "(cannot be shown)".to_owned());
        match text.char_indices().nth(SHOWN) {
            Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
            None => text,
        }
    }
}

/// Returns a finding without a history.
pub(super) fn finding(text: impl Display) -> LawFinding {
    LawFinding { text: text.to_string(), history: None }
}
