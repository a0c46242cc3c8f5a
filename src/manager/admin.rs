//! [`SnapshotAdmin`]: manages snapshots without knowing the state type.

use std::ops::RangeInclusive;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, StreamExt as _};

use super::context::AdminContext;
use super::created::{CreateOptions, CreateOutcome, CreateRequest, Rebuilt};
use super::fold_comparison::FoldComparison;
use super::inspect::{Inspect, missing};
use super::retained::Retained;
use super::snapshot_filter::SnapshotFilter;
use super::stats::AggregateStats;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::{Schedule, ScheduleKey};
use crate::mark::MarkChange;
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::store::{Cursor, Deleted, Erased, ListRequest, Page, Selection};

/// Manages the snapshots of one kind of aggregate. The trait is object-safe and has no type
/// parameter, so schedulers, sweeps, command-line tools and servers can work with every kind of an
/// application (see [`Kinds`](super::Kinds)).
///
/// Everything that only looks is in [`Inspect`], which each implementation of this trait has.
///
/// Methods that make changes take an [`AdminContext`], which contains the actor and the reason.
///
/// # Errors
/// Every method may return [`InvalidInput`](crate::ErrorKind::InvalidInput) if the key is for a
/// different [`kind`](Self::kind) of aggregate, or any error returned by the store. Methods that
/// read events may also fail for the same reasons as a [load](super::Loader). Methods that take a
/// context fail with [`Conflict`](crate::ErrorKind::Conflict), and change nothing, if the newest
/// snapshot does not have the [expected version](AdminContext::expect_version).
///
/// # Cancellation
/// Every future may be dropped at any await point. Snapshots that were already stored or deleted
/// remain stored or deleted, and no snapshot is left partially stored or deleted.
#[async_trait]
pub trait SnapshotAdmin: Inspect {
    /// Returns the kind of aggregate: the [`kind`](AggregateKey::kind) of every accepted key.
    fn kind(&self) -> &str;

    /// Takes a snapshot of the current or a past state. The snapshot is durable when the call
    /// returns.
    ///
    /// # Errors
    /// - [`Encode`](crate::ErrorKind::Encode) if the codec cannot represent the state;
    /// - [`BeyondHead`](crate::ErrorKind::BeyondHead) if the options ask for a version beyond the
    ///   last event;
    /// - [`Conflict`](crate::ErrorKind::Conflict) if a different state is already stored at that
    ///   version.
    async fn create(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error>;

    /// Takes several snapshots, in batches.
    ///
    /// Returns one result per request, in the order of `requests`. If one snapshot fails, the
    /// others are still taken. If the store fails, this affects the requests whose records were in
    /// the same put. Several requests for the same aggregate are handled one after another, in
    /// order. A context with an expected version is rejected with
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput), because the version applies to a single
    /// aggregate.
    ///
    /// The engine handles 256 requests at a time. It loads current states as
    /// [`load_many`](super::Loader::load_many) does, and all others one by one, puts up to 64
    /// records together, and drops each state once it is encoded. If states are of similar size, it
    /// holds at most about 50 MB of states and records, or 4 states if those are larger. Past
    /// states and those with [`if_changed`](CreateOptions::if_changed) are not counted: up to 32 of
    /// them are held. A panic in the code of the application or the store fails only the requests
    /// concerned. The duration that observers and statistics get for a snapshot is its share of the
    /// time its batch took.
    async fn create_many(
        &self,
        requests: &[CreateRequest],
        context: &AdminContext,
    ) -> Vec<Result<CreateOutcome, Error>>;

    /// Lists the stored snapshots of an aggregate within a range of versions (inclusive).
    ///
    /// The list contains snapshots of all generations, newest first.
    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error>;

    /// Returns one page of the list that [`snapshots`](Self::snapshots) returns as a whole: newest
    /// first, at most [`limit`](ListRequest::limit), after [`after`](ListRequest::after). No
    /// payload is read. [`Page::next`] is where the list continues, or `None` at the end.
    ///
    /// The page has the same cost wherever it is in the list, if the store continues lists by key,
    /// as those of this crate do. The default implementation returns `Unsupported`.
    async fn snapshot_page(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let _ = request;
        Err(missing("list a page of snapshots"))
    }

    /// Returns how many snapshots an aggregate has within a range of versions (inclusive), in all
    /// generations. They are listed for that, page by page.
    async fn count(&self, key: &AggregateKey, versions: RangeInclusive<u64>) -> Result<u64, Error> {
        Ok(self.snapshots(key, versions).await?.len() as u64)
    }

    /// Deletes the snapshots of all generations at exactly `version`.
    ///
    /// Pinned snapshots and bases that a remaining delta needs are kept; [`Deleted`] counts both.
    /// To delete a pinned snapshot, clear its pins first ([`mark`](Self::mark)). Only
    /// [`SnapshotStore::delete`](crate::SnapshotStore::delete) can delete a pinned snapshot
    /// directly, and it bypasses the audit trail.
    async fn delete(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error>;

    /// Deletes one snapshot of one generation, unless it is pinned or a needed base. The default
    /// implementation returns `Unsupported`.
    async fn delete_snapshot(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        context: &AdminContext,
    ) -> Result<Deleted, Error> {
        let _ = (key, id, context);
        Err(missing("delete one snapshot"))
    }

    /// Deletes the snapshots of all generations below `version` (exclusive). Pinned snapshots and
    /// needed bases are kept, as in [`delete`](Self::delete).
    async fn delete_before(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error>;

    /// Refolds the events up to `version` (inclusive) and replaces the snapshot at that version.
    ///
    /// The events are folded from the beginning. The stored snapshot is replaced whatever it
    /// contains, even if it is pinned. Its marks are kept, so clear a retirement that no longer
    /// applies. Apart from background snapshots, only this method, [`refold`](Self::refold) and
    /// [`CreateOptions::or_replace`] replace a stored snapshot.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for version 0, which is never stored;
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) if there are fewer events.
    async fn rebuild(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Rebuilt, Error>;

    /// Refolds the events up to `version`, and stores the state unless the stored snapshot already
    /// holds it.
    ///
    /// The events are folded from the beginning up to `version` (inclusive), or all of them if it
    /// is `None`. The state is compared with the snapshot of the current generation at the same
    /// version. The outcome is one of the following. The default implementation returns
    /// `Unsupported`.
    ///
    /// - [`CreateOutcome::Stored`]: no snapshot existed.
    /// - [`CreateOutcome::Existing`]: the snapshot holds the same state and is kept.
    /// - [`CreateOutcome::Replaced`]: the snapshot held a different state, could not be read, or
    ///   could not be verified (its codec has no digest). Its labels and marks are kept, including
    ///   retirements.
    /// - [`CreateOutcome::Empty`]: there are no events.
    ///
    /// # Errors
    /// - [`Conflict`](crate::ErrorKind::Conflict) if the snapshot would be replaced but is pinned,
    ///   or may be pinned because its header cannot be read;
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for version 0, which is never stored;
    /// - [`BeyondHead`](crate::ErrorKind::BeyondHead) if there are fewer events;
    /// - [`Unrecoverable`](crate::ErrorKind::Unrecoverable) if the first events are no longer
    ///   available.
    async fn refold(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        let _ = (key, version, context);
        Err(missing("refold a snapshot"))
    }

    /// Sets or clears one mark on each selected snapshot. Returns how many snapshots changed.
    ///
    /// A mark without an actor gets the actor of the context. The default implementation returns
    /// `Unsupported`.
    ///
    /// Retire snapshots through this method, not through the store: this method also removes states
    /// that were built from them from this engine's hot cache. Snapshots taken from such a state
    /// are not retired automatically. Select them as well, or [`refold`](Self::refold) them to
    /// check whether they are wrong.
    ///
    /// The action in the audit trail is `set_pin`, `clear_pin`, `set_retirement` or
    /// `clear_retirement`, a space, and the name of the mark.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) if the store does not support
    ///   [marks](crate::store::Capabilities::marks);
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if the change fails its
    ///   [check](MarkChange::check), or a snapshot would have more than
    ///   [`Marks::MAX`](crate::store::Marks::MAX) marks. Nothing is then changed.
    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let _ = (key, selection, change, context);
        Err(missing("mark snapshots"))
    }

    /// Retires all snapshots above `version`, so that loads start from the snapshot at `version` and
    /// the events after it. Returns how many snapshots were retired.
    ///
    /// The state that loads return does not change, because it follows from the events. Use this
    /// when the newer snapshots are suspected. They are still listed, and can be fetched by version.
    /// Snapshots that are taken afterwards are used. [`undo_rollback`](Self::undo_rollback) makes
    /// the retired ones usable again.
    ///
    /// The retirement is named [`ROLLBACK`](crate::manager::ROLLBACK) and has the actor and the
    /// reason of the context, cut to the limits of a [`Mark`](crate::store::Mark). The default
    /// implementation returns `Unsupported`.
    ///
    /// # Errors
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is no snapshot at `version`, in
    ///   any generation, that is not retired;
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) if the store does not support
    ///   [marks](crate::store::Capabilities::marks).
    async fn rollback(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let _ = (key, version, context);
        Err(missing("roll back snapshots"))
    }

    /// Clears the retirements that [`rollback`](Self::rollback) set. Returns how many snapshots
    /// changed. The default implementation returns `Unsupported`.
    async fn undo_rollback(
        &self,
        key: &AggregateKey,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let _ = (key, context);
        Err(missing("undo a rollback of snapshots"))
    }

    /// Erases an aggregate: deletes its snapshots of all generations, pinned and retired ones as
    /// well, removes their bytes from the store as far as it can, and drops cached states. Returns
    /// a receipt that says what was removed, and where parts of the data may still be.
    ///
    /// Stop commits to the aggregate first: a background snapshot that is in progress may be stored
    /// afterwards. The caches of other processes keep states until their time to live has passed.
    /// Erasing again erases what was stored since. Keys in the audit trail stay. The default
    /// implementation returns `Unsupported`.
    async fn erase(&self, key: &AggregateKey, context: &AdminContext) -> Result<Erased, Error> {
        let _ = (key, context);
        Err(missing("erase an aggregate"))
    }

    /// Retires the snapshots of an aggregate that `filter` selects, under this name, with the actor
    /// and the reason of the context. Returns how many changed. If there is nothing to change, the
    /// audit trail gets no entry.
    ///
    /// [`Batch::retire`](crate::service::Batch::retire) does this for all aggregates of a kind. To
    /// undo it, clear the retirements of this name with [`mark`](Self::mark). The default
    /// implementation returns `Unsupported`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the store does not support
    /// [marks](crate::store::Capabilities::marks), and those of
    /// [`Mark::check`](crate::store::Mark::check).
    async fn retire(
        &self,
        key: &AggregateKey,
        filter: &SnapshotFilter,
        name: &str,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let _ = (key, filter, name, context);
        Err(missing("retire selected snapshots"))
    }

    /// Retires the snapshots that differ from the events, as a
    /// [comparison](Inspect::compare_with_events) found. Returns how many changed.
    ///
    /// They are no longer used by loads, and stay stored as evidence until they are deleted. Each
    /// retirement is named [`REFOLD`](crate::manager::REFOLD) and says how the snapshot differs,
    /// cut to the limits of a [`Mark`](crate::store::Mark). If nothing differs, nothing is done, and
    /// the audit trail gets no entry. The default implementation returns `Unsupported`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the store does not support
    /// [marks](crate::store::Capabilities::marks).
    async fn retire_different(
        &self,
        key: &AggregateKey,
        comparison: &FoldComparison,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let _ = (key, comparison, context);
        Err(missing("retire snapshots that differ from the events"))
    }

    /// Returns whether the aggregate has a stored snapshot that was taken with the current code: of
    /// the current generation, in a codec that loads read, and not retired.
    ///
    /// Reads only metadata, so it is not known whether the snapshot is intact
    /// ([`verify`](Inspect::verify) checks that) or how many events follow it. The default
    /// implementation returns `Unsupported`.
    async fn is_covered(&self, key: &AggregateKey) -> Result<bool, Error> {
        let _ = key;
        Err(missing("look for a snapshot of the current generation"))
    }

    /// Lists the aggregates of this kind in `tenant` that have snapshots.
    ///
    /// Starts after the page that ended with the cursor `after` and returns at most `limit` keys; 0
    /// is treated as 1. The keys are in the store's order, and each appears once. [`Page::next`] is
    /// the cursor to continue with, or `None` at the end. The default implementation returns
    /// `Unsupported`.
    async fn keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let _ = (tenant, after, limit);
        Err(missing("list aggregates"))
    }

    /// Lists the aggregates of this kind in `tenant` that have events.
    ///
    /// In pages, as [`keys`](Self::keys), but in the event source's order. The default
    /// implementation returns `Unsupported`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the event source does not
    /// [list its aggregates](crate::EventSource::keys).
    async fn event_keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let _ = (tenant, after, limit);
        Err(missing("list aggregates with events"))
    }

    /// Returns statistics about the stored snapshots of an aggregate.
    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error>;

    /// Returns the plan that [`apply_retention`](Self::apply_retention) would follow under
    /// `policy`, without deleting anything.
    async fn plan_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error>;

    /// Deletes the snapshots of `key` that `policy` does not keep.
    ///
    /// Pinned snapshots, needed bases and the newest usable snapshot of each generation are always
    /// kept, but a superseded generation is dropped: see [`RetentionPlan::new`]. Events are never
    /// touched.
    ///
    /// Snapshots are not read where at least four of the newest in a generation are kept and no
    /// events are truncated: a load tries three, and then replays all events.
    async fn apply_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Result<Retained, Error>;

    /// Deletes the snapshots that `plan` drops, unless that is no longer safe. For plans that were
    /// made by [`plan_retention`](Self::plan_retention) and looked at before they are applied.
    ///
    /// The snapshots are listed again, and the protections that hold under every policy are decided
    /// anew: see [`RetentionPlan::new`]. Snapshots that the plan keeps, or that were stored after it
    /// was made, are kept. Of those that it drops, the ones that must be kept now are returned in
    /// [`Retained::refused`], each with the reason: for example because one was pinned, became the
    /// base of a delta, or is the newest usable one since a newer one was deleted. Those that no
    /// longer exist are skipped. The default implementation returns `Unsupported`.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the plan is for a different aggregate.
    async fn apply_plan(
        &self,
        key: &AggregateKey,
        plan: &RetentionPlan,
        context: &AdminContext,
    ) -> Result<Retained, Error> {
        let _ = (key, plan, context);
        Err(missing("apply a retention plan"))
    }

    /// Applies `policy` to several aggregates, as [`apply_retention`](Self::apply_retention) does to
    /// one.
    ///
    /// Returns one result per key, in the order of `keys`. If one aggregate fails, the policy is
    /// still applied to the others. The default implementation handles one aggregate after the
    /// other; an implementation that handles many in a few round trips should override it.
    async fn apply_retention_many(
        &self,
        keys: &[AggregateKey],
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Vec<Result<Retained, Error>> {
        let each = stream::iter(keys).then(|key| self.apply_retention(key, policy, context));
        each.collect().await
    }

    /// Stores a schedule of this kind, replacing any schedule with the same key.
    ///
    /// See [`Ledger::put_schedule`](crate::ledger::Ledger::put_schedule). Storing a schedule does
    /// not run it: see [`Schedule`]. The default implementation returns `Unsupported`.
    ///
    /// A change to a schedule for the whole kind is recorded in the tenant's audit trail. The
    /// action in the entry ends with a space and the kind, truncated to fit. The same applies to
    /// [`remove_schedule`](Self::remove_schedule).
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the engine has no ledger;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the context has an expected version and
    /// the schedule is for the whole kind.
    async fn put_schedule(&self, schedule: &Schedule, context: &AdminContext) -> Result<(), Error> {
        let _ = (schedule, context);
        Err(missing("store a schedule"))
    }

    /// Removes a schedule of this kind and its lease. Returns whether the schedule existed.
    ///
    /// The default implementation returns `Unsupported`.
    ///
    /// # Errors
    /// The same errors as [`put_schedule`](Self::put_schedule).
    async fn remove_schedule(
        &self,
        key: &ScheduleKey,
        context: &AdminContext,
    ) -> Result<bool, Error> {
        let _ = (key, context);
        Err(missing("remove a schedule"))
    }

    /// Lists the schedules of this kind in all tenants, in key order.
    ///
    /// Includes schedules for single aggregates and for the whole kind. Starts after the key
    /// `after` (exclusive) and returns at most `limit`; 0 is treated as 1. [`Page::next`] is the
    /// key of the last schedule if more follow, otherwise `None`. The default implementation
    /// returns `Unsupported`.
    ///
    /// Schedules of other kinds are skipped, so one call may query the ledger several times.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if the engine has no ledger.
    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        let _ = (after, limit);
        Err(missing("list schedules"))
    }

    /// Waits until nothing is queued or in progress in the background: snapshots, retention, and
    /// entries for the ledger. Each of these takes at most `within`.
    ///
    /// Call it before a process ends. Otherwise audit entries of its last changes may be lost. The
    /// default implementation is for implementations that do nothing in the background.
    ///
    /// # Errors
    /// [`Timeout`](crate::ErrorKind::Timeout) if the wait takes longer;
    /// [`Store`](crate::ErrorKind::Store) if the ledger cannot accept the entries now.
    async fn flush(&self, within: Duration) -> Result<(), Error> {
        let _ = within;
        Ok(())
    }
}
