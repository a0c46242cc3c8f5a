//! [`Faults`]: the rates at which faults occur.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kind::{Fault, StoreCall};

/// The maximum duration of a delay or hang.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// The rates of the faults in a [`FaultyStore`](crate::layer::FaultyStore), and the seed that
/// determines when they occur.
///
/// Rates are probabilities between 0 and 1. Values outside this range are clamped, and NaN is
/// treated as 0. If the rates for a call add up to more than 1, faults take precedence in this
/// order: refused, hung, unacknowledged, stale, torn, flipped, lost. A call gets at most one of
/// these. It can also be delayed.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    pub(super) seed: u64,
    pub(super) max_delay: Duration,
    pub(super) hang: Duration,
    rates: BTreeMap<(StoreCall, Fault), f64>,
}

impl Faults {
    /// Creates a configuration without faults. Set rates, or plan single faults with
    /// [`fail_next`](crate::layer::FaultyStore::fail_next).
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            max_delay: Duration::from_millis(20),
            hang: Duration::from_secs(10),
            rates: BTreeMap::new(),
        }
    }

    /// Creates a configuration with every fault except [`Fault::Lost`]. Each fault occurs at this
    /// rate in every call that supports it.
    pub fn mixed(seed: u64, rate: f64) -> Self {
        let faults = Fault::EXCLUSIVE.into_iter().filter(|fault| *fault != Fault::Lost);
        faults.fold(Self::new(seed).rate(Fault::Delayed, rate), |all, fault| all.rate(fault, rate))
    }

    /// Sets the rate of `fault` for every call that supports it.
    pub fn rate(self, fault: Fault, rate: f64) -> Self {
        StoreCall::ALL.into_iter().fold(self, |all, call| all.rate_on(call, fault, rate))
    }

    /// Sets the rate of `fault` for `call`. Has no effect if the call does not support the fault.
    pub fn rate_on(mut self, call: StoreCall, fault: Fault, rate: f64) -> Self {
        if fault.can_befall(call) {
            let rate = if rate.is_nan() { 0.0 } else { rate.clamp(0.0, 1.0) };
            self.rates.insert((call, fault), rate);
        }
        self
    }

    /// Sets the maximum delay of a [`Fault::Delayed`] call: 20 ms by default, at most one day.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay.min(LONGEST);
        self
    }

    /// Sets the duration of a [`Fault::Hung`] call: 10 s by default, at most one day.
    pub fn hang(mut self, time: Duration) -> Self {
        self.hang = time.min(LONGEST);
        self
    }

    pub(super) fn rate_of(&self, call: StoreCall, fault: Fault) -> f64 {
        self.rates.get(&(call, fault)).copied().unwrap_or(0.0)
    }
}
