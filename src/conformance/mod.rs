//! Proof for both sides of the trait: [`SnapshotStore`](crate::SnapshotStore)s keep their
//! obligations, [`Aggregate`](crate::Aggregate)s their laws.

mod aggregate;
mod factory;

pub use aggregate::{
    AggregateCheck, Choices, FailingHistory, Law, LawFinding, LawOutcome, LawReport, LawVerdict,
    LawsBroken, aggregate, aggregate_with_codec,
};
pub use factory::{Site, StoreFactory};
