//! Background snapshots: a bounded queue with one entry per aggregate (R12).

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

use super::core::EngineCore;
use super::drained::Drained;
use super::observer::Observation;
use super::save_queue::{
    Forgets, Job, Measure, Measured, SaveQueue, SaverTurn, SharedQueue, remember, seen, size,
};
use super::save_work;
use super::sizes::{Sizes, Weight};
use super::statistics::Trouble;
use super::when_full::WhenFull;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::manager::{Decision, Loaded, SnapshotUsed};
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::trigger::{LastSnapshot, TriggerContext};

/// Takes snapshots in the background. A task runs only while something is queued.
pub(super) struct Saver<A> {
    shared: Arc<SharedQueue>,
    max_queued: usize,
    /// How many aggregates are loaded and encoded concurrently.
    parallel: usize,
    when_full: WhenFull,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Saver<A> {
    pub(super) fn new(max_queued: usize, parallel: usize, when_full: WhenFull) -> Self {
        let shared = Arc::new(SharedQueue::new());
        Self { shared, max_queued, parallel: parallel.max(1), when_full, aggregate: PhantomData }
    }

    pub(super) fn committed(
        &self,
        core: &Arc<EngineCore<A>>,
        loaded: &Loaded<A>,
        version: u64,
    ) -> Decision {
        let key = &loaded.key;
        if version > SnapshotId::MAX_VERSION {
            let reason = format!(
                "version {version} is above the maximum of {}: check the version passed to \
                 committed()",
                SnapshotId::MAX_VERSION
            );
            return Decision::Wait { reason };
        }
        // A snapshot above the committed version belongs to a history that was rewound.
        let used = loaded.provenance.snapshot.as_ref().map(seen_used);
        let used = used.filter(|used| used.version <= version);
        let (saved, measured) = {
            let queue = self.shared.lock();
            let measured = queue.measured.get(key).copied().unwrap_or_default();
            (queue.saved.get(key).copied(), measured)
        };
        let saved = saved.filter(|saved| saved.version <= version);
        // The application's trigger runs without the lock.
        let snapshot = newest(used, saved);
        let mut seen = observation(core, loaded, version, snapshot);
        if seen.distance() == 0 {
            let reason = "nothing has been committed since the last snapshot".to_owned();
            return Decision::Wait { reason };
        }
        if let Some(learning) = &core.learning {
            learning.committed(key, version.saturating_sub(loaded.version));
            let known = loaded.weight.filter(|weight| weight.at_version <= version);
            seen.costs = learning.costs(key, &seen, known.map(|weight| weight.bytes));
        }
        let needs_size = core.trigger.needs_state_bytes();
        let mut sizes = Sizes::default();
        if needs_size {
            sizes = sizes
                .with(snapshot.map(size))
                .with(used.map(size))
                .with(loaded.weight.filter(|weight| weight.at_version <= version))
                .and(measured.sizes.up_to(version));
            seen.state_bytes = sizes.estimate(version);
        }
        let verdict = core.trigger.decide(&seen);
        let mut reason = verdict.reason;
        if verdict.take {
            if let Some(learning) = &core.learning {
                learning.chosen(key, seen.distance());
            }
            let since = core.clock.monotonic();
            let job = Job { seen, measure: None, ask_again: false, since };
            return match self.start(core, key, job) {
                Ok(()) => Decision::Queued { reason },
                Err(why) => {
                    dropped(core, key, &why);
                    Decision::Dropped { reason: why }
                }
            };
        }
        if needs_size
            && !sizes.reach(loaded.version)
            && size_decides(core, &seen)
            && let Err(why) = self.measure(core, loaded, seen, measured)
        {
            reason = format!("{reason}; the state is not measured: {why}");
        }
        Decision::Wait { reason }
    }

    /// Measures the loaded state in the background, and then asks the trigger again.
    fn measure(
        &self,
        core: &Arc<EngineCore<A>>,
        loaded: &Loaded<A>,
        seen: TriggerContext,
        before: Measured,
    ) -> Result<(), String> {
        if core.clock.monotonic() < before.not_before {
            return Ok(());
        }
        let since = core.clock.monotonic();
        let (encoding, state) = (Arc::clone(core), Arc::clone(&loaded.state));
        let at_version = loaded.version;
        let measure: Measure = Box::new(move || match encoding.encoded_bytes(&state) {
            Ok(bytes) => Ok(Weight { bytes, at_version }),
            Err(source) => {
                let message = format!("{} cannot encode the {}", encoding.codec.id(), A::KIND);
                Err(Error::new(ErrorKind::Encode, "measure a state", message).with_source(source))
            }
        });
        self.start(core, &loaded.key, Job { seen, measure: Some(measure), ask_again: false, since })
    }

    /// Adds a job to the queue, and starts a task if none is running.
    fn start(&self, core: &Arc<EngineCore<A>>, key: &AggregateKey, job: Job) -> Result<(), String> {
        let mut unneeded = Vec::new();
        let started = self.enqueue(core, key, job, &mut unneeded);
        for (evicted, _) in unneeded.iter().filter(|(of, _)| of != key) {
            dropped(core, evicted, "the queue was full, and this snapshot had waited longest");
        }
        if let Some((runtime, turn)) = started? {
            // Not under the lock, because a runtime that is shutting down drops the task
            // immediately.
            runtime.spawn(save_work::drain(Arc::clone(core), turn, self.parallel));
        }
        core.queue_changed(&self.shared);
        Ok(())
    }

    /// Counts the queued snapshots.
    pub(super) fn count(&self, core: &EngineCore<A>) {
        core.count_queue(&self.shared);
    }

    /// Remembers a snapshot that was stored by an explicit call (R13), unless it is retired. No
    /// load starts from a retired snapshot, and replacing one keeps it retired.
    pub(super) fn stored(&self, meta: &SnapshotMeta) {
        if meta.is_retired() {
            return;
        }
        let mut queue = self.shared.lock();
        if queue.saved.get(&meta.key).is_none_or(|saved| saved.version < meta.version) {
            remember(&mut queue.saved, &meta.key, seen(meta));
        }
    }

    /// Returns a guard that forgets the newest snapshot of `key` when dropped. Held during an
    /// operation that may delete the snapshot, so that it also takes effect if the operation fails
    /// or is cancelled.
    pub(super) fn forgets<'a>(&'a self, key: &'a AggregateKey) -> Forgets<'a> {
        Forgets { shared: &self.shared, key }
    }

    /// Adds `key` to the queue. If no task is running, returns the runtime on which to start one.
    fn enqueue(
        &self,
        core: &EngineCore<A>,
        key: &AggregateKey,
        job: Job,
        unneeded: &mut Vec<(AggregateKey, Job)>,
    ) -> Result<Option<(Handle, SaverTurn)>, String> {
        let mut queue = self.shared.lock();
        let is_waiting = queue.jobs.contains_key(key);
        if !is_waiting {
            // Measurements may fill only half of the queue, so that there is room for snapshots.
            let places =
                if job.measure.is_some() { self.max_queued.div_ceil(2) } else { self.max_queued };
            is_backing_off(core, &queue, key)?;
            if let Err(full) = has_place(&queue, places) {
                let evicts = job.measure.is_none() && self.when_full == WhenFull::DropOldest;
                let oldest = if evicts { queue.pop_oldest() } else { None };
                unneeded.push(oldest.ok_or(full)?);
            }
        } else if queue.running {
            unneeded.extend(queue.replace(key, job).map(|job| (key.clone(), job)));
            return Ok(None);
        }
        // An aggregate that waits while no task is running was left behind by a task that ended
        // early.
        let runtime = Handle::try_current()
            .map_err(|_| "there is no tokio runtime: call committed() inside one".to_owned())?;
        if !is_waiting {
            queue.waiting.push_back(key.clone());
        }
        unneeded.extend(queue.replace(key, job).map(|job| (key.clone(), job)));
        if queue.running {
            self.shared.queued.notify_one();
            return Ok(None);
        }
        queue.running = true;
        Ok(Some((runtime, SaverTurn(Some(Arc::clone(&self.shared))))))
    }

    /// Saves the queued snapshots, longest replays first, and drops those that are left after
    /// `within`.
    pub(super) async fn drain(
        &self,
        core: &EngineCore<A>,
        within: Duration,
    ) -> Result<Drained, Error> {
        let before = core.counters.read().saved;
        self.shared.lock().put_costly_first();
        let (skipped, _jobs) = match self.flush(within).await {
            Err(late) if late.kind() == ErrorKind::Timeout => self.shared.lock().give_up(),
            flushed => flushed.map(|()| Default::default())?,
        };
        core.queue_changed(&self.shared);
        for key in &skipped {
            dropped(core, key, "drain() ended before it was saved");
        }
        let saved = core.counters.read().saved.saturating_sub(before);
        Ok(Drained { saved, skipped })
    }

    pub(super) async fn flush(&self, within: Duration) -> Result<(), Error> {
        if self.shared.is_idle() {
            return Ok(());
        }
        if Handle::try_current().is_err() {
            let message = "this thread has no tokio runtime: call flush() or drain() inside one";
            return Err(Error::new(ErrorKind::Unsupported, "flush background snapshots", message));
        }
        let idle = async {
            loop {
                // Registered before the check, so that no notification is missed.
                let notified = self.shared.idle.notified();
                if self.shared.is_idle() {
                    return;
                }
                notified.await;
            }
        };
        tokio::time::timeout(within, idle).await.map_err(|_| {
            Error::new(
                ErrorKind::Timeout,
                "flush background snapshots",
                format!("some background work was not finished within {within:?}: try again later"),
            )
            .with_retry(Retry::Later)
        })
    }
}

/// Counts and reports a dropped background snapshot.
fn dropped<A: Aggregate>(core: &EngineCore<A>, key: &AggregateKey, why: &str) {
    let what = format!("a background snapshot of {key} was dropped: {why}");
    core.failed(Trouble::SaveDropped, &what, None);
    core.report(&Observation::SaveDropped { key, reason: why });
}

/// Fails if the aggregate is backing off after failures.
fn is_backing_off<A: Aggregate>(
    core: &EngineCore<A>,
    queue: &SaveQueue,
    key: &AggregateKey,
) -> Result<(), String> {
    let now = core.clock.monotonic();
    if let Some(failing) = queue.failing.get(key).filter(|f| f.not_before > now) {
        return Err(format!(
            "no new attempt for {:?} (failures in a row: {})",
            failing.not_before.saturating_sub(now),
            failing.times
        ));
    }
    Ok(())
}

/// Fails if the queue is full.
fn has_place(queue: &SaveQueue, places: usize) -> Result<(), String> {
    let waiting = queue.waiting.len() + queue.unwritten;
    if waiting >= places {
        return Err(format!("{waiting} aggregates are already waiting"));
    }
    Ok(())
}

/// Returns whether a different state size would lead to a snapshot. Asks the trigger, which is a
/// pure function, with the smallest and the largest size.
fn size_decides<A: Aggregate>(core: &EngineCore<A>, seen: &TriggerContext) -> bool {
    let at = |bytes| TriggerContext { state_bytes: Some(bytes), ..*seen };
    [u64::MAX, 0].into_iter().any(|bytes| core.trigger.decide(&at(bytes)).take)
}

fn seen_used(used: &SnapshotUsed) -> LastSnapshot {
    LastSnapshot::new(used.id.version, used.created_at, used.raw_bytes)
}

fn newest(used: Option<LastSnapshot>, saved: Option<LastSnapshot>) -> Option<LastSnapshot> {
    match (used, saved) {
        (Some(used), Some(saved)) if saved.version > used.version => Some(saved),
        (used, saved) => used.or(saved),
    }
}

fn observation<A: Aggregate>(
    core: &EngineCore<A>,
    loaded: &Loaded<A>,
    version: u64,
    snapshot: Option<LastSnapshot>,
) -> TriggerContext {
    let mut seen = TriggerContext::new(version, core.clock.now());
    seen.snapshot = snapshot;
    seen.events_replayed = loaded.provenance.events_replayed;
    seen.replay_time = loaded.provenance.timings.fold;
    seen
}
