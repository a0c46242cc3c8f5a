//! [`Mutant`]: a lie, told by overriding one answer of the truth.

use std::fmt;

use async_trait::async_trait;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Rewrite, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId, SnapshotStore};
use tokio::task::yield_now;

use super::disk::Disk;
use super::truth::Truth;

pub(crate) type Outcomes = Result<Vec<PutOutcome>, Error>;
pub(crate) type Answer = Result<Lookup, Error>;
pub(crate) type Metas = Result<Page<SnapshotMeta, SnapshotId>, Error>;
pub(crate) type Keys = Result<Page<AggregateKey, Cursor>, Error>;
pub(crate) type Erased = Result<Deleted, Error>;
pub(crate) type Receipt = Result<snapfold::store::Erased, Error>;
pub(crate) type Marked = Result<u64, Error>;
pub(crate) type Rewritten = Result<Vec<bool>, Error>;
pub(crate) type Pages = Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error>;
pub(crate) type AllErased = Result<Vec<Deleted>, Error>;
pub(crate) type Answers = Result<Vec<Lookup>, Error>;

/// Each method tells the truth unless it is overridden. A mutant's own fields are the memory of
/// the process: made anew whenever the store is opened.
pub(crate) trait Mutant: Default + Send + Sync + 'static {
    fn capabilities(&self) -> Capabilities {
        Truth::capabilities()
    }

    /// Where the snapshots of a key are kept.
    fn place(key: &AggregateKey) -> AggregateKey {
        key.clone()
    }

    /// What opening does to what is stored.
    fn opened(_: &mut Disk) {}

    /// Called when a put is polled for the first time. What it returns is kept until the put has
    /// returned, and dropped with it if it is cut off.
    fn begins(&self, _: &[Record], _: &PutOptions) -> Option<CutOff> {
        None
    }

    fn put(
        &self,
        truth: &Truth,
        records: Vec<Record>,
        options: &PutOptions,
    ) -> impl Future<Output = Outcomes> + Send {
        async move { truth.put(records, options) }
    }

    fn get(&self, truth: &Truth, query: Query<'_>) -> impl Future<Output = Answer> + Send {
        async move { Ok(truth.get(query)) }
    }

    fn list(&self, truth: &Truth, request: ListRequest<'_>) -> impl Future<Output = Metas> + Send {
        async move { Ok(truth.list(request)) }
    }

    fn keys(&self, truth: &Truth, request: KeysRequest<'_>) -> impl Future<Output = Keys> + Send {
        async move { truth.keys(request) }
    }

    fn get_many(
        &self,
        truth: &Truth,
        queries: &[Query<'_>],
    ) -> impl Future<Output = Answers> + Send {
        async move {
            let mut answers = Vec::new();
            for query in queries {
                answers.push(self.get(truth, *query).await?);
            }
            Ok(answers)
        }
    }

    fn list_many(
        &self,
        truth: &Truth,
        requests: &[ListRequest<'_>],
    ) -> impl Future<Output = Pages> + Send {
        async move {
            let mut pages = Vec::new();
            for request in requests {
                pages.push(self.list(truth, *request).await?);
            }
            Ok(pages)
        }
    }

    fn delete_many(
        &self,
        truth: &Truth,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> impl Future<Output = AllErased> + Send {
        async move {
            let mut deleted = Vec::new();
            for (key, ids) in selected {
                let selection = Selection::Ids(ids);
                deleted.push(self.delete_with(truth, key, selection, options).await?);
            }
            Ok(deleted)
        }
    }

    /// Of what no mark and no delta keeps.
    fn delete(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
    ) -> impl Future<Output = Erased> + Send {
        async move { Ok(truth.delete(key, selection)) }
    }

    fn delete_with(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> impl Future<Output = Erased> + Send {
        async move {
            let (ids, Deleted { pinned, needed, .. }) = truth.doomed(key, selection, options);
            let all = pinned + needed == 0;
            let selection = if all { selection } else { Selection::Ids(&ids) };
            Ok(self.delete(truth, key, selection).await?.kept(pinned, needed))
        }
    }

    fn mark(
        &self,
        truth: &Truth,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> impl Future<Output = Marked> + Send {
        async move { truth.mark(key, selection, change) }
    }

    fn erase(&self, truth: &Truth, key: &AggregateKey) -> impl Future<Output = Receipt> + Send {
        // Not by `delete`, whose lies are other ones.
        async move { Ok(snapfold::store::Erased::new(truth.delete(key, Selection::All), [])) }
    }

    fn rewrite(
        &self,
        truth: &Truth,
        rewrites: Vec<Rewrite>,
    ) -> impl Future<Output = Rewritten> + Send {
        async move {
            if self.capabilities().rewrites {
                return truth.rewrite(&rewrites);
            }
            Err(Error::new(ErrorKind::Unsupported, "rewrite snapshots", "no rewrites"))
        }
    }
}

/// Runs when a put is dropped before it has returned.
pub(crate) struct CutOff(Option<Box<dyn FnOnce() + Send>>);

impl CutOff {
    pub(crate) fn new(run: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(run)))
    }

    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for CutOff {
    fn drop(&mut self) {
        if let Some(run) = self.0.take() {
            run();
        }
    }
}

/// Tells no lie.
#[derive(Default)]
pub(crate) struct Honest;

impl Mutant for Honest {}

/// A mutant as the store that it pretends to be. Other tasks get their turn before and after each
/// call, as they would at a real store.
pub(crate) struct Store<M> {
    pub(crate) mutant: M,
    pub(crate) truth: Truth,
}

#[async_trait]
impl<M: Mutant> SnapshotStore for Store<M> {
    fn capabilities(&self) -> Capabilities {
        self.mutant.capabilities()
    }

    async fn put(&self, records: Vec<Record>, options: PutOptions) -> Outcomes {
        let cut_off = self.mutant.begins(&records, &options);
        yield_now().await;
        let outcomes = self.mutant.put(&self.truth, records, &options).await;
        yield_now().await;
        if let Some(cut_off) = cut_off {
            cut_off.disarm();
        }
        outcomes
    }

    async fn get(&self, query: Query<'_>) -> Answer {
        yield_now().await;
        let answer = self.mutant.get(&self.truth, query).await;
        yield_now().await;
        answer
    }

    async fn list(&self, request: ListRequest<'_>) -> Metas {
        yield_now().await;
        let page = self.mutant.list(&self.truth, request).await;
        yield_now().await;
        page
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Keys {
        yield_now().await;
        let page = self.mutant.keys(&self.truth, request).await;
        yield_now().await;
        page
    }

    async fn get_many(&self, queries: &[Query<'_>]) -> Answers {
        yield_now().await;
        let answers = self.mutant.get_many(&self.truth, queries).await;
        yield_now().await;
        answers
    }

    async fn list_many(&self, requests: &[ListRequest<'_>]) -> Pages {
        yield_now().await;
        let pages = self.mutant.list_many(&self.truth, requests).await;
        yield_now().await;
        pages
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> AllErased {
        yield_now().await;
        let deleted = self.mutant.delete_many(&self.truth, selected, options).await;
        yield_now().await;
        deleted
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Erased {
        yield_now().await;
        let deleted = self.mutant.delete_with(&self.truth, key, selection, options).await;
        yield_now().await;
        deleted
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Marked {
        yield_now().await;
        let changed = self.mutant.mark(&self.truth, key, selection, change).await;
        yield_now().await;
        changed
    }

    async fn erase(&self, key: &AggregateKey) -> Receipt {
        yield_now().await;
        let erased = self.mutant.erase(&self.truth, key).await;
        yield_now().await;
        erased
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Rewritten {
        yield_now().await;
        let rewritten = self.mutant.rewrite(&self.truth, rewrites).await;
        yield_now().await;
        rewritten
    }
}

impl<M> fmt::Debug for Store<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::any::type_name::<M>())
    }
}
