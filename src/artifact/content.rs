//! [`ArtifactContent`], the bytes of an artifact as a stream, and [`FoundArtifact`].

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};

use super::description::Artifact;
use crate::error::Error;

/// The content of an artifact, in pieces of any size. It ends after the first error.
pub type ArtifactContent = BoxStream<'static, Result<Bytes, Error>>;

/// Returns content that is already in memory as a stream.
pub fn in_one_piece(content: impl Into<Bytes>) -> ArtifactContent {
    let content = content.into();
    stream::once(async { Ok(content) }).boxed()
}

/// An artifact, with its content or a part of it.
#[non_exhaustive]
pub struct FoundArtifact {
    /// The description of the artifact.
    pub artifact: Artifact,
    /// Which bytes of the artifact follow, counted from 0. The end is exclusive.
    pub range: Range<u64>,
    /// The bytes in the range. Nothing is read ahead of the reader without bound.
    pub content: ArtifactContent,
}

impl FoundArtifact {
    /// Creates the answer to a [`get`](super::ArtifactStore::get). For implementers of
    /// [`ArtifactStore`](super::ArtifactStore).
    pub fn new(artifact: Artifact, range: Range<u64>, content: ArtifactContent) -> Self {
        Self { artifact, range, content }
    }

    /// Returns the part of `asked` that an artifact of `size` bytes has; all of it for `None`. An
    /// empty part begins at the place that was asked for, or at the end of the artifact.
    pub fn clamped(asked: Option<Range<u64>>, size: u64) -> Range<u64> {
        let asked = asked.unwrap_or(0..size);
        let start = asked.start.min(size);
        start..asked.end.clamp(start, size)
    }

    /// Reads the whole content into memory, at most `limit` bytes of it. Returns `None` if it is
    /// longer.
    ///
    /// Cancel safety: dropping the future only ends the read.
    ///
    /// # Errors
    /// That of the content.
    pub async fn bytes(mut self, limit: usize) -> Result<Option<Bytes>, Error> {
        let mut whole = bytes::BytesMut::new();
        while let Some(piece) = self.content.next().await {
            let piece = piece?;
            if limit.saturating_sub(whole.len()) < piece.len() {
                return Ok(None);
            }
            whole.extend_from_slice(&piece);
        }
        Ok(Some(whole.freeze()))
    }
}

impl fmt::Debug for FoundArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FoundArtifact")
            .field("artifact", &self.artifact)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_to_what_there_is() {
        for (asked, size, found) in [
            (None, 5, 0..5),
            (None, 0, 0..0),
            (Some(1..3), 5, 1..3),
            (Some(1..9), 5, 1..5),
            (Some(5..9), 5, 5..5),
            (Some(7..9), 5, 5..5),
            (Some(3..3), 5, 3..3),
            (Some(Range { start: 4, end: 2 }), 5, 4..4),
            (Some(0..u64::MAX), 5, 0..5),
        ] {
            assert_eq!(FoundArtifact::clamped(asked.clone(), size), found, "{asked:?}");
        }
    }

    #[tokio::test]
    async fn content_is_read_up_to_a_limit() {
        let found = || {
            let content = b"12345".to_vec();
            FoundArtifact::new(Artifact::of(&content), 0..5, in_one_piece(content))
        };
        assert_eq!(found().bytes(5).await.unwrap().unwrap(), &b"12345"[..]);
        assert_eq!(found().bytes(4).await.unwrap(), None);
    }
}
