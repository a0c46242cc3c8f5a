//! [`SpotChecks`]: which background snapshots are compared with the events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use twox_hash::XxHash3_64;

use crate::clock::Clock;
use crate::record::SnapshotMeta;

/// After a check, none starts for this many times its duration.
const PAUSE: u32 = 100;

/// Which background snapshots are compared with the events after they were stored, and how.
///
/// A check folds the events again and compares each stored snapshot of the aggregate with the
/// result, as [`Inspect::compare_with_events`](crate::manager::Inspect::compare_with_events) does.
/// This finds what no checksum can: an `apply` that folds differently than it did, events that were
/// edited, and a history that was replaced. A snapshot that differs in two comparisons in a row is
/// retired with the reason. No load uses it then, and it stays stored as evidence.
///
/// One check runs at a time, and at most 1 % of the time. A check that is due during another one,
/// or while all [full replays](crate::engine::SharedLimits) are in use, is made after the next
/// snapshot instead. Commands never wait for a check.
///
/// ```
/// use snapfold::engine::SpotChecks;
/// use snapfold::{EventSource, MemoryStore, SnapshotEngine};
/// # fn build<A>(events: impl EventSource<A> + 'static) -> Result<(), snapfold::Error>
/// # where A: snapfold::Aggregate + serde::Serialize + serde::de::DeserializeOwned {
///
/// let engine = SnapshotEngine::builder(events, MemoryStore::new())
///     .spot_checks(SpotChecks::one_in(100).max_events(1_000_000))
///     .build()?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpotChecks {
    /// One in this many snapshots is checked. 1,000 by default.
    pub one_in: u32,
    /// The maximum number of events that a check folds (inclusive). 100,000 by default. If the
    /// aggregate has more, the check begins at the lowest snapshot from which it can reach the
    /// checked one, and compares those after it. Without such a snapshot, nothing is checked.
    pub max_events: u64,
}

impl SpotChecks {
    /// Checks one in this many snapshots. 0 is treated as 1.
    pub const fn one_in(snapshots: u32) -> Self {
        let one_in = if snapshots == 0 { 1 } else { snapshots };
        Self { one_in, max_events: 100_000 }
    }

    /// Sets [`max_events`](Self::max_events).
    pub const fn max_events(mut self, events: u64) -> Self {
        self.max_events = events;
        self
    }

    /// Whether this snapshot is one that is checked. Depends on the snapshot alone, so that
    /// processes that live shortly check as many.
    fn chooses(self, meta: &SnapshotMeta) -> bool {
        let seed = XxHash3_64::oneshot(meta.key.id().as_bytes());
        let hash = XxHash3_64::oneshot_with_seed(seed, &meta.version.to_le_bytes());
        hash.is_multiple_of(u64::from(self.one_in.max(1)))
    }
}

impl Default for SpotChecks {
    fn default() -> Self {
        Self::one_in(1_000)
    }
}

/// Decides when a check may start.
pub(super) struct SpotTurns {
    pub(super) checks: SpotChecks,
    state: Mutex<TurnState>,
}

#[derive(Default)]
struct TurnState {
    is_running: bool,
    /// A check could not start when it was due.
    is_due: bool,
    /// By the monotonic clock.
    not_before: Duration,
}

/// The right to make a check. Dropping it ends the check.
pub(super) struct SpotTurn {
    turns: Arc<SpotTurns>,
    clock: Arc<dyn Clock>,
    started: Duration,
}

impl SpotTurns {
    pub(super) fn new(checks: SpotChecks) -> Arc<Self> {
        Arc::new(Self { checks, state: Mutex::default() })
    }

    // Each change is complete before anything that could panic.
    fn lock(&self) -> MutexGuard<'_, TurnState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the right to check this snapshot, if it is chosen or one is due.
    pub(super) fn take(
        self: &Arc<Self>,
        meta: &SnapshotMeta,
        clock: &Arc<dyn Clock>,
    ) -> Option<SpotTurn> {
        let is_chosen = self.checks.chooses(meta);
        let mut state = self.lock();
        if !is_chosen && !state.is_due {
            return None;
        }
        let started = clock.monotonic();
        state.is_due = state.is_running || started < state.not_before;
        if state.is_due {
            return None;
        }
        state.is_running = true;
        Some(SpotTurn { turns: Arc::clone(self), clock: Arc::clone(clock), started })
    }
}

impl SpotTurn {
    pub(super) fn checks(&self) -> SpotChecks {
        self.turns.checks
    }

    /// Ends a check that was not made. It is due again after the next snapshot.
    pub(super) fn postpone(self) {
        self.turns.lock().is_due = true;
    }
}

impl Drop for SpotTurn {
    fn drop(&mut self) {
        let now = self.clock.monotonic();
        let took = now.saturating_sub(self.started);
        let mut state = self.turns.lock();
        state.is_running = false;
        state.not_before = now.saturating_add(took.saturating_mul(PAUSE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::generation::Generation;
    use crate::key::AggregateKey;
    use crate::timestamp::Timestamp;

    fn meta(id: u64, version: u64) -> SnapshotMeta {
        let key = AggregateKey::new("account", &id.to_string()).unwrap();
        let generation = Generation { schema_version: 1, fingerprint: 1 };
        SnapshotMeta::new(key, generation, version, Timestamp::from_seconds(0))
    }

    #[test]
    fn as_many_are_chosen_as_asked_for_whatever_the_interval() {
        let checks = SpotChecks::one_in(100);
        for step in [1, 7, 100, 128, 1_000] {
            let long = (1..=20_000).filter(|n| checks.chooses(&meta(1, n * step))).count();
            let many = (1..=20_000).filter(|n| checks.chooses(&meta(*n, step))).count();
            assert!((150..=250).contains(&long), "every {step} of one: {long}");
            assert!((150..=250).contains(&many), "the first after {step} of each: {many}");
        }
        assert!((1..=100).all(|n| SpotChecks::one_in(0).chooses(&meta(1, n))));
    }

    #[test]
    fn a_check_that_could_not_start_is_due_after_the_next_snapshot() {
        let checks = SpotChecks::one_in(1_000);
        let [chosen, other] = [true, false].map(|is| {
            (1..1_000_000).map(|n| meta(1, n)).find(|meta| checks.chooses(meta) == is).unwrap()
        });
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let turns = SpotTurns::new(checks);
        assert!(turns.take(&other, &shared).is_none());
        let first = turns.take(&chosen, &shared).unwrap();
        assert!(turns.take(&chosen, &shared).is_none(), "one is running");
        clock.advance(Duration::from_millis(10));
        drop(first);
        assert!(turns.take(&other, &shared).is_none(), "the pause is not over");
        clock.advance(Duration::from_secs(1));
        let second = turns.take(&other, &shared).unwrap();
        second.postpone();
        let third = turns.take(&other, &shared).unwrap();
        drop(third);
        assert!(turns.take(&other, &shared).is_none(), "none is due");
    }
}
