//! [`Epochs`]: detects cached states whose load began before a rebuild or delete ended.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::AggregateKey;

/// The number of counters, which are shared by all aggregates. Aggregates with the same counter
/// invalidate each other's states, which costs a read from the store.
const COUNTERS: usize = 1_024;

/// Counts the operations that invalidate cached states. A state is used only while its counter has
/// the same value as when its load began. A load that overlaps a rebuild therefore cannot bring an
/// old state back.
pub(super) struct Epochs {
    counters: Box<[AtomicU64]>,
    /// Not seeded, so that the same aggregates share a counter in every run.
    hasher: BuildHasherDefault<DefaultHasher>,
}

/// The value of an aggregate's counter at some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Epoch {
    counter: usize,
    count: u64,
}

impl Epochs {
    pub(super) fn new() -> Self {
        let counters = (0..COUNTERS).map(|_| AtomicU64::new(0)).collect();
        Self { counters, hasher: BuildHasherDefault::new() }
    }

    pub(super) fn of(&self, key: &AggregateKey) -> Epoch {
        let hash = self.hasher.hash_one(key);
        let counter = usize::try_from(hash % COUNTERS as u64).unwrap_or(0);
        Epoch { counter, count: self.count(counter) }
    }

    pub(super) fn is_current(&self, epoch: Epoch) -> bool {
        self.count(epoch.counter) == epoch.count
    }

    pub(super) fn end(&self, epoch: Epoch) {
        if let Some(counter) = self.counters.get(epoch.counter) {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn count(&self, counter: usize) -> u64 {
        self.counters.get(counter).map_or(0, |count| count.load(Ordering::SeqCst))
    }
}
