//! [`PublicationPart`]: an artifact of a publication.

use crate::artifact::{Artifact, ArtifactId};
use crate::error::{Error, ErrorKind};

/// An artifact of a publication: what was declared, and what has arrived.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PublicationPart {
    /// The size in bytes, if it was declared.
    pub size: Option<u64>,
    /// The SHA-256 of the content, if it was declared.
    pub sha256: Option<ArtifactId>,
    /// The content type, if it was declared.
    pub content_type: Option<String>,
    /// What was stored. Size and hash are measured.
    pub stored: Option<Artifact>,
}

impl PublicationPart {
    /// The maximum length of the name of a part in bytes (inclusive).
    pub const MAX_NAME_BYTES: usize = 64;

    /// Declares nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares the size in bytes.
    pub fn size(mut self, size: u64) -> Self {
        self.size = Some(size);
        self
    }

    /// Declares the SHA-256 of the content.
    pub fn sha256(mut self, sha256: ArtifactId) -> Self {
        self.sha256 = Some(sha256);
        self
    }

    /// Declares the content type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Returns the artifact if its size and its hash were declared.
    pub fn declared(&self) -> Option<Artifact> {
        let artifact = Artifact::new(self.sha256?, self.size?);
        Some(match &self.content_type {
            Some(content_type) => artifact.content_type(content_type),
            None => artifact,
        })
    }

    /// Checks the name of a part.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] unless it is 1 to [`MAX_NAME_BYTES`](Self::MAX_NAME_BYTES)
    /// characters of `A-Z a-z 0-9 . _ -`, and does not begin with a full stop.
    pub fn check_name(name: &str) -> Result<(), Error> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        let is_name = (1..=Self::MAX_NAME_BYTES).contains(&name.len())
            && name.bytes().all(is_plain)
            && !name.starts_with('.');
        if is_name {
            return Ok(());
        }
        let message = format!(
            "the name of an artifact is 1 to {} of the characters A-Z a-z 0-9 . _ - and does not \
             begin with a full stop",
            Self::MAX_NAME_BYTES
        );
        Err(Error::new(ErrorKind::InvalidInput, "name an artifact", message))
    }

    /// Checks the content types. Stores call this for each part.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] as [`Artifact::check`].
    pub fn check(&self) -> Result<(), Error> {
        if let Some(content_type) = &self.content_type {
            Artifact::of(&[]).content_type(content_type).check()?;
        }
        self.stored.as_ref().map_or(Ok(()), Artifact::check)
    }
}
