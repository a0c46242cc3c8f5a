//! Implements [`SnapshotStore`] for [`TieredStore`].

use async_trait::async_trait;

use super::TieredStore;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Erased, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Rewrite, Selection, SnapshotStore,
};

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl SnapshotStore for TieredStore {
    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.put_where_it_is(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.find(query).await
    }

    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        self.find_many(queries).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.list_both(request).await
    }

    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        self.list_both_many(requests).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.keys_of_both(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.delete_both(key, selection, options).await
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let mut deleted = Vec::with_capacity(selected.len());
        for (key, ids) in selected {
            deleted.push(self.delete_both(key, Selection::Ids(ids), options).await?);
        }
        Ok(deleted)
    }

    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        // The cold store first, so that nothing can be restored from it, and once more for what was
        // archived before the hot one was erased.
        let cold = self.cold.erase(key).await?;
        let hot = self.hot.erase(key).await?;
        Ok(cold.and(hot).and(self.cold.erase(key).await?))
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.mark_both(key, selection, change).await
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        self.rewrite_where_it_is(rewrites).await
    }
}
