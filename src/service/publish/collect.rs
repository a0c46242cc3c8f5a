//! Removing artifacts to which no publication refers.

use std::collections::BTreeMap;
use std::time::Duration;

use super::publisher::Publisher;
use super::refusal::{PublishError, PublishRefusal};
use crate::artifact::ArtifactId;
use crate::error::{Error, ErrorKind, Retry};
use crate::publication::{ArtifactRemoval, Publication, PublicationStatus, PublicationsRequest};

const COLLECT: &str = "collect artifacts";
/// How many artifacts are compared with the publications at once, in memory.
const CANDIDATES: usize = 65_536;
const PAGE: usize = 1_000;
/// How many publications are read at once.
const PUBLICATIONS: usize = 256;
/// For how long one removal is worked on.
const WORK: Duration = Duration::from_secs(5 * 60);
/// After this time, the removal of somebody else who did not finish is continued.
const GRACE: Duration = Duration::from_secs(10 * 60);
/// The time limit of one delete. It is far below the grace, so that a request that was given up has
/// ended before somebody else continues.
const DELETE_WITHIN: Duration = Duration::from_secs(10);

/// What a [collection](Publisher::collect) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublishCollection {
    /// How many artifacts were removed.
    pub artifacts: u64,
    /// How many bytes they had.
    pub bytes: u64,
    /// Whether somebody else is removing artifacts of the project, so that this call stopped.
    pub is_elsewhere: bool,
}

/// Artifacts, with their sizes.
type Candidates = BTreeMap<ArtifactId, u64>;

impl Publisher {
    /// Removes the artifacts of a project to which no publication refers: those of publications that
    /// have failed or were deleted, and those that arrived and were never recorded. Pending
    /// publications refer to their artifacts, too.
    ///
    /// Call it now and then for each project, on one node or on several. **It removes whatever the
    /// artifact store has in this project and no publication refers to.** If the application keeps
    /// other artifacts, give them another tenant or another store.
    ///
    /// It reads all publications of the project once for 65,536 artifacts, and once more for each
    /// 1,000 that seem to be in vain. A [`finalize`](Self::finalize) that needs one of these is
    /// refused meanwhile ([`PublishRefusal::Removing`]), and can be repeated at once. Must run on a
    /// tokio runtime with time enabled.
    ///
    /// # Cancel safety
    /// If the future is dropped or the process ends, the artifacts that were about to be removed
    /// stay as they are, and are refused for up to 15 minutes. Then another call continues.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) if the store of publications keeps no
    /// [removals](crate::publication::PublicationStore::removal);
    /// [`Timeout`](ErrorKind::Timeout) if a delete takes longer than 10 seconds; those of the stores.
    pub async fn collect(&self, project: &str) -> Result<PublishCollection, Error> {
        let mut collection = PublishCollection::default();
        if let Some(left) = self.0.publications.removal(project).await?
            && !left.artifacts.is_empty()
        {
            if self.now() <= left.until.saturating_add(GRACE) {
                collection.is_elsewhere = true;
                return Ok(collection);
            }
            // Their sizes are not known any more.
            let candidates = left.artifacts.iter().map(|id| (*id, 0)).collect();
            self.remove(project, Some(left), candidates, &mut collection).await?;
        }
        let mut after = None;
        while !collection.is_elsewhere {
            let mut candidates = self.candidates(project, &mut after).await?;
            self.keep_unreferenced(project, &mut candidates).await?;
            while !candidates.is_empty() && !collection.is_elsewhere {
                let rest = match candidates.keys().nth(ArtifactRemoval::MAX_ARTIFACTS).copied() {
                    Some(first) => candidates.split_off(&first),
                    None => Candidates::new(),
                };
                let last = self.0.publications.removal(project).await?;
                let of_others = last.as_ref().is_some_and(|last| !last.artifacts.is_empty());
                if of_others {
                    collection.is_elsewhere = true;
                    break;
                }
                self.remove(project, last, candidates, &mut collection).await?;
                candidates = rest;
            }
            if after.is_none() {
                break;
            }
        }
        Ok(collection)
    }

    /// Fails if one of the publication's artifacts is being removed.
    ///
    /// The publication must be as it is stored, so that its references were durable before. Then
    /// either its removal began before this call, and is seen here; or it begins later, and the last
    /// look at the publications sees the references; or it has ended, and whoever verifies the
    /// artifacts after this call sees that they are gone.
    pub(super) async fn check_removal(
        &self,
        publication: &Publication,
    ) -> Result<(), PublishError> {
        let Some(removal) = self.0.publications.removal(&publication.project).await? else {
            return Ok(());
        };
        if referred(publication).any(|id| removal.artifacts.contains(&id)) {
            return Err(PublishRefusal::Removing.into());
        }
        Ok(())
    }

    /// Reads the next artifacts after `after`, which becomes `None` at the end.
    async fn candidates(
        &self,
        project: &str,
        after: &mut Option<ArtifactId>,
    ) -> Result<Candidates, Error> {
        let mut candidates = Candidates::new();
        loop {
            let page = self.0.artifacts.list(project, after.as_ref(), PAGE).await?;
            candidates.extend(page.items.iter().map(|item| (item.id, item.size)));
            *after = page.next;
            if after.is_none() || candidates.len() >= CANDIDATES {
                return Ok(candidates);
            }
        }
    }

    /// Leaves only those to which no publication refers.
    async fn keep_unreferenced(
        &self,
        project: &str,
        candidates: &mut Candidates,
    ) -> Result<(), Error> {
        let mut after = None;
        while !candidates.is_empty() {
            let mut request =
                PublicationsRequest::new(project).completed(false).limit(PUBLICATIONS);
            request.after = after;
            let page = self.0.publications.list(request).await?;
            for publication in &page.items {
                if matches!(publication.status, PublicationStatus::Failed(_)) {
                    continue;
                }
                for id in referred(publication) {
                    candidates.remove(&id);
                }
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// Removes the candidates to which still no publication refers. At most as many as a removal can
    /// have.
    async fn remove(
        &self,
        project: &str,
        last: Option<ArtifactRemoval>,
        mut candidates: Candidates,
        collection: &mut PublishCollection,
    ) -> Result<(), Error> {
        let until = self.now().saturating_add(WORK);
        let removal = ArtifactRemoval::after(last.as_ref(), candidates.keys().copied(), until);
        let publications = &self.0.publications;
        if !publications.replace_removal(project, &removal).await? {
            collection.is_elsewhere = true;
            return Ok(());
        }
        // The last look. It must come after the removal is stored.
        self.keep_unreferenced(project, &mut candidates).await?;
        for (id, size) in candidates {
            // If somebody has continued this removal, it may have ended, and the artifact be needed.
            let is_own = publications.removal(project).await?.as_ref() == Some(&removal);
            if !is_own || self.now() > until {
                collection.is_elsewhere = true;
                return Ok(());
            }
            self.delete(project, &id).await?;
            collection.artifacts += 1;
            collection.bytes = collection.bytes.saturating_add(size);
        }
        // Nothing is on its way any more.
        let end = ArtifactRemoval::after(Some(&removal), [], until);
        if !publications.replace_removal(project, &end).await? {
            collection.is_elsewhere = true;
        }
        Ok(())
    }

    async fn delete(&self, project: &str, id: &ArtifactId) -> Result<(), Error> {
        let deleted = self.0.artifacts.delete(project, id);
        tokio::time::timeout(DELETE_WITHIN, deleted).await.unwrap_or_else(|_| {
            let message = format!("a delete took longer than {DELETE_WITHIN:?}");
            Err(Error::new(ErrorKind::Timeout, COLLECT, message).with_retry(Retry::Later))
        })
    }
}

/// The artifacts to which a publication refers.
fn referred(publication: &Publication) -> impl Iterator<Item = ArtifactId> {
    publication
        .parts
        .values()
        .flat_map(|part| part.sha256.into_iter().chain(part.stored.as_ref().map(|it| it.id)))
}
