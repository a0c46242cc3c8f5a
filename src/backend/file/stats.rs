//! [`FileStoreStats`]: how much a store holds.

/// How much a [`FileStore`](crate::FileStore) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
}
