//! [`Artifact`], what is known of an artifact before its content arrives, and [`ListedArtifact`].

use super::id::ArtifactId;
use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// The description of an artifact: its content hash, its size and its content type.
///
/// Hash and size are checked against the content. The content type is what the uploader says, and
/// nobody checks it. Serve the content so that a browser does not trust the type either (`nosniff`,
/// or a domain of its own).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Artifact {
    /// The SHA-256 of the content.
    pub id: ArtifactId,
    /// The size of the content in bytes.
    pub size: u64,
    /// The media type of the content, such as `image/png`.
    pub content_type: String,
}

impl Artifact {
    /// The maximum length of a content type in bytes (inclusive).
    pub const MAX_TYPE_BYTES: usize = 255;
    /// The content type of an artifact whose uploader did not state any.
    pub const UNKNOWN_TYPE: &str = "application/octet-stream";

    /// Describes content with this hash and size, of an unknown type.
    pub fn new(id: ArtifactId, size: u64) -> Self {
        Self { id, size, content_type: Self::UNKNOWN_TYPE.to_owned() }
    }

    /// Describes this content, of an unknown type. Takes time in proportion to its length.
    pub fn of(content: &[u8]) -> Self {
        Self::new(ArtifactId::of(content), content.len() as u64)
    }

    /// Sets the content type.
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = content_type.into();
        self
    }

    /// Checks the content type. Stores call this before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the content type is empty, too long, begins or ends with a
    /// space, or contains anything other than printable ASCII.
    pub fn check(&self) -> Result<(), Error> {
        let text = &self.content_type;
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && text.trim() == text && (1..=Self::MAX_TYPE_BYTES).contains(&text.len()) {
            return Ok(());
        }
        let message = format!(
            "a content type is 1 to {} characters of printable ASCII",
            Self::MAX_TYPE_BYTES
        );
        Err(Error::new(ErrorKind::InvalidInput, "describe an artifact", message))
    }
}

/// An artifact in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedArtifact {
    /// The SHA-256 of the content.
    pub id: ArtifactId,
    /// The size of the content in bytes.
    pub size: u64,
    /// When the artifact was stored, by the clock of the store.
    pub stored_at: Timestamp,
}

impl ListedArtifact {
    /// Creates an item of a list. For implementers of [`ArtifactStore`](super::ArtifactStore).
    pub const fn new(id: ArtifactId, size: u64, stored_at: Timestamp) -> Self {
        Self { id, size, stored_at }
    }
}
