//! By cost: [`LargerThan`], [`SlowerThan`].

use std::time::Duration;

use super::{Observation, Trigger, Verdict};

/// Holds while the encoded state is larger than so many bytes. It holds at every commit then, so
/// it is meant for [`and`](Trigger::and): large states at a distance of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargerThan(u64);

/// While the encoded state, before compression, is larger than `bytes`.
pub const fn larger_than(bytes: u64) -> LargerThan {
    LargerThan(bytes)
}

impl Trigger for LargerThan {
    fn decide(&self, seen: &Observation) -> Verdict {
        match seen.state_bytes {
            Some(bytes) => Verdict::new(
                bytes > self.0,
                format!("the state has {bytes} bytes, the threshold is {}", self.0),
            ),
            None => Verdict::new(false, "the size of the state is not known"),
        }
    }

    fn needs_state_bytes(&self) -> bool {
        true
    }
}

/// Takes a snapshot when replaying the tail took longer than a budget at the last load. Waiting
/// for the store or for the first event does not count: a slow database must not make the engine
/// write more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowerThan(Duration);

/// When the replay of the last load took longer than `budget`.
pub const fn slower_than(budget: Duration) -> SlowerThan {
    SlowerThan(budget)
}

impl Trigger for SlowerThan {
    fn decide(&self, seen: &Observation) -> Verdict {
        let reason = format!(
            "replaying {} events took {:?}, the budget is {:?}",
            seen.events_replayed, seen.replay_time, self.0
        );
        // A single event that is slow to fold would be as slow after a snapshot.
        Verdict::new(seen.replay_time > self.0 && seen.events_replayed >= 2, reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn size_and_replay_time_count_only_beyond_their_bounds() {
        let mut seen = Observation::new(7, Timestamp::from_micros(0));
        assert!(!larger_than(0).decide(&seen).take);
        seen.state_bytes = Some(100);
        assert!(!larger_than(100).decide(&seen).take);
        assert!(larger_than(99).decide(&seen).take);

        let budget = slower_than(Duration::from_millis(5));
        seen.replay_time = Duration::from_millis(6);
        seen.events_replayed = 1;
        assert!(!budget.decide(&seen).take);
        seen.events_replayed = 2;
        assert!(budget.decide(&seen).take);
        seen.replay_time = Duration::from_millis(5);
        assert!(!budget.decide(&seen).take);
    }
}
