//! [`Retained`]: the result of applying a retention policy.

use crate::retention::{Judged, RetentionPlan};
use crate::store::Deleted;

/// The result of applying a retention policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retained {
    /// The plan that was applied, with the reason for each snapshot.
    pub plan: RetentionPlan,
    /// The result of the deletion. Fewer snapshots than planned are deleted if another process
    /// deletes or pins some at the same time.
    pub deleted: Deleted,
    /// The snapshots that [`apply_plan`](crate::SnapshotAdmin::apply_plan) was to drop and kept,
    /// because it would not be safe anymore, highest version first. Each has the reason. Always
    /// empty if a policy was applied.
    pub refused: Vec<Judged>,
}

impl Retained {
    /// Creates the result. For implementers of [`SnapshotAdmin`](crate::SnapshotAdmin).
    pub const fn new(plan: RetentionPlan, deleted: Deleted) -> Self {
        Self { plan, deleted, refused: Vec::new() }
    }

    /// Sets [`refused`](Self::refused). For implementers of
    /// [`SnapshotAdmin`](crate::SnapshotAdmin).
    pub fn refused(mut self, refused: Vec<Judged>) -> Self {
        self.refused = refused;
        self
    }
}
