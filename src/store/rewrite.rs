//! [`Rewrite`]: a replacement that requires the stored record to be the expected one.

use std::collections::HashSet;

use crate::error::{Error, ErrorKind};
use crate::record::{Header, Record};

/// A replacement of a stored record that is made only if the record is still the expected one: see
/// [`SnapshotStore::rewrite`](crate::SnapshotStore::rewrite).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rewrite {
    /// The record that the caller has read. Only its header is compared.
    pub expected: Record,
    /// The record to store instead: the same snapshot, and usually the same state in another form.
    pub record: Record,
}

impl Rewrite {
    /// Replaces `expected` with `record`.
    pub const fn new(expected: Record, record: Record) -> Self {
        Self { expected, record }
    }

    /// Returns whether `stored` is the expected record: both headers can be parsed and are the
    /// same, byte for byte. A header contains the checksum of its payload. For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
    pub fn replaces(&self, stored: &Record) -> bool {
        let expected = header_bytes(&self.expected);
        expected.is_some() && expected == header_bytes(stored)
    }

    /// Checks the rewrites of one call (obligation C-72). For implementers of
    /// [`SnapshotStore`](crate::SnapshotStore).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if a header cannot be parsed, if the two records of a rewrite
    /// differ in key, generation, version or as-of time, or if two rewrites are of the same
    /// snapshot.
    pub fn check_all(rewrites: &[Self]) -> Result<(), Error> {
        let mut seen = HashSet::with_capacity(rewrites.len());
        for rewrite in rewrites {
            let expected = identity(&rewrite.expected)?;
            if identity(&rewrite.record)? != expected {
                return Err(invalid("the two records are not of the same snapshot"));
            }
            if !seen.insert(expected) {
                return Err(invalid("a snapshot is rewritten twice: use two calls"));
            }
        }
        Ok(())
    }

    /// Returns the header of the expected record; empty if it cannot be parsed.
    #[cfg(any(feature = "postgres", feature = "object-store"))]
    pub(crate) fn expected_header(&self) -> &[u8] {
        header_bytes(&self.expected).unwrap_or_default()
    }
}

fn header_bytes(record: &Record) -> Option<&[u8]> {
    let header = record.header().ok()?;
    record.as_bytes().get(..header.header_bytes())
}

fn identity(record: &Record) -> Result<impl Eq + std::hash::Hash + use<'_>, Error> {
    let header: Header<'_> = record.header().map_err(|reject| {
        invalid(format!("the header of a record is invalid: {reject}")).with_source(reject)
    })?;
    let key = (header.tenant, header.kind, header.id);
    Ok((key, header.generation, header.version, header.as_of))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidInput, "rewrite snapshots", message)
}
