//! Artifacts in memory.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use snapfold::artifact::{
    Artifact, ArtifactOutcome, ArtifactStore, MemoryArtifacts, SignedDownload, SignedUpload, Upload,
};
use snapfold::conformance::{self, ArtifactFactory, ArtifactSite};
use snapfold::engine::ManualClock;
use snapfold::{BoxError, Timestamp};

struct InMemory;
struct Place(MemoryArtifacts);

#[async_trait]
impl ArtifactFactory for InMemory {
    async fn site(&self) -> Result<Arc<dyn ArtifactSite>, BoxError> {
        Ok(Arc::new(Place(MemoryArtifacts::new())))
    }
}

#[async_trait]
impl ArtifactSite for Place {
    async fn open(&self) -> Result<Arc<dyn ArtifactStore>, BoxError> {
        Ok(Arc::new(self.0.clone()))
    }

    async fn send(&self, upload: &SignedUpload, content: Bytes) -> Result<bool, BoxError> {
        Ok(self.0.receive(&upload.url, content))
    }

    async fn fetch(&self, download: &SignedDownload) -> Result<Option<Bytes>, BoxError> {
        Ok(self.0.serve(&download.url))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_in_memory_keep_every_obligation() {
    let card = conformance::artifacts(&InMemory).await.into_result().unwrap();
    let skipped: Vec<_> = card.skipped().map(|(_, needs)| needs).collect();
    assert_eq!(skipped, ["ArtifactCapabilities::durable"]);
    assert_eq!(card.store_name(), "memory");
}

#[tokio::test]
async fn urls_expire_and_a_sweep_goes_by_the_time_of_arrival() {
    let clock = ManualClock::at(Timestamp::from_seconds(100));
    let store = MemoryArtifacts::with_clock(Arc::new(clock.clone()));
    let minute = Duration::from_secs(60);
    let (early, late) = (Artifact::of(b"early"), Artifact::of(b"late"));
    let [early, late] = [&early, &late].map(|artifact| Upload::new("t", "u", artifact));
    let first = store.upload(early, minute).await.unwrap();
    let second = store.upload(late, minute).await.unwrap();
    assert_eq!(first.expires_at, Timestamp::from_seconds(160));
    assert!(first.single_use && store.receive(&first.url, "early"));
    assert!(!store.receive(&first.url, "again"));
    clock.advance(minute);
    assert!(store.receive(&second.url, "late"), "valid until the end");
    let at = Timestamp::from_seconds(160);
    assert_eq!(store.sweep(Timestamp::from_seconds(100)).await.unwrap(), 0);
    assert_eq!(store.sweep(at).await.unwrap(), 1);
    assert_eq!(store.finish(early).await.unwrap(), ArtifactOutcome::Missing);
    assert_eq!(store.finish(late).await.unwrap(), ArtifactOutcome::Stored);
    assert_eq!(store.list("t", None, 5).await.unwrap().items[0].stored_at, at);
    let download = store.download("t", &late.artifact.id, minute, None).await.unwrap();
    assert_eq!(store.serve(&download.url).unwrap(), "late");
    clock.advance(minute + Duration::from_micros(1));
    assert_eq!(store.serve(&download.url), None);
    assert!(!store.receive(&second.url, "late"));
    for url in ["", "memory:upload/", "memory:upload/zz/00/00?5", "memory:download/?5"] {
        assert!(!store.receive(url, "x") && store.serve(url).is_none(), "{url}");
    }
}
