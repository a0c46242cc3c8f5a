//! [`Stopwatch`]: accounts for the phases of a load with as few looks at the clock as possible.

use std::time::Duration;

use crate::clock::Clock;
use crate::manager::Timings;

/// Splits the time of a load into phases. Each call closes the phase that began with the last.
pub(super) struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    last: Duration,
    pub(super) timings: Timings,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(clock: &'a dyn Clock) -> Self {
        Self { clock, last: clock.monotonic(), timings: Timings::default() }
    }

    pub(super) fn clock(&self) -> &'a dyn Clock {
        self.clock
    }

    /// A record was fetched, or found to be absent.
    pub(super) fn fetched(&mut self) {
        let lap = self.lap();
        self.timings.fetch += lap;
    }

    /// A record was decoded, or rejected.
    pub(super) fn decoded(&mut self) {
        let lap = self.lap();
        self.timings.decode += lap;
    }

    /// Events were read, the first one applied at `first_applied_at`, if any was.
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
