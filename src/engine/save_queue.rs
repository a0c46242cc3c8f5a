//! What waits for the saver, and what it remembers: [`SharedQueue`].

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::save_retention;
use super::sizes::{Sizes, Weight};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::trigger::{LastSnapshot, TriggerContext};

/// How many aggregates are remembered with their newest snapshot, their failures or their sizes.
/// Forgetting one costs at most a snapshot too many or too early.
const MAX_REMEMBERED: usize = 16_384;

/// After the n-th failure in a row, commits of an aggregate lead to no further try for
/// `2^(n-1)` times this long, up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// The queue of a saver, shared with its task.
pub(super) struct SharedQueue {
    queue: Mutex<SaveQueue>,
    /// Notified each time the queue has run empty.
    pub(super) idle: Notify,
    /// Notified when an aggregate was put into the queue while a task takes from it.
    pub(super) queued: Notify,
}

#[derive(Default)]
pub(super) struct SaveQueue {
    /// Waiting aggregates, each once, oldest first.
    pub(super) waiting: VecDeque<AggregateKey>,
    /// What is to be done for each of them.
    pub(super) jobs: HashMap<AggregateKey, Job>,
    /// Aggregates whose snapshots are under way. They are not taken from the queue meanwhile.
    in_flight: HashSet<AggregateKey>,
    /// How many of those were captured and wait for their put.
    pub(super) unwritten: usize,
    /// Whether a task is taking from the queue.
    pub(super) running: bool,
    pub(super) saved: HashMap<AggregateKey, LastSnapshot>,
    pub(super) failing: HashMap<AggregateKey, Failing>,
    pub(super) measured: HashMap<AggregateKey, Measured>,
    /// How many snapshots of each aggregate were stored since the retention policy was applied.
    unretained: HashMap<AggregateKey, u32>,
}

/// What is to be done for an aggregate.
pub(super) struct Job {
    /// What was seen at the newest commit.
    pub(super) seen: TriggerContext,
    /// Measures the state first; whether to take a snapshot depends on the result.
    pub(super) measure: Option<Measure>,
    /// Something was learned since the trigger was asked.
    pub(super) ask_again: bool,
}

/// Encodes a state to learn its size.
pub(super) type Measure = Box<dyn FnOnce() -> Result<Weight, Error> + Send>;

#[derive(Clone, Copy)]
pub(super) struct Failing {
    pub(super) times: u32,
    pub(super) not_before: Duration,
}

#[derive(Clone, Copy, Default)]
pub(super) struct Measured {
    pub(super) sizes: Sizes,
    /// When the next measurement may begin, by the monotonic clock.
    pub(super) not_before: Duration,
}

impl SharedQueue {
    pub(super) fn new() -> Self {
        Self { queue: Mutex::default(), idle: Notify::new(), queued: Notify::new() }
    }

    // Each change of the queue is complete before anything that could panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, SaveQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_idle(&self) -> bool {
        let queue = self.lock();
        !queue.running && queue.waiting.is_empty()
    }

    /// The next aggregate that is not in flight, and its job with the snapshot that was saved
    /// since. It is in flight until it has [`ended`](Self::ended).
    pub(super) fn next(&self) -> Option<(AggregateKey, Option<Job>)> {
        let mut queue = self.lock();
        let next = queue.waiting.iter().position(|key| !queue.in_flight.contains(key))?;
        let key = queue.waiting.remove(next)?;
        queue.in_flight.insert(key.clone());
        let mut job = queue.jobs.remove(&key);
        let saved = queue.saved.get(&key).copied();
        if let (Some(Job { seen, ask_again, .. }), Some(saved)) = (&mut job, saved)
            && saved.version <= seen.version
            && seen.snapshot.is_none_or(|known| known.version < saved.version)
        {
            *seen = seen.snapshot(saved);
            *ask_again = true;
        }
        Some((key, job))
    }

    /// The snapshot of `key` is not under way any more.
    pub(super) fn ended(&self, key: &AggregateKey) {
        self.lock().in_flight.remove(key);
    }

    /// Remembers a size, and when to measure again at the earliest. Returns all sizes known.
    pub(super) fn measured(
        &self,
        key: &AggregateKey,
        weight: Weight,
        not_before: Duration,
    ) -> Sizes {
        let mut queue = self.lock();
        let known = queue.measured.get(key).map(|measured| measured.sizes).unwrap_or_default();
        // A size of a history that was rewound would stand in the way of all further ones.
        let sizes = known.up_to(weight.at_version).with(weight);
        remember(&mut queue.measured, key, Measured { sizes, not_before });
        sizes
    }
}

impl SaveQueue {
    /// Puts a job in place of the one that waits for the same aggregate. A snapshot that is to be
    /// taken in any case needs no measurement. Returns the job that is not needed, which may hold a
    /// state: that is to be dropped without the lock.
    #[must_use]
    pub(super) fn replace(&mut self, key: &AggregateKey, job: Job) -> Option<Job> {
        let is_certain = self.jobs.get(key).is_some_and(|waiting| waiting.measure.is_none());
        if job.measure.is_some() && is_certain {
            return Some(job);
        }
        self.jobs.insert(key.clone(), job)
    }

    /// Counts a snapshot that was stored; true if the retention policy is due for its aggregate.
    pub(super) fn is_retention_due(&mut self, meta: &SnapshotMeta) -> bool {
        let key = &meta.key;
        let count = save_retention::count(self.unretained.get(key).copied(), meta.id());
        let is_due = count >= save_retention::EVERY;
        remember(&mut self.unretained, key, if is_due { 0 } else { count });
        is_due
    }

    /// Makes the retention policy due at the next snapshot.
    pub(super) fn postpone_retention(&mut self, key: &AggregateKey) {
        remember(&mut self.unretained, key, save_retention::EVERY);
    }

    /// Takes the aggregate out that has waited longest.
    pub(super) fn pop_oldest(&mut self) -> Option<(AggregateKey, Job)> {
        let key = self.waiting.pop_front()?;
        let job = self.jobs.remove(&key)?;
        Some((key, job))
    }

    /// Puts those first whose loads replay the most events.
    pub(super) fn put_costly_first(&mut self) {
        let jobs = &self.jobs;
        let events = |key: &AggregateKey| jobs.get(key).map_or(0, |job| job.seen.distance());
        self.waiting.make_contiguous().sort_by_key(|key| Reverse(events(key)));
    }

    /// Empties the queue. Returns the aggregates that waited and those in flight, and the jobs,
    /// which may hold states: those are to be dropped without the lock.
    pub(super) fn give_up(&mut self) -> (Vec<AggregateKey>, HashMap<AggregateKey, Job>) {
        let mut skipped: Vec<_> = self.waiting.drain(..).collect();
        skipped.extend(self.in_flight.iter().cloned());
        skipped.sort_unstable();
        skipped.dedup();
        (skipped, std::mem::take(&mut self.jobs))
    }
}

/// Forgets the newest snapshot of an aggregate when it is dropped.
pub(super) struct Forgets<'a> {
    pub(super) shared: &'a SharedQueue,
    pub(super) key: &'a AggregateKey,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.shared.lock().saved.remove(self.key);
    }
}

/// Frees the queue for another task if this one ends early: cancelled with its runtime, perhaps
/// before it was polled once, or by a panic of an observer.
pub(super) struct SaverTurn(pub(super) Option<Arc<SharedQueue>>);

impl SaverTurn {
    pub(super) fn over(mut self) {
        if let Some(shared) = self.0.take() {
            shared.idle.notify_waiters();
        }
    }
}

impl Drop for SaverTurn {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            let mut queue = shared.lock();
            queue.running = false;
            queue.in_flight.clear();
            queue.unwritten = 0;
            drop(queue);
            shared.idle.notify_waiters();
        }
    }
}

/// For how long no further try follows the n-th failure in a row.
pub(super) fn backoff(failures: u32) -> Duration {
    let times = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    FIRST_BACKOFF.saturating_mul(times).min(LONGEST_BACKOFF)
}

pub(super) fn remember<T>(map: &mut HashMap<AggregateKey, T>, key: &AggregateKey, value: T) {
    if map.len() >= MAX_REMEMBERED {
        map.clear();
    }
    map.insert(key.clone(), value);
}

pub(super) fn seen(meta: &SnapshotMeta) -> LastSnapshot {
    LastSnapshot::new(meta.version, meta.created_at, meta.raw_bytes)
}

pub(super) fn size(seen: LastSnapshot) -> Weight {
    Weight { bytes: seen.raw_bytes, at_version: seen.version }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_above_the_newest_one_is_of_a_history_that_was_rewound() {
        let (shared, key) = (SharedQueue::new(), AggregateKey::new("account", "a").unwrap());
        let size = |bytes, at_version| Weight { bytes, at_version };
        shared.measured(&key, size(400, 8), Duration::ZERO);
        shared.measured(&key, size(500, 15), Duration::ZERO);
        let sizes = shared.measured(&key, size(7, 3), Duration::ZERO);
        assert_eq!(sizes, Sizes::default().with(size(7, 3)));
        let sizes = shared.measured(&key, size(9, 4), Duration::ZERO);
        assert_eq!(sizes.estimate(4), Some(9));
        assert_eq!(shared.lock().measured.get(&key).unwrap().sizes, sizes);
    }
}
