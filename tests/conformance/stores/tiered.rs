//! `TieredStore` under the kit: alone, with moves between the tiers after every few puts, and with
//! the worst layout of the tiers: the newest snapshots in the cold one, and copies in both.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::conformance::{self, Conformance, StoreFactory};
use snapfold::layer::TieredStore;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Rewrite, Selection, SnapshotStoreExt,
};
use snapfold::{AggregateKey, Error, MemoryStore, SnapshotId, SnapshotStore, Timestamp};
use tokio::sync::RwLock;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moves {
    /// By the methods of the store, while other calls run.
    Archived,
    /// By hand, while no other call runs: any half of the snapshots, the newest too. Some stay in
    /// both tiers.
    Scattered,
}

/// Moves snapshots of an aggregate after each put to it.
#[derive(Debug)]
struct Moving {
    store: TieredStore,
    hot: Arc<dyn SnapshotStore>,
    cold: Arc<dyn SnapshotStore>,
    how: Moves,
    random: Mutex<fastrand::Rng>,
    quiet: RwLock<()>,
    count: Arc<AtomicU64>,
}

impl Moving {
    fn new(
        how: Moves,
        seed: u64,
        count: &Arc<AtomicU64>,
        [hot, cold]: [Arc<dyn SnapshotStore>; 2],
    ) -> Self {
        Self {
            store: TieredStore::new(Arc::clone(&hot), Arc::clone(&cold)),
            hot,
            cold,
            how,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            quiet: RwLock::new(()),
            count: Arc::clone(count),
        }
    }

    fn chance(&self, one_in: u32) -> bool {
        self.random.lock().unwrap().u32(..one_in) == 0
    }

    async fn shuffle(&self, key: &AggregateKey) -> Result<(), Error> {
        if self.how == Moves::Archived {
            if self.chance(3) {
                let report = self.store.archive(key, Timestamp::MAX).await?;
                self.count.fetch_add(report.moved, Ordering::SeqCst);
            }
            if self.chance(6) {
                let cold = self.cold.list(ListRequest::new(key)).await?.items;
                let ids = cold.iter().map(SnapshotMeta::id).filter(|_| self.chance(2));
                let ids: Vec<_> = ids.collect();
                self.store.restore(key, Selection::Ids(&ids)).await?;
            }
            return Ok(());
        }
        let _quiet = self.quiet.write().await;
        let (from, to) =
            if self.chance(4) { (&self.cold, &self.hot) } else { (&self.hot, &self.cold) };
        let mut metas = from.list_all(ListRequest::new(key)).await?;
        metas.reverse();
        for meta in metas {
            // The copy in `hot` counts, so an old one in `cold` must not replace it.
            let is_there = to.get(Query::exact(key, meta.id())).await?.into_record().is_some();
            if is_there && !self.chance(2) || self.chance(2) {
                continue;
            }
            let ids = [meta.id()];
            if is_there && self.hot.list_all(ListRequest::new(key)).await?.len() > 1 {
                let all = DeleteOptions::default().overrule_pins(true);
                self.cold.delete(key, Selection::Ids(&ids), all).await?;
                continue;
            }
            let Some(record) = from.get(Query::exact(key, meta.id())).await?.into_record() else {
                continue;
            };
            to.put(vec![record], PutOptions::default().marks(meta.marks)).await?;
            self.count.fetch_add(1, Ordering::SeqCst);
            if !self.chance(4) {
                let all = DeleteOptions::default().overrule_pins(true);
                from.delete(key, Selection::Ids(&ids), all).await?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SnapshotStore for Moving {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let keys: BTreeSet<_> = records
            .iter()
            .filter_map(|record| record.header().ok())
            .filter_map(|header| {
                AggregateKey::from_stored(header.tenant, header.kind, header.id).ok()
            })
            .collect();
        let outcomes = {
            let _quiet = self.quiet.read().await;
            self.store.put(records, options).await?
        };
        for key in keys {
            self.shuffle(&key).await?;
        }
        Ok(outcomes)
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        let _quiet = self.quiet.read().await;
        self.store.rewrite(rewrites).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let _quiet = self.quiet.read().await;
        self.store.get(query).await
    }

    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        let _quiet = self.quiet.read().await;
        self.store.get_many(queries).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let _quiet = self.quiet.read().await;
        self.store.list(request).await
    }

    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        let _quiet = self.quiet.read().await;
        self.store.list_many(requests).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        let _quiet = self.quiet.read().await;
        self.store.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let _quiet = self.quiet.read().await;
        self.store.delete(key, selection, options).await
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let _quiet = self.quiet.read().await;
        self.store.delete_many(selected, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        let _quiet = self.quiet.read().await;
        self.store.mark(key, selection, change).await
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Limits {
    OfMemory,
    #[cfg(feature = "object-store")]
    OfObjects,
}

async fn prove(factory: &impl StoreFactory, scale: usize, limits: Limits) {
    let card = Conformance::of(factory).scale(scale).run().await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert_eq!(card.store_name(), "tiered");
    let missing: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    let mut explained = BTreeSet::from([
        // A tier is in memory.
        "Capabilities::durable",
        "Site::damage",
        "Site::damage_header",
        "Site::fail_writes",
        "a limit on versions",
    ]);
    if limits == Limits::OfMemory {
        explained.extend(["a limit on the length of keys", "a record limit of at most 64 MiB"]);
    } else {
        explained.insert("Capabilities::ordered_deletes");
    }
    assert_eq!(missing, explained);
}

fn memory() -> Arc<dyn SnapshotStore> {
    Arc::new(MemoryStore::new())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tiered_store_keeps_every_promise() {
    let make = || Arc::new(TieredStore::new(MemoryStore::new(), MemoryStore::new()));
    prove(&conformance::in_memory(make), 20_000, Limits::OfMemory).await;
}

async fn prove_while_moving(
    how: Moves,
    cold: impl Fn() -> Arc<dyn SnapshotStore> + Send + Sync,
    limits: Limits,
) {
    let (seeds, count) = (AtomicU64::new(1), Arc::new(AtomicU64::new(0)));
    let make = || {
        let seed = seeds.fetch_add(1, Ordering::SeqCst);
        Arc::new(Moving::new(how, seed, &count, [memory(), cold()]))
    };
    prove(&conformance::in_memory(make), 2_000, limits).await;
    let count = count.load(Ordering::SeqCst);
    assert!(count > 1_000, "only {count} snapshots were moved");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_them_while_snapshots_are_archived_and_restored() {
    prove_while_moving(Moves::Archived, memory, Limits::OfMemory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_them_however_the_snapshots_are_scattered() {
    prove_while_moving(Moves::Scattered, memory, Limits::OfMemory).await;
}

#[cfg(feature = "object-store")]
fn bucket() -> Arc<dyn SnapshotStore> {
    use futures_util::FutureExt as _;
    let bucket = Arc::new(object_store::memory::InMemory::new());
    let opened = snapfold::object_store::ObjectStoreSnapshots::open(bucket, "cold");
    // Nothing in memory has to be waited for.
    Arc::new(opened.now_or_never().unwrap().unwrap())
}

#[cfg(feature = "object-store")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_keeps_them_with_old_snapshots_in_object_storage() {
    prove_while_moving(Moves::Archived, bucket, Limits::OfObjects).await;
    prove_while_moving(Moves::Scattered, bucket, Limits::OfObjects).await;
}
