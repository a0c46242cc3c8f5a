//! [`RecordIntake`]: where records of snapshots go.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::store::SnapshotStore;

/// Where records go, and of which kinds they may be.
pub(super) struct RecordIntake {
    pub(super) store: Arc<dyn SnapshotStore>,
    pub(super) kinds: BTreeSet<String>,
}
