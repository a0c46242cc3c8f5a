//! The hot cache of decoded states. Without the `cache` feature, [`HotCache`] has the same methods
//! but stores nothing, so that callers need no `cfg`.

#![cfg_attr(not(feature = "cache"), allow(dead_code, reason = "nothing is cached"))]

mod config;
#[cfg(not(feature = "cache"))]
mod disabled;
#[cfg(feature = "cache")]
mod enabled;
#[cfg(feature = "cache")]
mod epoch;
#[cfg(test)]
#[cfg(feature = "cache")]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::reconstructed::Reconstructed;
use super::sizes::Weight;
use crate::events::{Position, Progress};
use crate::key::AggregateKey;
use crate::manager::SnapshotUsed;

pub use config::CacheConfig;
#[cfg(not(feature = "cache"))]
pub(super) use disabled::{Epoch, HotCache};
#[cfg(feature = "cache")]
pub(super) use enabled::HotCache;
#[cfg(feature = "cache")]
pub(super) use epoch::Epoch;

/// A state in the cache. It is replaced as a whole, never changed.
pub(super) struct Cached<A> {
    state: Arc<A>,
    position: Position,
    /// The newest durable snapshot known when the state was loaded.
    pub(super) snapshot: Option<SnapshotUsed>,
    pub(super) weight: Weight,
    /// When the state was loaded from the store, by the monotonic clock. Advancing the state by
    /// events does not change this time.
    pub(super) since: Duration,
    /// Whether the state was advanced by events, and so was inserted after its load from the store.
    pub(super) is_advanced: bool,
    /// The epoch in which the load from the store began.
    pub(super) epoch: Epoch,
    /// When the state was last served, in nanoseconds of the monotonic clock.
    used: AtomicU64,
}

impl<A> Cached<A> {
    pub(super) fn new(
        loaded: &Reconstructed<A>,
        weight: Weight,
        since: Duration,
        epoch: Epoch,
        now: Duration,
    ) -> Self {
        Self {
            state: Arc::clone(&loaded.progress.state),
            position: loaded.progress.position.clone(),
            snapshot: loaded.provenance.snapshot,
            weight,
            since,
            is_advanced: since < now,
            epoch,
            used: AtomicU64::new(nanos(now)),
        }
    }

    /// Returns the state and position from which a load resumes.
    #[inline]
    pub(super) fn progress(&self) -> Progress<A> {
        Progress { state: Arc::clone(&self.state), position: self.position.clone() }
    }

    fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    fn use_at(&self, now: Duration) {
        self.used.store(nanos(now), Ordering::Relaxed);
    }
}

/// Invalidates the cached state of an aggregate when dropped. Held during an operation that changes
/// the snapshots from which the state was built, so that it also takes effect if the operation
/// fails or is cancelled.
pub(super) struct Outdates<'a, A: Send + Sync + 'static> {
    pub(super) cache: &'a HotCache<A>,
    pub(super) key: &'a AggregateKey,
}

impl<A: Send + Sync + 'static> Drop for Outdates<'_, A> {
    fn drop(&mut self) {
        self.cache.outdate(self.key);
    }
}

/// Converts to nanoseconds; saturates after 584 years.
fn nanos(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(time.subsec_nanos()))
}
