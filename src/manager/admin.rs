//! Looking after snapshots without knowing their type: [`SnapshotAdmin`].

use std::fmt;
use std::ops::RangeInclusive;

use async_trait::async_trait;

use super::context::AdminContext;
use super::created::{CreateOptions, CreateOutcome, Rebuilt};
use super::loaded::Point;
use super::retained::Retained;
use super::stats::AggregateStats;
use super::view::View;
use crate::error::{Error, ErrorKind};
use crate::events::EventTime;
use crate::key::AggregateKey;
use crate::ledger::{Schedule, ScheduleKey};
use crate::mark::MarkChange;
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionPlan};
use crate::store::{Deleted, Page, Selection};

/// Looks after the snapshots of one kind of aggregate. Object-safe and without a type parameter:
/// schedulers, sweeps, command lines and servers work on it, over all kinds of an application
/// ([`Kinds`](super::Kinds)).
///
/// Calls that change something take an [`AdminContext`]: who asks for it, and why.
///
/// # Errors
/// Every method may fail with [`InvalidInput`](crate::ErrorKind::InvalidInput) if the key is of
/// another [`kind`](Self::kind), and with the kinds of the store. Those that read events may also
/// fail as a [load](super::Loader) does. Those that take a context fail with
/// [`Conflict`](crate::ErrorKind::Conflict) if its
/// [expected version](AdminContext::expect_version) is not the one found, and then change nothing.
///
/// # Cancellation
/// Every future may be dropped at any await point: what was stored or deleted by then stays so,
/// and nothing is stored or deleted in part.
#[async_trait]
pub trait SnapshotAdmin: fmt::Debug + Send + Sync {
    /// The kind of aggregate: the [`kind`](AggregateKey::kind) of every key that is accepted here.
    fn kind(&self) -> &str;

    /// Takes a snapshot of the state now, or at a version in the past; durable when it returns.
    ///
    /// # Errors
    /// - [`Encode`](crate::ErrorKind::Encode) if the state does not survive its codec;
    /// - [`BeyondHead`](crate::ErrorKind::BeyondHead) if there are fewer events than the version
    ///   that the options ask for;
    /// - [`Conflict`](crate::ErrorKind::Conflict) if another state is stored at that version.
    async fn create(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error>;

    /// Takes snapshots of several aggregates now, in batches; one result per key, in their order.
    /// One failure does not keep the others from being taken. An expected version is not accepted:
    /// it belongs to one aggregate.
    async fn create_many(
        &self,
        keys: &[AggregateKey],
        context: &AdminContext,
    ) -> Vec<Result<CreateOutcome, Error>>;

    /// What is stored of an aggregate within a range of versions (inclusive), newest first, of all
    /// generations.
    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error>;

    /// Deletes the snapshots at just this version, of all generations. Those that are pinned stay,
    /// and so do bases that a remaining delta needs: [`Deleted`] counts both. Clear the pins first
    /// ([`mark`](Self::mark)) to delete them too. Only
    /// [`SnapshotStore::delete`](crate::SnapshotStore::delete) overrules them, past the audit
    /// trail.
    async fn delete(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error>;

    /// Deletes the snapshots with a version below this one (exclusive), of all generations. What
    /// [`delete`](Self::delete) leaves stays here too.
    async fn delete_before(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<Deleted, Error>;

    /// Refolds the events up to `version` (inclusive) from the beginning and stores the result in
    /// place of what is stored at that version, whatever that is, pinned ones too. Marks stay:
    /// clear the retirement of one that is right now. By hand, only this and
    /// [`refold`](Self::refold) replace a snapshot (R10).
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

    /// Refolds the events from the beginning, up to `version` (inclusive) or all of them, and
    /// compares the result with the snapshot of today's generation at that version. The default
    /// returns `Unsupported`.
    ///
    /// - [`CreateOutcome::Stored`]: there was none.
    /// - [`CreateOutcome::Existing`]: it holds the same state, and stays.
    /// - [`CreateOutcome::Replaced`]: it did not, or could not be read, or nothing proved that it
    ///   did (a codec without a digest). Its labels and marks stay, a retirement too.
    /// - [`CreateOutcome::Empty`]: there are no events.
    ///
    /// # Errors
    /// - [`Conflict`](crate::ErrorKind::Conflict) if it would be replaced and is pinned, or its
    ///   header cannot be read, so that this is not known;
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) for version 0, which is never stored;
    /// - [`BeyondHead`](crate::ErrorKind::BeyondHead) if there are fewer events;
    /// - [`Unrecoverable`](crate::ErrorKind::Unrecoverable) if the first events are gone.
    async fn refold(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
        context: &AdminContext,
    ) -> Result<CreateOutcome, Error> {
        let _ = (key, version, context);
        Err(missing("refold a snapshot"))
    }

    /// Sets or clears one mark on each selected snapshot; returns how many snapshots that changed.
    /// A mark without an actor gets that of the context. The default returns `Unsupported`.
    ///
    /// Retire snapshots here and not in the store: states that were built from one are dropped from
    /// the hot cache of this engine too. Snapshots that were taken from such a state are not
    /// retired with it; select them as well, or [`refold`](Self::refold) them to see whether they
    /// are wrong.
    ///
    /// The action in the audit trail is `set_pin`, `clear_pin`, `set_retirement` or
    /// `clear_retirement`, a space, and the name of the mark.
    ///
    /// # Errors
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) if the store keeps no
    ///   [marks](crate::store::Capabilities::marks);
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if the change does not
    ///   [check](MarkChange::check), or a snapshot would have more than
    ///   [`Marks::MAX`](crate::store::Marks::MAX); nothing is changed then.
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

    /// The state at `point` as a tree of values, for code that does not know its type. The default
    /// returns `Unsupported`.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if there is no viewer;
    /// [`BeyondHead`](crate::ErrorKind::BeyondHead) for a version beyond the head, and those of a
    /// [load](super::Loader).
    async fn view(&self, key: &AggregateKey, point: Point) -> Result<View, Error> {
        let _ = (key, point);
        Err(missing("view a state"))
    }

    /// The recorded times of the first events of `key` with `versions` (inclusive), in version
    /// order: for timelines. At most `limit`; 0 is treated as 1; the answer may be shorter although
    /// more follow. Ask again after the last version: an empty answer is the end. The default
    /// returns `Unsupported`.
    ///
    /// # Errors
    /// [`EventSource`](crate::ErrorKind::EventSource) if the event source fails.
    async fn times(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
        limit: usize,
    ) -> Result<Vec<EventTime>, Error> {
        let _ = (key, versions, limit);
        Err(missing("read the times of events"))
    }

    /// Numbers about what is stored of an aggregate.
    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error>;

    /// What [`apply_retention`](Self::apply_retention) would do under `policy`: a dry run.
    async fn plan_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error>;

    /// Deletes the snapshots of `key` that `policy` does not keep. The newest usable snapshot of
    /// each generation, pinned ones and needed bases always stay (R14). Events are never touched.
    async fn apply_retention(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        context: &AdminContext,
    ) -> Result<Retained, Error>;

    /// Stores a schedule of this kind, in place of any other of the same key: see
    /// [`Ledger::put_schedule`](crate::ledger::Ledger::put_schedule). Nothing runs it by itself:
    /// see [`Schedule`]. The default returns `Unsupported`.
    ///
    /// An entry about a schedule of the whole kind is in the audit trail of its tenant; its action
    /// ends with a space and the kind, cut to fit. So it is for
    /// [`remove_schedule`](Self::remove_schedule).
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if there is no ledger;
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if a version is expected although the
    /// schedule is for the whole kind.
    async fn put_schedule(&self, schedule: &Schedule, context: &AdminContext) -> Result<(), Error> {
        let _ = (schedule, context);
        Err(missing("store a schedule"))
    }

    /// Removes a schedule of this kind and its lease; returns whether there was one. The default
    /// returns `Unsupported`.
    ///
    /// # Errors
    /// Those of [`put_schedule`](Self::put_schedule).
    async fn remove_schedule(
        &self,
        key: &ScheduleKey,
        context: &AdminContext,
    ) -> Result<bool, Error> {
        let _ = (key, context);
        Err(missing("remove a schedule"))
    }

    /// The schedules of this kind in all tenants, for single aggregates and for the whole kind, by
    /// key, after the key `after` (exclusive); at most `limit`; 0 is treated as 1. [`Page::next`]
    /// is the key of the last one if more follow, else `None`. The default returns `Unsupported`.
    ///
    /// It reads past the schedules of other kinds: one call may ask the ledger several times.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) if there is no ledger.
    async fn schedules(
        &self,
        after: Option<&ScheduleKey>,
        limit: usize,
    ) -> Result<Page<Schedule, ScheduleKey>, Error> {
        let _ = (after, limit);
        Err(missing("list schedules"))
    }
}

/// The error of a provided method.
fn missing(operation: &'static str) -> Error {
    let message = "this implementation of SnapshotAdmin does not provide it";
    Error::new(ErrorKind::Unsupported, operation, message)
}
