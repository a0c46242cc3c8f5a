//! Stores that wrap other stores.

#[cfg(feature = "faults")]
mod fault;
mod tiered;

#[cfg(feature = "faults")]
pub use fault::{Fault, FaultReport, Faults, FaultyStore, StoreCall};
pub use tiered::{ArchiveReport, RestoreReport, TieredStore};
