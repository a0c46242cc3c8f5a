//! [`Reconstructed`]: the result of a load within the engine.

use super::sizes::Weight;
use crate::events::Progress;
use crate::key::AggregateKey;
use crate::manager::{Loaded, Provenance};

/// A state, the position of its fold, and its provenance.
pub(super) struct Reconstructed<A> {
    pub(super) key: AggregateKey,
    pub(super) progress: Progress<A>,
    pub(super) provenance: Provenance,
    /// The size recorded in the hot cache.
    pub(super) weight: Option<Weight>,
}

/// Why a state is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To return the state to the caller.
    Answer,
    /// To take a snapshot of the state.
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
