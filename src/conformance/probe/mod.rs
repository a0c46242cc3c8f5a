//! [`Probe`]: calls the store under test. Each call has a time limit, and an obligation that it
//! breaks if it fails.

mod sight;
mod walk;

use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, Stop, ensure, shown};
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Erased, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection, SnapshotStore,
};

pub(super) use sight::{Blame, misread};

/// A handle to the store under test. Clones share the store.
#[derive(Clone)]
pub(super) struct Probe {
    store: Arc<dyn SnapshotStore>,
    within: Duration,
    /// The obligation that a call breaks if it fails unexpectedly.
    refused: &'static str,
    /// The obligation that a call breaks if it does not return.
    hung: &'static str,
}

impl Probe {
    pub(super) fn new(store: Arc<dyn SnapshotStore>, within: Duration) -> Self {
        Self { store, within, refused: "C-02", hung: "C-03" }
    }

    /// Returns a handle whose calls break the obligation `id` if they do not return.
    pub(super) fn hanging(&self, id: &'static str) -> Self {
        Self { hung: id, ..self.clone() }
    }

    /// Returns a handle whose calls break the obligation `id` if they fail or do not return. Use it
    /// for input that differs in one aspect from input that was accepted before.
    pub(super) fn blaming(&self, id: &'static str) -> Self {
        Self { refused: id, hung: id, ..self.clone() }
    }

    pub(super) fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    /// Returns the store itself, for wrappers.
    pub(super) fn store(&self) -> Arc<dyn SnapshotStore> {
        Arc::clone(&self.store)
    }

    /// Waits for `call`, up to the time limit of a call.
    pub(super) async fn bounded<T>(
        &self,
        what: &str,
        call: impl Future<Output = T>,
    ) -> Result<T, Stop> {
        tokio::time::timeout(self.within, call).await.map_err(|_| {
            Failure::new(self.hung, what)
                .expected(format!("an answer within {:?}", self.within))
                .got("no answer")
                .into()
        })
    }

    async fn call<T>(
        &self,
        what: &str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Stop> {
        self.bounded(what, call).await?.map_err(|error| {
            Failure::new(self.refused, what).expected("no error").got(shown(&error)).into()
        })
    }

    /// Puts records that the store may refuse.
    pub(super) async fn try_put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Result<Vec<PutOutcome>, Error>, Stop> {
        self.bounded("put", self.store.put(records, options)).await
    }

    /// Puts records that the store must accept.
    pub(super) async fn put_with(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Stop> {
        let outcomes = self.try_put(records, options).await?;
        outcomes.map_err(|error| {
            // Duplicates in one call are valid input.
            let invalid = error.kind() == ErrorKind::InvalidInput && self.refused != "C-14";
            let id = if invalid { "C-15" } else { self.refused };
            let failure = Failure::new(id, "put records within the store's limits");
            failure.expected("no error").got(shown(&error)).into()
        })
    }

    pub(super) async fn put(&self, records: &[Record]) -> Result<Vec<PutOutcome>, Stop> {
        self.put_with(records.to_vec(), PutOptions::default()).await
    }

    /// Puts each record in a separate call, in this order.
    pub(super) async fn put_each(&self, records: &[Record]) -> Result<(), Stop> {
        for record in records {
            self.put(std::slice::from_ref(record)).await?;
        }
        Ok(())
    }

    pub(super) async fn replace(&self, record: &Record) -> Result<Vec<PutOutcome>, Stop> {
        self.put_with(vec![record.clone()], PutOptions::default().replace(true)).await
    }

    pub(super) async fn get(&self, query: Query<'_>) -> Result<Lookup, Stop> {
        self.call("get", self.store.get(query)).await
    }

    pub(super) async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Stop> {
        self.call("get_many", self.store.get_many(queries)).await
    }

    pub(super) async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Stop> {
        self.call("list", self.store.list(request)).await
    }

    pub(super) async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Stop> {
        self.call("list_many", self.store.list_many(requests)).await
    }

    pub(super) async fn keys(
        &self,
        request: KeysRequest<'_>,
    ) -> Result<Page<AggregateKey, Cursor>, Stop> {
        self.call("keys", self.store.keys(request)).await
    }

    /// Lists a page of keys after a cursor that the store may refuse.
    pub(super) async fn try_keys(
        &self,
        request: KeysRequest<'_>,
    ) -> Result<Result<Page<AggregateKey, Cursor>, Error>, Stop> {
        self.bounded("keys", self.store.keys(request)).await
    }

    pub(super) async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
    ) -> Result<Deleted, Stop> {
        self.delete_with(key, selection, DeleteOptions::default()).await
    }

    pub(super) async fn delete_with(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Stop> {
        self.call("delete", self.store.delete(key, selection, options)).await
    }

    pub(super) async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Stop> {
        self.call("delete_many", self.store.delete_many(selected, options)).await
    }

    pub(super) async fn erase(&self, key: &AggregateKey) -> Result<Erased, Stop> {
        self.call("erase", self.store.erase(key)).await
    }

    pub(super) async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Stop> {
        self.call("mark", self.store.mark(key, selection, change)).await
    }

    /// Changes marks, which the store may refuse.
    pub(super) async fn try_mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<Result<u64, Error>, Stop> {
        self.bounded("mark", self.store.mark(key, selection, change)).await
    }

    /// Deletes, and checks the number of deleted snapshots. Any other number breaks C-50.
    pub(super) async fn deletes(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        snapshots: u64,
    ) -> Result<(), Stop> {
        let deleted = self.delete(key, selection).await?;
        ensure(deleted.snapshots == snapshots, || {
            Failure::new("C-50", format!("delete {selection:?} from {key}"))
                .expected(format!("{snapshots} snapshots"))
                .got(shown(&deleted))
        })
    }
}

/// Checks that the outcomes of a put are as `expected`. A difference breaks the obligation `id`.
pub(super) fn outcomes_are(
    id: &'static str,
    what: &str,
    outcomes: &[PutOutcome],
    expected: &[PutOutcome],
) -> Result<(), Stop> {
    ensure(outcomes == expected, || {
        Failure::new(id, what).expected(shown(&expected)).got(shown(&outcomes))
    })
}
