//! [`RetentionContext`]: what a plan needs to know besides the snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;

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
    /// If set, all others are kept. Shared, because contexts are cloned.
    only: Option<Arc<BTreeSet<SnapshotId>>>,
}

impl RetentionContext {
    /// Creates a context for a plan at `now`, with nothing else known.
    pub const fn new(now: Timestamp) -> Self {
        Self { now, current: None, usable: Vec::new(), protected: Vec::new(), only: None }
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
    /// Keeps all snapshots but these, on which the plan decides.
    pub(crate) fn only(mut self, ids: impl IntoIterator<Item = SnapshotId>) -> Self {
        self.only = Some(Arc::new(ids.into_iter().collect()));
        self
    }

    /// Returns whether the plan decides on a snapshot.
    pub(super) fn may_drop(&self, id: SnapshotId) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(&id))
    }
}
