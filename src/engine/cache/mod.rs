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

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::reconstructed::Reconstructed;
use super::sizes::Weight;
use crate::events::{Lender, Position, Progress};
use crate::key::AggregateKey;
use crate::manager::SnapshotUsed;

pub use config::CacheConfig;
#[cfg(not(feature = "cache"))]
pub(super) use disabled::{Epoch, HotCache};
#[cfg(feature = "cache")]
pub(super) use enabled::HotCache;
#[cfg(feature = "cache")]
pub(super) use epoch::Epoch;

/// States from this encoded size on are given up to a load that applies events. The lock that this
/// needs would cost a load of a smaller state more than copying the state.
const GIVEN_UP_FROM: u64 = 1_024;

/// A state in the cache. It is never changed while it is in the cache: a load that applies events
/// replaces it as a whole.
pub(super) struct Cached<A> {
    state: HeldState<A>,
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
            state: HeldState::new(&loaded.progress.state, weight),
            position: loaded.progress.position.clone(),
            snapshot: loaded.provenance.snapshot,
            weight,
            since,
            is_advanced: since < now,
            epoch,
            used: AtomicU64::new(nanos(now)),
        }
    }

    /// Returns the state and position from which a load resumes, or `None` if the state was given
    /// up to another load, which has not put the next state into the cache yet.
    #[inline]
    pub(super) fn progress(&self) -> Option<Progress<A>> {
        let state = match &self.state {
            HeldState::Small(state) => Arc::clone(state),
            HeldState::Large(state) => Arc::clone(lock(state).as_ref()?),
        };
        Some(Progress { state, position: self.position.clone() })
    }

    fn used(&self) -> Duration {
        Duration::from_nanos(self.used.load(Ordering::Relaxed))
    }

    fn use_at(&self, now: Duration) {
        self.used.store(nanos(now), Ordering::Relaxed);
    }
}

/// A large state is given up if only the cache and one load share it. Applying an event then takes
/// the same time for a state of any size. Loads that begin before the next state is in the cache
/// find none, and read from the store.
impl<A: Send + Sync> Lender<A> for Cached<A> {
    fn give_up(&self, state: &Arc<A>) {
        let HeldState::Large(held) = &self.state else { return };
        let mut held = lock(held);
        if Arc::strong_count(state) == 2 {
            *held = None;
        }
    }
}

enum HeldState<A> {
    Small(Arc<A>),
    Large(Mutex<Option<Arc<A>>>),
}

impl<A> HeldState<A> {
    fn new(state: &Arc<A>, weight: Weight) -> Self {
        let state = Arc::clone(state);
        if weight.bytes < GIVEN_UP_FROM {
            Self::Small(state)
        } else {
            Self::Large(Mutex::new(Some(state)))
        }
    }
}

fn lock<A>(held: &Mutex<Option<Arc<A>>>) -> MutexGuard<'_, Option<Arc<A>>> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
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
