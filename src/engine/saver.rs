//! Background snapshots: a bounded queue, one entry per aggregate, one task (R12).

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::JoinError;

use super::core::EngineCore;
use super::observer::Observation;
use super::recorder;
use super::save_queue::{
    Failing, Forgets, Job, Measure, Measured, SaveQueue, SaverTurn, SharedQueue, remember,
};
use super::sizes::{Sizes, Weight};
use super::statistics::Trouble;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::manager::{CreateOutcome, Decision, Loaded, SnapshotUsed};
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::trigger::{LastSnapshot, TriggerContext};

/// After the n-th failure in a row, commits of an aggregate lead to no further try for
/// `2^(n-1)` times this long, up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// After a state was measured, its aggregate is not measured again for so many times as long as
/// that took: it costs at most 5 % of one core, however often the aggregate commits.
const MEASURING_PAUSE: u32 = 20;

/// Takes snapshots in the background. A task runs only while something is queued.
pub(super) struct Saver<A> {
    shared: Arc<SharedQueue>,
    max_queued: usize,
    aggregate: PhantomData<fn() -> A>,
}

impl<A: Aggregate> Saver<A> {
    pub(super) fn new(max_queued: usize) -> Self {
        Self { shared: Arc::new(SharedQueue::new()), max_queued, aggregate: PhantomData }
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
                "there is no version {version}: the highest is {}. Check what committed() is given",
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
            let reason = "nothing was committed since the last snapshot".to_owned();
            return Decision::Wait { reason };
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
            let job = Job { seen, measure: None, ask_again: false };
            return match self.start(core, key, job) {
                Ok(()) => Decision::Queued { reason },
                Err(why) => {
                    core.failed(
                        Trouble::SaveDropped,
                        format!("the snapshot of {key} was dropped: {why}"),
                    );
                    core.report(&Observation::SaveDropped { key, reason: &why });
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

    /// Has the state that was loaded measured in the background. The trigger is asked again then.
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
        let (encoding, state) = (Arc::clone(core), Arc::clone(&loaded.state));
        let at_version = loaded.version;
        let measure: Measure = Box::new(move || match encoding.encoded_bytes(&state) {
            Ok(bytes) => Ok(Weight { bytes, at_version }),
            Err(source) => {
                let message = format!("{} cannot write the {}", encoding.codec.id(), A::KIND);
                Err(Error::new(ErrorKind::Encode, "measure a state", message).with_source(source))
            }
        });
        self.start(core, &loaded.key, Job { seen, measure: Some(measure), ask_again: false })
    }

    /// Puts a job into the queue, and starts a task if none runs.
    fn start(&self, core: &Arc<EngineCore<A>>, key: &AggregateKey, job: Job) -> Result<(), String> {
        let mut unneeded = None;
        if let Some((runtime, turn)) = self.enqueue(core, key, job, &mut unneeded)? {
            // Not under the lock: a runtime that is shutting down drops the task at once.
            runtime.spawn(drain(Arc::clone(core), turn));
        }
        Ok(())
    }

    /// Takes into account that a snapshot was stored by hand (R13). No load starts from a retired
    /// one, and a replacement leaves it retired.
    pub(super) fn stored(&self, meta: &SnapshotMeta) {
        if meta.is_retired() {
            return;
        }
        let mut queue = self.shared.lock();
        if queue.saved.get(&meta.key).is_none_or(|saved| saved.version < meta.version) {
            remember(&mut queue.saved, &meta.key, seen(meta));
        }
    }

    /// Forgets the newest snapshot of `key` when the result is dropped: at the end of an operation
    /// that may delete it, also if that is cancelled or fails half way.
    pub(super) fn forgets<'a>(&'a self, key: &'a AggregateKey) -> Forgets<'a> {
        Forgets { shared: &self.shared, key }
    }

    /// Puts `key` into the queue, and tells where a task is to be started, if none runs.
    fn enqueue(
        &self,
        core: &EngineCore<A>,
        key: &AggregateKey,
        job: Job,
        unneeded: &mut Option<Job>,
    ) -> Result<Option<(Handle, SaverTurn)>, String> {
        let mut queue = self.shared.lock();
        let is_waiting = queue.jobs.contains_key(key);
        if !is_waiting {
            // Measurements leave places for snapshots.
            let places =
                if job.measure.is_some() { self.max_queued.div_ceil(2) } else { self.max_queued };
            admit(core, &queue, key, places)?;
        } else if queue.running {
            *unneeded = queue.replace(key, job);
            return Ok(None);
        }
        // One that waits without a task was left behind by a task that ended early.
        let runtime = Handle::try_current()
            .map_err(|_| "there is no tokio runtime to take it on".to_owned())?;
        if !is_waiting {
            queue.waiting.push_back(key.clone());
        }
        *unneeded = queue.replace(key, job);
        if queue.running {
            return Ok(None);
        }
        queue.running = true;
        Ok(Some((runtime, SaverTurn(Some(Arc::clone(&self.shared))))))
    }

    pub(super) async fn flush(&self, within: Duration) -> Result<(), Error> {
        if self.shared.is_idle() {
            return Ok(());
        }
        if Handle::try_current().is_err() {
            let message = "there is no tokio runtime to wait on";
            return Err(Error::new(ErrorKind::Unsupported, "flush background snapshots", message));
        }
        let idle = async {
            loop {
                // Registered before the look, so that no notification is missed.
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
                format!("some are still queued or in flight after {within:?}"),
            )
            .with_retry(Retry::Later)
        })
    }
}

/// Whether one more aggregate may wait; the error says why not.
fn admit<A: Aggregate>(
    core: &EngineCore<A>,
    queue: &SaveQueue,
    key: &AggregateKey,
    places: usize,
) -> Result<(), String> {
    let now = core.clock.monotonic();
    if let Some(failing) = queue.failing.get(key).filter(|f| f.not_before > now) {
        return Err(format!(
            "{} snapshots in a row failed; no further try for {:?}",
            failing.times,
            failing.not_before.saturating_sub(now)
        ));
    }
    if queue.waiting.len() >= places {
        return Err(format!("{} aggregates are waiting already", queue.waiting.len()));
    }
    Ok(())
}

/// Takes from the queue until it is empty.
async fn drain<A: Aggregate>(core: Arc<EngineCore<A>>, turn: SaverTurn) {
    let Some(shared) = turn.0.clone() else { return };
    loop {
        while let Some((key, job)) = shared.next() {
            let Some(mut job) = job else { continue };
            if let Some(measure) = job.measure.take()
                && !learn_size(&core, &shared, &key, &mut job, measure).await
            {
                continue;
            }
            // Since the commit, a snapshot was saved that may have made this one needless, or the
            // size became known.
            let Job { seen, ask_again, .. } = job;
            if ask_again && (seen.distance() == 0 || !core.trigger.decide(&seen).take) {
                continue;
            }
            // A task of its own: a panic in the application's fold ends that one only.
            let (saving, of) = (Arc::clone(&core), key.clone());
            let save = async move { saving.save(&of).await };
            let started = core.clock.monotonic();
            let created = match tokio::spawn(save).await {
                Ok(created) => created,
                Err(join) => Err(panicked(join)),
            };
            let took = core.clock.monotonic().saturating_sub(started);
            if let Ok(created) = &created {
                core.enter(recorder::creation(created, took));
            }
            note(&core, &shared, &key, created.map(|created| (created, took)));
        }
        // Since the last look a commit may have queued one more, counting on this task.
        let mut queue = shared.lock();
        if queue.waiting.is_empty() {
            queue.running = false;
            drop(queue);
            turn.over();
            return;
        }
    }
}

/// Measures a state and puts what is known of its size into its job; false if that failed.
async fn learn_size<A: Aggregate>(
    core: &EngineCore<A>,
    shared: &SharedQueue,
    key: &AggregateKey,
    job: &mut Job,
    measure: Measure,
) -> bool {
    let started = core.clock.monotonic();
    // On a thread for blocking work: encoding a large state would hold up commands.
    let measured = tokio::task::spawn_blocking(measure).await;
    let now = core.clock.monotonic();
    let weight = match measured {
        Ok(Ok(weight)) => weight,
        Ok(Err(error)) => {
            note(core, shared, key, Err(error));
            return false;
        }
        Err(join) => {
            note(core, shared, key, Err(panicked(join)));
            return false;
        }
    };
    let pause = now.saturating_sub(started).saturating_mul(MEASURING_PAUSE);
    let sizes = shared.measured(key, weight, now.saturating_add(pause));
    let seen = &mut job.seen;
    let sizes = sizes.with(seen.snapshot.map(size)).up_to(seen.version);
    seen.state_bytes = sizes.estimate(seen.version);
    job.ask_again = true;
    true
}

fn panicked(join: JoinError) -> Error {
    Error::new(ErrorKind::Encode, "take a background snapshot", "the application's code panicked")
        .with_source(join)
}

/// Remembers and reports what became of a background snapshot, and how long it took.
fn note<A: Aggregate>(
    core: &EngineCore<A>,
    shared: &SharedQueue,
    key: &AggregateKey,
    created: Result<(CreateOutcome, Duration), Error>,
) {
    match created {
        Ok((created, took)) => {
            let mut queue = shared.lock();
            queue.failing.remove(key);
            if let Some(meta) = created.meta().filter(|meta| !meta.is_retired()) {
                remember(&mut queue.saved, key, seen(meta));
            }
            drop(queue);
            core.counters.saved();
            core.report(&Observation::Saved { key, created: &created, took });
        }
        Err(error) => {
            let mut queue = shared.lock();
            let times = queue.failing.get(key).map_or(0, |failing| failing.times) + 1;
            let backing_off = FIRST_BACKOFF
                .saturating_mul(1_u32.checked_shl(times - 1).unwrap_or(u32::MAX))
                .min(LONGEST_BACKOFF);
            let not_before = core.clock.monotonic().saturating_add(backing_off);
            remember(&mut queue.failing, key, Failing { times, not_before });
            drop(queue);
            core.failed(Trouble::SaveFailed, format!("the snapshot of {key} failed: {error:#}"));
            core.report(&Observation::SaveFailed { key, error: &error, backing_off });
        }
    }
}

fn seen(meta: &SnapshotMeta) -> LastSnapshot {
    LastSnapshot::new(meta.version, meta.created_at, meta.raw_bytes)
}

fn size(seen: LastSnapshot) -> Weight {
    Weight { bytes: seen.raw_bytes, at_version: seen.version }
}

/// Whether another size of the state would lead to a snapshot: the trigger, which is a pure
/// function, is asked with the smallest and the largest one.
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
