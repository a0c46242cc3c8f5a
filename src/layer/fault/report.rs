//! [`FaultReport`]: the faults that have occurred.

use std::collections::BTreeMap;
use std::fmt;

use super::kind::{Fault, StoreCall};

/// The faults that have occurred in a [`FaultyStore`](crate::layer::FaultyStore). `Display` prints
/// them on one line, with the seed that reproduces them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FaultReport {
    /// The seed that reproduces the faults.
    pub seed: u64,
    pub(super) calls: BTreeMap<StoreCall, u64>,
    pub(super) faults: BTreeMap<(StoreCall, Fault), u64>,
}

impl FaultReport {
    /// Returns the number of calls to `call`.
    pub fn calls(&self, call: StoreCall) -> u64 {
        self.calls.get(&call).copied().unwrap_or(0)
    }

    /// Returns how often `fault` occurred in any call.
    pub fn count(&self, fault: Fault) -> u64 {
        self.faults.iter().filter(|((_, met), _)| *met == fault).map(|(_, count)| count).sum()
    }

    /// Returns how often `fault` occurred in `call`.
    pub fn count_on(&self, call: StoreCall, fault: Fault) -> u64 {
        self.faults.get(&(call, fault)).copied().unwrap_or(0)
    }

    /// Returns the total number of faults.
    pub fn total(&self) -> u64 {
        self.faults.values().sum()
    }
}

impl fmt::Display for FaultReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls: u64 = self.calls.values().sum();
        write!(f, "seed {}: {} faults in {calls} calls", self.seed, self.total())?;
        for (at, ((call, fault), count)) in self.faults.iter().enumerate() {
            write!(f, "{} {count} {call} {fault}", if at == 0 { ":" } else { "," })?;
        }
        Ok(())
    }
}
