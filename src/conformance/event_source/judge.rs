//! Compares the pushed events with the appended ones, and finds the obligation that is broken.

use std::collections::BTreeMap;

use super::site::{Kept, NewEvent};
use super::under_test::Seen;
use crate::conformance::failure::{Failure, shown};
use crate::events::EventRange;

/// The events that an aggregate may have.
pub(super) struct Rightful {
    pub(super) keeps: Kept,
    /// The versions of the aggregate's own events, by number.
    pub(super) own: BTreeMap<u64, u64>,
    /// Events up to this version are truncated.
    pub(super) floor: u64,
    /// The highest number given to any event.
    pub(super) highest: u64,
}

/// A fault, and the obligation that it breaks.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) id: &'static str,
    expected: String,
    got: String,
}

impl Wrong {
    pub(super) fn failure(self, what: &str) -> Failure {
        Failure::new(self.id, what).expected(self.expected).got(self.got)
    }

    /// Attributes the fault to another obligation.
    pub(super) fn of(self, id: &'static str) -> Self {
        Self { id, ..self }
    }
}

/// Returns the most significant fault in `seen`.
pub(super) fn judge(
    rightful: &Rightful,
    range: EventRange,
    expected: &[&NewEvent],
    seen: &[Seen],
) -> Option<Wrong> {
    let wrong = |id, expected: String, got: String| Some(Wrong { id, expected, got });
    for event in seen {
        let own = event.number.and_then(|number| rightful.own.get(&number));
        match (event.number, own) {
            (_, Some(version)) if *version == event.version => {}
            (_, Some(version)) => {
                return wrong("E-01", format!("version {version} for this event"), shown(event));
            }
            (Some(number), None) if number <= rightful.highest => {
                return wrong("E-07", "only events of this key".into(), shown(event));
            }
            _ => return wrong("E-02", "events as they were appended".into(), shown(event)),
        }
    }
    if let Some(event) = seen.iter().find(|event| event.version <= rightful.floor) {
        let expected = format!("only events above the floor {}", rightful.floor);
        return wrong("E-21", expected, shown(event));
    }
    if let Some(event) = seen.iter().find(|event| !range.contains(event.version)) {
        return wrong("E-08", format!("only versions within {range:?}"), shown(event));
    }
    // Disorder anywhere is more significant than a gap before it.
    let pairs = || seen.iter().zip(seen.iter().skip(1));
    let disorder = pairs().find(|(before, next)| next.version <= before.version);
    let gap = pairs().find(|(before, next)| next.version > before.version + 1);
    for (id, pair) in [("E-01", disorder), ("E-05", gap)] {
        if let Some((before, next)) = pair {
            let expected = format!("version {} after {}", before.version + 1, before.version);
            return wrong(id, expected, format!("version {}", next.version));
        }
    }
    let versions = || {
        let (first, last) = (expected.first(), expected.last());
        format!(
            "{} events, versions {} to {}",
            expected.len(),
            first.map_or(0, |event| event.version),
            last.map_or(0, |event| event.version)
        )
    };
    let came = || {
        let (first, last) = (seen.first(), seen.last());
        format!(
            "{} events, versions {} to {}",
            seen.len(),
            first.map_or(0, |event| event.version),
            last.map_or(0, |event| event.version)
        )
    };
    for event in seen {
        let place = expected.first().and_then(|first| event.version.checked_sub(first.version));
        let own = place.and_then(|place| expected.get(usize::try_from(place).ok()?));
        let Some(own) = own else {
            // More events than expected.
            return wrong("E-01", versions(), came());
        };
        if rightful.keeps.times && event.time != own.recorded_at {
            return wrong("E-06", format!("the time {:?}", own.recorded_at), shown(event));
        }
        if rightful.keeps.anchors && event.anchor.as_deref() != Some(&own.anchor[..]) {
            return wrong("E-02", format!("the anchor {:?}", own.anchor), shown(event));
        }
    }
    if seen.len() < expected.len() {
        return wrong("E-03", versions(), came());
    }
    None
}
