//! Stores content that passes, after it has been checked.

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::Fuse;
use object_store::path::Path;
use object_store::{
    Attribute, Attributes, Error as ObjectError, MultipartUpload, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload,
};

use crate::artifact::{Artifact, ArtifactCheck, ArtifactContent, ArtifactOutcome};
use crate::backend::object_store::error::{RequestEffect, failed};
use crate::error::Error;

const PUT: &str = "store an artifact";

/// Writes an artifact, of which one part at a time is in memory.
pub(super) struct ArtifactWriter<'w> {
    pub(super) store: &'w dyn ObjectStore,
    pub(super) artifact: &'w Artifact,
    pub(super) place: &'w Path,
    pub(super) part_bytes: usize,
}

impl ArtifactWriter<'_> {
    /// Stores the content if it is right.
    ///
    /// The object appears with the last request, which is sent after the check, and contains what
    /// was sent by this call. Overwriting an object is harmless, because every writer of this place
    /// has checked the same hash. So the request needs no condition.
    pub(super) async fn write(self, content: ArtifactContent) -> Result<ArtifactOutcome, Error> {
        let (check, content) = (ArtifactCheck::of(self.artifact), content.fuse());
        let mut parts =
            PartReader { check, content, part_bytes: self.part_bytes, rest: Bytes::new() };
        if self.artifact.size <= self.part_bytes as u64 {
            let only = parts.next().await?;
            // More than one part is too much, which the check then finds.
            parts.next().await?;
            return match parts.check.finish() {
                Ok(()) => self.put(only.unwrap_or_default()).await,
                Err(wrong) => Ok(wrong),
            };
        }
        let options =
            PutMultipartOptions { attributes: self.attributes(), ..PutMultipartOptions::default() };
        let upload = self.store.put_multipart_opts(self.place, options).await;
        let mut upload = upload.map_err(|error| write_failed(&error))?;
        let sent = match send(&mut *upload, &mut parts).await {
            Ok(()) => match parts.check.finish() {
                Ok(()) => match upload.complete().await {
                    Ok(_) => return Ok(ArtifactOutcome::Stored),
                    Err(error) => Err(write_failed(&error)),
                },
                Err(wrong) => Ok(wrong),
            },
            Err(error) => Err(error),
        };
        // What remains otherwise costs money until a lifecycle rule of the bucket removes it.
        drop(upload.abort().await);
        sent
    }

    async fn put(&self, whole: PutPayload) -> Result<ArtifactOutcome, Error> {
        let options = PutOptions { attributes: self.attributes(), ..PutOptions::default() };
        let result = self.store.put_opts(self.place, whole, options).await;
        result.map(|_| ArtifactOutcome::Stored).map_err(|error| write_failed(&error))
    }

    fn attributes(&self) -> Attributes {
        let content_type = self.artifact.content_type.clone();
        Attributes::from_iter([(Attribute::ContentType, content_type)])
    }
}

async fn send(upload: &mut dyn MultipartUpload, parts: &mut PartReader) -> Result<(), Error> {
    while let Some(part) = parts.next().await? {
        upload.put_part(part).await.map_err(|error| write_failed(&error))?;
    }
    Ok(())
}

fn write_failed(error: &ObjectError) -> Error {
    failed(PUT, RequestEffect::Write, error)
}

/// Content in parts of equal size, except for the last one. They end as soon as there is too much.
struct PartReader {
    check: ArtifactCheck,
    content: Fuse<ArtifactContent>,
    part_bytes: usize,
    /// What follows the last part and has been checked.
    rest: Bytes,
}

impl PartReader {
    async fn next(&mut self) -> Result<Option<PutPayload>, Error> {
        let (mut pieces, mut missing) = (Vec::new(), self.part_bytes);
        while missing > 0 {
            if self.rest.is_empty() {
                let Some(piece) = self.content.next().await else { break };
                self.rest = piece?;
                if !self.check.update(&self.rest) {
                    return Ok(None);
                }
            }
            let piece = self.rest.split_to(missing.min(self.rest.len()));
            missing -= piece.len();
            pieces.push(piece);
        }
        let full = missing < self.part_bytes;
        Ok(full.then(|| PutPayload::from_iter(pieces)))
    }
}
