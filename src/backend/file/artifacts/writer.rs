//! [`ArtifactPut`]: content on its way into a file.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;

use super::drafts::ArtifactDraft;
use super::header::ArtifactHeader;
use super::kept::{KeptArtifacts, PUT};
use crate::artifact::{Artifact, ArtifactCheck, ArtifactContent, ArtifactOutcome};
use crate::backend::file::errors::io_error;
use crate::clock::Clock;
use crate::error::Error;

/// How much content is handed to the thread that writes, at most about this.
pub(super) const CHUNK_BYTES: u64 = 256 << 10;
/// The most pieces of content that are handed over at once.
const MAX_PIECES: usize = 256;

/// A put that has begun. Dropping it removes what it wrote.
pub(super) struct ArtifactPut {
    pub(super) kept: Arc<KeptArtifacts>,
    pub(super) artifact: Artifact,
    pub(super) place: PathBuf,
    pub(super) check: ArtifactCheck,
    pub(super) draft: Option<ArtifactDraft>,
    pub(super) clock: Arc<dyn Clock>,
}

impl ArtifactPut {
    /// Checks and writes content, and publishes the artifact if it `has_ended`. Breaks with the
    /// outcome. Blocks.
    pub(super) fn step(
        mut self,
        pieces: &[Bytes],
        has_ended: bool,
    ) -> Result<ControlFlow<ArtifactOutcome, Self>, Error> {
        let outcome = self.advance(pieces, has_ended);
        if matches!(outcome, Ok(None)) {
            return Ok(ControlFlow::Continue(self));
        }
        if let Some(draft) = self.draft.take() {
            draft.discard();
        }
        Ok(outcome?.map_or(ControlFlow::Continue(self), ControlFlow::Break))
    }

    fn advance(
        &mut self,
        pieces: &[Bytes],
        has_ended: bool,
    ) -> Result<Option<ArtifactOutcome>, Error> {
        let fits = pieces.iter().all(|piece| self.check.update(piece));
        if (has_ended || !fits)
            && let Err(wrong) = self.check.clone().finish()
        {
            return Ok(Some(wrong));
        }
        let failed = |error| io_error(PUT, &self.place, error);
        let draft = match &mut self.draft {
            Some(draft) => draft,
            none => none.insert(self.kept.drafts.begin().map_err(failed)?),
        };
        draft.append(pieces).map_err(failed)?;
        if !has_ended {
            return Ok(None);
        }
        let header =
            ArtifactHeader { artifact: self.artifact.clone(), stored_at: self.clock.now() };
        self.kept.publish(draft, &header, &self.place).map(Some)
    }
}

/// Returns the next pieces, and whether the content ends with them. Stops after more than `left`
/// bytes, which is too much.
pub(super) async fn gather(
    content: &mut ArtifactContent,
    left: u64,
) -> Result<(Vec<Bytes>, u64, bool), Error> {
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    while bytes < CHUNK_BYTES && bytes <= left && pieces.len() < MAX_PIECES {
        let Some(piece) = content.next().await else { return Ok((pieces, bytes, true)) };
        let piece = piece?;
        bytes = bytes.saturating_add(piece.len() as u64);
        pieces.push(piece);
    }
    Ok((pieces, bytes, false))
}
