//! Checking the health of an engine: when its workload changes, and on request.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::SnapshotEngine;
use super::core::EngineCore;
use super::health::{EngineHealth, HealthSignal};
use super::observer::Observation;
use super::save_queue::SharedQueue;
use super::store_breaker::StoreBreaker;
use crate::error::Error;
use crate::state::Aggregate;

/// The maximum number of due schedules that are read from a ledger.
const MAX_DUE: usize = 1_000;

impl<A: Aggregate> EngineCore<A> {
    /// Reports the workload after a change, and which signals have crossed their thresholds. Do not
    /// call it with a lock held.
    pub(super) fn workload_changed(&self) {
        // One thread reports at a time, and again if something has changed in the meantime. The
        // last report is therefore of the last change.
        if self.observer.is_none() || self.watch.changes.fetch_add(1, Ordering::AcqRel) > 0 {
            return;
        }
        let mut reported = 1;
        while reported > 0 {
            self.report_workload();
            let before = self.watch.changes.fetch_sub(reported, Ordering::AcqRel);
            reported = before.saturating_sub(reported);
        }
    }

    fn report_workload(&self) {
        let workload = self.gauges.read();
        self.report(&Observation::Workload { kind: A::KIND, workload });
        let age = self.gauges.queue_age(self.clock.monotonic());
        let signals = self.watch.signals(&workload, age);
        for ((signal, value, threshold), raised) in signals.into_iter().zip(&self.watch.raised) {
            let was = raised.load(Ordering::Relaxed);
            // A signal ends at half of its threshold, so that it does not flap.
            let is = if was { value > threshold / 2 } else { value >= threshold };
            // Of several threads that see the change, one reports it.
            let swap = |is| raised.compare_exchange(was, is, Ordering::Relaxed, Ordering::Relaxed);
            if is != was && swap(is).is_ok() {
                self.report_signal(signal, is, value, threshold);
            }
        }
    }

    /// Counts the queue of background snapshots, and reports it if there is an observer. Do not
    /// call it with a lock held.
    pub(super) fn queue_changed(&self, shared: &SharedQueue) {
        if self.observer.is_some() {
            self.count_queue(shared);
            self.workload_changed();
        }
    }

    pub(super) fn count_queue(&self, shared: &SharedQueue) {
        let queue = shared.lock();
        let (waiting, running, oldest) = queue.count();
        // Under the lock, so that an older count does not replace a newer one.
        self.gauges.queue_is(waiting, running, oldest);
    }

    pub(super) fn report_signal(
        &self,
        signal: HealthSignal,
        is_raised: bool,
        value: u64,
        threshold: u64,
    ) {
        let kind = A::KIND;
        self.report(&Observation::HealthChanged { kind, signal, is_raised, value, threshold });
    }
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// Returns the condition of the engine: queued work, running replays, what exceeds its
    /// threshold, and the last errors. Reads only what the engine knows, so it is cheap and also
    /// works while the store is down.
    ///
    /// An observer is told when something crosses its threshold
    /// ([`Observation::HealthChanged`]).
    pub fn health(&self) -> EngineHealth {
        self.saver.count(&self.core);
        let core = &self.core;
        let workload = core.gauges.read();
        let queue_age = core.gauges.queue_age(core.clock.monotonic());
        let signals = core.watch.signals(&workload, queue_age).into_iter();
        let raised = signals.filter(|(_, value, threshold)| value >= threshold);
        let down = core.breaker.as_ref().is_some_and(StoreBreaker::is_down);
        let raised =
            raised.map(|(signal, ..)| signal).chain(down.then_some(HealthSignal::StoreDown));
        EngineHealth {
            kind: A::KIND,
            workload,
            queue_age,
            raised: raised.collect(),
            last_errors: core.counters.last_errors(),
        }
    }

    /// Returns how many schedules for this kind of aggregate and its aggregates should have started
    /// more than `grace` ago, and are run by no node now. Returns 0 for an engine without a ledger.
    /// Only the first 1,000 due schedules of the ledger are read.
    ///
    /// # Errors
    /// Any error returned by the ledger. Dropping the future has no effect.
    pub async fn overdue_schedules(&self, grace: Duration) -> Result<u64, Error> {
        let Some(ledger) = self.ledger() else { return Ok(0) };
        let before = self.core.clock.now().saturating_sub(grace);
        let due = ledger.due(before, MAX_DUE).await?;
        Ok(due.iter().filter(|schedule| schedule.key.kind() == A::KIND).count() as u64)
    }
}
