//! A store whose calls wait before and after they do something, so that tasks interleave and a
//! dropped call ends at each of these moments.

use std::sync::Arc;

use async_trait::async_trait;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, SnapshotId, SnapshotStore};
use tokio::task::yield_now;

#[derive(Clone, Debug)]
pub(super) struct Yields(pub(super) Arc<dyn SnapshotStore>);

#[async_trait]
impl SnapshotStore for Yields {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let mut outcomes = Vec::new();
        // One after the other, because a batch need not be atomic.
        for record in records {
            yield_now().await;
            outcomes.extend(self.0.put(vec![record], options.clone()).await?);
        }
        yield_now().await;
        Ok(outcomes)
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        yield_now().await;
        let found = self.0.get(query).await;
        yield_now().await;
        found
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        yield_now().await;
        let page = self.0.list(request).await;
        yield_now().await;
        page
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
        yield_now().await;
        let deleted = self.0.delete(key, selection, options).await;
        yield_now().await;
        deleted
    }
}
