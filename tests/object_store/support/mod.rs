//! What the tests share: wrappers of an object store, records, and the checker of histories.

pub(crate) mod counted;
pub(crate) mod legal;
pub(crate) mod unreliable;

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{Lookup, PutOptions, PutOutcome, Query};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};

pub(crate) const ROOT: &str = "app";

pub(crate) fn key(id: &str) -> AggregateKey {
    AggregateKey::from_parts("t", "account", id).unwrap()
}

pub(crate) fn id(version: u64) -> SnapshotId {
    id_of(1, version)
}

pub(crate) fn id_of(fingerprint: u64, version: u64) -> SnapshotId {
    SnapshotId { generation: Generation { schema_version: 1, fingerprint }, version }
}

/// A record whose payload is `bytes` long and starts with `content`.
pub(crate) fn record(key: &AggregateKey, id: SnapshotId, content: u64, bytes: usize) -> Record {
    let as_of = Timestamp::from_seconds(i64::try_from(id.version).unwrap());
    let mut payload = content.to_le_bytes().to_vec();
    payload.resize(bytes.max(8), 0xa5);
    let builder = RecordBuilder::new(key.clone(), id.generation, id.version, as_of);
    builder.build(&payload).unwrap()
}

/// The same on each run: with time that only passes when everything waits.
pub(crate) fn run<T>(seed: u64, test: impl Future<Output = T>) -> T {
    fastrand::seed(seed);
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(test)
}

pub(crate) async fn opened(objects: &(impl ObjectStore + Clone)) -> ObjectStoreSnapshots {
    opened_with(objects, ObjectStoreOptions::new()).await
}

pub(crate) async fn opened_with(
    objects: &(impl ObjectStore + Clone),
    options: ObjectStoreOptions,
) -> ObjectStoreSnapshots {
    let objects = Arc::new(objects.clone());
    ObjectStoreSnapshots::open_with(objects, ROOT, options).await.unwrap()
}

pub(crate) async fn put(store: &ObjectStoreSnapshots, record: &Record) -> PutOutcome {
    store.put(vec![record.clone()], PutOptions::default()).await.unwrap()[0]
}

pub(crate) async fn get(
    store: &ObjectStoreSnapshots,
    key: &AggregateKey,
    id: SnapshotId,
) -> Option<Record> {
    match store.get(Query::exact(key, id)).await.unwrap() {
        Lookup::Found(found) => Some(found.record),
        _ => None,
    }
}

/// The names of all objects in a folder below the root.
pub(crate) async fn names(objects: &dyn ObjectStore, folder: &str) -> Vec<Path> {
    let folder = Path::from(format!("{ROOT}/{folder}"));
    let listed: Vec<_> = objects.list(Some(&folder)).try_collect().await.unwrap();
    listed.into_iter().map(|object| object.location).collect()
}

pub(crate) async fn bytes(objects: &dyn ObjectStore, path: &Path) -> Vec<u8> {
    objects.get(path).await.unwrap().bytes().await.unwrap().to_vec()
}

pub(crate) fn index_of(key: &AggregateKey) -> Path {
    Path::from(format!("{ROOT}/x/{}/{}/{}", key.tenant(), key.kind(), key.id()))
}
