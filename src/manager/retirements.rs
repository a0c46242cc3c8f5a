//! The names of the retirements that the engine sets.

/// The name of the retirements that [`SnapshotAdmin::rollback`](crate::SnapshotAdmin::rollback)
/// sets.
pub const ROLLBACK: &str = "rollback";

/// The name of the retirements that
/// [`SnapshotAdmin::retire_different`](crate::SnapshotAdmin::retire_different) and
/// [spot checks](crate::engine::SpotChecks) set.
pub const REFOLD: &str = "refold";
