//! [`Settings`] of a scheduler, and what follows from them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::event::{SchedulerEvent, SchedulerObserver};
use super::race::hash;
use super::statistics::SchedulerCounters;
use crate::clock::Clock;
use crate::ledger::{Ledger, Schedule, ScheduleKey};
use crate::manager::Kinds;
use crate::record::SigningKeys;
use crate::timestamp::Timestamp;

/// What happens to runs that were missed because no node was running, or all were busy.
///
/// One run makes up for all missed runs of its schedule: see
/// [`Cadence::following`](crate::ledger::Cadence::following).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MissedRuns {
    /// A run is made however late it is. The default.
    #[default]
    MakeUp,
    /// A run that would start later than this after its time is [skipped](super::RunOutcome).
    SkipOlderThan(Duration),
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) kinds: Kinds,
    pub(super) owner: String,
    pub(super) lease: Duration,
    pub(super) poll: Duration,
    pub(super) jitter: Duration,
    pub(super) seed: u64,
    /// At least 1.
    pub(super) runs: usize,
    /// One permit for each aggregate that is worked on.
    pub(super) budget: Arc<Semaphore>,
    pub(super) missed: MissedRuns,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) observer: Option<Arc<dyn SchedulerObserver>>,
    pub(super) counters: Arc<SchedulerCounters>,
    pub(super) signing_keys: Option<SigningKeys>,
}

impl Settings {
    /// Counts and reports an event. A panic of the observer is contained and counted.
    pub(super) fn report(&self, event: &SchedulerEvent<'_>) {
        self.counters.count(event);
        let Some(observer) = &self.observer else { return };
        if catch_unwind(AssertUnwindSafe(|| observer.observe(event))).is_err() {
            self.counters.observer_panicked();
        }
    }

    /// The delay of a run after its time, less than the jitter.
    pub(super) fn delay(&self, schedule: &Schedule, due: Timestamp) -> Duration {
        let Ok(jitter) = u64::try_from(self.jitter.as_micros()) else { return self.jitter };
        if jitter == 0 {
            return Duration::ZERO;
        }
        // Without the seed: all nodes must agree.
        let place = hash(due.as_micros().cast_unsigned(), &parts(&schedule.key));
        Duration::from_micros(place.checked_rem(jitter).unwrap_or(0))
    }

    /// The order in which this node tries to claim runs that are due at the same time. Nodes try
    /// different ones first.
    pub(super) fn order(&self, key: &ScheduleKey) -> u64 {
        hash(self.seed, &parts(key))
    }

    /// The wait before the poll `number`: between half of the interval and all of it.
    pub(super) fn wait(&self, number: u64) -> Duration {
        let half = self.poll / 2;
        // 2^-64 of half the interval, times a random number below 2^64.
        let share =
            half.as_nanos().saturating_mul(hash(self.seed, &[&number.to_le_bytes()]).into());
        half + Duration::from_nanos(u64::try_from(share >> 64).unwrap_or(u64::MAX))
    }
}

fn parts(key: &ScheduleKey) -> [&[u8]; 4] {
    [key.tenant().as_bytes(), key.kind().as_bytes(), key.id().as_bytes(), key.name().as_bytes()]
}
