//! A store of publications in memory, which can be down, and a store of artifacts that signs nothing.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use snapfold::artifact::{
    Artifact, ArtifactCapabilities, ArtifactContent, ArtifactId, ArtifactOutcome, ArtifactStore,
    FoundArtifact, ListedArtifact, MemoryArtifacts,
};
use snapfold::publication::{
    Publication, PublicationCreated, PublicationId, PublicationStore, PublicationsRequest,
    StorePublications,
};
use snapfold::store::Page;
use snapfold::{Error, ErrorKind, MemoryStore, Retry, Timestamp};

/// Clones share everything.
#[derive(Clone, Debug)]
pub struct Shelf {
    inner: StorePublications,
    pub is_down: Arc<AtomicBool>,
}

impl Shelf {
    pub fn new() -> Self {
        Self { inner: StorePublications::new(MemoryStore::new()), is_down: Arc::default() }
    }

    /// Each call waits once before it works, so that a test can drop it there.
    async fn enter(&self) -> Result<(), Error> {
        tokio::task::yield_now().await;
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, "ask", "it is down").with_retry(Retry::Later));
        }
        Ok(())
    }

    /// All publications of `north`, newest first.
    pub async fn all(&self) -> Vec<Publication> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let mut request = PublicationsRequest::new("north").completed(false);
            request.after = after;
            let page = self.inner.list(request).await.unwrap();
            all.extend(page.items);
            after = page.next;
            if after.is_none() {
                return all;
            }
        }
    }
}

#[async_trait]
impl PublicationStore for Shelf {
    async fn create(&self, new: &Publication) -> Result<PublicationCreated, Error> {
        self.enter().await?;
        self.inner.create(new).await
    }

    async fn get(&self, project: &str, id: PublicationId) -> Result<Option<Publication>, Error> {
        self.enter().await?;
        self.inner.get(project, id).await
    }

    async fn replace(&self, newer: &Publication) -> Result<bool, Error> {
        self.enter().await?;
        self.inner.replace(newer).await
    }

    async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error> {
        self.enter().await?;
        self.inner.list(request).await
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Publication>, Error> {
        self.enter().await?;
        self.inner.expired(now, limit).await
    }

    async fn delete(&self, project: &str, id: PublicationId) -> Result<(), Error> {
        self.enter().await?;
        self.inner.delete(project, id).await
    }
}

/// Artifacts that pass through the application.
#[derive(Clone, Debug)]
pub struct Plain(pub MemoryArtifacts);

#[async_trait]
impl ArtifactStore for Plain {
    fn capabilities(&self) -> ArtifactCapabilities {
        ArtifactCapabilities::new("plain").max_bytes(1 << 20)
    }

    async fn put(
        &self,
        tenant: &str,
        artifact: &Artifact,
        content: ArtifactContent,
    ) -> Result<ArtifactOutcome, Error> {
        tokio::task::yield_now().await;
        self.0.put(tenant, artifact, content).await
    }

    async fn head(&self, tenant: &str, id: &ArtifactId) -> Result<Option<Artifact>, Error> {
        tokio::task::yield_now().await;
        self.0.head(tenant, id).await
    }

    async fn get(
        &self,
        tenant: &str,
        id: &ArtifactId,
        range: Option<Range<u64>>,
    ) -> Result<Option<FoundArtifact>, Error> {
        self.0.get(tenant, id, range).await
    }

    async fn delete(&self, tenant: &str, id: &ArtifactId) -> Result<(), Error> {
        self.0.delete(tenant, id).await
    }

    async fn list(
        &self,
        tenant: &str,
        after: Option<&ArtifactId>,
        limit: usize,
    ) -> Result<Page<ListedArtifact, ArtifactId>, Error> {
        self.0.list(tenant, after, limit).await
    }
}
