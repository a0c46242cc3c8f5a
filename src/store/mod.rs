//! [`SnapshotStore`]: the contract with authors of stores.

mod capabilities;
mod cursor;
mod delete;
mod delete_plan;
pub(crate) mod document;
mod erased;
mod ext;
mod list;
mod pages;
mod put;
mod put_batch;
mod query;
mod rewrite;

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
pub use erased::{Erased, Remains};
pub use ext::{Copied, SnapshotStoreExt};
pub use list::{Cursor, KeysRequest, ListRequest, Page};
pub use pages::{KeyPages, ListPages};
pub use put::{PutOptions, PutOutcome};
pub(crate) use put_batch::PutBatch;
pub use query::{Found, Lookup, Query};
pub use rewrite::Rewrite;

pub use crate::mark::{Mark, MarkChange, MarkKind, Marks};

/// Stores the records of snapshots. This trait is for authors of stores. Applications use
/// [`SnapshotEngine`](crate::SnapshotEngine).
///
/// A store contains opaque [`Record`]s. It reads their headers ([`Record::header`]), but never
/// their payloads. A snapshot is identified by its aggregate ([`AggregateKey`]) and its
/// [`SnapshotId`] (generation and version).
///
/// A stored record never changes. A store may also keep [marks](crate::store::Mark) for it, which
/// can change. A store without marks leaves [`Capabilities::marks`] unset. The obligations about
/// marks do not apply to it, except for C-67. [`SnapshotStoreExt`] adds convenience methods to
/// every store.
///
/// # Obligations on every method
/// Each obligation has an id, which conformance reports use.
/// - **C-01** Aggregates are isolated: a call for one key never returns, counts or changes
///   snapshots of another key, whatever bytes their ids contain.
/// - **C-02** `Err` means that the store failed. A missing snapshot is not an error: the result is
///   `Absent`, an empty page, or zero deleted snapshots.
/// - **C-03** No input causes a panic, a hang or an unbounded allocation. Ids and stored bytes are
///   not trusted.
/// - **C-04** Calls may run concurrently from any number of tasks. Each record is put, found and
///   deleted as a whole: no call sees part of a record.
/// - **C-05** If a returned future is dropped (cancellation), each record is either as before or as
///   if the call had completed, and the store remains usable.
/// - **C-06** A record is returned byte for byte as it was put.
/// - **C-07** [`capabilities`](Self::capabilities) returns the same value on every call.
///
/// # Errors
/// [`ErrorKind::Store`] or a more specific kind. The [`Retry`](crate::Retry) of the error states
/// whether a retry can help.
#[async_trait]
pub trait SnapshotStore: fmt::Debug + Send + Sync {
    /// Returns what this store supports. The value never changes, and the call must be cheap.
    fn capabilities(&self) -> Capabilities;

    /// Stores `records` of any aggregates, and returns one outcome per record, in order.
    ///
    /// # Obligations
    /// - **C-10** When this returns `Ok`, every record is stored and, if [`Capabilities::durable`]
    ///   is set, survives a crash of the process or of the machine.
    /// - **C-11** A stored snapshot is immutable. If the identity already exists, the first record
    ///   is kept, and the outcome is [`PutOutcome::Existing`], which reports whether the payloads
    ///   are equal.
    /// - **C-12** With [`PutOptions::replace`], an existing identity gets the new record instead
    ///   ([`PutOutcome::Replaced`]). Readers see either the old or the new record.
    /// - **C-13** Putting an older version never hides a newer one.
    /// - **C-14** If an identity occurs twice in one call, the first record is stored, and the
    ///   second one is treated as if it were put afterwards.
    /// - **C-15** The whole call fails with [`ErrorKind::InvalidInput`] before anything is stored
    ///   if the header of a record cannot be parsed, if a record exceeds
    ///   [`Capabilities::max_record_bytes`] or [`Capabilities::max_version`], or if a key is too
    ///   long for the store. A key of up to [`Capabilities::max_key_bytes`] is accepted, whatever
    ///   its bytes. A store may refuse a record that does not verify in the same way, but it need
    ///   not examine payloads.
    /// - **C-16** After any other `Err`, each record is stored either completely or not at all. If
    ///   the store does not know which, the retry of the error is
    ///   [`Retry::Unknown`](crate::Retry::Unknown). With [`Capabilities::atomic_batches`], either
    ///   all records are stored or none.
    /// - **C-17** There is one outcome per record, in the order of the records.
    /// - **C-18** A snapshot that this call stores gets the marks in [`PutOptions::marks`], in the
    ///   same atomic step. A replaced snapshot also keeps its own marks, but the options take
    ///   precedence for marks with the same kind and name. A snapshot that is not replaced keeps
    ///   its marks unchanged. If a snapshot would have more than
    ///   [`Marks::MAX`](crate::store::Marks::MAX) marks, the whole call fails with `InvalidInput`
    ///   before anything is stored. (With [`Capabilities::marks`].)
    /// - **C-19** With [`PutOptions::spare_pinned`], a pinned snapshot is not replaced: it is kept
    ///   with its marks, and the outcome is `Existing`. A pin that was set before this call began
    ///   is never missed. A pin that is set concurrently applies to the record that is stored
    ///   afterwards. (With [`Capabilities::marks`].)
    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error>;

    /// Returns the newest snapshot that matches `query`.
    ///
    /// # Obligations
    /// - **C-20** Returns the snapshot of the key and generation with the highest version among
    ///   those from [`Query::at_least`] to [`Query::at_most`] and, if given, with an as-of time at
    ///   or before [`Query::as_of`]. All bounds are inclusive. The highest version counts, never
    ///   the latest time.
    /// - **C-21** If there is no such snapshot, the result is [`Lookup::Absent`] only if the key
    ///   has no snapshot of any generation within the bounds, not counting those that C-24
    ///   excludes. Otherwise, or if the store does not know, the result is
    ///   [`Lookup::OtherGeneration`].
    /// - **C-22** A damaged record is returned as it is. It is not skipped, so the engine can
    ///   reject it with a reason.
    /// - **C-23** The call sees every put that returned before it began.
    /// - **C-24** A retired snapshot is found only if [`Query::include_retired`] is set, and then
    ///   like any other. (With [`Capabilities::marks`].)
    /// - **C-26** With [`Capabilities::returns_bases`], a delta is returned with its bases in
    ///   [`Found::bases`], whether or not they are retired. The chain ends early if a base is not
    ///   stored or cannot be parsed.
    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error>;

    /// Returns the results of several queries, as [`get`](Self::get) would return them.
    ///
    /// The default implementation runs one query after the other. Stores that can save round trips
    /// override it.
    ///
    /// # Obligations
    /// - **C-25** There is one result per query, in order. Each is a result that `get` could have
    ///   returned at some moment during the call. An empty list gives an empty result.
    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        get_each(self, queries).await
    }

    /// Returns one page of a key's snapshots, without reading payloads.
    ///
    /// # Obligations
    /// - **C-30** The highest [`SnapshotId`] comes first (ordered by version, then by generation).
    /// - **C-31** A page has at most [`ListRequest::limit`] items. [`Page::next`] is `Some` exactly
    ///   if more items may follow. A page with a `next` is never empty.
    /// - **C-32** Following `next` to the end lists each snapshot that exists the whole time
    ///   exactly once. Snapshots that are put or deleted during this time may or may not be listed.
    /// - **C-33** A snapshot whose header cannot be read is not listed. The engine finds it with
    ///   [`get`](Self::get).
    /// - **C-34** Each item equals the header of its snapshot, and only snapshots within the bounds
    ///   of the request (inclusive) are listed. Retired snapshots are listed as well.
    /// - **C-35** Each item has the marks of its snapshot, including the changes of every `mark`
    ///   and `put` that returned before the call began. (With [`Capabilities::marks`].)
    async fn list(&self, request: ListRequest<'_>)
    -> Result<Page<SnapshotMeta, SnapshotId>, Error>;

    /// Returns one page of each of several lists, as [`list`](Self::list) would return them.
    ///
    /// The default implementation makes one list after the other. Stores that can save round trips
    /// override it.
    ///
    /// # Obligations
    /// - **C-36** There is one page per request, in order. Each is a page that `list` could have
    ///   returned at some moment during the call, but a store may return fewer items, with a
    ///   [`next`](Page::next), to bound its memory. An empty list gives an empty result.
    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        list_each(self, requests).await
    }

    /// Returns one page of the aggregates that have snapshots.
    ///
    /// # Obligations
    /// - **C-40** Each key with at least one snapshot appears exactly once over all pages, under
    ///   the same rules as C-31 and C-32. The store chooses the order.
    /// - **C-41** If a tenant or a kind is given, only keys with exactly that tenant or kind are
    ///   listed.
    /// - **C-43** Keys of [reserved kinds](AggregateKey::RESERVED_PREFIX) appear only with
    ///   [`KeysRequest::reserved`], even if the request contains their kind. Their snapshots are
    ///   put, found, listed and deleted by key like any other.
    /// - **C-42** A cursor that this store did not create gives `InvalidInput` or an empty page.
    /// - **C-44** With [`KeysRequest::created_from`] or [`KeysRequest::created_before`], each key
    ///   that has at least one snapshot created within the bounds is listed, exactly once, under
    ///   the same rules as C-40. The bounds are only a filter that may save work: a store may ignore
    ///   them and list other keys with snapshots too, and callers check the metadata. The creation
    ///   time is the one in the header.
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error>;

    /// Deletes snapshots of one key. [`DeletePlan`] decides which.
    ///
    /// # Obligations
    /// - **C-50** Deletes exactly the snapshots in `selection`, except those that C-54 and C-55
    ///   keep, and returns how many were deleted. An empty selection is `Ok` with zero.
    /// - **C-51** After the call has returned, the snapshots are no longer found. In a durable
    ///   store, they stay deleted after a crash.
    /// - **C-52** A snapshot that is put after the delete has returned is found, even if its
    ///   identity was deleted.
    /// - **C-53** If the store still completes puts whose future was dropped, the delete also
    ///   covers those that were polled before it was called: no snapshot that it covers appears
    ///   after it has returned. A store that cannot guarantee this, because a server completes the
    ///   puts, clears [`Capabilities::ordered_deletes`].
    /// - **C-54** A pinned snapshot is kept and counted in [`Deleted::pinned`], unless
    ///   [`DeleteOptions::overrule_pins`] is set. (With [`Capabilities::marks`].)
    /// - **C-55** A snapshot on which a remaining delta is based, directly or through other deltas,
    ///   is also kept, whatever the options, and counted in [`Deleted::needed`]. (With
    ///   [`Capabilities::returns_bases`].)
    ///
    /// C-54 and C-55 also apply to every other way in which a store removes snapshots (pruning,
    /// compaction, expiry). Those must not remove snapshots of [reserved
    /// kinds](AggregateKey::RESERVED_PREFIX).
    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error>;

    /// Deletes snapshots of several keys, each given with the ids to delete.
    ///
    /// The default implementation makes one delete after the other. Stores that can save round
    /// trips or syncs override it.
    ///
    /// # Obligations
    /// - **C-56** There is one result per element, in order: what [`delete`](Self::delete) with
    ///   [`Selection::Ids`] and the same options would return if the elements were deleted one
    ///   after the other. A key may occur more than once. An empty list gives an empty result. The
    ///   obligations C-50 to C-55 apply to each element.
    /// - **C-57** An element with nothing to delete (the key has no snapshots or is too long for
    ///   the store, or the ids are not stored) gives zero and does not affect the others. After an
    ///   `Err`, each snapshot is either deleted or as before, and the call can be repeated.
    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        delete_each(self, selected, options).await
    }

    /// Sets or clears one mark on each selected snapshot of one key, and returns how many snapshots
    /// changed.
    ///
    /// The default implementation is for stores without marks and fails with
    /// [`ErrorKind::Unsupported`].
    ///
    /// # Obligations (with [`Capabilities::marks`])
    /// - **C-60** Changes only the stored snapshots that `selection` selects, and only the mark
    ///   with this kind and name. The record stays the same, byte for byte.
    /// - **C-61** The call is idempotent: setting an equal mark, or clearing a missing one, changes
    ///   nothing and is not counted. A mark that differs in time, actor or note is replaced and
    ///   counted.
    /// - **C-62** After the call has returned, in a durable store, the change survives a crash of
    ///   the process or of the machine. The same applies to the marks of a put.
    /// - **C-63** Concurrent changes of one snapshot all take effect, in some order, and no call
    ///   sees part of a change. After an `Err`, each snapshot is either changed or not. If the
    ///   store does not know which, the retry of the error is
    ///   [`Retry::Unknown`](crate::Retry::Unknown).
    /// - **C-64** A change that does not pass [`MarkChange::check`], or that would give a selected
    ///   snapshot more than [`Marks::MAX`](crate::store::Marks::MAX) marks, fails with
    ///   [`ErrorKind::InvalidInput`], and no snapshot is changed. Within the limits, the name,
    ///   actor and note may contain any characters.
    /// - **C-65** Marks are deleted with their snapshot. A snapshot that is put again after a
    ///   delete has only the marks of that put.
    /// - **C-66** If the future is dropped, each snapshot is either as before or changed.
    ///
    /// # Obligation without [`Capabilities::marks`]
    /// - **C-67** This call, and a put whose options contain marks, fails with `Unsupported`, and
    ///   nothing is stored. [`PutOptions::refuse_marks`] implements this check.
    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        let _ = (key, selection, change);
        let message = "this store does not support marks: use a store with Capabilities::marks";
        Err(Error::new(ErrorKind::Unsupported, "mark snapshots", message))
    }

    /// Deletes all snapshots of a key, pinned ones as well, and removes their bytes from the disk as
    /// far as the store can. The receipt says what it cannot reach.
    ///
    /// The default implementation deletes, and reports that the bytes may remain
    /// ([`Remains::Unknown`]). Stores that know more override it. If the future is dropped, or after
    /// an error, call it again.
    ///
    /// # Obligations
    /// - **C-58** After `Ok`, the key has no snapshot that was stored before the call, and the
    ///   snapshots of other keys are as before. [`Erased::snapshots`] and [`Erased::bytes`] are what
    ///   [`delete`](Self::delete) of all snapshots, overruling pins, would return.
    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        let options = DeleteOptions::default().overrule_pins(true);
        let deleted = self.delete(key, Selection::All, options).await?;
        Ok(Erased::new(deleted, [Remains::Unknown]))
    }

    /// Replaces stored records, each only if it is still the expected one. Returns whether each was
    /// replaced. For changes of the form: a record that another process has replaced or deleted
    /// meanwhile is never brought back.
    ///
    /// The default implementation is for stores without [`Capabilities::rewrites`] and fails with
    /// [`ErrorKind::Unsupported`].
    ///
    /// # Obligations (with [`Capabilities::rewrites`])
    /// - **C-70** There is one result per rewrite, in order. A record is replaced only if
    ///   [`Rewrite::replaces`] the stored one, in the same atomic step. Otherwise (another record or
    ///   none is stored) nothing changes, and the result is false. Of several concurrent rewrites
    ///   that expect the same record, at most one replaces it. An empty list gives an empty result.
    /// - **C-71** A replaced snapshot keeps its marks, pinned and retired ones as well. From then
    ///   on it needs the base of the new record only (C-26, C-55).
    /// - **C-72** The whole call fails with [`ErrorKind::InvalidInput`] before anything changes if
    ///   [`Rewrite::check_all`] fails, or if C-15 would refuse a new record.
    /// - **C-73** After `Ok`, the new records survive a crash in a durable store. After an `Err`, or
    ///   if the future is dropped, each record is either as before or replaced (C-16, C-05).
    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        let _ = rewrites;
        let message = "this store does not support rewrites: use a store with \
                       Capabilities::rewrites";
        Err(Error::new(ErrorKind::Unsupported, "rewrite snapshots", message))
    }
}

/// Returns the results of several queries by calling [`get`](SnapshotStore::get) for each of them.
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

/// Returns a page of each of several lists by calling [`list`](SnapshotStore::list) for each.
pub(crate) async fn list_each<S: SnapshotStore + ?Sized>(
    store: &S,
    requests: &[ListRequest<'_>],
) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
    let mut pages = Vec::with_capacity(requests.len());
    for request in requests {
        pages.push(store.list(*request).await?);
    }
    Ok(pages)
}

/// Deletes snapshots of several keys by calling [`delete`](SnapshotStore::delete) for each.
async fn delete_each<S: SnapshotStore + ?Sized>(
    store: &S,
    selected: &[(&AggregateKey, &[SnapshotId])],
    options: DeleteOptions,
) -> Result<Vec<Deleted>, Error> {
    let mut deleted = Vec::with_capacity(selected.len());
    for (key, ids) in selected {
        deleted.push(store.delete(key, Selection::Ids(ids), options).await?);
    }
    Ok(deleted)
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

    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        (**self).list_many(requests).await
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        (**self).delete_many(selected, options).await
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

    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        (**self).erase(key).await
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        (**self).rewrite(rewrites).await
    }
}
