//! [`Replays`]: what replaying events costs.

use super::window::Window;

/// A sample is complete with this many events, or this many loads that replayed any: single events
/// cost little more than reading the clock.
const EVENTS: u64 = 32;
const LOADS: u32 = 16;

/// The moving average of the time that replays take.
#[derive(Default)]
pub(super) struct Replays {
    /// Nanoseconds per 1,000 events.
    window: Window,
    events: u64,
    nanos: u64,
    loads: u32,
}

impl Replays {
    pub(super) fn add(&mut self, events: u64, nanos: u64) {
        if events == 0 {
            return;
        }
        self.events = self.events.saturating_add(events);
        self.nanos = self.nanos.saturating_add(nanos);
        self.loads += 1;
        if self.events >= EVENTS || self.loads >= LOADS {
            let per_1000 = u128::from(self.nanos) * 1_000 / u128::from(self.events);
            self.window.add(u64::try_from(per_1000).unwrap_or(u64::MAX));
            (self.events, self.nanos, self.loads) = (0, 0, 0);
        }
    }

    /// Nanoseconds per 1,000 events, from at least so many samples.
    pub(super) fn per_1000(&self, samples: usize) -> Option<u64> {
        self.window.mean(samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_replays_are_added_up() {
        let mut replays = Replays::default();
        replays.add(0, 1_000_000);
        for _ in 0..15 {
            replays.add(1, 20);
        }
        assert_eq!(replays.per_1000(1), None);
        replays.add(1, 20);
        assert_eq!(replays.per_1000(1), Some(20_000));
        replays.add(32, 32);
        assert_eq!(replays.per_1000(2), Some(1_000), "the lower one");
    }

    #[test]
    fn extremes_stay_within_bounds() {
        let mut replays = Replays::default();
        for (events, nanos) in [(u64::MAX, u64::MAX), (u64::MAX, 0), (1, u64::MAX), (31, u64::MAX)]
        {
            replays.add(events, nanos);
        }
        assert_eq!(replays.per_1000(3), Some(1_000));
    }
}
