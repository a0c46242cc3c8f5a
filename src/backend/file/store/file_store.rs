//! [`FileStore`]: snapshots in a directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::USE;
use super::shared::Shared;
use crate::backend::file::config::FileStoreConfig;
use crate::backend::file::disk::{Disk, RealDisk};
use crate::backend::file::maintain::backup::BackedUp;
use crate::backend::file::maintain::compact::Compacted;
use crate::backend::file::maintain::inspect::{Inspection, inspect};
use crate::backend::file::maintain::repair::{RepairReport, repair};
use crate::backend::file::maintain::verify::{Verification, verify};
use crate::backend::file::read::{Patience, Unread};
use crate::backend::file::stats::FileStoreStats;
use crate::backend::file::write::work::Answer;
use crate::blocking::blocking;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::Record;
use crate::store::{
    DeleteOptions, Deleted, Erased, Lookup, PutOptions, PutOutcome, Query, Remains, Selection,
};

/// A durable, checksummed snapshot store in a directory.
///
/// The store is an append-only log with an index in memory. The index takes about 40 bytes per
/// aggregate and 24 bytes per older version (about 32 for aggregates with more than a few dozen
/// versions). Only one process can open a directory for writing at a time, but any number of threads
/// and tasks can use the handle. Clones are cheap and share the store. Other processes can read the
/// directory at the same time with [`open_read_only`](Self::open_read_only).
///
/// - By default ([`Durability::Sync`](crate::file::Durability::Sync)) a put returns after its
///   records are synced to disk. Concurrent puts share one sync.
/// - With this default, a crash loses no acknowledged write. It never leaves a partial write.
/// - A failed sync stops all writing ([`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned)). Reads
///   continue. Reopening the store recovers what is on disk.
/// - The space used by deleted snapshots is reclaimed in the background.
/// - All [marks](crate::store::Mark) of a snapshot together take about 100 bytes in the log and in
///   memory, until the snapshot is deleted. Snapshots without marks have no such cost.
/// - A [delta](crate::engine::Incremental) takes about 30 to 50 bytes more in memory. Its base stays
///   in the log as long as it needs it.
///
/// The tenant, kind and id of an aggregate are limited to 1,024 bytes each, and a record to about
/// 1 GiB. The store refuses records that do not verify, so everything it writes can be read back.
///
/// ```
/// use snapfold::codec::CodecId;
/// use snapfold::file::FileStore;
/// use snapfold::record::{Generation, RecordBuilder};
/// use snapfold::store::{PutOptions, Query};
/// use snapfold::{AggregateKey, Timestamp};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("snapshots");
/// let key = AggregateKey::new("account", "alice")?;
/// let generation = Generation { schema_version: 1, fingerprint: 7 };
/// let record = RecordBuilder::new(key.clone(), generation, 100, Timestamp::from_seconds(5))
///     .codec(CodecId::custom(1))
///     .build(b"the encoded state")?;
///
/// let store = FileStore::open(&dir)?;
/// store.put_blocking(vec![record.clone()], PutOptions::default())?;
/// store.close()?;
///
/// let store = FileStore::open(&dir)?;
/// let found = store.get_blocking(Query::latest(&key, generation))?;
/// assert_eq!(found.into_record(), Some(record));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct FileStore(pub(crate) Arc<Shared>);

/// The number of deletes in one batch when many aggregates are affected.
const DELETES_PER_BATCH: usize = 8192;

impl FileStoreConfig {
    /// Opens the store, and creates its directory if it does not exist. Blocks for about 0.2 s per
    /// million snapshots.
    ///
    /// The store locks the file `LOCK` in the directory until [`FileStore::close`] is called, the
    /// last handle is dropped, or the process ends. Do not remove this file while the store is
    /// open. Otherwise a second process could open the store, and both would write until the first
    /// one starts a new file, notices that its lock is gone, and stops. A forked child that does
    /// not `exec` must not use the store, because it shares the lock but has none of the store's
    /// threads.
    ///
    /// # Errors
    /// - `InvalidInput`: a setting is out of range.
    /// - `Locked`: another process or handle has the store open. The message contains its process
    ///   id.
    /// - `CorruptStore`: a file is missing, or is damaged in a way that a crash cannot cause. The
    ///   message names the file and the offset. See [`FileStore::repair`].
    /// - `Unsupported`: a newer release wrote the store.
    /// - `Store`, `OutOfSpace`: the operating system failed to read or write.
    pub fn open(self) -> Result<FileStore, Error> {
        FileStore::open_on(Arc::new(RealDisk), self)
    }

    /// Opens the store for reading only, also while another process has it open. Blocks as
    /// [`open`](Self::open) does. Of the settings, only
    /// [`on_background_error`](Self::on_background_error) has an effect.
    ///
    /// - Nothing in the directory is created, changed, renamed or removed, and no lock is taken. The
    ///   directory may be on a read-only file system.
    /// - The handle shows the store as it was at one moment during this call: every write that was
    ///   acknowledged before the call, and no part of a batch. It does not show later writes: open the
    ///   store again for those. If a writer has the store open, the last writes shown may not be
    ///   acknowledged yet, and a power failure or a full disk can undo them. If that happens, reading
    ///   such a snapshot returns an error that says to open the store again.
    /// - The remains of a crash are not repaired and not shown.
    /// - Files that the writer removes later stay readable, because the handle keeps them open. They
    ///   take space on the disk until the handle is dropped.
    /// - Calls that would change something fail with `Unsupported`: puts, deletes, marks, rewrites,
    ///   [`FileStore::compact`] and [`FileStore::backup`].
    ///
    /// ```
    /// use snapfold::file::FileStore;
    /// # let dir = tempfile::tempdir()?;
    /// # let dir = dir.path().join("snapshots");
    /// let writer = FileStore::open(&dir)?;
    /// let reader = FileStore::open_read_only(&dir)?;
    /// assert_eq!(reader.stats().snapshots, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// - `InvalidInput`: a setting is out of range.
    /// - `CorruptStore`: `dir` does not contain a store, a file is missing, or a file is damaged in a
    ///   way that neither a crash nor a running write can cause. See [`FileStore::repair`].
    /// - `Unsupported`: a newer release wrote the store.
    /// - `Store`: the operating system failed to read. Or, with
    ///   [`Retry::Later`](crate::Retry::Later), the writer replaced files faster than they could be
    ///   opened.
    pub fn open_read_only(self) -> Result<FileStore, Error> {
        FileStore::open_read_only_on(Arc::new(RealDisk), self)
    }
}

impl FileStore {
    /// Opens the store in `dir` with the default settings, and creates it if it does not exist.
    /// Blocks.
    ///
    /// # Errors
    /// The same errors as [`FileStoreConfig::open`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder(dir).open()
    }

    /// Opens the store in `dir` for reading only, also while another process has it open. Changes
    /// nothing in the directory. Blocks.
    ///
    /// [`FileStoreConfig::open_read_only`] says what the handle shows.
    ///
    /// # Errors
    /// The same errors as [`FileStoreConfig::open_read_only`].
    pub fn open_read_only(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder(dir).open_read_only()
    }

    /// Returns a builder for the store in `dir`.
    pub fn builder(dir: impl Into<PathBuf>) -> FileStoreConfig {
        FileStoreConfig::new(dir.into())
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, config: FileStoreConfig) -> Result<Self, Error> {
        Shared::open(disk, config).map(Arc::new).map(Self)
    }

    pub(crate) fn open_read_only_on(
        disk: Arc<dyn Disk>,
        config: FileStoreConfig,
    ) -> Result<Self, Error> {
        Shared::open_read_only(disk, config).map(Arc::new).map(Self)
    }

    /// Returns whether the store was opened with [`open_read_only`](Self::open_read_only).
    pub fn is_read_only(&self) -> bool {
        self.0.core.health.is_read_only()
    }

    /// Returns the directory of the store.
    pub fn dir(&self) -> &Path {
        self.0.core.dir()
    }

    /// Calls [`put`](crate::SnapshotStore::put) and blocks until all records are durable.
    ///
    /// # Errors
    /// The same errors as [`put`](crate::SnapshotStore::put), and `InvalidInput` if a record does
    /// not verify.
    #[expect(clippy::needless_pass_by_value, reason = "as `put` takes them")]
    pub fn put_blocking(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let work = self.0.core.put_work(records, &options)?;
        self.0.write(work).map(Answer::outcomes)
    }

    /// Queues a put and returns a `'static` future of its outcomes.
    ///
    /// All queued puts are written together when one of the futures is awaited or dropped, or with
    /// the next write of any other kind. To write in large groups, queue many puts and then await
    /// them. Dropping the future does not cancel the put.
    ///
    /// # Errors
    /// The same errors as [`put_blocking`](Self::put_blocking). `InvalidInput` and `Poisoned` are
    /// returned immediately, and all other errors by the future.
    #[expect(clippy::needless_pass_by_value, reason = "as `put` takes them")]
    pub fn submit(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<impl Future<Output = Result<Vec<PutOutcome>, Error>> + Send + use<>, Error> {
        let submitted = self.0.submit(self.0.core.put_work(records, &options)?);
        Ok(async move { submitted.await.map(Answer::outcomes) })
    }

    /// Calls [`get`](crate::SnapshotStore::get) and blocks until the result is available.
    ///
    /// # Errors
    /// The same errors as [`get`](crate::SnapshotStore::get).
    pub fn get_blocking(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.0.core.get(Patience::Unlimited, &query).map_err(Unread::into_error)
    }

    /// Calls [`delete`](crate::SnapshotStore::delete) and blocks until the delete is durable.
    ///
    /// # Errors
    /// The same errors as [`delete`](crate::SnapshotStore::delete).
    pub fn delete_blocking(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        match self.0.core.delete_work(key, selection, options)? {
            Some(work) => self.0.write(work).map(Answer::deleted),
            None => Ok(Deleted::default()),
        }
    }

    /// Calls [`erase`](crate::SnapshotStore::erase) and blocks until no file of the directory
    /// contains a record of `key`.
    ///
    /// Ends the file that is being written, and replaces each file that contains records of the
    /// key, deleted ones as well, by one without them. Each of these files is read and copied
    /// once. Reads and writes continue. Names and numbers of the key's deletes stay in the log
    /// until a compaction drops them.
    ///
    /// # Errors
    /// The same errors as [`delete`](crate::SnapshotStore::delete) and
    /// [`compact`](Self::compact). After an error, the snapshots may be deleted while their bytes
    /// are still there: call this again.
    pub fn erase_blocking(&self, key: &AggregateKey) -> Result<Erased, Error> {
        let options = DeleteOptions::default().overrule_pins(true);
        let deleted = self.delete_blocking(key, Selection::All, options)?;
        let rewritten = self.0.core.expunge(key)?;
        let remains = [Remains::FreedBlocks, Remains::Backups];
        let mut erased = Erased::new(deleted, remains);
        erased.rewritten_files = rewritten;
        Ok(erased)
    }

    /// Calls [`mark`](crate::SnapshotStore::mark) and blocks until the change is durable.
    ///
    /// # Errors
    /// The same errors as [`mark`](crate::SnapshotStore::mark).
    pub fn mark_blocking(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        match self.0.core.mark_work(key, selection, change)? {
            Some(work) => self.0.write(work).map(Answer::marked),
            None => Ok(0),
        }
    }

    /// Deletes the snapshots below a version (exclusive) of many aggregates.
    ///
    /// The result is the same as for a `delete` with default options for each aggregate, so pinned
    /// snapshots and needed bases are kept. However, this takes only a few writes. Blocks until all
    /// deletes are durable.
    ///
    /// # Errors
    /// The same errors as [`delete`](crate::SnapshotStore::delete). After an error, some of the
    /// deletes may have taken effect.
    pub fn delete_below_blocking(
        &self,
        aggregates: &[(AggregateKey, u64)],
    ) -> Result<Deleted, Error> {
        let core = &self.0.core;
        // In index order, neighbours are looked up one after the other.
        let mut tagged: Vec<_> = aggregates.iter().map(|of| (core.tag(&of.0), of)).collect();
        tagged.sort_by_key(|(tag, _)| *tag);
        let mut sum = Deleted::default();
        while !tagged.is_empty() {
            // Another delete of an aggregate depends on the one before it.
            let mut before = None;
            let (first, again): (Vec<_>, Vec<_>) =
                tagged.into_iter().partition(|(tag, _)| before.replace(*tag) != Some(*tag));
            for part in first.chunks(DELETES_PER_BATCH) {
                let work = core.delete_below_work(part)?;
                sum = [sum, self.0.write(work).map(Answer::deleted)?].into_iter().sum();
            }
            tagged = again;
        }
        Ok(sum)
    }

    /// Performs [`delete_below_blocking`](Self::delete_below_blocking) without blocking the thread.
    ///
    /// Cancel safety: dropping the future does not cancel deletes that have started. They may run
    /// after later calls, so they may also delete a snapshot below the bound that was put after the
    /// future was dropped.
    ///
    /// # Errors
    /// The same errors as [`delete`](crate::SnapshotStore::delete).
    pub async fn delete_below(
        &self,
        aggregates: Vec<(AggregateKey, u64)>,
    ) -> Result<Deleted, Error> {
        let store = self.clone();
        blocking(USE, move || store.delete_below_blocking(&aggregates)).await
    }

    /// Compacts the files that exist when it is called: removes files without live snapshots, and
    /// rewrites files whose fraction of dead bytes reaches
    /// [`compact_at`](FileStoreConfig::compact_at).
    ///
    /// The rate limit of background compaction does not apply. This call blocks, but reads and
    /// writes continue.
    ///
    /// # Errors
    /// - `OutOfSpace`: there is no space for a rewritten file, or the store has too many segments.
    /// - `CorruptStore`: a live snapshot is damaged. Its file is not changed.
    /// - `Poisoned`: the store has stopped writing.
    /// - `Store`: the operating system failed to read or write, or the store is closed.
    ///
    /// No error loses data.
    pub fn compact(&self) -> Result<Compacted, Error> {
        self.0.core.compact(&mut |_| true)
    }

    /// Copies a consistent state of the store to the directory `to`, which must be empty or not
    /// exist.
    ///
    /// Complete log files are hard-linked where the file system supports it, so the backup takes
    /// little time and space. This call blocks, but reads and writes continue.
    ///
    /// # Errors
    /// - `InvalidInput`: `to` is not empty.
    /// - `Locked`: another backup is writing to `to`.
    /// - `OutOfSpace`: there is no space for the backup.
    /// - `Store`: the operating system failed to read or write, or the store is closed.
    ///
    /// After an error, the files in `to` are not a usable store.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackedUp, Error> {
        self.0.core.backup(to.as_ref())
    }

    /// Reads the manifest of the store in `dir`, and compares it with the files in the directory.
    /// Changes nothing, takes no lock, and works on a read-only directory and while another process
    /// has the store open. Blocks.
    ///
    /// # Errors
    /// - `CorruptStore`: `dir` does not contain a store, or its manifest is damaged.
    /// - `Unsupported`: a newer release wrote the manifest.
    /// - `Store`: the operating system failed to read.
    pub fn inspect(dir: impl AsRef<Path>) -> Result<Inspection, Error> {
        inspect(&RealDisk, dir.as_ref())
    }

    /// Reads and checks every byte of the store in `dir`. Changes nothing, takes no lock, and works on
    /// a read-only directory and while another process has the store open. Writes that are running are
    /// not taken for damage. Blocks.
    ///
    /// # Errors
    /// - `Unsupported`: a newer release wrote the store.
    /// - `Store`: the operating system failed to read.
    ///
    /// Damage is not an error: the result lists it.
    pub fn verify(dir: impl AsRef<Path>) -> Result<Verification, Error> {
        verify(&RealDisk, dir.as_ref())
    }

    /// Repairs the damaged store in `dir` so that it can be opened. Blocks.
    ///
    /// Keeps each record that verifies, reports each record that does not, and renames damaged
    /// files instead of removing them. Reports every problem that [`verify`](Self::verify) reports.
    /// If the log entry of a delete is damaged, the snapshots that it deleted may reappear. If the
    /// log entry of a mark change is damaged, earlier marks may reappear. A store without damage is
    /// not changed, whether it was closed or its process was killed.
    ///
    /// # Errors
    /// - `Locked`: the store is open.
    /// - `CorruptStore`: `dir` does not contain any part of a store.
    /// - `Unsupported`: a newer release wrote the store.
    /// - `OutOfSpace`: there is no space for a repaired file.
    /// - `Store`: the operating system failed to read or write.
    pub fn repair(dir: impl AsRef<Path>) -> Result<RepairReport, Error> {
        repair(&RealDisk, dir.as_ref())
    }

    /// Returns the size of the store and its background errors.
    pub fn stats(&self) -> FileStoreStats {
        let core = &self.0.core;
        let segments = core.segments.all();
        let sum = |of: fn(&crate::backend::file::core::segment::Segment) -> u64| {
            segments.iter().map(|s| of(s)).sum()
        };
        FileStoreStats {
            aggregates: core.index.len() as u64,
            snapshots: core.snapshots.load(Ordering::Relaxed),
            segments: segments.len() as u64,
            log_bytes: sum(|segment| segment.bytes.load(Ordering::Relaxed)),
            live_bytes: sum(|segment| segment.live_bytes.load(Ordering::Relaxed)),
            index_memory_bytes: core.index.memory() as u64,
            background_errors: core.troubles.count(),
            last_background_error: core.troubles.last(),
            damaged_files: core.segments.damaged_files(),
        }
    }

    /// Closes the store for this handle and all its clones, and releases its lock. Blocks.
    ///
    /// Waits for running writes, backups and compactions. Writes that are still queued fail. After
    /// a clean close, the next open is faster and detects files that have been truncated in the
    /// meantime. Dropping the last handle first writes the queued data and then does the same, but
    /// cannot report an error. A store that has stopped writing
    /// ([`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned)) closes without an error.
    ///
    /// # Errors
    /// `Store`, `OutOfSpace`: the last sync failed, or the manifest could not be written. The store
    /// is closed nevertheless, and every write that was acknowledged under
    /// [`Durability::Sync`](crate::file::Durability::Sync) is durable.
    pub fn close(self) -> Result<(), Error> {
        self.0.core.shut_down()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.core.fmt(f)
    }
}
