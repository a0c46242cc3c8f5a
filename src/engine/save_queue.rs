//! [`SharedQueue`]: the queue of the saver, and what it remembers about aggregates.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::save_retention;
use super::sizes::{Sizes, Weight};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::trigger::{LastSnapshot, TriggerContext};

/// The maximum number of aggregates in each map of newest snapshots, failures and sizes. Forgetting
/// an entry costs at most one unnecessary or early snapshot.
const MAX_REMEMBERED: usize = 16_384;

/// After the n-th failure in a row, commits of an aggregate start no further attempt for `2^(n-1)`
/// times this duration, up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);

/// The queue of a saver, shared with its task.
pub(super) struct SharedQueue {
    queue: Mutex<SaveQueue>,
    /// Notified each time the queue becomes empty.
    pub(super) idle: Notify,
    /// Notified when an aggregate is added to the queue while a task is running.
    pub(super) queued: Notify,
}

#[derive(Default)]
pub(super) struct SaveQueue {
    /// The waiting aggregates, each once, oldest first.
    pub(super) waiting: VecDeque<AggregateKey>,
    /// The job of each waiting aggregate.
    pub(super) jobs: HashMap<AggregateKey, Job>,
    /// Aggregates whose snapshots are in progress, and when they were queued, by the monotonic
    /// clock. While they are, the same aggregates are not taken from the queue again.
    in_flight: HashMap<AggregateKey, Duration>,
    /// How many aggregates in flight are captured and wait for their put.
    pub(super) unwritten: usize,
    /// Whether a task is processing the queue.
    pub(super) running: bool,
    pub(super) saved: HashMap<AggregateKey, LastSnapshot>,
    pub(super) failing: HashMap<AggregateKey, Failing>,
    pub(super) measured: HashMap<AggregateKey, Measured>,
    /// How many snapshots of each aggregate were stored since the retention policy was applied.
    unretained: HashMap<AggregateKey, u32>,
}

/// The work for one aggregate.
pub(super) struct Job {
    /// The input for the trigger, as of the newest commit.
    pub(super) seen: TriggerContext,
    /// A measurement of the state, which decides whether a snapshot is taken.
    pub(super) measure: Option<Measure>,
    /// Whether to ask the trigger again, because more is known than when it was asked.
    pub(super) ask_again: bool,
    /// When the aggregate was queued, by the monotonic clock.
    pub(super) since: Duration,
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

    // A poisoned lock is safe to use: no change is interrupted by code that can panic.
    pub(super) fn lock(&self) -> MutexGuard<'_, SaveQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_idle(&self) -> bool {
        let queue = self.lock();
        !queue.running && queue.waiting.is_empty()
    }

    /// Takes the next aggregate that is not in flight, and updates its job if a snapshot was saved
    /// since. The aggregate is in flight until [`ended`](Self::ended) is called.
    pub(super) fn next(&self) -> Option<(AggregateKey, Option<Job>)> {
        let mut queue = self.lock();
        let next = queue.waiting.iter().position(|key| !queue.in_flight.contains_key(key))?;
        let key = queue.waiting.remove(next)?;
        let mut job = queue.jobs.remove(&key);
        let since = job.as_ref().map_or(Duration::MAX, |job| job.since);
        queue.in_flight.insert(key.clone(), since);
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

    /// Records that the snapshot of `key` is no longer in progress.
    pub(super) fn ended(&self, key: &AggregateKey) {
        self.lock().in_flight.remove(key);
    }

    /// Remembers a size and the earliest time of the next measurement. Returns all known sizes.
    pub(super) fn measured(
        &self,
        key: &AggregateKey,
        weight: Weight,
        not_before: Duration,
    ) -> Sizes {
        let mut queue = self.lock();
        let known = queue.measured.get(key).map(|measured| measured.sizes).unwrap_or_default();
        // Sizes above the new one belong to a history that was rewound, and would block all later
        // ones.
        let sizes = known.up_to(weight.at_version).with(weight);
        remember(&mut queue.measured, key, Measured { sizes, not_before });
        sizes
    }
}

impl SaveQueue {
    /// Replaces the waiting job of the same aggregate, unless that one takes a snapshot without a
    /// measurement and `job` only measures. Returns the job that is not needed. It may hold a
    /// state, so drop it without holding the lock.
    #[must_use]
    pub(super) fn replace(&mut self, key: &AggregateKey, mut job: Job) -> Option<Job> {
        if let Some(waiting) = self.jobs.get(key) {
            if job.measure.is_some() && waiting.measure.is_none() {
                return Some(job);
            }
            job.since = waiting.since;
        }
        self.jobs.insert(key.clone(), job)
    }

    /// Counts a stored snapshot. Returns true if the retention policy is due for its aggregate.
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

    /// Removes the aggregate that has waited longest.
    pub(super) fn pop_oldest(&mut self) -> Option<(AggregateKey, Job)> {
        let key = self.waiting.pop_front()?;
        let job = self.jobs.remove(&key)?;
        Some((key, job))
    }

    /// Returns how many aggregates are waiting, how many are in flight, and when the oldest of them
    /// was queued.
    pub(super) fn count(&self) -> (usize, usize, Option<Duration>) {
        // The first one waits longest, unless a drain has sorted the queue.
        let first = self.waiting.front().and_then(|key| self.jobs.get(key)).map(|job| job.since);
        let oldest = self.in_flight.values().copied().chain(first).min();
        (self.waiting.len(), self.in_flight.len(), oldest)
    }

    /// Sorts the queue so that the aggregates with the most events to replay come first.
    pub(super) fn put_costly_first(&mut self) {
        let jobs = &self.jobs;
        let events = |key: &AggregateKey| jobs.get(key).map_or(0, |job| job.seen.distance());
        self.waiting.make_contiguous().sort_by_key(|key| Reverse(events(key)));
    }

    /// Empties the queue. Returns the aggregates that waited or are in flight, and the jobs. The
    /// jobs may hold states, so drop them without holding the lock.
    pub(super) fn give_up(&mut self) -> (Vec<AggregateKey>, HashMap<AggregateKey, Job>) {
        let mut skipped: Vec<_> = self.waiting.drain(..).collect();
        skipped.extend(self.in_flight.keys().cloned());
        skipped.sort_unstable();
        skipped.dedup();
        (skipped, std::mem::take(&mut self.jobs))
    }
}

/// Forgets the newest snapshot of an aggregate when dropped.
pub(super) struct Forgets<'a> {
    pub(super) shared: &'a SharedQueue,
    pub(super) key: &'a AggregateKey,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.shared.lock().saved.remove(self.key);
    }
}

/// Lets another task start if this one ends early: because it is cancelled with its runtime,
/// perhaps before its first poll, or because an observer panics.
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

/// Returns the pause after the given number of failures in a row.
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
