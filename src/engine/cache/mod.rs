//! The hot cache of decoded states. With the feature `cache` it is one; without, it is a type of
//! the same shape that holds nothing, so that callers need no `cfg`.

mod config;
#[cfg(not(feature = "cache"))]
mod disabled;
#[cfg(feature = "cache")]
mod enabled;

use std::sync::Arc;
use std::time::Duration;

use super::load::Reconstructed;
use crate::events::Position;
use crate::manager::SnapshotUsed;

pub use config::CacheConfig;
#[cfg(not(feature = "cache"))]
pub(super) use disabled::HotCache;
#[cfg(feature = "cache")]
pub(super) use enabled::HotCache;

/// A state in the cache. Immutable: it is replaced, never changed.
pub(super) struct Cached<A> {
    pub(super) state: Arc<A>,
    pub(super) position: Position,
    /// The newest durable snapshot known when the state was loaded.
    pub(super) snapshot: Option<SnapshotUsed>,
    pub(super) weight: Weight,
    /// When the state was loaded from the store, by the monotonic clock. Advancing it by events
    /// does not renew it.
    pub(super) since: Duration,
}

/// The encoded size of a state, and the version at which it was measured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weight {
    pub(super) bytes: u64,
    pub(super) at_version: u64,
}

impl<A> Cached<A> {
    pub(super) fn new(loaded: &Reconstructed<A>, weight: Weight, since: Duration) -> Self {
        Self {
            state: Arc::clone(&loaded.state),
            position: loaded.position.clone(),
            snapshot: loaded.provenance.snapshot,
            weight,
            since,
        }
    }
}

impl Weight {
    /// Whether so many events were folded since that the size should be measured again: a quarter
    /// of the history, and at least 100.
    pub(super) fn is_outdated(self, version: u64) -> bool {
        version.saturating_sub(self.at_version) >= (self.at_version / 4).max(100)
    }
}
