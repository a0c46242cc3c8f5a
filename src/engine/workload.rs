//! [`Workload`]: how much work an engine is doing and has waiting.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How much work an engine and its clones are doing, and how much is waiting.
///
/// `Display` formats it as one line, for logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Workload {
    /// The number of aggregates that wait for a background snapshot.
    pub saves_queued: usize,
    /// The number of aggregates whose background snapshot is being taken or written.
    pub saves_running: usize,
    /// The size of the encoded background snapshots that the store has not acknowledged, in bytes.
    pub bytes_in_flight: u64,
    /// The number of full replays that are running.
    pub replays_running: usize,
    /// The number of loads that wait for a full replay.
    pub replays_waiting: usize,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "saves: {} queued, {} running", self.saves_queued, self.saves_running)?;
        write!(f, " ({} bytes in flight); ", self.bytes_in_flight)?;
        write!(f, "replays: {} running, {} waiting", self.replays_running, self.replays_waiting)
    }
}

/// The live numbers of a [`Workload`].
#[derive(Debug)]
pub(super) struct Gauges {
    saves_queued: AtomicUsize,
    saves_running: AtomicUsize,
    /// When the oldest unfinished background snapshot was queued, in microseconds of the monotonic
    /// clock, or [`NONE`].
    oldest: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) replays_running: AtomicUsize,
    pub(super) replays_waiting: AtomicUsize,
}

const NONE: u64 = u64::MAX;

impl Gauges {
    pub(super) const fn new() -> Self {
        Self {
            saves_queued: AtomicUsize::new(0),
            saves_running: AtomicUsize::new(0),
            oldest: AtomicU64::new(NONE),
            bytes: AtomicU64::new(0),
            replays_running: AtomicUsize::new(0),
            replays_waiting: AtomicUsize::new(0),
        }
    }

    pub(super) fn queue_is(&self, queued: usize, running: usize, oldest: Option<Duration>) {
        self.saves_queued.store(queued, Ordering::Relaxed);
        self.saves_running.store(running, Ordering::Relaxed);
        let micros = |since: Duration| u64::try_from(since.as_micros()).unwrap_or(NONE);
        self.oldest.store(oldest.map_or(NONE, micros), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Workload {
        Workload {
            saves_queued: self.saves_queued.load(Ordering::Relaxed),
            saves_running: self.saves_running.load(Ordering::Relaxed),
            bytes_in_flight: self.bytes.load(Ordering::Relaxed),
            replays_running: self.replays_running.load(Ordering::Relaxed),
            replays_waiting: self.replays_waiting.load(Ordering::Relaxed),
        }
    }

    /// Returns the age of the oldest unfinished background snapshot.
    pub(super) fn queue_age(&self, now: Duration) -> Option<Duration> {
        let oldest = self.oldest.load(Ordering::Relaxed);
        (oldest != NONE).then(|| now.saturating_sub(Duration::from_micros(oldest)))
    }
}

/// Counts one while it exists.
pub(super) struct CountedIn<'a>(&'a AtomicUsize);

impl<'a> CountedIn<'a> {
    pub(super) fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for CountedIn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
