//! Artifacts in a directory that several handles have open.

use std::sync::Arc;

use async_trait::async_trait;
use snapfold::BoxError;
use snapfold::artifact::ArtifactStore;
use snapfold::conformance::{self, ArtifactFactory, ArtifactSite};
use snapfold::file::FileArtifacts;
use tempfile::TempDir;

struct InFiles;
struct Place(TempDir);

#[async_trait]
impl ArtifactFactory for InFiles {
    async fn site(&self) -> Result<Arc<dyn ArtifactSite>, BoxError> {
        Ok(Arc::new(Place(tempfile::tempdir()?)))
    }
}

#[async_trait]
impl ArtifactSite for Place {
    async fn open(&self) -> Result<Arc<dyn ArtifactStore>, BoxError> {
        Ok(Arc::new(FileArtifacts::open(self.0.path())?))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn artifacts_in_files_keep_every_obligation() {
    let card = conformance::artifacts(&InFiles).await.into_result().unwrap();
    // Nothing is skipped but what needs URLs.
    let skipped: Vec<_> = card.skipped().map(|(_, needs)| needs).collect();
    assert!(skipped.iter().all(|needs| needs.starts_with("ArtifactCapabilities::signs_")));
    assert_eq!((skipped.len(), card.store_name()), (11, "file"), "{card}");
}
