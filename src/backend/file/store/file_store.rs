//! [`FileStore`]: snapshots in a directory.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::blocking::blocking;
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
use crate::error::Error;
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::Record;
use crate::store::{DeleteOptions, Deleted, Lookup, PutOptions, PutOutcome, Query, Selection};

/// Snapshots in a directory: durable, checked, and as fast as the disk lets them be.
///
/// An append-only log with an index in memory (about 40 bytes per aggregate and 24 per older
/// version, about 32 where an aggregate has more than a few dozen). One process at a time may have a directory open; any number of threads and tasks
/// may use the handle. Clones are cheap and share the store.
///
/// - What was put is synced before the put returns
///   ([`Durability::Sync`](crate::file::Durability::Sync)). Puts that wait at the same time share one
///   sync.
/// - A crash at any moment loses nothing that was acknowledged, and leaves nothing of the rest.
/// - A failed sync stops all writing ([`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned)): reads go on, and opening the
///   store again finds out what the disk holds.
/// - Deleted snapshots give their space back in the background.
/// - [Marks](crate::store::Mark) of a snapshot take about 100 bytes in the log and in memory, until the
///   snapshot is deleted; snapshots without marks take nothing for them.
///
/// The tenant, kind and id of an aggregate may have 1,024 bytes each, a record about 1 GiB. A record
/// that does not verify is refused: nothing is written that could not be read back.
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

/// The deletes of one batch when many are made at once.
const DELETES_PER_BATCH: usize = 8192;

impl FileStoreConfig {
    /// Opens the store, and creates its directory if there is none. Blocks: about 0.2 s per
    /// million snapshots.
    ///
    /// The directory is held by a lock on its file `LOCK`, from here to [`FileStore::close`], the
    /// drop of the last handle, or the end of the process. Leave that file alone meanwhile: if it is
    /// removed, a second process can open the store, and both write until the first one comes to
    /// begin a file and stops. A child that was forked and does not `exec` must not use the store:
    /// it has no threads there, and shares the lock.
    ///
    /// # Errors
    /// - `InvalidInput`: a setting is out of its bounds.
    /// - `Locked`: another process or handle has the store open; the text has its process id.
    /// - `CorruptStore`: a file is damaged in a way that a crash does not cause, or missing; the
    ///   text has the file and offset. See [`FileStore::repair`].
    /// - `Unsupported`: a newer release wrote it.
    /// - `Store`, `OutOfSpace`: the system refused to read or write.
    pub fn open(self) -> Result<FileStore, Error> {
        FileStore::open_on(Arc::new(RealDisk), self)
    }
}

impl FileStore {
    /// Opens the store in `dir` with the default settings, or creates it. Blocks.
    ///
    /// # Errors
    /// As for [`FileStoreConfig::open`].
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder(dir).open()
    }

    /// Settings other than the default, for the store in `dir`.
    pub fn builder(dir: impl Into<PathBuf>) -> FileStoreConfig {
        FileStoreConfig::new(dir.into())
    }

    pub(crate) fn open_on(disk: Arc<dyn Disk>, config: FileStoreConfig) -> Result<Self, Error> {
        Shared::open(disk, config).map(Arc::new).map(Self)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.0.core.dir()
    }

    /// [`put`](crate::SnapshotStore::put) for threads: blocks until all is durable.
    ///
    /// # Errors
    /// As for `put`; `InvalidInput` also for a record that does not verify.
    #[expect(clippy::needless_pass_by_value, reason = "as `put` takes them")]
    pub fn put_blocking(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let work = self.0.core.put_work(records, &options)?;
        self.0.write(work).map(Answer::outcomes)
    }

    /// Queues a put and returns a future of its outcome, which borrows nothing.
    ///
    /// What is queued is written, together, when one of the futures is awaited or dropped, or with
    /// whatever else is being written: queue many, then await them. Dropping the future does not
    /// take the put back.
    ///
    /// # Errors
    /// As for `put_blocking`: `InvalidInput` and `Poisoned` at once, the others from the future.
    #[expect(clippy::needless_pass_by_value, reason = "as `put` takes them")]
    pub fn submit(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<impl Future<Output = Result<Vec<PutOutcome>, Error>> + Send + use<>, Error> {
        let submitted = self.0.submit(self.0.core.put_work(records, &options)?);
        Ok(async move { submitted.await.map(Answer::outcomes) })
    }

    /// [`get`](crate::SnapshotStore::get) for threads: blocks while the disk is read.
    ///
    /// # Errors
    /// As for `get`.
    pub fn get_blocking(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.0.core.get(Patience::Unlimited, &query).map_err(Unread::into_error)
    }

    /// [`delete`](crate::SnapshotStore::delete) for threads: blocks until it is durable.
    ///
    /// # Errors
    /// As for `delete`.
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

    /// [`mark`](crate::SnapshotStore::mark) for threads: blocks until it is durable.
    ///
    /// # Errors
    /// As for `mark`.
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

    /// Deletes, for each of many aggregates, the snapshots below a version (exclusive): the same
    /// as as many calls of `delete` with default options, in a few writes: pinned ones stay. Blocks
    /// until all is durable.
    ///
    /// # Errors
    /// As for `delete`. Of a long list a part may be deleted when it fails.
    pub fn delete_below_blocking(
        &self,
        aggregates: &[(AggregateKey, u64)],
    ) -> Result<Deleted, Error> {
        let core = &self.0.core;
        // In the order of the index, neighbours are looked up one after the other.
        let mut tagged: Vec<_> = aggregates.iter().map(|of| (core.tag(&of.0), of)).collect();
        tagged.sort_unstable_by_key(|(tag, _)| *tag);
        let mut sum = Deleted::default();
        for part in tagged.chunks(DELETES_PER_BATCH) {
            let work = core.delete_below_work(part)?;
            sum = [sum, self.0.write(work).map(Answer::deleted)?].into_iter().sum();
        }
        Ok(sum)
    }

    /// [`delete_below_blocking`](Self::delete_below_blocking) for tasks. Cancel safety: what was
    /// begun is finished, if it must be after later calls: a put below the bound that follows a
    /// dropped call may be deleted too.
    ///
    /// # Errors
    /// As for `delete`.
    pub async fn delete_below(
        &self,
        aggregates: Vec<(AggregateKey, u64)>,
    ) -> Result<Deleted, Error> {
        let store = self.clone();
        blocking(move || store.delete_below_blocking(&aggregates)).await
    }

    /// Rewrites files that are mostly dead, and removes what is dead altogether, without the limit
    /// that holds in the background: of those files that there are when it is called. Blocks; reads
    /// and writes go on meanwhile.
    ///
    /// # Errors
    /// `OutOfSpace`, `CorruptStore` (a live snapshot is damaged; its file is left as it is),
    /// `Poisoned`, `Store`. Nothing is lost by any of them.
    pub fn compact(&self) -> Result<Compacted, Error> {
        self.0.core.compact(&mut |_| true)
    }

    /// Copies the store, as it is at one moment, into `to`: a directory that is empty, or is
    /// created. Files of the log that are complete are linked where the file system can, so that
    /// the copy takes little time and space. Blocks; reads and writes go on meanwhile.
    ///
    /// # Errors
    /// `InvalidInput` if `to` is not empty; `Locked` if another is copying there; `OutOfSpace`;
    /// `Store`, also if the store was closed. What was copied by then stays, and is not a store.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<BackedUp, Error> {
        self.0.core.backup(to.as_ref())
    }

    /// What the files of the store in `dir` say about themselves. Changes nothing, and works on a
    /// directory that cannot be written to. Blocks.
    ///
    /// # Errors
    /// `Locked` if the store is open; `CorruptStore` if there is no store, or its list of files is
    /// damaged; `Unsupported` if a newer release wrote it; `Store`.
    pub fn inspect(dir: impl AsRef<Path>) -> Result<Inspection, Error> {
        inspect(&RealDisk, dir.as_ref())
    }

    /// Reads and checks every byte of the store in `dir`. Changes nothing, and works on a directory
    /// that cannot be written to. Blocks.
    ///
    /// # Errors
    /// `Locked` if the store is open; `Unsupported` if a newer release wrote it; `Store`. Damage is
    /// no error: it is in the result.
    pub fn verify(dir: impl AsRef<Path>) -> Result<Verification, Error> {
        verify(&RealDisk, dir.as_ref())
    }

    /// Makes the damaged store in `dir` one that opens: keeps each record that verifies, reports
    /// each that does not, and leaves the damaged files there under another name. Reports every
    /// problem that [`verify`](Self::verify) reports. A delete that is damaged may bring deleted
    /// snapshots back, and so with damaged marks and those before them. A store without damage, closed or killed, is left as it is. Blocks.
    ///
    /// # Errors
    /// `Locked` if the store is open; `CorruptStore` if there is nothing of a store; `Unsupported`
    /// if a newer release wrote it; `OutOfSpace`, `Store`.
    pub fn repair(dir: impl AsRef<Path>) -> Result<RepairReport, Error> {
        repair(&RealDisk, dir.as_ref())
    }

    /// How much is stored, and what failed in the background.
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

    /// Ends all use of the store, by this handle and its clones, gives its lock up, and makes the
    /// next opening fast and strict: a file that has become shorter since is noticed. Waits for
    /// what is being written, backed up or compacted; what is queued behind that fails. Blocks.
    /// Dropping the last handle writes what is queued and does the same, without telling what
    /// failed. A store that has stopped writing ([`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned)) is closed without error.
    ///
    /// # Errors
    /// `Store`, `OutOfSpace`: the last sync or the manifest failed. It is closed all the same, and
    /// what was acknowledged under [`Durability::Sync`](crate::file::Durability::Sync) is durable.
    pub fn close(self) -> Result<(), Error> {
        self.0.core.shut_down()
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.core.fmt(f)
    }
}
