//! What errors call the calls of the ledger.

pub(super) const READ: &str = "read the ledger";
pub(super) const WRITE: &str = "write to the ledger";
