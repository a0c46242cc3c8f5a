//! L-06, L-07 and L-08: laws about states and their bytes.

use crate::codec::Codec;
use crate::conformance::aggregate::law_case::{LawCase, finding};
use crate::conformance::aggregate::report::LawFinding;
use crate::conformance::aggregate::shrink::ShrinkFault;
use crate::conformance::aggregate::under_test::{AggregateUnderTest, Sameness, resume};
use crate::error::BoxError;
use crate::state::Aggregate;
use crate::value::{Compared, Unordered, discover};

/// How many times the bytes of one state are decoded to check whether the order is kept. Two
/// entries of a hash map keep their order half of the time.
const DECODES: usize = 4;

/// L-06.
pub(crate) fn survives<A: Aggregate>(case: &LawCase<A>) -> Option<LawFinding> {
    if let Err(error) = case.subject.codec.inspect(&[]) {
        return Some(finding(error));
    }
    case.search(|subject, events| {
        let mut state = subject.initial().ok()?;
        for version in 0..=events.len() {
            if let Some(what) = lost(subject, &state) {
                return Some(ShrinkFault::new(format!("the state at version {version} {what}")));
            }
            state = resume(state, events.get(version).copied()).ok()?;
        }
        None
    })
}

fn lost<A: Aggregate>(subject: &AggregateUnderTest<A>, state: &A) -> Option<String> {
    let codec = subject.codec.id();
    let bytes = match subject.encode(state) {
        Ok(bytes) => bytes,
        Err(error) => return Some(format!("cannot be encoded by {codec}: {}", chain(&error))),
    };
    let decoded = match subject.decode(&bytes) {
        Ok(decoded) => decoded,
        Err(error) => {
            return Some(format!("cannot be decoded by {codec}: {}", chain(&error)));
        }
    };
    if let Err(error) = subject.encode(&decoded) {
        return Some(format!(
            "cannot be encoded again after decoding by {codec}: {}",
            chain(&error)
        ));
    }
    let difference = subject.difference(state, &decoded)?;
    Some(format!("is changed by encoding and decoding with {codec}: {difference}"))
}

/// L-07.
pub(crate) fn resumes<A: Aggregate>(case: &LawCase<A>) -> Option<LawFinding> {
    case.search(|subject, events| {
        let end = subject.fold(events.iter().copied()).ok()?;
        let mut state = subject.initial().ok()?;
        // The state decoded from the previous version.
        let mut behind: Option<A> = None;
        for (at, event) in events.iter().enumerate() {
            state = resume(state, [*event]).ok()?;
            if let Some(behind) = behind.take()
                && let Some(text) = resumed(subject, behind, at, &[*event], &state)
            {
                return Some(ShrinkFault::new(text));
            }
            let bytes = subject.encode(&state).ok()?;
            let rest = events.get(at + 1..).unwrap_or_default();
            let decoded = subject.decode(&bytes).ok()?;
            if let Some(text) = resumed(subject, decoded, at + 1, rest, &end) {
                return Some(ShrinkFault::new(text));
            }
            behind = subject.decode(&bytes).ok();
        }
        None
    })
}

fn resumed<A: Aggregate>(
    subject: &AggregateUnderTest<A>,
    decoded: A,
    version: usize,
    rest: &[&A::Event],
    expected: &A,
) -> Option<String> {
    let events = if rest.len() == 1 { "event" } else { "events" };
    let from =
        format!("resuming from a snapshot of version {version} with {} more {events}", rest.len());
    match resume(decoded, rest.iter().copied()) {
        Err(panicked) => Some(format!("{from}: apply panics with {panicked}")),
        Ok(state) => {
            let difference = subject.difference(&state, expected)?;
            Some(format!("{from} gives a state that differs from a replay: {difference}"))
        }
    }
}

/// What is known about the order of containers in the states.
#[derive(Default)]
pub(crate) struct Orders {
    /// Containers that iterate in a different order each time.
    pub(crate) unordered: Unordered,
    /// Whether the same state produced different bytes.
    other_bytes: bool,
}

/// Finds containers in the final states that iterate in a different order each time.
pub(crate) fn orders<A: Aggregate>(subject: &AggregateUnderTest<A>, ends: &[A]) -> Orders {
    let mut orders = Orders::default();
    for end in ends {
        orders.look_at(subject, end);
    }
    orders
}

impl Orders {
    /// Ignores failures, because L-06 finds and reports them.
    fn look_at<A: Aggregate>(&mut self, subject: &AggregateUnderTest<A>, state: &A) {
        let Ok(bytes) = subject.encode(state) else { return };
        let decoded = (0..DECODES).filter_map(|_| subject.decode(&bytes).ok());
        let decoded: Vec<A> = decoded.collect();
        let Some((first, others)) = decoded.split_first() else { return };
        for other in others {
            let again = subject.encode(other);
            if again.as_ref().is_ok_and(|again| *again == bytes) {
                continue;
            }
            if let (Some(a), Some(b)) = (subject.tree(first), subject.tree(other))
                && let Compared::Same(found) = discover(&a, &b)
            {
                self.other_bytes = true;
                self.unordered.extend(found);
            }
            if let Sameness::OtherBytes(found) = subject.compare(state, other) {
                self.other_bytes = true;
                self.unordered.extend(found);
            }
        }
    }
}

/// L-08.
pub(crate) fn canonical<A: Aggregate>(
    subject: &AggregateUnderTest<A>,
    orders: &Orders,
) -> Option<LawFinding> {
    if !orders.other_bytes {
        return None;
    }
    let codec = subject.codec.id();
    if orders.unordered.is_empty() {
        return Some(finding(format!(
            "{codec} encodes the same state to different bytes each time"
        )));
    }
    let places = orders.unordered.iter().map(|(path, ty)| format!("{path}, a {ty}"));
    let places = places.collect::<Vec<_>>().join("; ");
    Some(finding(format!(
        "containers iterate in a different order each time ({places}): use a BTreeMap or \
         BTreeSet, or serialize the items in order"
    )))
}

/// Formats an error and its causes on one line.
fn chain(error: &BoxError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
