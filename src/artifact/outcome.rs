//! [`ArtifactOutcome`].

use super::id::ArtifactId;

/// The outcome of a [`put`](super::ArtifactStore::put) or a
/// [`finish`](super::ArtifactStore::finish).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ArtifactOutcome {
    /// The content is right, and this call stored it.
    Stored,
    /// The artifact was stored before. What was given now was not necessarily read.
    Existing,
    /// Nothing was uploaded.
    Missing,
    /// The size of the content differs. It was not stored.
    WrongSize {
        /// The size of the content, or how much of it was read if it is too long.
        found: u64,
    },
    /// The size of the content is right, but its hash differs. It was not stored.
    WrongHash {
        /// The hash of the content.
        found: ArtifactId,
    },
}

impl ArtifactOutcome {
    /// Returns whether the artifact is stored.
    pub const fn is_stored(self) -> bool {
        matches!(self, Self::Stored | Self::Existing)
    }
}
