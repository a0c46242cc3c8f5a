//! [`Drained`]: which background snapshots a shutdown saved.

use crate::key::AggregateKey;

/// The result of [`SnapshotEngine::drain`](crate::SnapshotEngine::drain).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// The number of background snapshots that were saved during the call.
    pub saved: u64,
    /// The aggregates whose snapshots were not saved in time. Saves that were in progress at the
    /// end may still succeed.
    pub skipped: Vec<AggregateKey>,
}
