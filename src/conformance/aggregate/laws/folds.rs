//! L-01, L-02, L-03 and L-05: laws about folds, without encoding.

use std::thread;
use std::time::Duration;

use crate::conformance::aggregate::law_case::{LawCase, finding};
use crate::conformance::aggregate::panics::{Panicked, catch};
use crate::conformance::aggregate::report::LawFinding;
use crate::conformance::aggregate::shrink::ShrinkFault;
use crate::conformance::aggregate::under_test::{AggregateUnderTest, resume};
use crate::state::Aggregate;

/// L-01.
pub(crate) fn total<A: Aggregate>(case: &LawCase<A>) -> Option<LawFinding> {
    if let Err(panicked) = case.subject.initial() {
        return Some(finding(format!("initial panics with {panicked}")));
    }
    case.search(|subject, events| {
        let panicked = subject.fold(events.iter().copied()).err()?;
        let sort = panicked.place.clone().unwrap_or_else(|| panicked.message.clone());
        Some(ShrinkFault { sort, text: format!("apply panics with {panicked}") })
    })
}

/// L-02. `ends` are the final states of the histories from an earlier fold.
pub(crate) fn repeatable<A: Aggregate>(
    case: &LawCase<A>,
    ends: &[A],
    pause: Duration,
) -> Option<LawFinding> {
    thread::sleep(pause);
    let subject = &case.subject;
    // Folding in reverse order reveals data that the fold keeps outside the state.
    case.histories.iter().zip(ends).rev().find_map(|(history, end)| {
        let again = subject.fold(&history.events);
        let text = other_state(subject, end, again, "folding the same events twice")?;
        Some(case.finding(history, ShrinkFault::new(text), |events| {
            let first = subject.fold(events.iter().copied()).ok()?;
            let again = subject.fold(events.iter().copied());
            other_state(subject, &first, again, "folding the same events twice")
                .map(ShrinkFault::new)
        }))
    })
}

/// L-03.
pub(crate) fn another_thread<A: Aggregate>(
    case: &LawCase<A>,
    ends: &[A],
) -> Result<Option<LawFinding>, String> {
    let subject = &case.subject;
    let on_thread = |history: &[&A::Event]| -> Result<Result<A, Panicked>, String> {
        in_new_thread(|| subject.fold(history.iter().copied()))
    };
    let folded: Vec<_> = in_new_thread(|| {
        case.histories.iter().map(|history| subject.fold(&history.events)).collect()
    })?;
    let here_and_there = "folding the same events on this thread and on another thread";
    let broken = case.histories.iter().zip(ends).zip(folded);
    let mut broken = broken.filter_map(|((history, end), again)| {
        let text = other_state(subject, end, again, here_and_there)?;
        Some(case.finding(history, ShrinkFault::new(text), |events| {
            let here = subject.fold(events.iter().copied()).ok()?;
            let there = on_thread(events).ok()?;
            other_state(subject, &here, there, here_and_there).map(ShrinkFault::new)
        }))
    });
    Ok(broken.next())
}

fn in_new_thread<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    thread::scope(|scope| {
        let started = thread::Builder::new().spawn_scoped(scope, work);
        let running = started.map_err(|error| format!("a thread cannot be started: {error}"))?;
        running.join().map_err(|_| "the thread panicked".to_owned())
    })
}

fn other_state<A: Aggregate>(
    subject: &AggregateUnderTest<A>,
    first: &A,
    again: Result<A, Panicked>,
    what: &str,
) -> Option<String> {
    match again {
        Ok(again) => {
            let difference = subject.difference(first, &again)?;
            Some(format!("{what} gives different states: {difference}"))
        }
        Err(panicked) => {
            Some(format!("{what} panics in one fold but not in the other: {panicked}"))
        }
    }
}

/// L-05.
pub(crate) fn own_clone<A: Aggregate>(case: &LawCase<A>) -> Option<LawFinding> {
    case.search(|subject, events| {
        let end = subject.fold(events.iter().copied()).ok()?;
        let mut state = subject.initial().ok()?;
        for version in 0..=events.len() {
            if let Some(text) = bad_clone(subject, &state, version, events, &end) {
                return Some(ShrinkFault::new(text));
            }
            state = resume(state, events.get(version).copied()).ok()?;
        }
        None
    })
}

fn bad_clone<A: Aggregate>(
    subject: &AggregateUnderTest<A>,
    state: &A,
    version: usize,
    events: &[&A::Event],
    end: &A,
) -> Option<String> {
    let clone = match catch(|| state.clone()) {
        Ok(clone) => clone,
        Err(panicked) => return Some(format!("clone panics with {panicked}")),
    };
    if let Some(difference) = subject.difference(state, &clone) {
        return Some(format!(
            "a clone of the state at version {version} is not equal to the original: {difference}"
        ));
    }
    let before = subject.digest(state);
    let folded = resume(clone, events.iter().skip(version).copied()).ok()?;
    let after = subject.digest(state);
    // The second comparison rules out a codec that produces different bytes each time.
    if before != after && after == subject.digest(state) {
        return Some(format!(
            "folding events into a clone of the state at version {version} also changes the \
             original: they share data"
        ));
    }
    let difference = subject.difference(&folded, end)?;
    Some(format!(
        "folding the remaining events into a clone of the state at version {version} gives a \
         different final state: {difference}"
    ))
}
