//! [`Retained`]: what applying a retention policy did.

use crate::retention::RetentionPlan;
use crate::store::Deleted;

/// What applying a retention policy did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retained {
    /// The plan that was applied, with the reason for each snapshot.
    pub plan: RetentionPlan,
    /// What was deleted. This can be less than the plan dropped, if another process deleted at the
    /// same time.
    pub deleted: Deleted,
}

impl Retained {
    /// For implementers of [`SnapshotAdmin`](crate::SnapshotAdmin).
    pub const fn new(plan: RetentionPlan, deleted: Deleted) -> Self {
        Self { plan, deleted }
    }
}
