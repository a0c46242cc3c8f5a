//! A move that ends at any of its steps: by an error before or after the step took effect, or
//! because its future is dropped there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use snapfold::layer::TieredStore;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Mark,
    MarkChange, Marks, Page, PutOptions, PutOutcome, Query, Selection, SnapshotStoreExt,
};
use snapfold::{AggregateKey, Error, ErrorKind, MemoryStore, SnapshotId, SnapshotStore, Timestamp};

use super::{Tiers, at, builder, delta, id, key, put, record};

#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    FailsBefore,
    FailsAfter,
    IsDroppedBefore,
    IsDroppedAfter,
}

/// Lets a number of calls pass, together with the other tier. Then each call ends in the same way.
#[derive(Debug)]
struct Stepping {
    inner: MemoryStore,
    left: Arc<AtomicUsize>,
    end: End,
}

impl Stepping {
    async fn step<T: Send>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send,
    ) -> Result<T, Error> {
        let passes = |left: usize| left.checked_sub(1);
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, passes).is_ok() {
            return call.await;
        }
        if matches!(self.end, End::FailsAfter | End::IsDroppedAfter) {
            call.await?;
        }
        match self.end {
            End::FailsBefore | End::FailsAfter => {
                Err(Error::new(ErrorKind::Store, "take a step", "the tier died"))
            }
            End::IsDroppedBefore | End::IsDroppedAfter => std::future::pending().await,
        }
    }
}

#[async_trait]
impl SnapshotStore for Stepping {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.step(self.inner.put(records, options)).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.step(self.inner.get(query)).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.step(self.inner.list(request)).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.step(self.inner.keys(request)).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.step(self.inner.delete(key, selection, options)).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.step(self.inner.mark(key, selection, change)).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Call {
    Archive,
    Restore,
    Delete,
}

impl Call {
    async fn run(self, store: &TieredStore) -> Result<(), Error> {
        let key = key();
        match self {
            Self::Archive => store.archive(&key, Timestamp::MAX).await.map(drop),
            Self::Restore => store.restore(&key, Selection::All).await.map(drop),
            Self::Delete => {
                let options = DeleteOptions::default();
                store.delete(&key, Selection::Below(45), options).await.map(drop)
            }
        }
    }
}

/// Snapshots with pins, deltas, and an old copy in the cold tier with other bytes and marks.
async fn world(call: Call) -> Tiers {
    let tiers = Tiers::with(&[10, 40, 100], &[]).await;
    put(&tiers.hot, [delta(20, 10), delta(30, 10)]).await;
    let marks = |name: &str| Marks::new([Mark::pin(name, at(1))]).unwrap();
    let options = PutOptions::default();
    tiers.hot.put(vec![record(50)], options.clone().marks(marks("kept"))).await.unwrap();
    if call == Call::Archive {
        let old = vec![builder(40).build(b"old").unwrap(), builder(50).build(b"old").unwrap()];
        tiers.cold.put(old, options.marks(marks("of the old copy"))).await.unwrap();
    } else {
        tiers.store.archive(&key(), Timestamp::MAX).await.unwrap();
        let moved = tiers.cold.get(Query::exact(&key(), id(40))).await.unwrap();
        // A restore had begun.
        put(&tiers.hot, moved.into_record()).await;
        let replace = options.replace(true);
        tiers.store.put(vec![builder(40).build(b"new").unwrap()], replace).await.unwrap();
    }
    tiers
}

type Contents = BTreeMap<SnapshotId, (Option<Record>, Marks)>;

async fn contents(store: &impl SnapshotStore) -> Contents {
    let key = key();
    let mut contents = Contents::new();
    for meta in store.list_all(ListRequest::new(&key)).await.unwrap() {
        let record = store.get(Query::exact(&key, meta.id())).await.unwrap().into_record();
        contents.insert(meta.id(), (record, meta.marks));
    }
    contents
}

async fn each_step(call: Call, end: End) -> usize {
    let mut finished = world(call).await;
    let before = contents(&finished.store).await;
    assert_eq!(before.len(), 6);
    call.run(&finished.store).await.unwrap();
    let [hot, cold] = [contents(&finished.hot).await, contents(&finished.cold).await];
    let after = contents(&finished.store).await;
    for steps in 0.. {
        finished = world(call).await;
        let left = Arc::new(AtomicUsize::new(steps));
        let step =
            |inner: &MemoryStore| Stepping { inner: inner.clone(), left: Arc::clone(&left), end };
        let store = TieredStore::new(step(&finished.hot), step(&finished.cold));
        let ended = {
            let mut running = std::pin::pin!(call.run(&store));
            poll_once(running.as_mut()).await
        };
        // Another process, after a crash.
        let again = TieredStore::new(finished.hot.clone(), finished.cold.clone());
        let seen = contents(&again).await;
        if call == Call::Delete {
            // Each snapshot is as before or deleted. None is older than before.
            for (id, there) in &seen {
                assert_eq!(before.get(id), Some(there), "{call:?} {end:?} {steps}");
            }
        } else {
            assert_eq!(seen, before, "{call:?} {end:?} at step {steps}");
        }
        call.run(&again).await.unwrap();
        let now = [contents(&finished.hot).await, contents(&finished.cold).await];
        assert_eq!(now, [hot.clone(), cold.clone()], "{call:?} {end:?} again after {steps}");
        assert_eq!(contents(&again).await, after);
        if let Some(Ok(())) = ended {
            return steps;
        }
        let is_error = matches!(ended, Some(Err(_)));
        assert_eq!(is_error, matches!(end, End::FailsBefore | End::FailsAfter), "{end:?}");
    }
    unreachable!("the call never ends")
}

/// Polls a future once. Nothing in memory waits.
pub async fn poll_once<T>(mut running: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
    std::future::poll_fn(|context| match running.as_mut().poll(context) {
        std::task::Poll::Ready(ended) => std::task::Poll::Ready(Some(ended)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test]
async fn a_move_or_delete_that_ends_at_any_step_loses_nothing_and_can_be_repeated() {
    for call in [Call::Archive, Call::Restore, Call::Delete] {
        let ends = [End::FailsBefore, End::FailsAfter, End::IsDroppedBefore, End::IsDroppedAfter];
        for end in ends {
            let steps = each_step(call, end).await;
            println!("{call:?} {end:?}: {steps} steps");
            assert!(steps > if call == Call::Delete { 4 } else { 10 }, "{call:?}: {steps} steps");
        }
    }
}
