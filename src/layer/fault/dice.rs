//! [`Draw`]: the faults of one call.

use std::time::Duration;

use fastrand::Rng;

use super::config::Faults;
use super::kind::{Fault, StoreCall};

/// The faults of one call, and the random numbers for the details.
pub(super) struct Draw {
    /// The delays before and after the call takes effect.
    pub(super) delay: Option<(Duration, Duration)>,
    /// The fault, which is never [`Fault::Delayed`].
    pub(super) fault: Option<Fault>,
    /// Whether a write that hangs takes effect first.
    pub(super) is_done: bool,
    pub(super) rng: Rng,
}

impl Draw {
    /// Draws the faults of the `count`-th call of this method. They depend on nothing else, so that
    /// calls of one method do not change the faults of another.
    pub(super) fn new(faults: &Faults, call: StoreCall, count: u64) -> Self {
        let mut rng = Rng::with_seed(mix(mix(faults.seed, call as u64), count));
        let (which, delayed) = (rng.f64(), rng.f64());
        let mut up_to = 0.0;
        let fault = Fault::EXCLUSIVE.into_iter().find(|fault| {
            up_to += faults.rate_of(call, *fault);
            which < up_to
        });
        let mut draw = Self { delay: None, fault, is_done: rng.bool(), rng };
        if delayed < faults.rate_of(call, Fault::Delayed) {
            draw.delay(faults.max_delay);
        }
        draw
    }

    /// Draws the same call with the given fault.
    pub(super) fn forced(faults: &Faults, call: StoreCall, count: u64, fault: Fault) -> Self {
        let mut draw = Self::quiet(faults, call, count);
        if fault == Fault::Delayed {
            draw.delay(faults.max_delay);
        } else {
            draw.fault = Some(fault);
        }
        draw
    }

    /// Draws the same call without faults.
    pub(super) fn quiet(faults: &Faults, call: StoreCall, count: u64) -> Self {
        Self { delay: None, fault: None, ..Self::new(faults, call, count) }
    }

    fn delay(&mut self, longest: Duration) {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        let whole = self.rng.u64(0..=longest);
        let before = self.rng.u64(0..=whole);
        self.delay = Some((Duration::from_micros(before), Duration::from_micros(whole - before)));
    }
}

/// Mixes two numbers into 64 bits with the finalizer of splitmix64.
fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
