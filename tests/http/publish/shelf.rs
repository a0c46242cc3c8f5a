//! A store of publications in memory, which can be down, and a store of artifacts that signs nothing.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use snapfold::artifact::{
    Artifact, ArtifactCapabilities, ArtifactContent, ArtifactId, ArtifactOutcome, ArtifactStore,
    FoundArtifact, ListedArtifact, MemoryArtifacts,
};
use snapfold::publication::{
    Publication, PublicationCreated, PublicationId, PublicationStatus, PublicationStore,
    PublicationsRequest,
};
use snapfold::store::Page;
use snapfold::{Error, ErrorKind, Retry, Timestamp};

/// Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    held: Arc<Mutex<BTreeMap<(String, PublicationId), Publication>>>,
    pub is_down: Arc<AtomicBool>,
}

impl Shelf {
    /// Each call waits once before it works, so that a test can drop it there.
    async fn enter(&self) -> Result<(), Error> {
        tokio::task::yield_now().await;
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Error::new(ErrorKind::Store, "ask", "it is down").with_retry(Retry::Later));
        }
        Ok(())
    }

    pub fn all(&self) -> Vec<Publication> {
        self.held.lock().unwrap().values().cloned().collect()
    }
}

#[async_trait]
impl PublicationStore for Shelf {
    async fn create(&self, new: &Publication) -> Result<PublicationCreated, Error> {
        new.check()?;
        self.enter().await?;
        let mut held = self.held.lock().unwrap();
        let is_same = |it: &&Publication| {
            let has_key = new.request_key.is_some() && it.request_key == new.request_key;
            let failed = matches!(it.status, PublicationStatus::Failed(_));
            it.project == new.project && (it.id == new.id || has_key && !failed)
        };
        if let Some(found) = held.values().find(is_same) {
            return Ok(PublicationCreated::Existing(Box::new(found.clone())));
        }
        held.insert((new.project.clone(), new.id), new.clone());
        Ok(PublicationCreated::New)
    }

    async fn get(&self, project: &str, id: PublicationId) -> Result<Option<Publication>, Error> {
        Publication::check_project(project)?;
        self.enter().await?;
        Ok(self.held.lock().unwrap().get(&(project.to_owned(), id)).cloned())
    }

    async fn replace(&self, newer: &Publication) -> Result<bool, Error> {
        newer.check()?;
        self.enter().await?;
        let mut held = self.held.lock().unwrap();
        let Some(old) = held.get_mut(&(newer.project.clone(), newer.id)) else { return Ok(false) };
        if old == newer {
            return Ok(true);
        }
        if old.revision + 1 != newer.revision || old.status != PublicationStatus::Generating {
            return Ok(false);
        }
        old.check_unchanged(newer)?;
        *old = newer.clone();
        Ok(true)
    }

    async fn list(
        &self,
        request: PublicationsRequest<'_>,
    ) -> Result<Page<Publication, PublicationId>, Error> {
        self.enter().await?;
        let held = self.held.lock().unwrap();
        let fits = |it: &&Publication| {
            it.project == request.project && request.after.is_none_or(|after| it.id < after)
        };
        let mut found = held.values().rev().filter(fits);
        // What is looked at counts, so that pages are short or empty.
        let looked: Vec<_> = found.by_ref().take(request.limit.max(1)).collect();
        let next = found.next().and(looked.last()).map(|last| last.id);
        let items = looked.into_iter().filter(|it| request.admits(it)).cloned().collect();
        Ok(Page::new(items, next))
    }

    async fn expired(&self, now: Timestamp, limit: usize) -> Result<Vec<Publication>, Error> {
        self.enter().await?;
        let held = self.held.lock().unwrap();
        let is_over = |it: &&Publication| {
            it.status == PublicationStatus::Generating && it.expires_at <= now
        };
        Ok(held.values().filter(is_over).take(limit.max(1)).cloned().collect())
    }

    async fn delete(&self, project: &str, id: PublicationId) -> Result<(), Error> {
        self.enter().await?;
        self.held.lock().unwrap().remove(&(project.to_owned(), id));
        Ok(())
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
