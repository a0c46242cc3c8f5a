//! What an operation keeps beside its snapshots: [`Ledger`].

mod audit;
mod cadence;
mod chain;
mod cron;
mod entry_bytes;
mod hash;
mod invalid;
mod schedule;
mod statistics;
mod stored;
mod wire;

use std::fmt;
use std::ops::RangeInclusive;

use async_trait::async_trait;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::store::Page;
use crate::timestamp::Timestamp;

pub(crate) use audit::cut;
pub use audit::{AuditEntry, AuditOutcome, AuditRecord, AuditRequest};
pub use cadence::Cadence;
pub use chain::{AuditHead, TrailCheck};
pub use hash::AuditHash;
pub use schedule::{Claim, Lease, Schedule, ScheduleKey};
pub use statistics::{DailyStatistics, Day};
pub use stored::StoreLedger;

/// Keeps schedules, daily statistics and audit trails. Object-safe; any number of nodes may share
/// one.
///
/// [`StoreLedger`] keeps them in any [`SnapshotStore`](crate::SnapshotStore), in memory and in files
/// too. `PostgresStore` keeps them in tables of their own, for SQL to read.
///
/// # Obligations on every method
/// Each obligation has an id, by which the kit (`conformance::ledger`) names it.
/// - **L-01** A call about one key, kind or tenant never returns, counts or changes anything of
///   another, whatever bytes their names hold.
/// - **L-02** `Err` means that the ledger failed or was asked for what it cannot do. Nothing there is
///   `Ok`: `None`, `false`, an empty list.
/// - **L-03** A text, key or interval beyond its limit is
///   [`InvalidInput`](crate::ErrorKind::InvalidInput), and nothing of that call is stored.
/// - **L-04** What a call has stored when it returns `Ok` is seen by every call that begins later, on
///   any node. It is as durable as the ledger says.
///
/// # Cancel safety
/// Dropping a returned future leaves each schedule, day and block of entries either as before or as
/// if the call had completed, and the ledger usable.
///
/// # Errors
/// [`Store`](crate::ErrorKind::Store) or a more precise kind. After
/// [`Retry::Unknown`](crate::Retry::Unknown) the change may have been made: repeating the call may
/// count statistics or append entries twice.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Stores `schedule`, in place of any other of the same key.
    ///
    /// # Obligations
    /// - **L-10** Of a schedule that is stored already, the time of creation and the lease stay;
    ///   everything else is replaced. [`Schedule::lease`] of the argument is not stored.
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error>;

    /// The schedule of `key`.
    ///
    /// # Obligations
    /// - **L-11** It is the one that was put last, with its lease.
    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error>;

    /// Removes the schedule of `key` and its lease; tells whether there was one.
    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error>;

    /// All schedules, after the key `after` (exclusive); at most `limit` (0 is taken for 1).
    ///
    /// # Obligations
    /// - **L-12** They come by key, each once, and [`Page::next`] is the key of the last one if more
    ///   follow, else `None`.
    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error>;

    /// The schedules that are due at `now` ([`Schedule::due_at`]), at most `limit` (0 is taken
    /// for 1).
    ///
    /// # Obligations
    /// - **L-13** In force, next run at or before `now`, and no lease that ends after `now`; the
    ///   longest overdue first, then by key.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error>;

    /// Claims the run of `key` that is due at `due`, for the node `holder`, until `until`
    /// (exclusive). `None` if it cannot be claimed: another node has it, it was completed, or the
    /// schedule was changed. `now` is the node's time; nodes whose clocks differ by more than a
    /// lease lasts may run the same schedule at the same time, and only the token tells them apart.
    ///
    /// # Obligations
    /// - **L-14** Granted exactly if the schedule is due at `now` with `due` as its next run. Of
    ///   several nodes that claim the same run, exactly one gets it.
    /// - **L-15** The token is higher than that of each claim of the key before, also if the schedule
    ///   was removed and stored again in between.
    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error>;

    /// Moves the end of a lease to `until`. False if the lease is gone: the run was claimed by
    /// another, released or completed, or the schedule was removed. A lease that has ended and was
    /// not claimed since can still be renewed.
    ///
    /// # Obligations
    /// - **L-16** This, [`release`](Self::release) and [`complete`](Self::complete) change something
    ///   exactly if the schedule's lease has the token of `claim`.
    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error>;

    /// Gives a claimed run back: it is due at once. False if the lease is gone.
    async fn release(&self, claim: &Claim) -> Result<bool, Error>;

    /// Ends a claimed run: the schedule is due next at `next`
    /// ([`Cadence::following`]). False if the lease is gone.
    ///
    /// # Obligations
    /// - **L-17** If the next run was changed since the claim, it stays as it is; the lease ends all
    ///   the same.
    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error>;

    /// Adds to the statistics of aggregates and days. An aggregate and day may come several times.
    ///
    /// # Obligations
    /// - **L-20** Everything is added once, whatever other nodes add at the same time. Sums saturate,
    ///   at `i64::MAX` or above.
    /// - **L-21** Each item is added whole or not at all. On `Err`, some may have been added; the
    ///   error's retry is [`Unknown`](crate::Retry::Unknown) if that is not known.
    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error>;

    /// The statistics of `key` on the `days` (inclusive) on which something happened; at most the
    /// first 10,000 of them.
    ///
    /// # Obligations
    /// - **L-22** Each day once, the earliest first.
    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error>;

    /// Appends `entries` to the trails of their tenants, in their order; returns the sequence of
    /// each. Entries are never changed and never removed.
    ///
    /// # Obligations
    /// - **L-30** The sequences of a trail are 1, 2, 3, and so on, without gaps, whatever other nodes
    ///   append at the same time. No entry is lost or appended twice.
    /// - **L-31** Each record has the hash of the one before it, and its own ([`AuditHash::of`]).
    ///
    /// On `Err`, the first entries of a trail may have been appended and the rest not; never one
    /// without those before it.
    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error>;

    /// Appends one entry; returns its sequence.
    async fn append(&self, entry: &AuditEntry) -> Result<u64, Error> {
        let appended = self.append_all(std::slice::from_ref(entry)).await?;
        Ok(appended.first().copied().unwrap_or(0))
    }

    /// A page of the trail of a tenant, and the sequence to continue after if more may follow. A
    /// page may be shorter than asked for.
    ///
    /// # Obligations
    /// - **L-32** The records come by sequence, each once, and as they were appended.
    ///
    /// A record that is damaged, or missing between others, is
    /// [`CorruptStore`](crate::ErrorKind::CorruptStore) at the page that meets it, or it is left to
    /// [`AuditHead::follow`] to notice; it is never the end of the trail.
    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error>;

    /// Reads the trail of `tenant` behind `from` and checks its hash chain, and that `from` is still
    /// part of it: [`AuditHead::START`] for all of it, or a head that was kept outside the ledger.
    async fn check_trail(&self, tenant: &str, from: AuditHead) -> Result<TrailCheck, Error> {
        let mut request = AuditRequest::new().tenant(tenant).after(from.sequence);
        if from.sequence > 0 {
            let known = request.after(from.sequence - 1).limit(1);
            let found = self.entries(known).await?.items;
            let same = |record: &AuditRecord| {
                let own = AuditHash::of(&record.previous, record.sequence, &record.entry);
                record.sequence == from.sequence && record.hash == from.hash && own == from.hash
            };
            if !found.first().is_some_and(same) {
                let reason = "it is not the record that was known";
                return Ok(TrailCheck::Broken { sequence: from.sequence, reason });
            }
        }
        let mut head = from;
        loop {
            let page = self.entries(request).await?;
            for record in &page.items {
                match head.follow(record) {
                    TrailCheck::Whole(next) => head = next,
                    broken @ TrailCheck::Broken { .. } => return Ok(broken),
                }
            }
            match page.next {
                // A ledger whose pages do not advance has no more to give.
                Some(next) if next > request.after => request = request.after(next),
                _ => return Ok(TrailCheck::Whole(head)),
            }
        }
    }
}
