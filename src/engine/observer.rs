//! [`Observer`]: receives what the engine does.

use std::time::Duration;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::{CreateOutcome, Provenance, Retained};

/// Receives loads, background saves and failures, for logs and metrics.
///
/// Snapshots that are created, rebuilt or deleted by hand are not reported: the call returns the
/// outcome, and the ledger counts it.
///
/// # Obligations
/// Called on the path of the operation, so it must be cheap and must not block. A panic in it is
/// caught, counted and kept as the last error in the
/// [statistics](crate::SnapshotEngine::statistics); the operation goes on.
pub trait Observer: Send + Sync {
    /// Handles one observation.
    fn observe(&self, observation: &Observation<'_>);
}

/// An event in the engine.
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
    /// A write to the ledger failed.
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
    /// The engine's retention policy was applied to an aggregate after a background snapshot, and
    /// deleted snapshots.
    Retained {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The plan, with the reason for each snapshot, and what was deleted.
        retained: &'a Retained,
    },
    /// The engine's retention policy could not be applied after a background snapshot. It is
    /// applied again after the next ones.
    RetentionFailed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why.
        error: &'a Error,
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
        /// How long commits of this aggregate do not trigger another attempt.
        backing_off: Duration,
    },
    /// A background snapshot was taken.
    Saved {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The outcome.
        created: &'a CreateOutcome,
        /// How long it took, from the load of the state to the acknowledgement of the store.
        took: Duration,
    },
}
