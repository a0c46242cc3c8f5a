//! The saver's task: loads and encodes several aggregates at once, and puts their records in
//! batches.
//!
//! While a put is running, records that become ready are collected for the next one. A store that
//! is slow to acknowledge therefore gets large batches, and a fast store gets each record
//! immediately.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::task::{Id, JoinError, JoinSet};

use super::captured::Capture;
use super::core::EngineCore;
use super::observer::Observation;
use super::recorder;
use super::save_queue::{
    Failing, Job, Measure, SaverTurn, SharedQueue, backoff, remember, seen, size,
};
use super::save_retention::RetentionWork;
use super::spans::{Spanned, in_span};
use super::spot_check;
use super::statistics::Trouble;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::manager::{CreateOutcome, Retained};
use crate::state::Aggregate;
use crate::trigger::TriggerContext;

/// The limits of one put, in records and bytes. No further aggregate is captured while the records
/// that wait for a put reach [`BATCH_BYTES`].
const BATCH: usize = 256;
const BATCH_BYTES: usize = 8 << 20;
/// After a measurement, the aggregate is not measured again for this many times its duration.
/// Measuring therefore takes at most 5 % of one core, however often the aggregate commits.
const MEASURING_PAUSE: u32 = 20;

/// Processes the queue until it is empty.
pub(super) async fn drain<A: Aggregate>(
    core: Arc<EngineCore<A>>,
    turn: SaverTurn,
    parallel: usize,
) {
    let Some(shared) = turn.0.clone() else { return };
    let mut work = Work::new(core, Arc::clone(&shared), parallel);
    loop {
        work.start_captures();
        work.start_put();
        work.start_retention();
        if !work.tasks.is_empty() {
            if let Some(ended) = work.next().await {
                work.take(ended);
                work.core.queue_changed(&work.shared);
            }
            continue;
        }
        // A commit may have queued an aggregate since the last check and relies on this task.
        let mut queue = shared.lock();
        if queue.waiting.is_empty() {
            queue.running = false;
            drop(queue);
            turn.over();
            return;
        }
    }
}

/// An aggregate whose snapshot is in progress.
struct Saving {
    key: AggregateKey,
    /// When the aggregate was taken from the queue, by the monotonic clock.
    started: Duration,
}

/// The result of a task.
enum Ended<A: Aggregate> {
    /// The record, or `None` if no snapshot is needed or the capture failed and was noted.
    Captured(Option<Capture<A>>),
    /// The outcome of each record of a put, in order, and how long the put took.
    Put(Vec<Result<CreateOutcome, Error>>, Duration),
    /// What a policy did to an aggregate.
    Retained(Result<Retained, Error>),
}

struct Work<A: Aggregate> {
    core: Arc<EngineCore<A>>,
    shared: Arc<SharedQueue>,
    parallel: usize,
    // Captures and puts run in separate tasks, so that a panic in the application's fold or in the
    // store ends only one of them.
    tasks: JoinSet<Ended<A>>,
    capturing: HashMap<Id, Saving>,
    /// The records of the running put; empty if none is running.
    putting: Vec<(Saving, Capture<A>)>,
    /// Records that wait for the next put.
    ready: Vec<(Saving, Capture<A>)>,
    ready_bytes: usize,
    /// Records of a batch whose put panicked. Each is put separately.
    suspects: Vec<(Saving, Capture<A>)>,
    retention: RetentionWork,
}

impl<A: Aggregate> Work<A> {
    fn new(core: Arc<EngineCore<A>>, shared: Arc<SharedQueue>, parallel: usize) -> Self {
        Self {
            core,
            shared,
            parallel,
            tasks: JoinSet::new(),
            capturing: HashMap::new(),
            putting: Vec::new(),
            ready: Vec::new(),
            ready_bytes: 0,
            suspects: Vec::new(),
            retention: RetentionWork::default(),
        }
    }

    fn start_captures(&mut self) {
        while self.capturing.len() < self.parallel && self.ready_bytes < BATCH_BYTES {
            let Some((key, job)) = self.shared.next() else { return };
            let Some(job) = job else {
                self.shared.ended(&key);
                continue;
            };
            let started = self.core.clock.monotonic();
            let (core, shared) = (Arc::clone(&self.core), Arc::clone(&self.shared));
            let capture = capture(core, shared, key.clone(), job);
            let capture = in_span(Spanned::Save(&key), capture);
            let id = self.tasks.spawn(capture).id();
            self.capturing.insert(id, Saving { key, started });
        }
    }

    /// Puts the ready records, unless a put is running.
    fn start_put(&mut self) {
        if !self.putting.is_empty() {
            return;
        }
        let batch = if let Some(suspect) = self.suspects.pop() {
            vec![suspect]
        } else {
            let many = self.ready.len().min(BATCH);
            let rest = self.ready.split_off(many);
            std::mem::replace(&mut self.ready, rest)
        };
        if batch.is_empty() {
            return;
        }
        self.ready_bytes = self.ready.iter().map(|(_, ready)| ready.record.as_bytes().len()).sum();
        self.shared.lock().unwritten = self.ready.len() + self.suspects.len();
        let (core, count) = (Arc::clone(&self.core), batch.len());
        let records = batch.iter().map(|(_, capture)| capture.record.clone()).collect();
        self.tasks.spawn(async move {
            let started = core.clock.monotonic();
            let put = core.save(records);
            let outcomes = in_span(Spanned::Put(count), put).await;
            Ended::Put(outcomes, core.clock.monotonic().saturating_sub(started))
        });
        self.putting = batch;
    }

    /// Applies the policy to aggregates that are due, concurrently with the captures and the put.
    fn start_retention(&mut self) {
        while let Some((key, saved)) = self.retention.next(self.parallel) {
            let (core, of) = (Arc::clone(&self.core), key.clone());
            let retain = async move { Ended::Retained(core.retain_saved(&of, saved).await) };
            let id = self.tasks.spawn(retain).id();
            self.retention.started(id, key);
        }
    }

    /// Waits for a task to end, or returns `None` if an aggregate is queued before that. A leftover
    /// permit causes one unnecessary check.
    async fn next(&mut self) -> Option<Result<(Id, Ended<A>), JoinError>> {
        let mut queued = pin!(self.shared.queued.notified());
        poll_fn(|context| {
            if let Poll::Ready(ended) = self.tasks.poll_join_next_with_id(context) {
                return Poll::Ready(ended);
            }
            queued.as_mut().poll(context).map(|()| None)
        })
        .await
    }

    fn take(&mut self, ended: Result<(Id, Ended<A>), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let ended = ended.map(|(_, ended)| ended);
        if let Some(key) = self.retention.ended(id) {
            match ended {
                Ok(Ended::Retained(retained)) => self.note_retention(&key, retained),
                Ok(_) => {}
                Err(join) => self.note_retention(&key, Err(panicked(join))),
            }
        } else if let Some(saving) = self.capturing.remove(&id) {
            match ended {
                Ok(Ended::Captured(Some(capture))) => {
                    self.ready_bytes += capture.record.as_bytes().len();
                    self.ready.push((saving, capture));
                    self.shared.lock().unwritten += 1;
                }
                Ok(_) => self.shared.ended(&saving.key),
                Err(join) => self.note(&saving, Err(panicked(join))),
            }
        } else {
            let batch = std::mem::take(&mut self.putting);
            match ended {
                Ok(Ended::Put(outcomes, took)) => {
                    let share = took / u32::try_from(batch.len()).unwrap_or(u32::MAX).max(1);
                    for ((saving, capture), outcome) in batch.iter().zip(outcomes) {
                        // A replacement has folded all events from the beginning.
                        if let Some(learning) = &self.core.learning
                            && let Ok(CreateOutcome::Stored(_) | CreateOutcome::Existing { .. }) =
                                &outcome
                        {
                            learning.stored(capture.bytes, capture.took.saturating_add(share));
                        }
                        self.note(saving, outcome);
                    }
                }
                Err(join) if batch.len() == 1 => {
                    let error = panicked(join);
                    for (saving, _) in &batch {
                        self.note(saving, Err(error.clone()));
                    }
                }
                _ => {
                    self.shared.lock().unwritten += batch.len();
                    self.suspects.extend(batch);
                }
            }
        }
    }

    /// Reports the outcome of a retention. A failed one is due again at the next snapshot.
    fn note_retention(&self, key: &AggregateKey, retained: Result<Retained, Error>) {
        if retained.is_err() {
            self.shared.lock().postpone_retention(key);
        }
        self.core.note_retention(key, retained);
    }

    /// Remembers and reports the outcome of a background snapshot.
    fn note(&mut self, saving: &Saving, created: Result<CreateOutcome, Error>) {
        let took = self.core.clock.monotonic().saturating_sub(saving.started);
        if let Ok(created) = &created {
            self.core.enter(recorder::creation(created, took));
            if let CreateOutcome::Stored(meta) | CreateOutcome::Replaced(meta) = created {
                spot_check::start(&self.core, &self.shared, meta);
            }
            if let CreateOutcome::Stored(meta) = created
                && self.core.retention.is_some()
                && self.shared.lock().is_retention_due(meta)
                && !self.retention.push(&meta.key, meta.id())
            {
                self.shared.lock().postpone_retention(&meta.key);
            }
        }
        note(&self.core, &self.shared, &saving.key, created.map(|created| (created, took)));
        self.shared.ended(&saving.key);
    }
}

/// Loads an aggregate and encodes its state, if a snapshot is still needed.
async fn capture<A: Aggregate>(
    core: Arc<EngineCore<A>>,
    shared: Arc<SharedQueue>,
    key: AggregateKey,
    mut job: Job,
) -> Ended<A> {
    // Held until the record is encoded. The store may take longer.
    let _permit = core.limits.pools.saves.acquire().await;
    if let Some(measure) = job.measure.take()
        && !learn_size(&core, &shared, &key, &mut job, measure).await
    {
        return Ended::Captured(None);
    }
    // A snapshot that was saved since the commit may make this one unnecessary, or the size of the
    // state may have become known.
    let Job { seen, ask_again, .. } = job;
    if ask_again && (seen.distance() == 0 || !core.trigger.decide(&seen).take) {
        return Ended::Captured(None);
    }
    let started = core.clock.monotonic();
    if let Some(error) = core.store_is_down() {
        note(&core, &shared, &key, Err(error));
        return Ended::Captured(None);
    }
    match core.capture(&key).await {
        Ok(Some(mut capture)) => {
            if !is_still_wanted(&core, &key, seen, &capture) {
                return Ended::Captured(None);
            }
            capture.held = Some(core.hold_bytes(capture.record.as_bytes().len() as u64).await);
            Ended::Captured(Some(capture))
        }
        Ok(None) => {
            let took = core.clock.monotonic().saturating_sub(started);
            note(&core, &shared, &key, Ok((CreateOutcome::Empty, took)));
            Ended::Captured(None)
        }
        Err(error) => {
            note(&core, &shared, &key, Err(error));
            Ended::Captured(None)
        }
    }
}

/// Whether the trigger still wants the first snapshot of an aggregate, now that the time for
/// restoring it is known.
fn is_still_wanted<A: Aggregate>(
    core: &EngineCore<A>,
    key: &AggregateKey,
    mut seen: TriggerContext,
    capture: &Capture<A>,
) -> bool {
    let Some(learning) = &core.learning else { return true };
    if seen.snapshot.is_some() {
        return true;
    }
    seen.costs.restore = learning.last_restore(capture.bytes).or(seen.costs.restore);
    let take = core.trigger.decide(&seen).take;
    if !take {
        learning.declined(key, capture.bytes);
    }
    take
}

/// Measures a state and stores the estimated size in the job; returns false if measuring failed.
async fn learn_size<A: Aggregate>(
    core: &EngineCore<A>,
    shared: &SharedQueue,
    key: &AggregateKey,
    job: &mut Job,
    measure: Measure,
) -> bool {
    let started = core.clock.monotonic();
    // On a thread for blocking work, because encoding a large state would delay commands.
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

/// Remembers and reports the outcome of a background snapshot, and how long it took.
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
            let backing_off = backoff(times);
            let not_before = core.clock.monotonic().saturating_add(backing_off);
            remember(&mut queue.failing, key, Failing { times, not_before });
            drop(queue);
            let what = format!("a background snapshot of {key} failed");
            core.failed(Trouble::SaveFailed, &what, Some(&error));
            core.report(&Observation::SaveFailed { key, error: &error, backing_off });
        }
    }
}
