//! [`Stopwatch`]: measures the phases of a load with as few clock reads as possible.

use std::time::Duration;

use crate::clock::Clock;
use crate::manager::Timings;

/// Splits the duration of a load into phases. Each call ends the phase that the previous call
/// began.
pub(super) struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    last: Duration,
    pub(super) timings: Timings,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(clock: &'a dyn Clock) -> Self {
        Self { clock, last: clock.monotonic(), timings: Timings::default() }
    }

    /// Returns a stopwatch with the same times so far that continues from now, for one of several
    /// loads that began together.
    pub(super) fn resumed(&self) -> Self {
        Self { clock: self.clock, last: self.clock.monotonic(), timings: self.timings }
    }

    pub(super) fn clock(&self) -> &'a dyn Clock {
        self.clock
    }

    /// Ends a fetch, whether or not a record was found.
    pub(super) fn fetched(&mut self) {
        let lap = self.lap();
        self.timings.fetch += lap;
    }

    /// Ends the decoding of a record, whether or not it was rejected.
    pub(super) fn decoded(&mut self) {
        let lap = self.lap();
        self.timings.decode += lap;
    }

    /// Ends a read of events, of which the first was applied at `first_applied_at`, if any.
    pub(super) fn replayed(&mut self, first_applied_at: Option<Duration>) {
        let Some(first) = first_applied_at else { return self.fetched() };
        self.timings.fetch += first.saturating_sub(self.last);
        self.last = first;
        let lap = self.lap();
        self.timings.fold += lap;
    }

    fn lap(&mut self) -> Duration {
        let now = self.clock.monotonic();
        let lap = now.saturating_sub(self.last);
        self.last = now;
        lap
    }
}
