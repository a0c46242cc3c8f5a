//! [`Rates`]: how often aggregates are loaded, and how often snapshots of them are taken.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::key::AggregateKey;

/// Aggregates share this many slots. Those that share one count as one aggregate.
const SLOTS: usize = 4_096;
/// Remembered are kept in these fractions, so that halving them loses little.
const ONE: u64 = 16;
/// Both counts are halved when both have reached this, so that the newest count most.
const MEMORY: u64 = 64 * ONE;
/// Both counts are halved when one exceeds this.
const MOST: u64 = 32_768 * ONE;
/// An aggregate counts as if it also had so many events that were loaded as often as all
/// aggregates: with few events of its own, it is like the others.
const PRIOR: u64 = 4 * ONE;

/// Remembered loads and commits. Lock-free, without allocation, and of a fixed size.
pub(super) struct Rates {
    slots: Box<[Remembered]>,
    all: Rate,
    /// The same in each run, so that aggregates which share a slot in one do so in all.
    hasher: BuildHasherDefault<DefaultHasher>,
}

#[derive(Default)]
struct Remembered {
    rate: Rate,
    /// 0 before the first snapshot.
    interval: AtomicU32,
    /// How long restoring the first snapshot would have taken, in nanoseconds, when that was the
    /// reason not to store it; 0 if it never was.
    declined: AtomicU64,
}

/// Loads in the upper half, committed events in the lower one.
#[derive(Default)]
struct Rate(AtomicU64);

impl Rates {
    pub(super) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Remembered::default()).collect();
        Self { slots, all: Rate::default(), hasher: BuildHasherDefault::new() }
    }

    pub(super) fn loaded(&self, key: &AggregateKey) {
        self.count(key, 1, 0);
    }

    pub(super) fn committed(&self, key: &AggregateKey, events: u64) {
        self.count(key, 0, events);
    }

    /// `None` before the first commit of any aggregate.
    pub(super) fn loads_per_1000(&self, key: &AggregateKey) -> Option<u64> {
        let (loads, events) = self.all.read();
        let usual = (loads * 1_000).checked_div(events)?;
        let (loads, events) = self.slot(key)?.rate.read();
        (loads * 1_000 + usual * PRIOR).checked_div(events + PRIOR)
    }

    pub(super) fn set_interval(&self, key: &AggregateKey, interval: u64) {
        let interval = u32::try_from(interval).unwrap_or(u32::MAX);
        if let Some(slot) = self.slot(key) {
            slot.interval.store(interval, Ordering::Relaxed);
        }
    }

    pub(super) fn interval(&self, key: &AggregateKey) -> Option<u64> {
        let interval = self.slot(key)?.interval.load(Ordering::Relaxed);
        (interval > 0).then_some(u64::from(interval))
    }

    pub(super) fn set_declined(&self, key: &AggregateKey, restore: u64) {
        if let Some(slot) = self.slot(key) {
            slot.declined.store(restore, Ordering::Relaxed);
        }
    }

    pub(super) fn declined(&self, key: &AggregateKey) -> u64 {
        self.slot(key).map_or(0, |slot| slot.declined.load(Ordering::Relaxed))
    }

    fn count(&self, key: &AggregateKey, loads: u64, events: u64) {
        self.all.add(loads, events);
        if let Some(slot) = self.slot(key) {
            slot.rate.add(loads, events);
        }
    }

    fn slot(&self, key: &AggregateKey) -> Option<&Remembered> {
        let slot = self.hasher.hash_one(key) % SLOTS as u64;
        self.slots.get(usize::try_from(slot).unwrap_or(0))
    }
}

impl Rate {
    fn add(&self, loads: u64, events: u64) {
        let added = |rate| {
            let (old_loads, old_events) = split(rate);
            let loads = old_loads + loads.min(MOST / ONE) * ONE;
            let events = old_events + events.min(MOST / ONE) * ONE;
            let halved = loads.min(events) >= MEMORY || loads.max(events) > MOST;
            let by = if halved { 2 } else { 1 };
            // At most twice `MOST`: far below 2^32. Rounded up: what has been stays above 0.
            Some((loads.div_ceil(by) << 32) | events.div_ceil(by))
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, added);
    }

    /// Loads and events, in the same unit.
    fn read(&self) -> (u64, u64) {
        split(self.0.load(Ordering::Relaxed))
    }
}

fn split(rate: u64) -> (u64, u64) {
    (rate >> 32, rate & u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> AggregateKey {
        AggregateKey::new("account", id).unwrap()
    }

    /// Commits single events and loads evenly.
    fn run(rates: &Rates, key: &AggregateKey, events: u64, loads_per_1000: u64) {
        for n in 0..events {
            for _ in n * loads_per_1000 / 1_000..(n + 1) * loads_per_1000 / 1_000 {
                rates.loaded(key);
            }
            rates.committed(key, 1);
        }
    }

    #[test]
    fn each_aggregate_has_its_own_rate() {
        let rates = Rates::new();
        let (hot, cold, new) = (key("hot"), key("cold"), key("new"));
        assert_eq!(rates.loads_per_1000(&hot), None);
        for _ in 0..20 {
            run(&rates, &hot, 100, 5_000);
            run(&rates, &cold, 100, 20);
        }
        let [hot, cold, new] = [hot, cold, new].map(|key| rates.loads_per_1000(&key).unwrap());
        assert!((4_500..=5_500).contains(&hot), "{hot}");
        assert!((15..=45).contains(&cold), "{cold}");
        assert!((50..=5_000).contains(&new), "as usual: {new}");
    }

    #[test]
    fn a_change_is_followed_when_64_events_and_64_loads_have_come() {
        for (before, after, events) in [(50, 20_000, 150), (20_000, 50, 1_500), (1_000, 0, 40_000)]
        {
            let (rates, key) = (Rates::new(), key("a"));
            run(&rates, &key, 5_000, before);
            run(&rates, &key, events, after);
            let rate = rates.loads_per_1000(&key).unwrap();
            assert!(rate <= after.max(3) * 3 / 2 + 20 && rate * 3 / 2 >= after, "{after}: {rate}");
        }
    }

    #[test]
    fn extremes_stay_within_bounds() {
        let (rates, key) = (Rates::new(), key("a"));
        for _ in 0..100 {
            rates.committed(&key, u64::MAX);
        }
        assert_eq!(rates.loads_per_1000(&key), Some(0));
        for _ in 0..200_000 {
            rates.loaded(&key);
        }
        let rate = rates.loads_per_1000(&key);
        assert!(rate > Some(100_000), "{rate:?}");
        rates.set_interval(&key, u64::MAX);
        assert_eq!(rates.interval(&key), Some(u64::from(u32::MAX)));
    }
}
