//! The store in object storage: several handles on one bucket, requests that fail and come late, and
//! an eye on each index that is written.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use fastrand::Rng;
use futures_util::FutureExt as _;
use object_store::ObjectStore;
use object_store::path::Path;
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Erased, KeysRequest, ListRequest, Lookup,
    MarkChange, Page, PutOptions, PutOutcome, Query, Rewrite, Selection,
};
use snapfold::{AggregateKey, Error, SnapshotId, SnapshotStore};

use crate::model::Book;
use crate::unreliable::{Mishap, Unreliable};

const READY: &str = "objects in memory do not wait";
const HANDLES: usize = 3;

/// A bucket, and who uses it.
pub(crate) struct Objects {
    pub(crate) requests: Unreliable,
    /// Sees the bucket as it is.
    pub(crate) eye: Arc<ObjectStoreSnapshots>,
    pub(crate) turns: Turns,
}

impl Objects {
    pub(crate) fn new(seed: u64, book: &Arc<Book>) -> Self {
        let mut rng = Rng::with_seed(seed.rotate_left(32));
        fastrand::seed(seed);
        let highest = [
            (Mishap::Lost, 0.25),
            (Mishap::Misreported, 0.25),
            (Mishap::Conflict, 0.25),
            (Mishap::Refused, 0.25),
            (Mishap::Late, 0.25),
            (Mishap::Twice, 0.25),
            (Mishap::Hung, 0.02),
            (Mishap::Denied, 0.02),
            (Mishap::DeniedAfter, 0.02),
        ];
        let rates = highest.into_iter().filter(|_| rng.bool()).collect::<Vec<_>>();
        let rates = rates.into_iter().map(|(mishap, rate)| (mishap, rate * rng.f64())).collect();
        let requests = Unreliable::new(seed, rates);
        let inline = if rng.bool() { 0 } else { 64 << 10 };
        let options = ObjectStoreOptions::new()
            .timeout(Duration::from_secs(rng.u64(1..4)))
            .inline_limit(inline);
        let open = |objects: Arc<dyn ObjectStore>| {
            let opened = ObjectStoreSnapshots::open_with(objects, "", options.clone());
            opened.now_or_never().expect(READY).unwrap()
        };
        let handles = (0..HANDLES).map(|_| open(Arc::new(requests.clone()))).collect();
        let turns = Turns { handles, next: Arc::default() };
        let eye = Arc::new(open(requests.inner.clone()));
        let (book, of_model) = (Arc::clone(book), Arc::clone(&eye));
        requests.listen(move |path| see(&book, &of_model, path));
        requests.on(true);
        Self { requests, eye, turns }
    }

    /// What befell the requests, as the coverage names it.
    pub(crate) fn met(&self) -> impl Iterator<Item = (String, u64)> {
        self.requests.counts().into_iter().map(|(mishap, count)| {
            let what = match mishap {
                Mishap::Lost => "an answer that was lost".to_owned(),
                Mishap::Misreported => "a success that was reported as a conflict".to_owned(),
                Mishap::Conflict => "a conflict with nobody".to_owned(),
                Mishap::Late => "a late request".to_owned(),
                Mishap::Twice => "a repeated request".to_owned(),
                other => format!("{other:?}").to_lowercase(),
            };
            (format!("objects: {what}"), count)
        })
    }
}

/// Tells the model what a request has changed.
fn see(book: &Arc<Book>, eye: &ObjectStoreSnapshots, path: &Path) {
    if !path.as_ref().starts_with("x/") {
        return;
    }
    let name = path.as_ref().replace('~', "/").replace("/2f", "/");
    let named = |key: &&AggregateKey| name.ends_with(&format!("{}/{}", key.tenant(), tail(key)));
    let Some(key) = book.keys.iter().rev().find(named) else { return };
    let index = book.index(key);
    let all = ListRequest::new(key).limit(usize::MAX);
    let metas = eye.list(all).now_or_never().expect(READY).unwrap().items;
    let there = |id| metas.iter().any(|meta: &SnapshotMeta| meta.id() == id);
    let gone: Vec<_> = {
        let model = book.lock();
        model.of_key(index).map(|(id, _)| id).filter(|id| !there(*id)).collect()
    };
    if !gone.is_empty() {
        book.were_deleted(index, &gone);
    }
    for meta in &metas {
        let found = eye.get(Query::exact(key, meta.id())).now_or_never().expect(READY).unwrap();
        let Lookup::Found(found) = found else { continue };
        let was = book.lock().truth.get(&(index, meta.id())).map(|was| was.record.clone());
        let outcome = match was {
            Some(was) if was == found.record => continue,
            Some(_) => PutOutcome::Replaced,
            None => PutOutcome::Stored,
        };
        if found.record.header().is_err() {
            book.violate("R11", format!("{} has an index and no record", meta.id()));
            continue;
        }
        book.was_put(&found.record, outcome, meta.is_pinned());
    }
    book.were_marked(&metas);
}

fn tail(key: &AggregateKey) -> String {
    format!("{}/{}", key.kind(), key.id())
}

/// Handles that are used in turn: what one has in memory, another one has changed.
#[derive(Clone)]
pub(crate) struct Turns {
    handles: Vec<ObjectStoreSnapshots>,
    next: Arc<AtomicUsize>,
}

impl Turns {
    fn next(&self) -> &ObjectStoreSnapshots {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % HANDLES]
    }
}

#[async_trait]
impl SnapshotStore for Turns {
    fn capabilities(&self) -> Capabilities {
        self.handles[0].capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.next().put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.next().get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.next().list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.next().keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.next().delete(key, selection, options).await
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        self.next().delete_many(selected, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.next().mark(key, selection, change).await
    }

    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        self.next().erase(key).await
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        self.next().rewrite(rewrites).await
    }
}

impl fmt::Debug for Turns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Turns")
    }
}
