//! [`Verified`]: the result of verifying the snapshots of an aggregate.

use std::fmt;

use super::provenance::Rejected;

/// The result of verifying the snapshots of an aggregate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The number of snapshots whose checksums are valid and whose state has the recorded digest.
    pub proved: u64,
    /// The number of snapshots whose checksums are valid but whose state cannot be compared,
    /// because this engine does not read its generation or codec, or because no digest was
    /// recorded.
    pub unproved: u64,
    /// The snapshots that no load can use, and why. Newest first.
    pub rejected: Vec<Rejected>,
}

impl Verified {
    /// Returns whether every snapshot passed.
    pub fn is_clean(&self) -> bool {
        self.rejected.is_empty()
    }
}

/// Formats the result as one line, for logs.
impl fmt::Display for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proved, unproved, rejected } = self;
        write!(f, "{proved} proved, {unproved} not proved, {} rejected", rejected.len())?;
        for reject in rejected {
            write!(f, "; {reject}")?;
        }
        Ok(())
    }
}
