//! [`Observer`]: receives what the engine does, for logs and metrics.

use std::time::Duration;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::{CreateOutcome, Provenance, Retained};

/// Receives loads, background saves and failures, for logs and metrics.
///
/// Explicit calls to create, rebuild or delete snapshots are not reported. They return their
/// outcome, and the ledger counts them.
///
/// # Obligations
/// An observer is called as part of the operation, so it must be fast and must not block. If it
/// panics, the operation continues, and the [statistics](crate::SnapshotEngine::statistics) count
/// the panic and keep it as the last error.
pub trait Observer: Send + Sync {
    /// Handles one observation.
    fn observe(&self, observation: &Observation<'_>);
}

/// An event in the engine.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Observation<'a> {
    /// A state was loaded to take a snapshot of it, in the background or by an explicit call.
    Captured {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The version of the state.
        version: u64,
        /// Where the state came from, which snapshots were rejected, and what the load cost.
        provenance: &'a Provenance,
    },
    /// A write to the ledger failed.
    LedgerFailed {
        /// The number of audit entries and daily statistics that are lost; 0 if the write will be
        /// retried.
        lost: usize,
        /// The error of the ledger.
        error: &'a Error,
    },
    /// A state was loaded for a caller.
    Loaded {
        /// The aggregate.
        key: &'a AggregateKey,
        /// The version of the state.
        version: u64,
        /// Where the state came from, which snapshots were rejected, and what the load cost.
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
    /// A background snapshot was dropped before it was attempted.
    SaveDropped {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why the snapshot was dropped.
        reason: &'a str,
    },
    /// A background snapshot failed. The command that led to it is not affected.
    SaveFailed {
        /// The aggregate.
        key: &'a AggregateKey,
        /// Why the snapshot failed.
        error: &'a Error,
        /// The time during which commits of this aggregate start no further attempt.
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
