//! A ledger that consists of documents in a snapshot store.
//!
//! A document is an ordinary record under a reserved kind. Writing a document is a compare-and-set:
//! each write has a new version, and [`PutOutcome::Stored`](crate::store::PutOutcome::Stored) means
//! that no other node took that version first.
//!
//! | kind | id | version | content |
//! |---|---|---|---|
//! | `snapfold.audit` | empty | sequence of its first entry | [`block`]: consecutive entries |
//! | `snapfold.daily` | hash of kind and id | day, then revision | [`days`]: sums of the day |
//! | `snapfold.schedules` | number of the bucket | 1, 2, 3, ... | [`bucket`]: schedules by hash |
//!
//! Only the last versions of `snapfold.daily` and `snapfold.schedules` are kept: see [`Editions`].
//!
//! The first two are in the tenant that they describe. Schedules are in the default tenant, so that
//! finding due ones takes a fixed number of reads for any number of tenants.

mod block;
mod bucket;
mod days;
mod operation;
mod schedules;
mod trail;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    AuditEntry, AuditRecord, AuditRequest, Claim, DailyStatistics, Day, Ledger, Schedule,
    ScheduleKey,
};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::store::document::Documents;
use crate::store::edition::Editions;
use crate::store::{Page, SnapshotStore};
use crate::timestamp::Timestamp;
use days::Days;
use operation::{READ, WRITE};
use schedules::Schedules;
use trail::Trails;

/// A [`Ledger`] in any [`SnapshotStore`], next to its snapshots: in memory with `MemoryStore`, in
/// files with `FileStore`. Backups and copies of the store include the ledger.
///
/// It is as durable as the store. Any number of nodes may use the same store at the same time. Each
/// process needs only one handle, because clones of a handle share its caches. Retention never
/// deletes its records, and applications cannot access them, because their kinds are reserved.
///
/// | call | cost |
/// |---|---|
/// | [`append_all`](Ledger::append_all) | one put per tenant and 256 KiB; no read unless another node appended |
/// | [`entries`](Ledger::entries) | one read per block; filtered by aggregate, all blocks of the trail |
/// | [`add_statistics`](Ledger::add_statistics) | a read per aggregate and day, a put per 256 of them |
/// | [`due`](Ledger::due), [`schedules`](Ledger::schedules) | one read of 32 documents; only those that changed are parsed |
/// | other calls about schedules | a read and a put of 1/32 of all schedules |
///
/// The ledger is designed for tens of thousands of schedules. Each takes about 150 bytes.
///
/// # Errors
/// Any error returned by the store, and
/// - [`CorruptStore`](crate::ErrorKind::CorruptStore) for a damaged document,
/// - [`Unsupported`](crate::ErrorKind::Unsupported) for a document that a newer release wrote,
/// - [`Conflict`](crate::ErrorKind::Conflict) with [`Retry::Later`](crate::Retry::Later) if a call
///   lost the race to another node 1,000 times in a row.
///
/// ```
/// use std::sync::Arc;
/// use snapfold::ledger::{AuditEntry, AuditRequest, Ledger, StoreLedger};
/// use snapfold::{AggregateKey, Timestamp};
/// # #[cfg(feature = "memory")]
/// use snapfold::MemoryStore;
///
/// # #[cfg(feature = "memory")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let ledger = StoreLedger::new(MemoryStore::new());
/// let alice = AggregateKey::new("account", "alice")?;
/// let entry = AuditEntry::new(Timestamp::from_seconds(5), "bob", "delete").about(alice);
/// ledger.append(&entry.version(7).reason("asked for by the customer")).await?;
///
/// let trail = ledger.entries(AuditRequest::new()).await?;
/// assert_eq!(trail.items[0].entry.actor, "bob");
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct StoreLedger(Arc<LedgerInner>);

struct LedgerInner {
    store: Arc<dyn SnapshotStore>,
    schedules: Schedules,
    days: Days,
    trails: Trails,
}

impl StoreLedger {
    /// Creates a ledger in `store`. Does not access the store yet.
    pub fn new(store: impl SnapshotStore + 'static) -> Self {
        let store: Arc<dyn SnapshotStore> = Arc::new(store);
        let documents = Documents::new(Arc::clone(&store), READ);
        Self(Arc::new(LedgerInner {
            store,
            schedules: Schedules::new(Editions::new(documents.clone(), WRITE)),
            days: Days::new(Editions::new(documents.clone(), WRITE)),
            trails: Trails::new(documents),
        }))
    }
}

#[async_trait]
impl Ledger for StoreLedger {
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error> {
        self.0.schedules.put(schedule).await
    }

    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error> {
        self.0.schedules.get(key).await
    }

    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error> {
        self.0.schedules.remove(key).await
    }

    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        self.0.schedules.page(after, limit).await
    }

    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error> {
        self.0.schedules.due(now, limit).await
    }

    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error> {
        self.0.schedules.claim(key, due, holder, now, until).await
    }

    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error> {
        let renewed = |schedule: &mut Schedule| {
            if let Some(lease) = &mut schedule.lease {
                lease.until = until;
            }
        };
        self.0.schedules.leased(claim, renewed).await
    }

    async fn release(&self, claim: &Claim) -> Result<bool, Error> {
        self.0.schedules.leased(claim, |schedule| schedule.lease = None).await
    }

    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error> {
        let completed = |schedule: &mut Schedule| {
            schedule.lease = None;
            if schedule.next_run == Some(claim.due) {
                schedule.next_run = next;
            }
        };
        self.0.schedules.leased(claim, completed).await
    }

    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error> {
        self.0.days.add(batch).await
    }

    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error> {
        self.0.days.daily(key, days).await
    }

    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error> {
        self.0.trails.append_all(entries).await
    }

    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error> {
        self.0.trails.entries(request).await
    }
}

impl fmt::Debug for StoreLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreLedger").field("store", &self.0.store).finish_non_exhaustive()
    }
}
