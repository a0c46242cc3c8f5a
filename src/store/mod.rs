//! The contract with storage authors: [`SnapshotStore`].

mod capabilities;
mod cursor;
mod delete;
mod delete_plan;
mod ext;
mod list;
mod pages;
mod put;
mod query;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;

pub use capabilities::Capabilities;
pub use delete::{DeleteOptions, Deleted, Selection};
pub use delete_plan::{Deletable, DeletePlan};
pub use ext::{Copied, SnapshotStoreExt};
pub use list::{Cursor, KeysRequest, ListRequest, Page};
pub use pages::{KeyPages, ListPages};
pub use put::{PutOptions, PutOutcome};
pub use query::{Found, Lookup, Query};

pub use crate::mark::{Mark, MarkChange, MarkKind, Marks};

/// Stores the records of snapshots. Implemented by storage authors; applications use
/// [`SnapshotEngine`](crate::SnapshotEngine).
///
/// A store holds opaque [`Record`]s. It reads their headers ([`Record::header`]), but never their
/// payloads. A snapshot is identified by its aggregate
/// ([`AggregateKey`]) and its [`SnapshotId`] (generation and version).
///
/// A stored record never changes. A store may also keep [marks](crate::store::Mark) beside it,
/// which can change. A store without marks leaves [`Capabilities::marks`] unset; then the
/// obligations about marks do not apply to it, except C-67. [`SnapshotStoreExt`] adds convenience
/// methods to every store.
///
/// # Obligations on every method
/// Each obligation has an id, which conformance reports use.
/// - **C-01** Aggregates are isolated: a call for one key never returns, counts or changes
///   snapshots of another key, whatever bytes their ids contain.
/// - **C-02** `Err` means that the store failed. A missing snapshot is not an error: the result
///   is `Absent`, an empty page, or zero deleted.
/// - **C-03** No input panics, hangs or allocates without bound; ids and stored bytes are not
///   trusted.
/// - **C-04** Calls may run concurrently from any number of tasks. Each record is put, found and
///   deleted as a whole: no call sees a part of one.
/// - **C-05** Dropping a returned future (cancellation) leaves each record either as before or as
///   if the call had completed, and the store usable.
/// - **C-06** A record is returned byte for byte as it was put.
/// - **C-07** [`capabilities`](Self::capabilities) is the same value at every call.
///
/// # Errors
/// [`ErrorKind::Store`] or a more precise kind, with a
/// [`Retry`](crate::Retry) that says whether a retry can help.
#[async_trait]
pub trait SnapshotStore: fmt::Debug + Send + Sync {
    /// Returns what this store supports. Constant for the life of the store; must be cheap.
    fn capabilities(&self) -> Capabilities;

    /// Stores `records`, of any aggregates; returns one outcome per record, in their order.
    ///
    /// # Obligations
    /// - **C-10** When it returns `Ok`, every record is stored and, if
    ///   [`Capabilities::durable`] is set, survives a crash of process and machine.
    /// - **C-11** A stored snapshot is immutable: if the identity is taken, the first record stays
    ///   and the outcome is [`PutOutcome::Existing`], which says whether the payloads are equal.
    /// - **C-12** With [`PutOptions::replace`], a taken identity gets the new record instead
    ///   ([`PutOutcome::Replaced`]); readers see the old or the new one, nothing else.
    /// - **C-13** Putting an older version never hides a newer one.
    /// - **C-14** An identity twice in one call: the first is stored, the second is treated as
    ///   put after it.
    /// - **C-15** A record whose header does not parse, or that exceeds
    ///   [`Capabilities::max_record_bytes`] or [`Capabilities::max_version`], fails the whole call
    ///   with [`ErrorKind::InvalidInput`] before anything is
    ///   stored. So does one whose key is longer than the store can take. A key of up to
    ///   [`Capabilities::max_key_bytes`] is taken, whatever its bytes. A store may refuse a
    ///   record that does not verify in the same way; it need not look at payloads.
    /// - **C-16** On any other `Err` each record is either stored whole or not at all; if that is
    ///   not known, the error's retry is [`Retry::Unknown`](crate::Retry::Unknown). With
    ///   [`Capabilities::atomic_batches`], all are stored or none.
    /// - **C-17** There is one outcome per record, in the order of the records.
    /// - **C-18** A snapshot that this call stores has the marks of [`PutOptions::marks`], in the
    ///   same atomic step. One that it replaces keeps its marks too; where both have one of a kind
    ///   and name, that of the options stands. One that stays keeps the marks that it has. If one
    ///   would have more than [`Marks::MAX`](crate::store::Marks::MAX), the whole call fails with
    ///   `InvalidInput` before anything is stored. (With [`Capabilities::marks`].)
    /// - **C-19** With [`PutOptions::spare_pinned`], a snapshot that is pinned is not replaced: it
    ///   is kept with its marks, and the outcome is `Existing`. A pin that was set before this call
    ///   began is never missed; a pin that is set concurrently applies to the record that is stored
    ///   afterwards. (With [`Capabilities::marks`].)
    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error>;

    /// Returns the newest snapshot that satisfies `query`.
    ///
    /// # Obligations
    /// - **C-20** Among the snapshots of the key and generation with version at or below
    ///   [`Query::at_most`] and at or above [`Query::at_least`] and, if given, as-of time at or
    ///   before [`Query::as_of`] (all inclusive), it returns the one with the highest version: by
    ///   version, never by time.
    /// - **C-21** If there is none: [`Lookup::Absent`] only if the key has no snapshot of any
    ///   generation within the bounds, those that C-24 leaves out aside; otherwise, or where that
    ///   is not known, [`Lookup::OtherGeneration`].
    /// - **C-22** A damaged record is returned as it is, so that the engine can reject it with a
    ///   reason; it is not skipped.
    /// - **C-23** It sees every put that returned before the call began.
    /// - **C-24** A retired snapshot is never found, unless [`Query::include_retired`] is set: then
    ///   it is like any other. (With [`Capabilities::marks`].)
    /// - **C-26** With [`Capabilities::returns_bases`], a delta comes with its bases in
    ///   [`Found::bases`], whether they are retired or not. The chain ends early where a base is
    ///   not stored or cannot be parsed.
    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error>;

    /// Returns the results of several queries, as [`get`](Self::get) would return them.
    ///
    /// The default runs one after the other. A store that can save round trips overrides it.
    ///
    /// # Obligations
    /// - **C-25** There is one result per query, in their order: one that `get` could have returned
    ///   at some moment during the call. An empty list gives an empty result.
    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        get_each(self, queries).await
    }

    /// Returns one page of the snapshots of a key, without reading payloads.
    ///
    /// # Obligations
    /// - **C-30** Order: highest [`SnapshotId`] first (by version, then
    ///   generation).
    /// - **C-31** At most [`ListRequest::limit`] items; [`Page::next`] is `Some` exactly if more
    ///   may follow. A page is never empty with a `next`.
    /// - **C-32** Following `next` to the end lists each snapshot exactly once that was there all
    ///   the while; what is put or deleted meanwhile may appear or not.
    /// - **C-33** A snapshot whose header cannot be read is left out here (the engine meets it in
    ///   [`get`](Self::get)).
    /// - **C-34** Each item equals the header of its snapshot, and only snapshots within the
    ///   request's bounds (inclusive) are listed. Retired ones are listed as well.
    /// - **C-35** Each item has the marks of its snapshot, as every `mark` and `put` that returned
    ///   before the call began left them. (With [`Capabilities::marks`].)
    async fn list(&self, request: ListRequest<'_>)
    -> Result<Page<SnapshotMeta, SnapshotId>, Error>;

    /// Returns one page of the aggregates that have snapshots.
    ///
    /// # Obligations
    /// - **C-40** Each key with at least one snapshot appears exactly once over all pages, under
    ///   the same rules as C-31 and C-32. The order is the store's own.
    /// - **C-41** With a tenant or a kind given, only keys with exactly that tenant or kind.
    /// - **C-43** Keys of [reserved kinds](AggregateKey::RESERVED_PREFIX) appear only with
    ///   [`KeysRequest::reserved`], also where the kind is given. Their snapshots are put, found,
    ///   listed and deleted by key like any other.
    /// - **C-42** A cursor that this store did not make gives `InvalidInput` or an empty page.
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error>;

    /// Deletes snapshots of one key. [`DeletePlan`] decides which.
    ///
    /// # Obligations
    /// - **C-50** Deletes exactly what `selection` selects, except what C-54 and C-55 keep, and
    ///   returns how much that was. An empty selection is `Ok` with zero.
    /// - **C-51** When it returns, the snapshots are no longer found and, in a durable store, stay
    ///   deleted after a crash.
    /// - **C-52** A snapshot put after the delete returned, also under a deleted identity, is
    ///   found.
    /// - **C-53** The delete also covers puts that were polled before it was called and whose
    ///   future was dropped, if the store still finishes them: nothing that the selection covers
    ///   appears after the delete returned. A store that cannot promise it, because a server
    ///   finishes them, clears [`Capabilities::ordered_deletes`].
    /// - **C-54** A pinned snapshot is kept and counted in [`Deleted::pinned`], unless
    ///   [`DeleteOptions::overrule_pins`] is set. (With [`Capabilities::marks`].)
    /// - **C-55** A snapshot on which a remaining delta is based, directly or through other deltas,
    ///   is kept as well, whatever the options, and is counted in [`Deleted::needed`]. (With
    ///   [`Capabilities::returns_bases`].)
    ///
    /// Every other way in which a store removes snapshots (pruning, compaction, expiry) is bound by
    /// C-54 and C-55 too, and leaves [reserved kinds](AggregateKey::RESERVED_PREFIX) alone.
    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error>;

    /// Sets or clears one mark on each selected snapshot of one key, and returns how many snapshots
    /// changed.
    ///
    /// The default is for stores without marks: it fails with
    /// [`ErrorKind::Unsupported`].
    ///
    /// # Obligations (with [`Capabilities::marks`])
    /// - **C-60** Changes the marks of the stored snapshots that `selection` selects and of no
    ///   other, and only the mark of that kind and name. The record stays as it is, byte for byte.
    /// - **C-61** Idempotent: setting an equal mark, or clearing a missing one, changes nothing and
    ///   is not counted. One that differs in time, actor or note is replaced and counted.
    /// - **C-62** When it returns, in a durable store, the change survives a crash of process and
    ///   machine. So do the marks of a put.
    /// - **C-63** Concurrent changes of one snapshot are all made, in some order; no call sees a
    ///   part of one. On `Err` each snapshot is changed or not; if that is not known, the
    ///   error's retry is [`Retry::Unknown`](crate::Retry::Unknown).
    /// - **C-64** A change that does not [check](MarkChange::check), or that would give a selected
    ///   snapshot more than [`Marks::MAX`](crate::store::Marks::MAX) marks, fails with
    ///   [`ErrorKind::InvalidInput`], and no snapshot is changed.
    ///   Within the limits, texts may hold any characters.
    /// - **C-65** Marks end with their snapshot: one that is put again after a delete has those of
    ///   that put only.
    /// - **C-66** A dropped future leaves each snapshot either as before or changed.
    ///
    /// # Obligation without [`Capabilities::marks`]
    /// - **C-67** This call, and a put whose options hold marks, fails with `Unsupported`, and
    ///   nothing is stored. ([`PutOptions::refuse_marks`] is the check.)
    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        let _ = (key, selection, change);
        let message = "this store keeps no marks: choose one whose capabilities say that it does";
        Err(Error::new(ErrorKind::Unsupported, "mark snapshots", message))
    }
}

/// Returns the results of several queries, by one [`get`](SnapshotStore::get) after the other.
pub(crate) async fn get_each<S: SnapshotStore + ?Sized>(
    store: &S,
    queries: &[Query<'_>],
) -> Result<Vec<Lookup>, Error> {
    let mut answers = Vec::with_capacity(queries.len());
    for query in queries {
        answers.push(store.get(*query).await?);
    }
    Ok(answers)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<T: SnapshotStore + ?Sized> SnapshotStore for Arc<T> {
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        (**self).put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        (**self).get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        (**self).list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        (**self).keys(request).await
    }

    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        (**self).get_many(queries).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        (**self).delete(key, selection, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        (**self).mark(key, selection, change).await
    }
}
