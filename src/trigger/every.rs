//! By distance: [`EveryEvents`], [`EveryInterval`].

use std::time::Duration;

use super::{Trigger, TriggerContext, Verdict};

/// Takes a snapshot once a number of events lie after the last durably stored one (R13). It
/// measures a distance, not divisibility: a commit of several events cannot skip it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveryEvents(u64);

/// Fires every `events` events; 0 is treated as 1.
pub const fn every_events(events: u64) -> EveryEvents {
    EveryEvents(if events == 0 { 1 } else { events })
}

impl Trigger for EveryEvents {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        let (distance, since) = (seen.distance(), seen.since());
        Verdict::new(distance >= self.0, format!("{distance} of {} events {since}", self.0))
    }
}

/// Takes a snapshot once the last one has this age, by the wall clock. An aggregate without a
/// snapshot is due at once; combine this with [`every_events`] to skip short streams.
///
/// It also fires if the last snapshot was created in the future, because then a clock was or is
/// wrong. The next snapshot has a valid time again. If the clocks of two machines differ, this
/// costs at most one more snapshot per change of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EveryInterval(Duration);

/// Fires every `interval` of wall-clock time.
pub const fn every_interval(interval: Duration) -> EveryInterval {
    EveryInterval(interval)
}

impl Trigger for EveryInterval {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        match seen.snapshot {
            None => Verdict::new(true, "there is no snapshot yet"),
            Some(snapshot) if snapshot.created_at > seen.now => {
                let ahead = snapshot.created_at.since(seen.now);
                Verdict::new(true, format!("the last snapshot was created {ahead:?} in the future"))
            }
            Some(snapshot) => {
                let age = seen.now.since(snapshot.created_at);
                let reason = format!("the last snapshot is {age:?} of {:?} old", self.0);
                Verdict::new(age >= self.0, reason)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;
    use crate::trigger::LastSnapshot;

    fn at(version: u64, snapshot: Option<u64>) -> TriggerContext {
        let seen = TriggerContext::new(version, Timestamp::from_seconds(1_000));
        match snapshot {
            Some(v) => seen.snapshot(LastSnapshot::new(v, Timestamp::from_seconds(900), 10)),
            None => seen,
        }
    }

    #[test]
    fn a_commit_of_several_events_cannot_jump_over_the_distance() {
        let trigger = every_events(100);
        assert!(!trigger.decide(&at(99, None)).take);
        assert!(trigger.decide(&at(103, None)).take);
        assert!(!trigger.decide(&at(200, Some(101))).take);
        assert!(trigger.decide(&at(201, Some(101))).take);
        assert_eq!(
            trigger.decide(&at(201, Some(101))).to_string(),
            "take: 100 of 100 events since the snapshot at version 101"
        );
        assert!(!trigger.decide(&at(5, Some(u64::MAX))).take);
        assert!(every_events(0).decide(&at(1, None)).take);
    }

    #[test]
    fn an_interval_counts_from_the_last_snapshot_and_the_future_is_due() {
        let trigger = every_interval(Duration::from_secs(100));
        assert!(trigger.decide(&at(1, None)).take);
        assert!(trigger.decide(&at(9, Some(5))).take);
        assert!(!every_interval(Duration::from_secs(101)).decide(&at(9, Some(5))).take);
        // The clock was ahead when the snapshot was created, by years or by a microsecond.
        let mut earlier = at(9, Some(5));
        for micros in [i64::MIN, -5_000_000, 899_999_999] {
            earlier.now = Timestamp::from_micros(micros);
            let verdict = every_interval(Duration::MAX).decide(&earlier);
            assert!(verdict.take && verdict.reason.ends_with("in the future"), "{verdict}");
        }
        earlier.now = Timestamp::from_seconds(900);
        assert!(!trigger.decide(&earlier).take);
    }
}
