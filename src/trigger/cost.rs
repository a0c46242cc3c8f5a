//! By cost: [`LargerThan`], [`GrownBy`], [`SlowerThan`].

use std::time::Duration;

use super::{Trigger, TriggerContext, Verdict};

/// Takes a snapshot at every commit while the [known size](TriggerContext::state_bytes) of the
/// encoded state exceeds this many bytes. Combine it by [`and`](Trigger::and), for example with
/// another distance for large states. [`grown_by`] can be used alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LargerThan(u64);

/// Fires while the encoded state, before compression, is larger than `bytes`.
pub const fn larger_than(bytes: u64) -> LargerThan {
    LargerThan(bytes)
}

impl Trigger for LargerThan {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        match seen.state_bytes {
            Some(bytes) => Verdict::new(
                bytes > self.0,
                format!("the state has about {bytes} bytes, the threshold is {}", self.0),
            ),
            None => Verdict::new(false, UNKNOWN),
        }
    }

    fn needs_state_bytes(&self) -> bool {
        true
    }
}

const UNKNOWN: &str = "the size of the state is not known yet";

/// Takes a snapshot once the encoded state has grown by a number of bytes since the last snapshot,
/// according to its [known size](TriggerContext::state_bytes). Without a snapshot, all of it
/// counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrownBy(u64);

/// Fires when the encoded state, before compression, has grown by at least `bytes` since the last
/// snapshot; 0 is treated as 1.
pub const fn grown_by(bytes: u64) -> GrownBy {
    GrownBy(if bytes == 0 { 1 } else { bytes })
}

impl Trigger for GrownBy {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        let Some(bytes) = seen.state_bytes else { return Verdict::new(false, UNKNOWN) };
        let (before, since) = match seen.snapshot {
            Some(snapshot) => (snapshot.raw_bytes, "the last snapshot"),
            None => (0, "the beginning"),
        };
        let grown = bytes.saturating_sub(before);
        Verdict::new(
            grown >= self.0,
            format!("the state grew by about {grown} of {} bytes since {since}", self.0),
        )
    }

    fn needs_state_bytes(&self) -> bool {
        true
    }
}

/// Takes a snapshot when replaying the tail took longer than a budget in the last load. Waiting for
/// the store or for the first event does not count, so that a slow database does not cause more
/// writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlowerThan(Duration);

/// Fires when the replay of the last load took longer than `budget`.
pub const fn slower_than(budget: Duration) -> SlowerThan {
    SlowerThan(budget)
}

impl Trigger for SlowerThan {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
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
    use crate::trigger::LastSnapshot;

    #[test]
    fn size_and_replay_time_count_only_beyond_their_bounds() {
        let mut seen = TriggerContext::new(7, Timestamp::from_micros(0));
        assert!(!larger_than(0).decide(&seen).take);
        seen.state_bytes = Some(100);
        assert!(!larger_than(100).decide(&seen).take);
        assert!(larger_than(99).decide(&seen).take);

        let grown = grown_by(60);
        assert!(grown.decide(&seen).take, "there is no snapshot yet");
        let mut later = seen.snapshot(LastSnapshot::new(3, Timestamp::from_micros(0), 40));
        let verdict = grown.decide(&later);
        assert_eq!(
            verdict.to_string(),
            "take: the state grew by about 60 of 60 bytes since the last snapshot"
        );
        for bytes in [Some(99), Some(40), Some(0), None] {
            later.state_bytes = bytes;
            assert!(!grown.decide(&later).take, "{bytes:?}");
            assert!(!grown_by(0).decide(&later).take || bytes == Some(99));
        }

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
