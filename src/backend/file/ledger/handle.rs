//! [`FileLedger`]: schedules, statistics and an audit trail in a directory.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLockReadGuard};

use async_trait::async_trait;

use super::super::blocking::blocking;
use super::super::disk::RealDisk;
use super::core::Core;
use super::entry;
use super::maps::{Change, Maps};
use super::open::open;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{
    AuditEntry, AuditLog, AuditRecord, AuditRequest, DailyStatistics, Day, Schedule, ScheduleStore,
    StatisticsStore,
};
use crate::store::Page;
use crate::timestamp::Timestamp;

const READ: &str = "read the ledger";
/// What of the log of schedules and statistics may be out of date besides a half.
const SLACK: u64 = 1 << 20;

/// Schedules, statistics and an audit trail in a directory: what `MemoryLedger` keeps in memory,
/// durably.
///
/// One process at a time may have a ledger open; any number of tasks may use the handle. Clones
/// share everything. The directory may be that of a [`FileStore`](crate::FileStore): neither
/// disturbs the other.
///
/// - What was written is synced before the call returns. Calls that wait at the same time share one
///   sync.
/// - A crash at any moment loses nothing that was acknowledged, and leaves no part of what was not.
///   Damage that a crash cannot have done is refused, with the file and the offset.
/// - A failed sync stops all writing ([`ErrorKind::Poisoned`](crate::ErrorKind::Poisoned)): reads
///   go on, and opening the ledger again finds out what the disk holds.
/// - The audit trail is read from its file, in pages of at most 10,000 entries or about 8 MiB;
///   a page about one aggregate passes over all entries about others. Schedules and statistics
///   are held in memory: about 250 bytes a schedule, 60 a day. Their log is written anew by
///   the call that makes it more than twice as long as what counts, and 1 MiB.
///
/// # Cancellation
/// A future that is dropped does not take back what was begun: it is finished.
///
/// # Errors
/// Every method may fail with `Store` (also after [`close`](Self::close)) and `OutOfSpace`; those
/// that write with `InvalidInput` (a text is too long) and `Poisoned`; reading the audit trail with
/// `CorruptStore`. After [`Retry::Unknown`](crate::Retry::Unknown) the ledger is poisoned, and only
/// opening it again tells whether the write is there.
///
/// ```
/// use snapfold::{AggregateKey, AuditEntry, AuditLog, AuditRequest, FileLedger, Timestamp};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path().join("ledger");
/// let alice = AggregateKey::new("account", "alice")?;
/// let ledger = FileLedger::open(&dir)?;
/// let entry = AuditEntry::new(Timestamp::from_seconds(5), "bob", "delete", alice).version(7);
/// ledger.append(&entry.reason("asked for by the customer")).await?;
/// ledger.close()?;
///
/// let trail = FileLedger::open(&dir)?.entries(AuditRequest::new()).await?;
/// assert_eq!(trail.items[0].entry.actor, "bob");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct FileLedger(pub(super) Arc<Core>);

impl FileLedger {
    /// Opens the ledger in `dir`, or creates it. Reads and checks all of it. Blocks.
    ///
    /// # Errors
    /// - `Locked`: another process or handle has the ledger open; the text has its process id.
    /// - `CorruptStore`: a file is damaged in a way that a crash does not cause, or missing; the
    ///   text has the file and the offset. Restore it from a copy.
    /// - `Unsupported`: a newer release wrote it.
    /// - `Store`, `OutOfSpace`: the system refused to read or write.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Ok(Self(Arc::new(open(Arc::new(RealDisk), &dir.into(), SLACK)?)))
    }

    #[cfg(test)]
    pub(super) fn over(core: Core) -> Self {
        Self(Arc::new(core))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.0.dir
    }

    /// Ends all use of the ledger, by this handle and its clones, and makes the next opening
    /// strict: a file that has become shorter since is noticed. Blocks. Dropping the last handle
    /// does the same, without telling what failed.
    ///
    /// # Errors
    /// `Store`, `OutOfSpace`: the lengths of the files could not be noted; what was acknowledged is
    /// durable all the same.
    pub fn close(self) -> Result<(), Error> {
        self.0.close()
    }

    /// Makes a change on a thread that may block.
    async fn change(&self, change: Change) -> Result<bool, Error> {
        let core = Arc::clone(&self.0);
        let queued = core.queue_change(change);
        blocking(move || core.finish_change(&queued)).await
    }

    /// Held by writers for as long as it takes to change a map.
    fn maps(&self) -> Result<RwLockReadGuard<'_, Maps>, Error> {
        self.0.check_open(READ)?;
        Ok(self.0.maps.read().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl ScheduleStore for FileLedger {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        schedule.check()?;
        self.change(Change::Put(schedule.clone())).await.map(drop)
    }

    async fn schedule(&self, key: &AggregateKey) -> Result<Option<Schedule>, Error> {
        Ok(self.maps()?.schedules.get(key).cloned())
    }

    async fn remove_schedule(&self, key: &AggregateKey) -> Result<bool, Error> {
        self.change(Change::Remove(key.clone())).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        Ok(self.maps()?.due(now, limit))
    }

    async fn claim(
        &self,
        key: &AggregateKey,
        due: Timestamp,
        next: Option<Timestamp>,
    ) -> Result<bool, Error> {
        self.change(Change::Claim(key.clone(), due, next)).await
    }

    async fn schedules(
        &self,
        after: Option<&AggregateKey>,
        limit: usize,
    ) -> Result<Page<Schedule, AggregateKey>, Error> {
        Ok(self.maps()?.page(after, limit))
    }
}

#[async_trait]
impl StatisticsStore for FileLedger {
    async fn add(&self, key: &AggregateKey, day: Day, more: DailyStatistics) -> Result<(), Error> {
        self.change(Change::Add(key.clone(), day, more)).await.map(drop)
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        Ok(self.maps()?.days(key, days))
    }
}

#[async_trait]
impl AuditLog for FileLedger {
    async fn append(&self, entry: &AuditEntry) -> Result<u64, Error> {
        entry.check()?;
        let core = Arc::clone(&self.0);
        let queued = core.queue_append(entry::audit(entry));
        blocking(move || core.finish_append(&queued)).await
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        let (core, key) = (Arc::clone(&self.0), request.key.cloned());
        let (after, limit) = (request.after, request.limit);
        blocking(move || core.entries(key.as_ref(), after, limit)).await
    }
}

impl fmt::Debug for FileLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLedger").field("dir", &self.0.dir).finish_non_exhaustive()
    }
}
