//! [`Limited`]: the memory store with other capabilities, and without what is optional.

use async_trait::async_trait;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, MemoryStore, SnapshotId, SnapshotStore};

/// Has no other methods than those that every store has.
#[derive(Debug)]
pub struct Limited(pub MemoryStore, pub Capabilities);

#[async_trait]
impl SnapshotStore for Limited {
    fn capabilities(&self) -> Capabilities {
        self.1
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.0.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.0.get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.0.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.0.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.0.delete(key, selection, options).await
    }
}
