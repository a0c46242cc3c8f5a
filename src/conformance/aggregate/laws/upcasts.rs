//! L-10 for old types that still fold events: compares the upcaster with the current fold.

use crate::conformance::aggregate::law_case::LawCase;
use crate::conformance::aggregate::report::LawFinding;
use crate::conformance::aggregate::shrink::ShrinkFault;
use crate::conformance::aggregate::under_test::{AggregateUnderTest, resume};
use crate::key::AggregateKey;
use crate::state::Aggregate;

/// The upcast state at one version, or `None` if the upcaster refuses the old state.
pub(crate) type Lifted<A> = Result<Option<A>, String>;
/// Folds events into the old type, and upcasts the state at each version from 1 on.
pub(crate) type LiveState<A> =
    dyn Fn(&AggregateKey, &[&<A as Aggregate>::Event]) -> Vec<Lifted<A>> + Send + Sync;

/// L-10 for one upcaster.
pub(crate) fn live<A: Aggregate>(case: &LawCase<A>, upcaster: &LiveState<A>) -> Option<LawFinding> {
    case.search(|subject, events| {
        let end = subject.fold(events.iter().copied()).ok()?;
        let mut state = subject.initial().ok()?;
        let lifted = upcaster(&subject.key, events);
        for ((at, event), lifted) in events.iter().enumerate().zip(lifted) {
            state = resume(state, [*event]).ok()?;
            let rest = events.get(at + 1..).unwrap_or_default();
            if let Some(what) = wrong(subject, lifted, &state, rest, &end) {
                return Some(ShrinkFault::new(format!(
                    "the old state at version {} {what}",
                    at + 1
                )));
            }
        }
        None
    })
}

fn wrong<A: Aggregate>(
    subject: &AggregateUnderTest<A>,
    lifted: Lifted<A>,
    state: &A,
    rest: &[&A::Event],
    end: &A,
) -> Option<String> {
    let lifted = match lifted {
        Ok(lifted) => lifted?,
        Err(why) => return Some(why),
    };
    if let Some(difference) = subject.difference(&lifted, state) {
        return Some(format!("is upcast to a state that differs from a replay: {difference}"));
    }
    let folded = resume(lifted, rest.iter().copied()).ok()?;
    let difference = subject.difference(&folded, end)?;
    Some(format!("is upcast to a state that folds to a different final state: {difference}"))
}
