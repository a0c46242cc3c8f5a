//! What lies below the faults and above them: [`Disk`], where records really are, and [`Front`],
//! what one process sees of it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::layer::{Fault, FaultyStore};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Rewrite, Selection,
};
use snapfold::{AggregateKey, Error, SnapshotId, SnapshotStore};
use tokio::sync::watch;

use crate::model::Book;

/// Keeps the records, and tells the model of each change.
#[derive(Clone)]
pub(crate) struct Disk {
    pub(crate) inner: Arc<dyn SnapshotStore>,
    pub(crate) book: Arc<Book>,
}

#[async_trait]
impl SnapshotStore for Disk {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let pins = options.marks.is_pinned();
        let outcomes = self.inner.put(records.clone(), options).await?;
        for (record, outcome) in records.iter().zip(&outcomes) {
            self.book.was_put(record, *outcome, pins);
        }
        Ok(outcomes)
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.inner.get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.inner.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.inner.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let deleted = self.inner.delete(key, selection, options).await?;
        let index = self.book.index(key);
        let gone = self.book.lock().gone(index, |id, stored| {
            selection.admits(id) && (!stored.is_pinned || options.overrule_pins)
        });
        assert_eq!(gone.len() as u64, deleted.snapshots, "the model lost its way");
        if deleted.needed > 0 {
            self.book.met("a base that stayed");
        }
        if !gone.is_empty() {
            self.book.were_deleted(index, &gone);
        }
        Ok(deleted)
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        let changed = self.inner.mark(key, selection, change).await?;
        let metas = self.inner.list(ListRequest::new(key).limit(usize::MAX)).await?.items;
        self.book.were_marked(&metas);
        Ok(changed)
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        let rewritten = self.inner.rewrite(rewrites.clone()).await?;
        for (rewrite, _) in rewrites.iter().zip(&rewritten).filter(|(_, done)| **done) {
            self.book.was_rewritten(&rewrite.record);
        }
        Ok(rewritten)
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Disk")
    }
}

/// The store as one process sees it. When the process dies, its calls never answer, and what they
/// have not done yet is not done any more.
#[derive(Clone)]
pub(crate) struct Front {
    pub(crate) store: FaultyStore,
    pub(crate) book: Arc<Book>,
    pub(crate) died: watch::Receiver<bool>,
}

impl Front {
    async fn pass<T>(&self, call: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut died = self.died.clone();
        let end = async move { drop(died.wait_for(|died| *died).await) };
        let result = tokio::select! {
            biased;
            () = end => std::future::pending().await,
            result = call => result,
        };
        let report = self.store.report();
        let mut model = self.book.lock();
        model.failures += u64::from(result.is_err());
        model.stale = report.count(Fault::Stale);
        model.damaged = report.count(Fault::Torn) + report.count(Fault::Flipped);
        drop(model);
        if let Err(error) = &result {
            self.book.note(&format!("  store: {error}"));
        }
        result
    }
}

#[async_trait]
impl SnapshotStore for Front {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let outcomes = self.pass(self.store.put(records.clone(), options.clone())).await?;
        if self.book.loses {
            let mut model = self.book.lock();
            for record in &records {
                let meta = SnapshotMeta::from_header(&record.header().unwrap()).unwrap();
                let id = self.book.id_of(&meta);
                let there = model.truth.get(&id);
                if there.is_none_or(|there| options.replace && there.record != *record) {
                    model.lost.insert(id);
                }
            }
        }
        Ok(outcomes)
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.pass(self.store.get(query)).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.pass(self.store.list(request)).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.pass(self.store.keys(request)).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.pass(self.store.delete(key, selection, options)).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.pass(self.store.mark(key, selection, change)).await
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        self.pass(self.store.rewrite(rewrites)).await
    }
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Front")
    }
}
