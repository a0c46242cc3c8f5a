//! The contract with storage authors: [`SnapshotStore`].

mod capabilities;
mod cursor;
mod delete;
mod list;
mod put;
mod query;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::envelope::{Record, SnapshotMeta};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;

pub use capabilities::Capabilities;
pub use delete::{Deleted, Selection};
pub use list::{Cursor, KeysRequest, ListRequest, Page};
pub use put::{PutOptions, PutOutcome};
pub use query::{Found, Lookup, Query};

/// Stores the records of snapshots. Implemented by storage authors; applications use
/// [`SnapshotEngine`](crate::SnapshotEngine).
///
/// A store moves opaque [`Record`]s. It reads their headers ([`Record::header`]) to know what
/// they are, and never looks into payloads. A snapshot is identified by its aggregate
/// ([`AggregateKey`]) and its [`SnapshotId`] (generation and version).
///
/// # Obligations on every method
/// Each obligation has an id, by which a conformance report names it.
/// - **C-01** Aggregates are isolated: a call about one key never returns, counts or changes
///   anything of another, whatever bytes their ids hold.
/// - **C-02** `Err` means that the store failed. Nothing there is `Ok`: an absent snapshot, an
///   empty page, zero deleted.
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
/// [`ErrorKind::Store`](crate::ErrorKind::Store) or a more precise kind, with a
/// [`Retry`](crate::Retry) that tells whether trying again can help.
#[async_trait]
pub trait SnapshotStore: fmt::Debug + Send + Sync {
    /// What this store can do. Constant for the life of the store; must be cheap.
    fn capabilities(&self) -> Capabilities;

    /// Stores `records`, of any aggregates; returns one outcome per record, in their order.
    ///
    /// # Obligations
    /// - **C-10** When it returns `Ok`, every record is stored and, if
    ///   [`Capabilities::durable`] is set, survives a crash of process and machine.
    /// - **C-11** A stored snapshot is immutable: if the identity is taken, the first record stays
    ///   and the outcome is [`PutOutcome::Existing`], which says whether the payloads are the same.
    /// - **C-12** With [`PutOptions::replace`], a taken identity gets the new record instead
    ///   ([`PutOutcome::Replaced`]); readers see the old or the new one, nothing else.
    /// - **C-13** Putting an older version never hides a newer one.
    /// - **C-14** An identity twice in one call: the first is stored, the second is treated as
    ///   put after it.
    /// - **C-15** A record whose header does not parse, or that exceeds
    ///   [`Capabilities::max_record_bytes`] or [`Capabilities::max_version`], fails the whole call
    ///   with [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) before anything is
    ///   stored. So does one whose key is longer than the store can take. A key of up to
    ///   [`Capabilities::max_key_bytes`] is taken, whatever its bytes. A store may refuse a
    ///   record that does not verify in the same way; it need not look at payloads.
    /// - **C-16** On any other `Err` each record is either stored whole or not at all; if that is
    ///   not known, the error's retry is [`Retry::Unknown`](crate::Retry::Unknown). With
    ///   [`Capabilities::atomic_batches`], all are stored or none.
    /// - **C-17** There is one outcome per record, in the order of the records.
    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error>;

    /// The newest snapshot that satisfies `query`.
    ///
    /// # Obligations
    /// - **C-20** Among the snapshots of the key and generation with version at or below
    ///   [`Query::at_most`] and, if given, as-of time at or before [`Query::as_of`] (both
    ///   inclusive), it returns the one with the highest version: by version, never by time.
    /// - **C-21** If there is none: [`Lookup::Absent`] only if the key has no snapshot of any
    ///   generation within the bounds; otherwise, or where that is not known,
    ///   [`Lookup::OtherGeneration`].
    /// - **C-22** A damaged record is returned as it is, so that the engine can reject it with a
    ///   reason; it is not skipped.
    /// - **C-23** It sees every put that returned before the call began.
    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error>;

    /// One page of what is stored of a key, without reading payloads.
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
    /// - **C-34** Each item says what the snapshot's header says, and only snapshots within the
    ///   request's bounds (inclusive) are listed.
    async fn list(&self, request: ListRequest<'_>)
    -> Result<Page<SnapshotMeta, SnapshotId>, Error>;

    /// One page of the aggregates that have snapshots.
    ///
    /// # Obligations
    /// - **C-40** Each key with at least one snapshot appears exactly once over all pages, under
    ///   the same rules as C-31 and C-32. The order is the store's own.
    /// - **C-41** With a tenant or a kind given, only keys with just that tenant or kind.
    /// - **C-42** A cursor that another store (or nobody) made is `InvalidInput` or an empty page.
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error>;

    /// Deletes snapshots of one key.
    ///
    /// # Obligations
    /// - **C-50** Deletes what `selection` selects and nothing else; tells how much that was.
    ///   Nothing selected is `Ok` with zero.
    /// - **C-51** When it returns, the snapshots are no longer found and, in a durable store, stay
    ///   deleted after a crash.
    /// - **C-52** A snapshot put after the delete returned, also under a deleted identity, is
    ///   found.
    /// - **C-53** The delete also covers puts that were polled before it was called and whose future
    ///   was dropped, if the store still finishes them: nothing that the selection covers appears
    ///   after the delete returned. A store that cannot promise it, because a server finishes
    ///   them, clears [`Capabilities::ordered_deletes`].
    async fn delete(&self, key: &AggregateKey, selection: Selection<'_>) -> Result<Deleted, Error>;
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

    async fn delete(&self, key: &AggregateKey, selection: Selection<'_>) -> Result<Deleted, Error> {
        (**self).delete(key, selection).await
    }
}
