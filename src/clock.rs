//! Injected time: [`Clock`], [`SystemClock`], [`ManualClock`].

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::timestamp::Timestamp;

/// The engine's source of time.
///
/// The engine uses no other clock, so a test that controls the clock controls time. Implementations
/// must be cheap (a load reads the clock about five times) and must never block.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the wall-clock time, which sets the `created_at` of snapshots and determines ages.
    /// May jump forwards or backwards.
    fn now(&self) -> Timestamp;

    /// Returns the time since some fixed, arbitrary point. Never decreases. Used for durations.
    fn monotonic(&self) -> Duration;
}

/// The clock of the operating system, which is the default.
#[derive(Clone, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Creates a clock whose [`monotonic`](Clock::monotonic) time starts at zero.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock for tests that moves only when it is told to.
///
/// Clones share the same time.
///
/// ```
/// use snapfold::Timestamp;
/// use snapfold::engine::{Clock, ManualClock};
/// use std::time::Duration;
///
/// let clock = ManualClock::at(Timestamp::from_seconds(100));
/// clock.advance(Duration::from_secs(5));
/// assert_eq!(clock.now(), Timestamp::from_seconds(105));
/// ```
#[derive(Clone, Debug)]
pub struct ManualClock {
    wall: Arc<AtomicI64>,
    monotonic: Arc<AtomicU64>,
}

impl ManualClock {
    /// Creates a clock that shows `now`. Its monotonic time starts at zero.
    pub fn at(now: Timestamp) -> Self {
        Self {
            wall: Arc::new(AtomicI64::new(now.as_micros())),
            monotonic: Arc::new(AtomicU64::new(0)),
        }
    }

    /// Advances both the wall clock and the monotonic clock by `by` (whole microseconds).
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let _ = self.monotonic.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| {
            Some(old.saturating_add(micros))
        });
        let _ = self.wall.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |old| {
            Some(Timestamp::from_micros(old).saturating_add(by).as_micros())
        });
    }

    /// Sets the wall clock, possibly to an earlier time, because a real clock may also jump. The
    /// monotonic time is unchanged.
    pub fn set(&self, now: Timestamp) {
        self.wall.store(now.as_micros(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.monotonic.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_set_backwards_keeps_its_monotonic_time() {
        let clock = ManualClock::at(Timestamp::from_seconds(10));
        clock.advance(Duration::from_secs(3));
        clock.set(Timestamp::from_seconds(-4));
        assert_eq!(clock.now(), Timestamp::from_seconds(-4));
        assert_eq!(clock.monotonic(), Duration::from_secs(3));
        clock.advance(Duration::MAX);
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
    }
}
