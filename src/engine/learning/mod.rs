//! [`Learning`]: moving estimates of what snapshots and replays cost, for triggers that need them.

mod by_size;
mod rates;
mod replays;
mod window;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::sizes::Weight;
use crate::key::AggregateKey;
use crate::manager::{Origin, Provenance};
use crate::trigger::{Costs, TriggerContext};
use by_size::BySize;
use rates::Rates;
use replays::Replays;

/// An estimate counts from this many samples on: of three, one may be an outlier.
const ENOUGH: usize = 3;

/// What an engine has learned since it was built. Its size is fixed.
pub(super) struct Learning {
    rates: Rates,
    estimates: Mutex<Estimates>,
}

#[derive(Default)]
struct Estimates {
    replays: Replays,
    /// Nanoseconds for taking a snapshot, by the encoded size of the state.
    snapshot: BySize,
    /// Nanoseconds for decoding a snapshot, by the encoded size of the state.
    restore: BySize,
    /// The encoded size of a state, by its version.
    bytes: BySize,
    /// How many bytes a state grows by in 1,000 events, by its encoded size.
    growth: BySize,
}

impl Learning {
    pub(super) fn new() -> Self {
        Self { rates: Rates::new(), estimates: Mutex::default() }
    }

    /// A load has read from the store and the event source. `is_answer` is false if a snapshot is
    /// to be made of the state.
    pub(super) fn loaded(&self, key: &AggregateKey, provenance: &Provenance, is_answer: bool) {
        if is_answer {
            self.rates.loaded(key);
        }
        let timings = &provenance.timings;
        self.learn(|estimates| {
            estimates.replays.add(provenance.events_replayed, nanos(timings.fold));
            if let (Origin::Snapshot, Some(used)) = (provenance.origin, &provenance.snapshot)
                && provenance.rejected.is_empty()
            {
                estimates.restore.add(used.raw_bytes, nanos(timings.decode));
            }
        });
    }

    /// A load of several aggregates has read this one from the store. Its phases overlap with those
    /// of the others, so they are no samples.
    pub(super) fn counted(&self, key: &AggregateKey) {
        self.rates.loaded(key);
    }

    /// A state of `bytes` was decoded once more, to prove a write.
    pub(super) fn decoded(&self, bytes: u64, took: Duration) {
        self.learn(|estimates| estimates.restore.add(bytes, nanos(took)));
    }

    /// A state of `bytes` at `version` was encoded for a snapshot. It was built from an earlier one:
    /// `before`.
    pub(super) fn captured(&self, version: u64, bytes: u64, before: Weight) {
        self.learn(|estimates| {
            estimates.bytes.add(version, bytes);
            if let Some(events) = version.checked_sub(before.at_version) {
                let grown = bytes.saturating_sub(before.bytes).saturating_mul(1_000);
                estimates.growth.add(bytes, grown / events.max(1));
            }
        });
    }

    /// A snapshot was stored.
    pub(super) fn stored(&self, bytes: u64, took: Duration) {
        self.learn(|estimates| estimates.snapshot.add(bytes, nanos(took)));
    }

    /// Events were committed.
    pub(super) fn committed(&self, key: &AggregateKey, events: u64) {
        self.rates.committed(key, events);
    }

    /// A snapshot will be taken, so many events after the last one.
    pub(super) fn chosen(&self, key: &AggregateKey, interval: u64) {
        self.rates.set_interval(key, interval);
    }

    /// The costs for an aggregate whose state has `bytes`, if that is known.
    pub(super) fn costs(
        &self,
        key: &AggregateKey,
        seen: &TriggerContext,
        bytes: Option<u64>,
    ) -> Costs {
        let mut costs = seen.costs;
        costs.loads_per_1000 = self.rates.loads_per_1000(key);
        costs.last_interval = self.rates.interval(key);
        let estimates = self.lock();
        costs.replay_1000 = estimates.replays.per_1000(ENOUGH).map(Duration::from_nanos);
        let known = bytes.or(seen.snapshot.map(|snapshot| snapshot.raw_bytes));
        if let Some(bytes) = known.or_else(|| estimates.bytes.near(seen.version, 1)) {
            costs.snapshot = estimates.snapshot.near(bytes, ENOUGH).map(Duration::from_nanos);
            let restore = estimates.restore.near(bytes, ENOUGH);
            let growth =
                restore.zip(estimates.growth.near(bytes, ENOUGH)).map(|(restore, growth)| {
                    // As if it were proportional to the size.
                    u128::from(restore) * u128::from(growth) / u128::from(bytes.max(1))
                });
            costs.restore_growth_1000 =
                growth.map(|nanos| Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)));
            costs.restore = restore.map(|restore| {
                let declined = if seen.snapshot.is_none() { self.rates.declined(key) } else { 0 };
                // Aggregates share the slots of the rates: one that was declined must not keep a
                // smaller one from its first snapshot.
                Duration::from_nanos(restore.max(declined.min(restore.saturating_mul(2))))
            });
        }
        costs
    }

    /// How long decoding a state of about this size took the last time.
    pub(super) fn last_restore(&self, bytes: u64) -> Option<Duration> {
        self.lock().restore.newest(bytes).map(Duration::from_nanos)
    }

    /// The first snapshot of an aggregate was not stored, because of the time that restoring it
    /// would take. It is not captured again before that time is made up for; unless the last sample
    /// is an outlier.
    pub(super) fn declined(&self, key: &AggregateKey, bytes: u64) {
        let estimates = self.lock();
        let newest = estimates.restore.newest(bytes);
        if let Some((newest, usual)) = newest.zip(estimates.restore.near(bytes, ENOUGH)) {
            self.rates.set_declined(key, newest.min(usual.saturating_mul(2)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Estimates> {
        self.estimates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Skips a sample rather than wait for another thread: this runs in loads.
    fn learn(&self, add: impl FnOnce(&mut Estimates)) {
        if let Ok(mut estimates) = self.estimates.try_lock() {
            add(&mut estimates);
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn a_large_aggregate_does_not_keep_small_ones_from_their_first_snapshot() {
        let learning = Learning::new();
        let key = |n: u32| AggregateKey::new("account", &format!("a{n}")).unwrap();
        for _ in 0..8 {
            learning.decoded(10 << 20, Duration::from_millis(100));
            learning.decoded(100, Duration::from_micros(1));
        }
        learning.declined(&key(0), 10 << 20);
        let restore = |key: &AggregateKey, bytes| {
            let seen = TriggerContext::new(100, Timestamp::from_seconds(0));
            learning.costs(key, &seen, Some(bytes)).restore.unwrap()
        };
        // The store becomes a hundred times faster.
        for _ in 0..8 {
            learning.decoded(10 << 20, Duration::from_millis(1));
        }
        let other = (1..100_000).map(key).find(|key| learning.rates.declined(key) > 0).unwrap();
        assert!(restore(&other, 100) <= Duration::from_micros(2), "{other}");
        assert!(restore(&key(0), 10 << 20) <= Duration::from_millis(2));
    }
}
