//! The names of the marks that the engine sets.

/// The name of the retirements that [`SnapshotAdmin::rollback`](crate::SnapshotAdmin::rollback)
/// sets.
pub const ROLLBACK: &str = "rollback";

/// The name of the retirements that
/// [`SnapshotAdmin::retire_different`](crate::SnapshotAdmin::retire_different) and
/// [spot checks](crate::engine::SpotChecks) set.
pub const REFOLD: &str = "refold";

/// The name of the pin on the records that the engine keeps when it replaces snapshots: see
/// [`EngineBuilder::evidence`](crate::engine::EngineBuilder::evidence).
pub const REPLACED: &str = "replaced";
