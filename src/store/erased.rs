//! [`Erased`]: what an erasure removed, and what it could not reach.

use std::fmt;

use super::Deleted;

/// The receipt of an [erasure](crate::SnapshotStore::erase): what was removed, and where parts of
/// it may still be. `Display` writes it as a few lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Erased {
    /// The number of snapshots that were removed.
    pub snapshots: u64,
    /// The total size of their records in bytes.
    pub bytes: u64,
    /// The number of files that contained such records, and were replaced by files without them.
    pub rewritten_files: u64,
    /// Where parts of the data may still be.
    pub remains: Vec<Remains>,
}

/// A place that an erasure does not reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Remains {
    /// The store does not say whether deleted bytes leave its disk.
    Unknown,
    /// Backups and copies of the store.
    Backups,
    /// Blocks of the disk that the file system has freed but not overwritten.
    FreedBlocks,
    /// Earlier versions of objects, if the bucket keeps them, and records whose puts failed within the
    /// last hour.
    ObjectVersions,
    /// Deleted rows of a database, until it has vacuumed the table, and its write-ahead log.
    DeadRows,
    /// The audit trail, statistics and schedules. They contain the key, and no state.
    Ledger,
    /// The events. snapfold never deletes them.
    Events,
}

impl Erased {
    /// Creates the receipt of a delete after which the deleted bytes may remain in these places.
    pub fn new(deleted: Deleted, remains: impl IntoIterator<Item = Remains>) -> Self {
        let Deleted { snapshots, bytes, .. } = deleted;
        Self { snapshots, bytes, rewritten_files: 0, remains: Vec::new() }.with_remains(remains)
    }

    /// Adds places that the erasure does not reach.
    pub fn with_remains(mut self, remains: impl IntoIterator<Item = Remains>) -> Self {
        self.remains.extend(remains);
        self.remains.sort_unstable();
        self.remains.dedup();
        self
    }

    /// Returns the receipt of both erasures.
    pub fn and(self, other: Self) -> Self {
        Self {
            snapshots: self.snapshots.saturating_add(other.snapshots),
            bytes: self.bytes.saturating_add(other.bytes),
            rewritten_files: self.rewritten_files.saturating_add(other.rewritten_files),
            remains: self.remains,
        }
        .with_remains(other.remains)
    }
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "the store does not say whether deleted bytes leave its disk",
            Self::Backups => "backups and copies of the store: delete them as well",
            Self::FreedBlocks => "blocks of the disk that were freed and not yet overwritten",
            Self::ObjectVersions => {
                "earlier versions of objects, if the bucket keeps them, and failed puts of the last \
                 hour, until a sweep"
            }
            Self::DeadRows => "dead rows until the next VACUUM, and the write-ahead log",
            Self::Ledger => "audit trail, statistics and schedules, which contain the key",
            Self::Events => "the events, which snapfold never deletes",
        })
    }
}

/// Writes what was removed, and then a line for each place that remains.
impl fmt::Display for Erased {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { snapshots, bytes, rewritten_files, remains } = self;
        write!(f, "erased {snapshots} snapshots ({bytes} bytes)")?;
        if *rewritten_files > 0 {
            write!(f, ", rewrote {rewritten_files} files")?;
        }
        remains.iter().try_for_each(|remains| write!(f, "\nnot erased: {remains}"))
    }
}
