//! Who is told what the engine does: [`Observer`].

use std::time::Duration;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::{CreateOutcome, Provenance};

/// Is told about loads, background saves and failures: for logs and metrics.
///
/// What is created, rebuilt or deleted by hand is not reported: the call returns it, and the ledger
/// counts it.
///
/// # Obligations
/// Called on the path of the operation, so it must be cheap and must not block. A panic in it is
/// caught, counted and kept as the last error in the
/// [statistics](crate::SnapshotEngine::statistics); the operation goes on.
pub trait Observer: Send + Sync {
    /// Something happened.
    fn observe(&self, observation: &Observation<'_>);
}

/// What happened.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A state was loaded to make a snapshot of it, in the background or by hand.
    Captured {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The version of the state.
        version: u64,
        /// Where the state came from, what was rejected, what it cost.
        provenance: &'a Provenance,
    },
    /// The ledger did not take what happened.
    LedgerFailed {
        /// How many audit entries, and sums of aggregates and days, are lost; 0 if they will be
        /// written again.
        lost: usize,
        /// Why.
        error: &'a Error,
    },
    /// A state was loaded for a caller.
    Loaded {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The version of the state.
        version: u64,
        /// Where the state came from, what was rejected, what it cost.
        provenance: &'a Provenance,
    },
    /// A background snapshot was dropped before it was tried.
    SaveDropped {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why.
        reason: &'a str,
    },
    /// A background snapshot failed. The command that led to it is not affected.
    SaveFailed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why.
        error: &'a Error,
        /// For how long commits of this aggregate will not lead to another try.
        backing_off: Duration,
    },
    /// A background snapshot was taken.
    Saved {
        /// The aggregate.
        key: &'a AggregateKey,
        /// What became of it.
        created: &'a CreateOutcome,
        /// How long it took, from the load of the state to the acknowledgement of the store.
        took: Duration,
    },
}
