//! Beginning a publication.

use std::collections::BTreeMap;
use std::time::Duration;

use super::publisher::{MAX_TURNS, Publisher, overtaken};
use super::refusal::{PublishError, PublishRefusal};
use super::request::{PartUpload, PublishRequest, Published};
use crate::artifact::{Artifact, Upload};
use crate::error::{Error, ErrorKind};
use crate::publication::{
    Publication, PublicationCreated, PublicationFailure, PublicationId, PublicationPart,
    PublicationStatus, PublicationsRequest,
};

impl Publisher {
    /// Begins a publication for the principal `by`, and says how its artifacts are sent.
    ///
    /// A request that is repeated with the same [key](PublishRequest::key), or with the same commit
    /// and title where [that counts](super::PublishOptions::by_commit_and_title), finds the
    /// publication of the first one, unless that has failed or expired. Uploads that are still
    /// missing are signed again, for the rest of its time.
    ///
    /// # Errors
    /// [`PublishRefusal::OtherRequest`], [`PublishRefusal::TooLarge`],
    /// [`PublishRefusal::TooManyPending`]; [`InvalidInput`](ErrorKind::InvalidInput) if a name, a text
    /// or a number exceeds its limit; or a store failed.
    pub async fn publish(
        &self,
        project: &str,
        request: PublishRequest,
        by: &str,
    ) -> Result<Published, PublishError> {
        let request = self.checked(project, request)?;
        let request_key = self.request_key(&request, by)?;
        for _ in 0..MAX_TURNS {
            let now = self.now();
            let expires_at = now.saturating_add(self.0.options.validity);
            let mut publication =
                Publication::new(project, PublicationId::new(now)?, now, expires_at);
            publication.details = request.details.clone();
            publication.parts.clone_from(&request.parts);
            publication.request_key = request_key;
            by.clone_into(&mut publication.created_by);
            publication.check()?;
            self.check_pending(&publication).await?;
            // It refers to its artifacts before it is asked whether they are stored.
            let (found, is_new) = match self.0.publications.create(&publication).await? {
                PublicationCreated::New => (publication, true),
                PublicationCreated::Existing(found) => (*found, false),
            };
            if is_new {
                self.tell(&found, by).await?;
            } else if found.status == PublicationStatus::Generating && now >= found.expires_at {
                // It holds the key although its time is over.
                self.end(found, PublicationFailure::Expired, "").await?;
                continue;
            } else if found.request_key != request_key || request_key.is_none() {
                // The same id, which nobody gets twice.
                continue;
            }
            if !request.made(&found) {
                return Err(PublishRefusal::OtherRequest.into());
            }
            return self.uploads(found, is_new).await;
        }
        Err(overtaken().into())
    }

    /// Refuses a project or artifacts that exceed a limit.
    pub(crate) fn checked(
        &self,
        project: &str,
        mut request: PublishRequest,
    ) -> Result<PublishRequest, PublishError> {
        Publication::check_project(project)?;
        let options = &self.0.options;
        let max_bytes = options.max_bytes.min(self.0.artifacts.capabilities().max_bytes);
        for part in request.parts.values_mut() {
            part.stored = None;
            // Without its hash, it is held in memory.
            let undeclared = options.max_undeclared_bytes as u64;
            let most = if part.sha256.is_some() { max_bytes } else { max_bytes.min(undeclared) };
            if part.size.is_some_and(|size| size > most) {
                return Err(PublishRefusal::TooLarge(most).into());
            }
        }
        Ok(request)
    }

    /// What names the request. The hash covers the length of each text, so that no two requests share
    /// it by accident.
    fn request_key(&self, request: &PublishRequest, by: &str) -> Result<Option<[u8; 32]>, Error> {
        let hash = |texts: [&str; 3]| {
            let mut hash = hmac_sha256::Hash::new();
            for text in texts {
                hash.update((text.len() as u64).to_le_bytes());
                hash.update(text);
            }
            Some(hash.finalize())
        };
        if let Some(key) = &request.key {
            if !(1..=PublishRequest::MAX_KEY_BYTES).contains(&key.len()) {
                let most = PublishRequest::MAX_KEY_BYTES;
                return Err(invalid(format!("the key of a request has 1 to {most} bytes")));
            }
            return Ok(hash(["key", by, key]));
        }
        let details = &request.details;
        Ok(match (&details.commit_sha, &details.title) {
            (Some(commit), Some(title)) if self.0.options.by_commit_and_title => {
                hash(["commit and title", commit, title])
            }
            _ => None,
        })
    }

    /// Refuses a project with too many pending publications. Only those that were begun within the
    /// validity can be pending, and they are the first ones of the list. Who repeats a request adds
    /// none.
    async fn check_pending(&self, new: &Publication) -> Result<(), PublishError> {
        let most = self.0.options.max_pending;
        let (now, at) = (self.now(), self.0.clock.monotonic());
        if self.0.room.take(&new.project, at) {
            return Ok(());
        }
        let begun = now.saturating_sub(self.0.options.validity);
        let (mut pending, mut after) = (0_usize, None);
        // Those that have ended cost reads, which are bounded.
        for _ in 0..=most / 128 {
            let mut request = PublicationsRequest::new(&new.project).completed(false).limit(256);
            request.after = after;
            let page = self.0.publications.list(request).await?;
            for it in &page.items {
                let is_pending = it.status == PublicationStatus::Generating && now < it.expires_at;
                pending += usize::from(is_pending);
                if is_pending && new.request_key.is_some() && it.request_key == new.request_key {
                    return Ok(());
                }
            }
            if pending >= most {
                return Err(PublishRefusal::TooManyPending(most).into());
            }
            let is_past = page.items.last().is_some_and(|it| it.created_at < begun);
            if is_past || page.next.is_none() {
                break;
            }
            after = page.next;
        }
        self.0.room.counted(&new.project, most.saturating_sub(pending + 1), at);
        Ok(())
    }

    /// Finds what is stored already, and signs the uploads of the rest.
    async fn uploads(
        &self,
        mut publication: Publication,
        is_new: bool,
    ) -> Result<Published, PublishError> {
        let mut uploads = BTreeMap::new();
        if publication.status != PublicationStatus::Generating {
            return Ok(Published { publication, uploads, is_new });
        }
        let mut is_found = false;
        for part in publication.parts.values_mut() {
            if part.stored.is_none()
                && let Some(found) = self.stored(&publication.project, part).await?
            {
                part.stored = Some(found);
                is_found = true;
            }
        }
        if is_found {
            let mut next = publication.clone();
            next.revision = next.revision.saturating_add(1);
            if self.0.publications.replace(&next).await? {
                publication = next;
            }
            // Otherwise somebody has sent an artifact meanwhile. Finalising looks again.
        }
        let rest = publication.expires_at.since(self.now()).max(Duration::from_secs(1));
        let signs = self.0.artifacts.capabilities().signs_uploads;
        let name = publication.id.to_string();
        for (part_name, part) in &publication.parts {
            let upload = match (&part.stored, part.declared()) {
                (Some(_), _) => PartUpload::Stored,
                (None, Some(artifact)) if signs => {
                    let upload = Upload::new(&publication.project, &name, &artifact);
                    PartUpload::Signed(self.0.artifacts.upload(upload, rest).await?)
                }
                _ => PartUpload::Direct,
            };
            uploads.insert(part_name.clone(), upload);
        }
        Ok(Published { publication, uploads, is_new })
    }

    /// The artifact that was declared, if the project has it.
    pub(super) async fn stored(
        &self,
        project: &str,
        part: &PublicationPart,
    ) -> Result<Option<Artifact>, Error> {
        let Some(declared) = part.declared() else { return Ok(None) };
        let found = self.0.artifacts.head(project, &declared.id).await?;
        Ok(found.filter(|found| found.size == declared.size).map(|_| declared))
    }
}

fn invalid(message: String) -> Error {
    Error::new(ErrorKind::InvalidInput, "publish", message)
}
