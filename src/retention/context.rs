//! [`RetentionContext`]: what a plan needs to know besides the snapshots.

use crate::generation::Generation;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// What is known about an aggregate when its [`RetentionPlan`](super::RetentionPlan) is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionContext {
    /// The time of the plan.
    pub now: Timestamp,
    /// The generation that the current code writes. If it is unknown, no generation is treated as
    /// superseded.
    pub current: Option<Generation>,
    /// The newest usable snapshots, at most one for each generation.
    pub usable: Vec<SnapshotId>,
    /// Further snapshots that are kept, each with the reason.
    pub protected: Vec<(SnapshotId, String)>,
}

impl RetentionContext {
    /// Creates a context for a plan at `now`, with nothing else known.
    pub const fn new(now: Timestamp) -> Self {
        Self { now, current: None, usable: Vec::new(), protected: Vec::new() }
    }

    /// Sets the generation that the current code writes.
    pub const fn current(mut self, generation: Generation) -> Self {
        self.current = Some(generation);
        self
    }

    /// Adds the newest usable snapshot of a generation, which is then kept.
    pub fn usable(mut self, id: SnapshotId) -> Self {
        self.usable.push(id);
        self
    }

    /// Adds a snapshot that is kept under every policy.
    pub fn protect(mut self, id: SnapshotId, reason: impl Into<String>) -> Self {
        self.protected.push((id, reason.into()));
        self
    }
}
