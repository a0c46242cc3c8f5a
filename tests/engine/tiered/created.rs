//! Keys that are selected by creation time, where the tiers know different ones.

use std::collections::BTreeMap;

use async_trait::async_trait;
use snapfold::layer::TieredStore;
use snapfold::record::{Record, RecordBuilder, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, MarkChange,
    Page, PutOptions, PutOutcome, Query, Selection, SnapshotStoreExt,
};
use snapfold::{AggregateKey, Error, MemoryStore, SnapshotId, SnapshotStore, Timestamp};

use super::{NEW, at, put};

/// Lists only the keys that have a snapshot within the bounds.
#[derive(Clone, Debug, Default)]
struct Exact(MemoryStore);

#[async_trait]
impl SnapshotStore for Exact {
    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
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
        let mut items = Vec::new();
        for key in self.0.keys(request.limit(usize::MAX)).await?.items {
            let metas = self.0.list_all(ListRequest::new(&key)).await?;
            if metas.iter().any(|meta| request.admits_created_at(meta.created_at)) {
                items.push(key);
            }
        }
        let more = items.len() > request.limit;
        items.truncate(request.limit);
        let next = items.last().filter(|_| more).map(Cursor::of_key);
        Ok(Page::new(items, next))
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.0.delete(key, selection, options).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        self.0.mark(key, selection, change).await
    }
}

fn key_of(number: u64) -> AggregateKey {
    AggregateKey::new("account", &format!("{number:03}")).unwrap()
}

fn record(number: u64, version: u64, created: u64) -> Record {
    let builder = RecordBuilder::new(key_of(number), NEW, version, at(version));
    builder.created_at(at(created)).build(b"").unwrap()
}

#[tokio::test]
async fn each_key_within_the_bounds_is_listed_once_while_snapshots_are_archived() {
    let (mut found, mut moved) = (0, 0);
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (hot, cold) = (Exact::default(), Exact::default());
        let store = TieredStore::new(hot.clone(), cold.clone());
        let mut request = KeysRequest::new().limit(random.usize(1..8));
        if random.bool() {
            request = request.created_from(at(random.u64(1..10)));
        }
        if random.bool() {
            request = request.created_before(at(random.u64(1..10)));
        }
        let mut expected = BTreeMap::new();
        for number in 0..30 {
            for version in 1..random.u64(1..6) {
                let created = random.u64(0..10);
                let tier = if random.bool() { &hot } else { &cold };
                put(tier, [record(number, version, created)]).await;
                if request.admits_created_at(at(created)) {
                    expected.insert(key_of(number), 1);
                }
            }
        }
        found += expected.len();
        let mut listed = BTreeMap::new();
        let mut pages = store.key_pages(request);
        while let Some(page) = pages.next().await.unwrap() {
            assert!(page.len() <= request.limit);
            for key in page {
                *listed.entry(key).or_insert(0) += 1;
            }
            let number = random.u64(..30);
            moved += store.archive(&key_of(number), Timestamp::MAX).await.unwrap().moved;
        }
        // Others may be listed too, but nothing twice.
        assert!(listed.values().all(|times| *times == 1), "seed {seed}: {listed:?}");
        listed.retain(|key, _| expected.contains_key(key));
        assert_eq!(listed, expected, "seed {seed}, {request:?}");
    }
    assert!(found > 1_000 && moved > 500, "{found} {moved}");
}

#[tokio::test]
async fn archiving_examines_only_what_is_old_enough_if_the_hot_tier_knows() {
    let (hot, cold) = (Exact::default(), Exact::default());
    for number in 0..20 {
        let created = if number % 4 == 0 { 1 } else { 100 };
        put(&hot, [record(number, 1, created), record(number, 2, 100)]).await;
    }
    let store = TieredStore::new(hot, cold.clone());
    let report = store.archive_all(KeysRequest::new(), at(100)).await.unwrap();
    assert_eq!((report.keys, report.moved, report.next), (5, 5, None));
    // A stricter bound of the caller stays.
    let request = KeysRequest::new().created_before(at(1));
    assert_eq!(store.archive_all(request, Timestamp::MAX).await.unwrap().keys, 0);
}
