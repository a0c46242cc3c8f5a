//! Every obligation of an artifact store, on Ceph.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use snapfold::BoxError;
use snapfold::artifact::{ArtifactStore, SignedDownload, SignedUpload};
use snapfold::conformance::{self, ArtifactFactory, ArtifactSite};

use crate::Site;

struct Sites {
    first: Site,
    signs: bool,
}

struct Place {
    site: Site,
    signs: bool,
}

fn sites(signs: bool) -> Sites {
    Sites { first: Site::new(), signs }
}

#[async_trait]
impl ArtifactFactory for Sites {
    async fn site(&self) -> Result<Arc<dyn ArtifactSite>, BoxError> {
        Ok(Arc::new(Place { site: self.first.elsewhere(), signs: self.signs }))
    }
}

#[async_trait]
impl ArtifactSite for Place {
    async fn open(&self) -> Result<Arc<dyn ArtifactStore>, BoxError> {
        Ok(Arc::new(if self.signs { self.site.store() } else { self.site.unsigned() }))
    }

    async fn send(&self, upload: &SignedUpload, content: Bytes) -> Result<bool, BoxError> {
        Ok(self.site.send(upload, content).await == "200")
    }

    async fn fetch(&self, download: &SignedDownload) -> Result<Option<Bytes>, BoxError> {
        let answer = self.site.get(&download.url).await;
        if answer.status() == 404 {
            return Ok(None);
        }
        Ok(Some(answer.error_for_status()?.bytes().await?))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_signs_keeps_every_obligation() {
    let card = conformance::artifacts(&sites(true)).await.into_result().unwrap();
    assert_eq!(card.skipped().count(), 0, "{card}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_does_not_sign_keeps_every_obligation() {
    let card = conformance::artifacts(&sites(false)).await.into_result().unwrap();
    let all_sign = card.skipped().all(|(_, needs)| needs.contains("::signs_"));
    assert!(all_sign, "{card}");
}
