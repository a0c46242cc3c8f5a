//! What errors call the calls of the store.

pub(super) const READ: &str = "read publications";
pub(super) const WRITE: &str = "write a publication";
