//! Proof for both sides of the trait: [`SnapshotStore`](crate::SnapshotStore)s keep their
//! obligations, [`Aggregate`](crate::Aggregate)s their laws.

mod factory;

pub use factory::{Site, StoreFactory};
