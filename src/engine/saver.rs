//! Background snapshots: a bounded queue, one entry per aggregate, one task (R12).

use std::collections::{HashMap, VecDeque};
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::Core;
use super::observer::Report;
use crate::envelope::SnapshotMeta;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::manager::{Created, Decision, Loaded, SnapshotUsed};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::trigger::{Observation, SnapshotSeen};

/// After the n-th failure in a row, commits of an aggregate lead to no further try for
/// `2^(n-1)` times this long, up to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const LONGEST_BACKOFF: Duration = Duration::from_secs(300);
/// How many aggregates are remembered with their newest snapshot or their failures. Forgetting
/// one costs at most a snapshot too many or too early.
const MAX_REMEMBERED: usize = 16_384;

/// Takes snapshots in the background. A task runs only while something is queued.
pub(super) struct Saver<A> {
    shared: Arc<Shared>,
    max_queued: usize,
    aggregate: PhantomData<fn() -> A>,
}

struct Shared {
    queue: Mutex<Queue>,
    /// Notified each time the queue has run empty.
    idle: Notify,
}

/// See [`Saver::forgets`].
pub(super) struct Forgets<'a> {
    shared: &'a Shared,
    key: &'a AggregateKey,
}

impl Drop for Forgets<'_> {
    fn drop(&mut self) {
        self.shared.lock().saved.remove(self.key);
    }
}

#[derive(Default)]
struct Queue {
    /// Waiting aggregates, each once, oldest first.
    waiting: VecDeque<AggregateKey>,
    /// What was seen at the newest commit of each of them.
    seen: HashMap<AggregateKey, Observation>,
    /// Whether a task is taking from the queue; only it takes, so an aggregate is in flight once.
    running: bool,
    saved: HashMap<AggregateKey, SnapshotSeen>,
    failing: HashMap<AggregateKey, Failing>,
}

#[derive(Clone, Copy)]
struct Failing {
    times: u32,
    not_before: Duration,
}

impl<A: Aggregate> Saver<A> {
    pub(super) fn new(max_queued: usize) -> Self {
        let shared = Shared { queue: Mutex::default(), idle: Notify::new() };
        Self { shared: Arc::new(shared), max_queued, aggregate: PhantomData }
    }

    pub(super) fn committed(
        &self,
        core: &Arc<Core<A>>,
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
        let used = loaded.provenance.snapshot.filter(|used| used.id.version <= version);
        let saved = self.shared.lock().saved.get(key).copied();
        let saved = saved.filter(|saved| saved.version <= version);
        // The application's trigger and codec run without the lock.
        let snapshot = newest(used, saved);
        let seen = observation(core, loaded, version, snapshot);
        if seen.distance() == 0 {
            let reason = "nothing was committed since the last snapshot".to_owned();
            return Decision::Wait { reason };
        }
        let verdict = core.trigger.decide(&seen);
        if !verdict.take {
            return Decision::Wait { reason: verdict.reason };
        }
        let reason = verdict.reason;
        match self.enqueue(core, key, seen) {
            Ok(task) => {
                // Not under the lock: a runtime that is shutting down drops the task at once.
                if let Some((runtime, turn)) = task {
                    runtime.spawn(drain(Arc::clone(core), turn));
                }
                Decision::Queued { reason }
            }
            Err(why) => {
                core.report(&Report::SaveDropped { key, reason: &why });
                Decision::Dropped { reason: why }
            }
        }
    }

    /// Takes into account that a snapshot was stored by hand (R13).
    pub(super) fn stored(&self, meta: &SnapshotMeta) {
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
        core: &Core<A>,
        key: &AggregateKey,
        seen: Observation,
    ) -> Result<Option<(Handle, Turn)>, String> {
        let mut queue = self.shared.lock();
        let is_waiting = queue.seen.contains_key(key);
        if is_waiting {
            queue.seen.insert(key.clone(), seen);
        } else {
            self.admit(core, &queue, key)?;
        }
        if is_waiting && queue.running {
            return Ok(None);
        }
        // One that waits without a task was left behind by a task that ended early.
        let runtime = Handle::try_current()
            .map_err(|_| "there is no tokio runtime to take it on".to_owned())?;
        if !is_waiting {
            queue.waiting.push_back(key.clone());
            queue.seen.insert(key.clone(), seen);
        }
        if queue.running {
            return Ok(None);
        }
        queue.running = true;
        Ok(Some((runtime, Turn(Some(Arc::clone(&self.shared))))))
    }

    /// Whether one more aggregate may wait; the error says why not.
    fn admit(&self, core: &Core<A>, queue: &Queue, key: &AggregateKey) -> Result<(), String> {
        let now = core.clock.monotonic();
        if let Some(failing) = queue.failing.get(key).filter(|f| f.not_before > now) {
            return Err(format!(
                "{} snapshots in a row failed; no further try for {:?}",
                failing.times,
                failing.not_before.saturating_sub(now)
            ));
        }
        if queue.waiting.len() >= self.max_queued {
            return Err(format!("{} aggregates are waiting already", queue.waiting.len()));
        }
        Ok(())
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

impl Shared {
    // Each change of the queue is complete before anything that could panic.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_idle(&self) -> bool {
        let queue = self.lock();
        !queue.running && queue.waiting.is_empty()
    }

    /// The next aggregate, with what was seen of it, and the snapshot that was saved since.
    fn next(&self) -> Option<(AggregateKey, Option<Observation>)> {
        let mut queue = self.lock();
        let key = queue.waiting.pop_front()?;
        let seen = queue.seen.remove(&key);
        let saved = queue.saved.get(&key).copied();
        let outdated = seen.zip(saved).filter(|(seen, saved)| {
            saved.version <= seen.version
                && seen.snapshot.is_none_or(|known| known.version < saved.version)
        });
        Some((key, outdated.map(|(seen, saved)| seen.snapshot(saved))))
    }
}

/// Takes from the queue until it is empty.
async fn drain<A: Aggregate>(core: Arc<Core<A>>, turn: Turn) {
    let Some(shared) = turn.0.clone() else { return };
    loop {
        while let Some((key, seen_again)) = shared.next() {
            // While it waited, a snapshot was saved that may have made this one needless.
            if seen_again
                .is_some_and(|seen| seen.distance() == 0 || !core.trigger.decide(&seen).take)
            {
                continue;
            }
            // A task of its own: a panic in the application's fold ends that one only.
            let (saving, of) = (Arc::clone(&core), key.clone());
            let save = async move { saving.save(&of).await };
            let created = match tokio::spawn(save).await {
                Ok(created) => created,
                Err(join) => Err(Error::new(
                    ErrorKind::Encode,
                    "take a background snapshot",
                    "the application's code panicked",
                )
                .with_source(join)),
            };
            note(&core, &shared, &key, created);
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

/// Frees the queue for another task if this one ends early: cancelled with its runtime, perhaps
/// before it was polled once, or by a panic of an observer.
struct Turn(Option<Arc<Shared>>);

impl Turn {
    fn over(mut self) {
        if let Some(shared) = self.0.take() {
            shared.idle.notify_waiters();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(shared) = &self.0 {
            shared.lock().running = false;
            shared.idle.notify_waiters();
        }
    }
}

/// Remembers and reports what became of a background snapshot.
fn note<A: Aggregate>(
    core: &Core<A>,
    shared: &Shared,
    key: &AggregateKey,
    created: Result<Created, Error>,
) {
    match created {
        Ok(created) => {
            let mut queue = shared.lock();
            queue.failing.remove(key);
            if let Some(meta) = created.meta() {
                remember(&mut queue.saved, key, seen(meta));
            }
            drop(queue);
            core.report(&Report::Saved { key, created: &created });
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
            core.report(&Report::SaveFailed { key, error: &error, backing_off });
        }
    }
}

fn remember<T>(map: &mut HashMap<AggregateKey, T>, key: &AggregateKey, value: T) {
    if map.len() >= MAX_REMEMBERED {
        map.clear();
    }
    map.insert(key.clone(), value);
}

fn seen(meta: &SnapshotMeta) -> SnapshotSeen {
    SnapshotSeen::new(meta.version, meta.created_at, meta.raw_bytes)
}

fn newest(used: Option<SnapshotUsed>, saved: Option<SnapshotSeen>) -> Option<SnapshotSeen> {
    let used = used.map(|used| SnapshotSeen::new(used.id.version, used.created_at, used.raw_bytes));
    match (used, saved) {
        (Some(used), Some(saved)) if saved.version > used.version => Some(saved),
        (used, saved) => used.or(saved),
    }
}

fn observation<A: Aggregate>(
    core: &Core<A>,
    loaded: &Loaded<A>,
    version: u64,
    snapshot: Option<SnapshotSeen>,
) -> Observation {
    let mut seen = Observation::new(version, core.clock.now());
    seen.snapshot = snapshot;
    seen.events_replayed = loaded.provenance.events_replayed;
    seen.replay_time = loaded.provenance.timings.fold;
    if core.trigger.needs_state_bytes() {
        seen.state_bytes = snapshot
            .map(|snapshot| snapshot.raw_bytes)
            .or_else(|| core.encoded_bytes(&loaded.state));
    }
    seen
}
