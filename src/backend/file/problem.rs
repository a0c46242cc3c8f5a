//! [`Problem`]: a problem with a file of a store.

use std::fmt;

use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;

/// A problem with a file of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Problem {
    /// The name of the file.
    pub file: String,
    /// The offset of the problem in the file in bytes, if it has one.
    pub offset: Option<u64>,
    /// A description of the problem.
    pub what: String,
    /// The damaged snapshot, if it can still be identified.
    pub snapshot: Option<(AggregateKey, SnapshotId)>,
}

impl Problem {
    pub(super) fn new(file: &str, offset: Option<u64>, what: impl Into<String>) -> Self {
        Self { file: file.to_owned(), offset, what: what.into(), snapshot: None }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset}")?;
        }
        write!(f, ": {}", self.what)?;
        if let Some((key, id)) = &self.snapshot {
            write!(f, " ({key}, {id})")?;
        }
        Ok(())
    }
}
