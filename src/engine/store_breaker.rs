//! [`StoreBreaker`]: recognizes a store that is down, so that not every load waits for it.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// After this many failures in a row, the store counts as down.
const DOWN: u32 = 3;
/// A store that is down is asked by one load in this time, and less often while such loads have
/// not returned: each of them doubles the time, up to 64 times.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
const MAX_DOUBLINGS: u32 = 6;

/// The failures of the store in a row, over all loads of an engine.
#[derive(Debug, Default)]
pub(super) struct StoreBreaker {
    failures: AtomicU32,
    /// When the next load asks a store that is down, in microseconds of the monotonic clock.
    next: AtomicU64,
    /// The loads that have asked since the last answer or failure.
    unanswered: AtomicU32,
}

impl StoreBreaker {
    /// Returns whether the load asks the store. While the store is down, this is true once in each
    /// [`PAUSE`].
    pub(super) fn asks(&self, now: Duration) -> bool {
        if !self.is_down() {
            return true;
        }
        let (now, next) = (micros(now), self.next.load(Ordering::Relaxed));
        let doublings = self.unanswered.load(Ordering::Relaxed).min(MAX_DOUBLINGS);
        // A clock that went back must not keep the store from being asked.
        let is_due = now >= next || next - now > micros(PAUSE) << doublings;
        let later = now.saturating_add(micros(PAUSE) << (doublings + 1).min(MAX_DOUBLINGS));
        let is_taken = is_due
            && self
                .next
                .compare_exchange(next, later, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if is_taken {
            self.unanswered.store(doublings + 1, Ordering::Relaxed);
        }
        is_taken
    }

    /// Returns whether the store is down and no load is due to ask it.
    pub(super) fn is_pausing(&self, now: Duration) -> bool {
        self.is_down() && micros(now) < self.next.load(Ordering::Relaxed)
    }

    /// Records a failure; returns true if the store counts as down from now on.
    pub(super) fn failed(&self, now: Duration) -> bool {
        self.unanswered.store(0, Ordering::Relaxed);
        self.next.store(micros(now.saturating_add(PAUSE)), Ordering::Relaxed);
        let more = |failures: u32| Some(failures.saturating_add(1));
        let before = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        before == Ok(DOWN - 1)
    }

    /// Records an answer; returns true if the store no longer counts as down.
    #[inline]
    pub(super) fn answered(&self) -> bool {
        self.failures.load(Ordering::Relaxed) > 0
            && self.failures.swap(0, Ordering::Relaxed) >= DOWN
    }

    pub(super) fn is_down(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= DOWN
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_down_is_asked_once_in_a_while_whatever_the_clock_does() {
        let breaker = StoreBreaker::default();
        let year = Duration::from_secs(365 * 86_400);
        for _ in 1..DOWN {
            assert!(!breaker.failed(year));
            assert!(breaker.asks(year));
        }
        assert!(breaker.failed(year) && !breaker.failed(year));
        assert!(!breaker.asks(year));
        assert!(breaker.asks(year + PAUSE) && !breaker.asks(year + PAUSE));
        // The first one has not returned.
        assert!(!breaker.asks(year + 2 * PAUSE));
        assert!(breaker.asks(year + 3 * PAUSE));
        breaker.failed(year + 3 * PAUSE);
        assert!(breaker.asks(year + 4 * PAUSE));
        // The clock goes back.
        assert!(breaker.asks(Duration::ZERO) && !breaker.asks(Duration::ZERO));
        assert!(!breaker.failed(Duration::ZERO));
        assert!(breaker.asks(PAUSE));
        assert!(breaker.answered() && !breaker.answered());
        assert!(breaker.asks(PAUSE) && breaker.asks(PAUSE));
        breaker.failures.store(u32::MAX, Ordering::Relaxed);
        assert!(!breaker.failed(Duration::MAX) && breaker.is_down());
    }
}
