//! [`ArtifactRemoval`]: which artifacts of a project are being removed.

use std::collections::BTreeSet;

use crate::artifact::ArtifactId;
use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// The artifacts of a project that somebody is about to remove because no publication refers to them.
///
/// It is stored before the last look at the publications. So whoever completes a publication sees
/// either that one of its artifacts is being removed, or, if it looked earlier, has a reference that
/// the last look finds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ArtifactRemoval {
    /// How often the removals of the project were replaced, from 1 on.
    pub revision: u64,
    /// The artifacts. None if nothing is being removed.
    pub artifacts: BTreeSet<ArtifactId>,
    /// Until when whoever wrote this removes artifacts.
    pub until: Timestamp,
}

impl ArtifactRemoval {
    /// The maximum number of artifacts (inclusive).
    pub const MAX_ARTIFACTS: usize = 1_000;

    /// Describes the removal of `artifacts` that follows `last`, the removal that is stored.
    pub fn after(
        last: Option<&Self>,
        artifacts: impl IntoIterator<Item = ArtifactId>,
        until: Timestamp,
    ) -> Self {
        let revision = last.map_or(0, |last| last.revision).saturating_add(1);
        Self { revision, artifacts: artifacts.into_iter().collect(), until }
    }

    /// Checks the limits. Stores call this before anything else.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the revision is 0 or above `i64::MAX`, or there are too many
    /// artifacts.
    pub fn check(&self) -> Result<(), Error> {
        let is_revision = (1..=i64::MAX.cast_unsigned()).contains(&self.revision);
        if is_revision && self.artifacts.len() <= Self::MAX_ARTIFACTS {
            return Ok(());
        }
        let message = format!(
            "a removal has a revision from 1 on and at most {} artifacts",
            Self::MAX_ARTIFACTS
        );
        Err(Error::new(ErrorKind::InvalidInput, "remove artifacts", message))
    }
}
