//! [`Stopwatch`]: accounts for the phases of a load with as few looks at the clock as possible.

use std::time::Duration;

use crate::clock::Clock;
use crate::manager::Timings;

/// Splits the time of a load into phases. Each call closes the phase that began with the last.
pub(super) struct Stopwatch<'a> {
    clock: &'a dyn Clock,
    last: Duration,
    is_waiting: bool,
    pub(super) timings: Timings,
}

impl<'a> Stopwatch<'a> {
    pub(super) fn start(clock: &'a dyn Clock) -> Self {
        Self { clock, last: clock.monotonic(), is_waiting: false, timings: Timings::default() }
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

    /// Waiting for events begins. Not called if they come without waiting: then the first event
    /// ends the decoding, and one look at the clock is saved.
    pub(super) fn waiting(&mut self) {
        if !self.is_waiting {
            self.is_waiting = true;
            self.decoded();
        }
    }

    /// Events were read, the first one applied at `first_applied_at`, if any was.
    pub(super) fn replayed(&mut self, first_applied_at: Option<Duration>) {
        let waited = std::mem::take(&mut self.is_waiting);
        let Some(first) = first_applied_at else {
            return if waited { self.fetched() } else { self.decoded() };
        };
        let before = first.saturating_sub(self.last);
        if waited {
            self.timings.fetch += before;
        } else {
            self.timings.decode += before;
        }
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
