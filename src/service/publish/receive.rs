//! Taking an artifact that passes through the application.

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;

use super::publisher::{MAX_TURNS, Publisher, overtaken};
use super::refusal::{PublishError, PublishRefusal, WrongPart};
use crate::artifact::{Artifact, ArtifactContent, in_one_piece};
use crate::publication::{Publication, PublicationId, PublicationPart};

impl Publisher {
    /// Takes the content of an artifact of a pending publication, and returns the publication with
    /// it. Each artifact is taken once.
    ///
    /// The content type must be the declared one, in any case of its letters. If none was declared,
    /// the given one is kept. Content whose size and hash were declared passes through as a stream;
    /// other content is held in memory, up to
    /// [`max_undeclared_bytes`](super::PublishOptions::max_undeclared_bytes).
    ///
    /// # Errors
    /// [`PublishRefusal::Unknown`], [`Completed`](PublishRefusal::Completed),
    /// [`Failed`](PublishRefusal::Failed), [`Sent`](PublishRefusal::Sent),
    /// [`Wrong`](PublishRefusal::Wrong), [`TooLarge`](PublishRefusal::TooLarge) or
    /// [`Busy`](PublishRefusal::Busy); the error with which the content ends; or a store failed. In
    /// all of these cases, the publication is as before.
    pub async fn receive(
        &self,
        project: &str,
        id: PublicationId,
        name: &str,
        content_type: Option<&str>,
        content: ArtifactContent,
    ) -> Result<Publication, PublishError> {
        let publication = self.pending(project, id).await?;
        let part = awaited(&publication, name)?;
        let artifact = self.keep(project, part, content_type, content).await?;
        self.record(project, id, name, &artifact).await
    }

    /// Stores content if it is what a part declares.
    pub(crate) async fn keep(
        &self,
        project: &str,
        part: &PublicationPart,
        content_type: Option<&str>,
        content: ArtifactContent,
    ) -> Result<Artifact, PublishError> {
        let content_type = match (&part.content_type, content_type) {
            (Some(declared), Some(given)) if given.eq_ignore_ascii_case(declared) => declared,
            (Some(declared), _) => {
                let declared = declared.clone();
                return Err(PublishRefusal::Wrong(WrongPart::Type { declared }).into());
            }
            (None, given) => given.unwrap_or(Artifact::UNKNOWN_TYPE),
        };
        if let Some(declared) = part.declared() {
            let artifact = declared.content_type(content_type);
            self.put(project, &artifact, content).await?;
            Ok(artifact)
        } else {
            let Ok(_place) = self.0.places.try_acquire() else {
                return Err(PublishRefusal::Busy.into());
            };
            let content = self.spool(part, content).await?;
            let artifact = Artifact::of(&content).content_type(content_type);
            if part.sha256.is_some_and(|sha256| sha256 != artifact.id) {
                return Err(PublishRefusal::Wrong(WrongPart::Hash).into());
            }
            self.put(project, &artifact, in_one_piece(content)).await?;
            Ok(artifact)
        }
    }

    async fn put(
        &self,
        project: &str,
        artifact: &Artifact,
        content: ArtifactContent,
    ) -> Result<(), PublishError> {
        let outcome = self.0.artifacts.put(project, artifact, content).await?;
        match WrongPart::of(outcome) {
            None => Ok(()),
            Some(wrong) => Err(PublishRefusal::Wrong(wrong).into()),
        }
    }

    /// Reads content whose size or hash is not known, within the limits.
    async fn spool(
        &self,
        part: &PublicationPart,
        mut content: ArtifactContent,
    ) -> Result<Bytes, PublishError> {
        let most = self.0.options.max_undeclared_bytes;
        let most = usize::try_from(self.0.artifacts.capabilities().max_bytes)
            .map_or(most, |bytes| bytes.min(most));
        let mut whole = BytesMut::new();
        while let Some(piece) = content.next().await {
            let piece = piece?;
            let found = (whole.len() as u64).saturating_add(piece.len() as u64);
            if part.size.is_some_and(|size| found > size) {
                return Err(PublishRefusal::Wrong(WrongPart::Size { found }).into());
            }
            if found > most as u64 {
                return Err(PublishRefusal::TooLarge(most as u64).into());
            }
            whole.extend_from_slice(&piece);
        }
        let found = whole.len() as u64;
        if part.size.is_some_and(|size| size != found) {
            return Err(PublishRefusal::Wrong(WrongPart::Size { found }).into());
        }
        Ok(whole.freeze())
    }

    /// Records that an artifact is stored, unless somebody else was faster.
    async fn record(
        &self,
        project: &str,
        id: PublicationId,
        name: &str,
        artifact: &Artifact,
    ) -> Result<Publication, PublishError> {
        for _ in 0..MAX_TURNS {
            let mut publication = self.pending(project, id).await?;
            awaited(&publication, name)?;
            if let Some(part) = publication.parts.get_mut(name) {
                part.stored = Some(artifact.clone());
            }
            publication.revision = publication.revision.saturating_add(1);
            if self.0.publications.replace(&publication).await? {
                return Ok(publication);
            }
        }
        Err(overtaken().into())
    }
}

/// A part that has not arrived.
fn awaited<'a>(
    publication: &'a Publication,
    name: &str,
) -> Result<&'a PublicationPart, PublishRefusal> {
    match publication.parts.get(name) {
        None => Err(PublishRefusal::Unknown),
        Some(part) if part.stored.is_some() => Err(PublishRefusal::Sent),
        Some(part) => Ok(part),
    }
}
