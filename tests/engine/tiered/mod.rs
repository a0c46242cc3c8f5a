//! A store over two stores answers like one store, whatever lies where.
//!
//! The defect: a snapshot that is lost while it is moved, one that comes back after it was deleted
//! or replaced because an old copy lay in the other tier, a delta whose base was deleted because
//! nobody looked into the other tier, or a load that misses the newest snapshot because the first
//! tier had an older one.

mod copies;
mod created;
mod listing;
mod replay;
mod steps;

use snapfold::layer::TieredStore;
use snapfold::record::{Base, Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, ListRequest, Lookup, Mark, Marks, PutOptions, Query, Selection, SnapshotStoreExt,
};
use snapfold::{AggregateKey, MemoryStore, SnapshotId, SnapshotStore, Timestamp};

pub const NEW: Generation = Generation { schema_version: 2, fingerprint: 7 };
pub const OLD: Generation = Generation { schema_version: 1, fingerprint: 7 };

pub fn key() -> AggregateKey {
    AggregateKey::new("account", "a").unwrap()
}

pub fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: NEW, version }
}

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap())
}

/// A snapshot that is as old as its version.
pub fn builder(version: u64) -> RecordBuilder {
    RecordBuilder::new(key(), NEW, version, at(version)).created_at(at(version))
}

pub fn record(version: u64) -> Record {
    builder(version).build(format!("state {version}").as_bytes()).unwrap()
}

pub fn delta(version: u64, base: u64) -> Record {
    builder(version).base(Base { version: base, checksum: 1 }).build(b"delta").unwrap()
}

/// A tiered store, and direct access to its tiers.
pub struct Tiers {
    pub store: TieredStore,
    pub hot: MemoryStore,
    pub cold: MemoryStore,
}

impl Tiers {
    pub fn new() -> Self {
        let (hot, cold) = (MemoryStore::new(), MemoryStore::new());
        Self { store: TieredStore::new(hot.clone(), cold.clone()), hot, cold }
    }

    /// With these versions in each tier, all put directly.
    pub async fn with(hot: &[u64], cold: &[u64]) -> Self {
        let tiers = Self::new();
        for (store, versions) in [(&tiers.hot, hot), (&tiers.cold, cold)] {
            put(store, versions.iter().map(|version| record(*version))).await;
        }
        tiers
    }

    pub async fn versions(&self) -> [Vec<u64>; 2] {
        [versions(&self.hot).await, versions(&self.cold).await]
    }
}

pub async fn put(store: &impl SnapshotStore, records: impl IntoIterator<Item = Record>) {
    store.put(records.into_iter().collect(), PutOptions::default()).await.unwrap();
}

/// The versions that a store lists, lowest first.
pub async fn versions(store: &impl SnapshotStore) -> Vec<u64> {
    let metas = store.list_all(ListRequest::new(&key())).await.unwrap();
    metas.iter().rev().map(|meta| meta.version).collect()
}

pub async fn found(store: &impl SnapshotStore, query: Query<'_>) -> Option<u64> {
    match store.get(query).await.unwrap() {
        Lookup::Found(found) => Some(found.version),
        _ => None,
    }
}

pub fn pinned() -> PutOptions {
    PutOptions::default().marks(Marks::new([Mark::pin("audit", at(1))]).unwrap())
}

pub async fn delete(store: &impl SnapshotStore, selection: Selection<'_>) -> (u64, u64, u64) {
    let deleted = store.delete(&key(), selection, DeleteOptions::default()).await.unwrap();
    (deleted.snapshots, deleted.pinned, deleted.needed)
}
