//! The files of a ledger. None has a name that a snapshot store uses, so that both may share a
//! directory.

/// Held under a lock while the ledger is open; holds the process id.
pub(super) const LOCK: &str = "ledger.lock";
/// What the logs were when the ledger was last closed.
pub(super) const MANIFEST: &str = "ledger.manifest";
/// The log of the audit trail.
pub(super) const AUDIT: &str = "ledger.audit";
/// The log of schedules and statistics.
pub(super) const STATE: &str = "ledger.state";
/// Files that were not finished.
pub(super) const TEMPORARY: [&str; 2] = ["ledger.manifest.tmp", "ledger.state.tmp"];
