//! The memory backend: a store and an event source for tests, examples and benchmarks.

mod events;
mod store;

pub use events::MemoryEvents;
pub use store::MemoryStore;
