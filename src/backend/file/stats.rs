//! [`FileStoreStats`]: the size of a store and its background errors.

/// The size of a [`FileStore`](crate::file::FileStore), and its background errors.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStoreStats {
    /// The number of aggregates with snapshots.
    pub aggregates: u64,
    /// The number of snapshots.
    pub snapshots: u64,
    /// The number of log files.
    pub segments: u64,
    /// The size of the log in bytes, live and dead.
    pub log_bytes: u64,
    /// The number of bytes in the log that hold live snapshots.
    pub live_bytes: u64,
    /// The memory that the index uses, in bytes.
    pub index_memory_bytes: u64,
    /// The number of background errors since the store was opened: see
    /// [`FileStoreConfig::on_background_error`](crate::file::FileStoreConfig::on_background_error).
    pub background_errors: u64,
    /// The last background error, with its causes.
    pub last_background_error: Option<String>,
    /// The log files that could not be read or that contain damaged frames, as found since the
    /// store was opened. Records that do not verify are not included: loads and
    /// [`FileStore::verify`](crate::file::FileStore::verify) report those. Compaction does not
    /// change damaged files, but [`FileStore::repair`](crate::file::FileStore::repair) keeps the
    /// records in them that verify.
    pub damaged_files: Vec<String>,
}
