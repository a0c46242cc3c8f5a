//! [`ArtifactCheck`]: compares content with its description while it passes.

use std::fmt;

use super::description::Artifact;
use super::id::ArtifactId;
use super::outcome::ArtifactOutcome;

/// Checks the size and the hash of content that arrives in pieces. For implementers of
/// [`ArtifactStore`](super::ArtifactStore).
///
/// ```
/// use snapfold::artifact::{Artifact, ArtifactCheck, ArtifactOutcome};
///
/// let mut check = ArtifactCheck::of(&Artifact::of(b"two pieces"));
/// assert!(check.update(b"two "));
/// assert!(check.update(b"pieces"));
/// assert_eq!(check.finish(), Ok(()));
///
/// let mut check = ArtifactCheck::of(&Artifact::of(b"short"));
/// assert!(!check.update(b"longer"));
/// assert_eq!(check.finish(), Err(ArtifactOutcome::WrongSize { found: 6 }));
/// ```
#[derive(Clone)]
pub struct ArtifactCheck {
    hash: hmac_sha256::Hash,
    id: ArtifactId,
    size: u64,
    seen: u64,
}

impl ArtifactCheck {
    /// Begins to check content against the description of `artifact`.
    pub fn of(artifact: &Artifact) -> Self {
        Self { hash: hmac_sha256::Hash::new(), id: artifact.id, size: artifact.size, seen: 0 }
    }

    /// Adds the next piece. Returns `false` as soon as the content is too long: the caller then
    /// stops reading.
    pub fn update(&mut self, piece: &[u8]) -> bool {
        self.seen = self.seen.saturating_add(piece.len() as u64);
        let fits = self.seen <= self.size;
        if fits {
            self.hash.update(piece);
        }
        fits
    }

    /// Ends the check.
    ///
    /// # Errors
    /// [`WrongSize`](ArtifactOutcome::WrongSize) or [`WrongHash`](ArtifactOutcome::WrongHash) if
    /// the content is not that of the artifact.
    pub fn finish(self) -> Result<(), ArtifactOutcome> {
        if self.seen != self.size {
            return Err(ArtifactOutcome::WrongSize { found: self.seen });
        }
        let found = ArtifactId::from_bytes(self.hash.finalize());
        if found == self.id { Ok(()) } else { Err(ArtifactOutcome::WrongHash { found }) }
    }
}

impl fmt::Debug for ArtifactCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArtifactCheck")
            .field("id", &self.id)
            .field("size", &self.size)
            .field("seen", &self.seen)
            .finish_non_exhaustive()
    }
}
