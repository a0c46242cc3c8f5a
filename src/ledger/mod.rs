//! [`Ledger`]: schedules, daily statistics and audit trails.

mod audit;
mod cadence;
mod chain;
mod cron;
mod entry_bytes;
mod hash;
mod invalid;
mod schedule;
mod signed_head;
mod signed_trail;
mod statistics;
mod stored;
mod task;

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
pub use signed_head::SignedHead;
pub use signed_trail::SignedTrail;
pub use statistics::{DailyStatistics, Day};
pub use stored::StoreLedger;
pub use task::{KeepRule, Task, UnknownTask};

/// Stores schedules, daily statistics and audit trails. Object-safe. Any number of nodes may share
/// one ledger.
///
/// [`StoreLedger`] stores them in any [`SnapshotStore`](crate::SnapshotStore), including those in
/// memory and in files. `PostgresStore` stores them in separate tables that SQL can read.
///
/// # Obligations on every method
/// Each obligation has an id, which the conformance kit (`conformance::ledger`) reports.
/// - **L-01** A call about one key, kind or tenant never returns, counts or changes data of
///   another, whatever bytes their names contain.
/// - **L-02** `Err` means that the ledger failed or does not support the request. A missing item is
///   `Ok`: `None`, `false`, an empty list.
/// - **L-03** A call with a string, key or interval that exceeds its limit fails with
///   [`InvalidInput`](crate::ErrorKind::InvalidInput) and stores nothing.
/// - **L-04** When a call has returned `Ok`, its changes are visible to every call that starts
///   later, on any node. Durability depends on the ledger.
///
/// # Cancel safety
/// Dropping a returned future leaves each schedule, day and block of entries either unchanged or as
/// if the call had completed, and the ledger usable.
///
/// # Errors
/// [`Store`](crate::ErrorKind::Store) or a more specific kind. After
/// [`Retry::Unknown`](crate::Retry::Unknown) the change may have been made: repeating the call may
/// count statistics or append entries twice.
#[async_trait]
pub trait Ledger: fmt::Debug + Send + Sync {
    /// Stores `schedule`, and replaces an existing schedule with the same key.
    ///
    /// # Obligations
    /// - **L-10** If the schedule already exists, its creation time and lease are kept; everything
    ///   else is replaced. [`Schedule::lease`] of the argument is not stored.
    async fn put_schedule(&self, schedule: &Schedule) -> Result<(), Error>;

    /// Returns the schedule of `key`.
    ///
    /// # Obligations
    /// - **L-11** The schedule is the one that was put last, with its lease.
    async fn schedule(&self, key: &ScheduleKey) -> Result<Option<Schedule>, Error>;

    /// Removes the schedule of `key` and its lease. Returns whether the schedule existed.
    async fn remove_schedule(&self, key: &ScheduleKey) -> Result<bool, Error>;

    /// Lists the schedules after the key `after` (exclusive); at most `limit` (0 is treated as 1).
    ///
    /// # Obligations
    /// - **L-12** The schedules are ordered by key, and each appears once. [`Page::next`] is the
    ///   key of the last one if more follow, otherwise `None`.
    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error>;

    /// Returns the schedules that are due at `now` ([`Schedule::due_at`]), at most `limit` (0 is
    /// treated as 1).
    ///
    /// # Obligations
    /// - **L-13** The schedules are enabled, their next run is at or before `now`, and they have no
    ///   lease that ends after `now`. The longest overdue come first, then they are ordered by key.
    async fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Schedule>, Error>;

    /// Claims the run of `key` that is due at `due`, for the node `holder`, until `until`
    /// (exclusive). Returns `None` if the run cannot be claimed: another node holds it, it was
    /// completed, or the schedule was changed. `now` is the node's time. If the clocks of nodes
    /// differ by more than the length of a lease, the nodes may run the same schedule at the same
    /// time. Then only the tokens distinguish the runs.
    ///
    /// # Obligations
    /// - **L-14** A claim is granted exactly if the schedule is due at `now` with `due` as its next
    ///   run. If several nodes claim the same run, exactly one gets it.
    /// - **L-15** The token is higher than that of each earlier claim of the key, even if the
    ///   schedule was removed and stored again in between.
    async fn claim(
        &self,
        key: &ScheduleKey,
        due: Timestamp,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Claim>, Error>;

    /// Moves the end of a lease to `until`. Returns `false` if the lease is gone: another node
    /// claimed the run, the run was released or completed, or the schedule was removed. A lease
    /// that has ended can be renewed as long as the run was not claimed again.
    ///
    /// # Obligations
    /// - **L-16** This method, [`release`](Self::release) and [`complete`](Self::complete) take
    ///   effect exactly if the schedule's lease has the token of `claim`.
    async fn renew(&self, claim: &Claim, until: Timestamp) -> Result<bool, Error>;

    /// Releases a claimed run, which is due again immediately. Returns `false` if the lease is
    /// gone.
    async fn release(&self, claim: &Claim) -> Result<bool, Error>;

    /// Completes a claimed run: the schedule is next due at `next` ([`Cadence::following`]).
    /// Returns `false` if the lease is gone.
    ///
    /// # Obligations
    /// - **L-17** If the next run was changed after the claim, the changed time is kept. The lease
    ///   still ends.
    async fn complete(&self, claim: &Claim, next: Option<Timestamp>) -> Result<bool, Error>;

    /// Adds to the statistics of aggregates and days. An aggregate and day may appear several
    /// times.
    ///
    /// # Obligations
    /// - **L-20** Everything is added exactly once, whatever other nodes add concurrently. Sums
    ///   saturate at `i64::MAX` or above.
    /// - **L-21** Each item is added completely or not at all. On `Err`, some items may have been
    ///   added. If that is unknown, the error's retry advice is [`Unknown`](crate::Retry::Unknown).
    async fn add_statistics(
        &self,
        batch: &[(AggregateKey, Day, DailyStatistics)],
    ) -> Result<(), Error>;

    /// Returns the statistics of `key` for those `days` (inclusive) that have any, but for no more
    /// than the first 10,000 such days.
    ///
    /// # Obligations
    /// - **L-22** Each day appears once, in ascending order.
    async fn daily(
        &self,
        key: &AggregateKey,
        days: RangeInclusive<Day>,
    ) -> Result<Vec<(Day, DailyStatistics)>, Error>;

    /// Appends `entries` to the trails of their tenants, in order, and returns the sequence of
    /// each. Entries are never changed or removed.
    ///
    /// # Obligations
    /// - **L-30** The sequences of a trail are 1, 2, 3, and so on, without gaps, whatever other
    ///   nodes append concurrently. No entry is lost or appended twice.
    /// - **L-31** Each record contains its own hash ([`AuditHash::of`]) and that of the previous
    ///   record.
    ///
    /// On `Err`, the first few entries of a trail may have been appended.
    async fn append_all(&self, entries: &[AuditEntry]) -> Result<Vec<u64>, Error>;

    /// Appends one entry and returns its sequence.
    async fn append(&self, entry: &AuditEntry) -> Result<u64, Error> {
        let appended = self.append_all(std::slice::from_ref(entry)).await?;
        Ok(appended.first().copied().unwrap_or(0))
    }

    /// Returns a page of a tenant's trail, and the sequence to continue after if more entries may
    /// follow. A page may be shorter than requested.
    ///
    /// # Obligations
    /// - **L-32** The records are in the order of their sequences, and each appears once, unchanged
    ///   since it was appended.
    ///
    /// If a record is damaged, or missing between others, either the page that contains it fails
    /// with [`CorruptStore`](crate::ErrorKind::CorruptStore), or the ledger leaves the detection to
    /// [`AuditHead::follow`]. Such a record never counts as the end of the trail.
    async fn entries(&self, request: AuditRequest<'_>) -> Result<Page<AuditRecord, u64>, Error>;

    /// Links entries into the hash chains of all trails, if the ledger has entries that were appended
    /// without a link. Returns how many. Does nothing by default, for ledgers that link each entry
    /// when it is appended.
    async fn seal_audit(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// Reads the trail of `tenant` after `from`, checks its hash chain, and checks that `from` is
    /// still part of it. Use [`AuditHead::START`] for the whole trail, or a head that was kept
    /// outside the ledger.
    async fn check_trail(&self, tenant: &str, from: AuditHead) -> Result<TrailCheck, Error> {
        let mut request = AuditRequest::new().tenant(tenant).after(from.sequence);
        if from.sequence > 0 {
            let known = request.after(from.sequence - 1).limit(1);
            let found = self.entries(known).await?.items;
            if !found.first().is_some_and(|record| from.is_of(record)) {
                let reason = "the record differs from the given head";
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
                // If the pages of a ledger do not advance, it has no more records.
                Some(next) if next > request.after => request = request.after(next),
                _ => return Ok(TrailCheck::Whole(head)),
            }
        }
    }
}
