//! The memory backend: a store and an event source for tests, examples and benches.

mod events;
mod ledger;
mod store;

pub use events::MemoryEvents;
pub use ledger::MemoryLedger;
pub use store::MemoryStore;
