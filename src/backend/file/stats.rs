//! [`FileStoreStats`]: how much a store holds.

/// How much a [`FileStore`](crate::file::FileStore) holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStoreStats {
    /// The number of aggregates with snapshots.
    pub aggregates: u64,
    /// The number of snapshots.
    pub snapshots: u64,
    /// The number of files of the log.
    pub segments: u64,
    /// The bytes of the log, live and dead.
    pub log_bytes: u64,
    /// The bytes that the snapshots take in the log.
    pub live_bytes: u64,
    /// The bytes of memory that the index takes.
    pub index_memory_bytes: u64,
    /// How often something failed out of the callers' sight since the store was opened: see
    /// [`FileStoreConfig::on_background_error`](crate::file::FileStoreConfig::on_background_error).
    pub background_errors: u64,
    /// The last of these errors, in words and with its causes.
    pub last_background_error: Option<String>,
    /// The files of the log whose frames were found damaged, or that could not be read, since the
    /// store was opened. Records that do not verify are found by loads, and by
    /// [`FileStore::verify`](crate::file::FileStore::verify). Compaction leaves them as they are; [`FileStore::repair`](crate::file::FileStore::repair)
    /// keeps what verifies in them.
    pub damaged_files: Vec<String>,
}
