//! The kit over publications in several stores.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::conformance::{self, PublicationFactory};
use snapfold::publication::{PublicationStore, StorePublications};
use snapfold::{BoxError, MemoryStore, SnapshotStore};
use tempfile::TempDir;

use super::yields::Yields;

/// Publications in what the function makes. Directories live as long as the factory.
struct In<S>(S, Mutex<Vec<TempDir>>);

#[async_trait]
impl<S> PublicationFactory for In<S>
where
    S: Fn(&TempDir) -> Box<dyn Fn() -> Arc<dyn SnapshotStore> + Send> + Send + Sync,
{
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn PublicationStore>>, BoxError> {
        let dir = tempfile::tempdir()?;
        let open = (self.0)(&dir);
        self.1.lock().unwrap().push(dir);
        let node = || Arc::new(StorePublications::new(open())) as Arc<dyn PublicationStore>;
        Ok((0..count).map(|_| node()).collect())
    }
}

async fn keeps_every_obligation<S>(open: S)
where
    S: Fn(&TempDir) -> Box<dyn Fn() -> Arc<dyn SnapshotStore> + Send> + Send + Sync,
{
    let card = conformance::publications(&In(open, Mutex::default())).await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert_eq!(card.skipped().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_in_memory_keep_every_obligation() {
    keeps_every_obligation(|_| {
        let store = Arc::new(MemoryStore::new());
        Box::new(move || Arc::clone(&store) as _)
    })
    .await;
}

#[tokio::test]
async fn publications_keep_every_obligation_when_calls_interleave_at_each_step() {
    keeps_every_obligation(|_| {
        let store = Arc::new(Yields(Arc::new(MemoryStore::new())));
        Box::new(move || Arc::clone(&store) as _)
    })
    .await;
}

#[cfg(feature = "file")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_in_files_keep_every_obligation() {
    keeps_every_obligation(|dir| {
        let store = snapfold::file::FileStore::open(dir.path().join("store")).unwrap();
        let store = Arc::new(Yields(Arc::new(store)));
        Box::new(move || Arc::clone(&store) as _)
    })
    .await;
}

/// Each node with a handle of its own, as in another process.
#[cfg(feature = "object-store")]
struct InBucket;

#[cfg(feature = "object-store")]
#[async_trait]
impl PublicationFactory for InBucket {
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn PublicationStore>>, BoxError> {
        let bucket = Arc::new(object_store::memory::InMemory::new());
        let mut nodes: Vec<Arc<dyn PublicationStore>> = Vec::new();
        for _ in 0..count {
            let bucket = Arc::clone(&bucket);
            let store = snapfold::object_store::ObjectStoreSnapshots::open(bucket, "kit").await?;
            nodes.push(Arc::new(StorePublications::new(store)));
        }
        Ok(nodes)
    }
}

#[cfg(feature = "object-store")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publications_in_object_storage_keep_every_obligation() {
    let card = conformance::publications(&InBucket).await;
    println!("{card:#}");
    card.into_result().unwrap();
}
