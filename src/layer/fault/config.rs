//! [`Faults`]: how often what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use super::kind::{Fault, StoreCall};

/// No delay and no hang is longer, whatever was asked for.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);

/// How often what goes wrong in a [`FaultyStore`](crate::layer::FaultyStore), and the seed that decides
/// when.
///
/// Rates are probabilities between 0 and 1; what lies outside is taken for the nearer end, and what
/// is not a number for 0. Where the rates of a call add up to more than 1, those that come first
/// in the order refused, hung, unacknowledged, stale, torn, flipped, lost go first. A call meets at
/// most one of these; it can be delayed besides.
#[derive(Clone, Debug, PartialEq)]
pub struct Faults {
    pub(super) seed: u64,
    pub(super) max_delay: Duration,
    pub(super) hang: Duration,
    rates: BTreeMap<(StoreCall, Fault), f64>,
}

impl Faults {
    /// None; to be given rates, or to be told one by one with
    /// [`fail_next`](crate::layer::FaultyStore::fail_next).
    pub const fn new(seed: u64) -> Self {
        Self {
            seed,
            max_delay: Duration::from_millis(20),
            hang: Duration::from_secs(10),
            rates: BTreeMap::new(),
        }
    }

    /// Each fault but [`Fault::Lost`] befalls each call that can meet it at this rate.
    pub fn mixed(seed: u64, rate: f64) -> Self {
        let faults = Fault::EXCLUSIVE.into_iter().filter(|fault| *fault != Fault::Lost);
        faults.fold(Self::new(seed).rate(Fault::Delayed, rate), |all, fault| all.rate(fault, rate))
    }

    /// `fault` befalls each call that can meet it at this rate.
    pub fn rate(self, fault: Fault, rate: f64) -> Self {
        StoreCall::ALL.into_iter().fold(self, |all, call| all.rate_on(call, fault, rate))
    }

    /// `fault` befalls this call at this rate; without effect if this call cannot meet it.
    pub fn rate_on(mut self, call: StoreCall, fault: Fault, rate: f64) -> Self {
        if fault.can_befall(call) {
            let rate = if rate.is_nan() { 0.0 } else { rate.clamp(0.0, 1.0) };
            self.rates.insert((call, fault), rate);
        }
        self
    }

    /// The longest delay of a call that is [`Fault::Delayed`]. 20 ms by default; at most a day.
    pub fn max_delay(mut self, delay: Duration) -> Self {
        self.max_delay = delay.min(LONGEST);
        self
    }

    /// How long a call that is [`Fault::Hung`] does not answer. 10 s by default; at most a day.
    pub fn hang(mut self, time: Duration) -> Self {
        self.hang = time.min(LONGEST);
        self
    }

    pub(super) fn rate_of(&self, call: StoreCall, fault: Fault) -> f64 {
        self.rates.get(&(call, fault)).copied().unwrap_or(0.0)
    }
}
