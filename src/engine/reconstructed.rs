//! What a load gives within the engine: [`Reconstructed`].

use super::sizes::Weight;
use crate::events::Progress;
use crate::key::AggregateKey;
use crate::manager::{Loaded, Provenance};

/// A state, how far its fold has come, and where it came from.
pub(super) struct Reconstructed<A> {
    pub(super) key: AggregateKey,
    pub(super) progress: Progress<A>,
    pub(super) provenance: Provenance,
    /// The size that the hot cache knows.
    pub(super) weight: Option<Weight>,
}

/// What a state is loaded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The caller wants it.
    Answer,
    /// A snapshot is to be made of it.
    Capture,
}

impl<A> From<Reconstructed<A>> for Loaded<A> {
    #[allow(clippy::inline_always, reason = "a copy of the state's frame costs a cached load 8 %")]
    #[inline(always)]
    fn from(reconstructed: Reconstructed<A>) -> Self {
        let Progress { state, position } = reconstructed.progress;
        Self {
            key: reconstructed.key,
            state,
            version: position.version,
            as_of: (position.version > 0).then_some(position.as_of),
            provenance: reconstructed.provenance,
            weight: reconstructed.weight,
        }
    }
}

impl<A> Reconstructed<A> {
    pub(super) fn version(&self) -> u64 {
        self.progress.position.version
    }
}
