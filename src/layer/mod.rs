//! Stores that wrap another store.

mod fault;

pub use fault::{Fault, FaultReport, Faults, FaultyStore, StoreCall};
