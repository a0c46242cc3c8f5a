//! A store that injects faults from a seed.

mod config;
mod dice;
mod earlier;
mod kind;
mod report;
mod store;

pub use config::Faults;
pub use kind::{Fault, StoreCall};
pub use report::FaultReport;
pub use store::FaultyStore;
