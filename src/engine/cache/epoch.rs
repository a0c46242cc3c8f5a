//! [`Epochs`]: which cached states were loaded before a rebuild or delete was done.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::AggregateKey;

/// Aggregates share this many counters. Those that share one outdate each other, which costs a
/// read of the store.
const COUNTERS: usize = 1_024;

/// Counts what outdates cached states. A state is of use only while the counter stands where it
/// stood when its load began: a load that is under way during a rebuild brings nothing old back.
pub(super) struct Epochs {
    counters: Box<[AtomicU64]>,
    /// The same in each run, so that aggregates which share a counter in one do so in all.
    hasher: BuildHasherDefault<DefaultHasher>,
}

/// Where the counter of an aggregate stood.
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
