//! Permits of the limits: [`ReplayPermit`] and [`HeldBytes`].
//!
//! A load that holds a replay permit waits for nothing else than the event source, and a background
//! snapshot that holds bytes waits for nothing else than the store. Permits can therefore not
//! deadlock.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, SemaphorePermit};
use tokio::time::Timeout;

use super::core::EngineCore;
use super::shared_limits::SharedLimits;
use super::workload::CountedIn;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::state::Aggregate;

/// The operation of an error for a replay that could not begin in time.
pub(super) const WAIT: &str = "wait for a replay";

/// The permission for one full replay.
pub(super) struct ReplayPermit<'a, A: Aggregate> {
    core: &'a EngineCore<A>,
    permit: Option<SemaphorePermit<'a>>,
    running: Option<CountedIn<'a>>,
}

impl<A: Aggregate> EngineCore<A> {
    /// Returns a permit if a replay may begin at once and nobody is waiting.
    pub(super) fn try_replay(&self) -> Option<ReplayPermit<'_, A>> {
        let permit = self.limits.pools.replays.try_acquire().ok()?;
        Some(self.permitted(permit))
    }

    /// Waits until a replay may begin, first come, first served. If the future is dropped, its place
    /// is given up.
    pub(super) async fn wait_for_replay(
        &self,
        key: &AggregateKey,
    ) -> Result<ReplayPermit<'_, A>, Error> {
        let waiting = WaitingLoad::begin(self);
        let pool = &self.limits.pools.replays;
        let permit = match with_timer(self.limits.longest_wait(), pool.acquire()) {
            Ok(within) => within.await.ok().and_then(Result::ok),
            Err(acquire) => acquire.await.ok(),
        };
        drop(waiting);
        let permit = permit.ok_or_else(|| too_long(key, &self.limits))?;
        Ok(self.permitted(permit))
    }

    fn permitted<'a>(&'a self, permit: SemaphorePermit<'a>) -> ReplayPermit<'a, A> {
        let running = CountedIn::new(&self.gauges.replays_running);
        self.workload_changed();
        ReplayPermit { core: self, permit: Some(permit), running: Some(running) }
    }

    /// Waits until an encoded snapshot of this size may be handed to the store.
    pub(super) async fn hold_bytes(self: &Arc<Self>, bytes: u64) -> HeldBytes<A> {
        let pool = Arc::clone(&self.limits.pools.bytes);
        let permit = pool.acquire_many_owned(self.limits.units(bytes)).await.ok();
        self.gauges.bytes.fetch_add(bytes, Ordering::Relaxed);
        HeldBytes { core: Arc::clone(self), bytes, _permit: permit }
    }
}

impl<A: Aggregate> Drop for ReplayPermit<'_, A> {
    fn drop(&mut self) {
        drop(self.running.take());
        drop(self.permit.take());
        self.core.workload_changed();
    }
}

/// A load that waits for a replay.
struct WaitingLoad<'a, A: Aggregate> {
    core: &'a EngineCore<A>,
    counted: Option<[CountedIn<'a>; 2]>,
}

impl<'a, A: Aggregate> WaitingLoad<'a, A> {
    fn begin(core: &'a EngineCore<A>) -> Self {
        let own = CountedIn::new(&core.gauges.replays_waiting);
        let shared = CountedIn::new(&core.limits.pools.waiting);
        core.workload_changed();
        Self { core, counted: Some([own, shared]) }
    }
}

impl<A: Aggregate> Drop for WaitingLoad<'_, A> {
    fn drop(&mut self) {
        drop(self.counted.take());
        self.core.workload_changed();
    }
}

/// The share of an encoded background snapshot in the limit of bytes, until the store has
/// acknowledged it.
pub(super) struct HeldBytes<A: Aggregate> {
    core: Arc<EngineCore<A>>,
    bytes: u64,
    _permit: Option<OwnedSemaphorePermit>,
}

impl<A: Aggregate> Drop for HeldBytes<A> {
    fn drop(&mut self) {
        self.core.gauges.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Limits the time of a future. Returns it unchanged if there is no tokio runtime or its timers are
/// disabled: loads do not need them otherwise.
fn with_timer<F: Future>(within: Duration, future: F) -> Result<Timeout<F>, F> {
    // Disabled timers can only be detected by the panic of this call.
    let has_timers = || catch_unwind(|| drop(tokio::time::sleep(Duration::ZERO))).is_ok();
    if Handle::try_current().is_ok() && has_timers() {
        Ok(tokio::time::timeout(within, future))
    } else {
        Err(future)
    }
}

#[cold]
fn too_long(key: &AggregateKey, limits: &SharedLimits) -> Error {
    let message = format!(
        "no replay of {key} could begin within {:?}: {} replays are running and {} loads are \
         waiting. Try again later, or raise SharedLimits::replays",
        limits.longest_wait(),
        limits.replays_running(),
        limits.replays_waiting(),
    );
    Error::new(ErrorKind::Timeout, WAIT, message).with_retry(Retry::Later)
}
