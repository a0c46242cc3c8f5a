//! What every store has on top: pages, the newest of a key, a copy to another store.

use async_trait::async_trait;
use snapfold::codec::CodecId;
use snapfold::record::{Base, Generation, Record, RecordBuilder, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Mark,
    MarkChange, Marks, Page, PutOptions, PutOutcome, Query, Selection, SnapshotStoreExt,
};
use snapfold::{AggregateKey, Error, ErrorKind, MemoryStore, SnapshotId, SnapshotStore, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn builder(key: &AggregateKey, version: u64) -> RecordBuilder {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    RecordBuilder::new(key.clone(), GENERATION, version, at).codec(CodecId::custom(1))
}

fn ids(versions: &[u64]) -> Vec<SnapshotId> {
    versions
        .iter()
        .map(|version| SnapshotId { generation: GENERATION, version: *version })
        .collect()
}

async fn filled(key: &AggregateKey) -> MemoryStore {
    let store = MemoryStore::new();
    let mut records: Vec<_> = (1..=9).map(|v| builder(key, v).build(b"state").unwrap()).collect();
    records[4] = builder(key, 5).base(Base { version: 2, checksum: 1 }).build(b"delta").unwrap();
    store.put(records, PutOptions::default()).await.unwrap();
    let pin = Mark::pin("audit", Timestamp::from_seconds(1));
    let retirement = Mark::retirement("wrong fold", Timestamp::from_seconds(2)).note("why");
    let pinned = ids(&[1, 2, 7]);
    store.mark(key, Selection::Ids(&pinned), MarkChange::Set(&pin)).await.unwrap();
    let retired = ids(&[7, 9]);
    store.mark(key, Selection::Ids(&retired), MarkChange::Set(&retirement)).await.unwrap();
    store
}

#[tokio::test]
async fn a_copy_has_every_record_and_every_mark() {
    // Documents of snapfold itself too.
    for kind in ["account", "snapfold.lease"] {
        let key = AggregateKey::from_stored("north", kind, "a").unwrap();
        let (from, to) = (filled(&key).await, MemoryStore::new());
        let copied = from.copy_key(&key, &to).await.unwrap();
        assert_eq!((copied.stored, copied.existing, copied.different), (9, 0, 0));
        let all = ListRequest::new(&key);
        assert_eq!(to.list_all(all).await.unwrap(), from.list_all(all).await.unwrap());
        for id in ids(&[1, 5, 9]) {
            let query = Query::exact(&key, id);
            assert_eq!(to.get(query).await.unwrap(), from.get(query).await.unwrap());
        }
        let again = from.copy_key(&key, &to).await.unwrap();
        assert_eq!((again.stored, again.existing, again.different), (0, 9, 0));
    }
}

#[tokio::test]
async fn what_is_there_already_and_differs_stays_and_is_told() {
    let key = AggregateKey::new("account", "a").unwrap();
    let (from, to) = (filled(&key).await, MemoryStore::new());
    let other = builder(&key, 3).build(b"another state").unwrap();
    to.put(vec![other.clone()], PutOptions::default()).await.unwrap();
    let copied = from.copy_key(&key, &to).await.unwrap();
    assert_eq!((copied.stored, copied.existing, copied.different), (8, 1, 1));
    let found = to.get(Query::exact(&key, ids(&[3])[0])).await.unwrap();
    assert_eq!(found.into_record(), Some(other));
}

#[tokio::test]
async fn pages_lead_to_the_end_and_the_newest_is_the_newest() {
    let key = AggregateKey::new("account", "a").unwrap();
    let store = filled(&key).await;
    let mut pages = store.list_pages(ListRequest::new(&key).limit(4));
    let mut versions = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        versions.push(page.iter().map(|meta| meta.version).collect::<Vec<_>>());
    }
    assert_eq!(versions, [vec![9, 8, 7, 6], vec![5, 4, 3, 2], vec![1]]);
    assert_eq!(pages.next().await.unwrap(), None);
    assert_eq!(store.newest(&key).await.unwrap().unwrap().version, 9, "retired or not");
    let nobody = AggregateKey::new("account", "nobody").unwrap();
    assert_eq!(store.newest(&nobody).await.unwrap(), None);
    for n in 0..5 {
        let key = AggregateKey::new("account", &format!("b{n}")).unwrap();
        let records = vec![builder(&key, 1).build(b"state").unwrap()];
        store.put(records, PutOptions::default()).await.unwrap();
    }
    let mut pages = store.key_pages(KeysRequest::new().limit(2));
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        keys.extend(page);
    }
    assert_eq!((keys.len(), pages.cursor()), (6, None));
}

/// Keeps no marks, and begins every page at the beginning.
#[derive(Debug)]
struct Plain(MemoryStore);

#[async_trait]
impl SnapshotStore for Plain {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("plain")
    }

    async fn put(&self, all: Vec<Record>, options: PutOptions) -> Result<Vec<PutOutcome>, Error> {
        options.refuse_marks()?;
        self.0.put(all, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.0.get(query).await
    }

    async fn list(
        &self,
        mut request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        request.after = None;
        self.0.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        let mut request = request;
        request.after = None;
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

#[tokio::test]
async fn a_store_that_stands_still_is_an_error_and_no_end_and_no_loop() {
    let key = AggregateKey::new("account", "a").unwrap();
    let store = Plain(filled(&key).await);
    let error = store.list_all(ListRequest::new(&key).limit(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let other = AggregateKey::new("account", "b").unwrap();
    let record = builder(&other, 1).build(b"state").unwrap();
    store.put(vec![record], PutOptions::default()).await.unwrap();
    let mut pages = store.key_pages(KeysRequest::new().limit(1));
    assert_eq!(pages.next().await.unwrap(), Some(vec![key]));
    assert_eq!(pages.next().await.unwrap_err().kind(), ErrorKind::Store);
}

#[tokio::test]
async fn marks_are_not_lost_on_the_way_to_a_store_without_them() {
    let key = AggregateKey::new("account", "a").unwrap();
    let from = filled(&key).await;
    let to = Plain(MemoryStore::new());
    let error = from.copy_key(&key, &to).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let mark = Mark::pin("audit", Timestamp::from_seconds(1));
    let error = to.mark(&key, Selection::All, MarkChange::Set(&mark)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    let options = PutOptions::default().marks(Marks::new([mark]).unwrap());
    assert_eq!(options.refuse_marks().unwrap_err().kind(), ErrorKind::Unsupported);
}
