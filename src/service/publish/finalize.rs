//! Completing a publication.

use std::collections::BTreeMap;

use super::publisher::{MAX_TURNS, Publisher, overtaken};
use super::refusal::{PublishError, PublishRefusal, WrongPart};
use crate::artifact::{Artifact, Upload};
use crate::error::Error;
use crate::publication::{Publication, PublicationId, PublicationPart, PublicationStatus};

impl Publisher {
    /// Checks that all artifacts are stored and are what was declared, and completes the publication.
    /// One that is completed already is returned as it is, so that the call can be repeated.
    ///
    /// Nothing that a client or a storage says about an upload is believed: content that was sent
    /// straight to the storage is read and hashed ([`ArtifactStore::finish`]). What is missing or
    /// wrong is said, and can be sent until the publication expires.
    ///
    /// [`ArtifactStore::finish`]: crate::artifact::ArtifactStore::finish
    ///
    /// # Errors
    /// [`PublishRefusal::Unknown`], [`Failed`](PublishRefusal::Failed),
    /// [`Incomplete`](PublishRefusal::Incomplete) or [`Removing`](PublishRefusal::Removing), or a
    /// store failed.
    pub async fn finalize(
        &self,
        project: &str,
        id: PublicationId,
        by: &str,
    ) -> Result<Publication, PublishError> {
        for _ in 0..MAX_TURNS {
            let mut publication = match self.pending(project, id).await {
                Err(PublishError::Refused(PublishRefusal::Completed)) => {
                    // The first call may have failed when it told the observers.
                    let completed = self.known(project, id).await?;
                    self.announce(&completed).await?;
                    return Ok(completed);
                }
                found => found?,
            };
            // Before the artifacts are verified.
            self.check_removal(&publication).await?;
            let before = publication.clone();
            let mut wrong = BTreeMap::new();
            let name = id.to_string();
            for (part_name, part) in &mut publication.parts {
                match self.verified(project, &name, part).await? {
                    Ok(artifact) => part.stored = Some(artifact),
                    Err(it) => {
                        part.stored = None;
                        wrong.insert(part_name.clone(), it);
                    }
                }
            }
            if wrong.is_empty() {
                wrong = self.take_records(&publication).await?;
            }
            if !wrong.is_empty() {
                // What was checked is kept, and what is gone can be sent again.
                if publication.parts != before.parts {
                    publication.revision = publication.revision.saturating_add(1);
                    if !self.0.publications.replace(&publication).await? {
                        continue;
                    }
                }
                return Err(PublishRefusal::Incomplete(wrong).into());
            }
            let now = self.now();
            if now >= publication.expires_at {
                // The checks took too long. The next turn ends it.
                continue;
            }
            publication.status = PublicationStatus::Completed;
            publication.ended_at = Some(now);
            if let Some(completed) = self.changed(publication, by).await? {
                return Ok(completed);
            }
        }
        Err(overtaken().into())
    }

    /// The stored artifact of a part, or what is wrong with it.
    async fn verified(
        &self,
        project: &str,
        upload: &str,
        part: &PublicationPart,
    ) -> Result<Result<Artifact, WrongPart>, Error> {
        if let Some(stored) = &part.stored {
            // Somebody may have deleted it since.
            let found = self.0.artifacts.head(project, &stored.id).await?;
            if found.is_some_and(|found| found.size == stored.size) {
                return Ok(Ok(stored.clone()));
            }
        }
        let Some(declared) = part.declared() else { return Ok(Err(WrongPart::Missing)) };
        let outcome = self.0.artifacts.finish(Upload::new(project, upload, &declared)).await?;
        if let Some(wrong) = WrongPart::of(outcome) {
            return Ok(Err(wrong));
        }
        // The size of one that was stored before was not compared with the declared one.
        match self.0.artifacts.head(project, &declared.id).await? {
            Some(found) if found.size == declared.size => Ok(Ok(declared)),
            Some(found) => Ok(Err(WrongPart::Size { found: found.size })),
            None => Ok(Err(WrongPart::Missing)),
        }
    }
}
