//! One process: an engine of one generation of code, and the operations that run on it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use snapfold::codec::Compression;
use snapfold::engine::{
    CacheConfig, Incremental, ManualClock, Observation, Observer, OnStoreFailure, RecompressRequest,
};
use snapfold::manager::CreateOptions;
use snapfold::record::Generation;
use snapfold::{AggregateKey, Error, Point, SnapshotEngine, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::checks::Asked;
use crate::disk::Front;
use crate::model::{Book, Guard, Right, name};
use crate::plan::{Ask, Happened, NodeConfig, Op};
use crate::source::Source;
use crate::states::Subject;

/// Longer than anything in a run can take, by tokio's time.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(24 * 3_600);

/// A process, whatever its generation.
#[async_trait]
pub(crate) trait Node: Send + Sync {
    /// Begins an operation, which may be given up after a while.
    fn begin(&mut self, index: usize, key: usize, op: Op, patience: Option<Duration>);

    /// Ends the process as `kill -9` does.
    async fn die(&mut self);

    /// Waits for all operations, and for the background.
    async fn settle(&mut self);

    /// What must hold after all faults have ended, for one aggregate.
    async fn finale(&self, index: usize, key: usize);
}

pub(crate) struct Process<A: Subject> {
    client: Client<A>,
    kill: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

/// What an operation works with.
#[derive(Clone)]
pub(crate) struct Client<A: Subject> {
    pub(crate) engine: SnapshotEngine<A>,
    pub(crate) book: Arc<Book>,
    pub(crate) source: Source,
    pub(crate) clock: ManualClock,
    pub(crate) config: NodeConfig,
    pub(crate) readable: Vec<Generation>,
    pub(crate) anchors: bool,
}

/// Appends events, as the application does.
pub(crate) fn append(
    book: &Book,
    source: &Source,
    clock: &ManualClock,
    anchors: bool,
    key: usize,
    events: &[Happened],
) -> u64 {
    let mut model = book.lock();
    let now = snapfold::engine::Clock::now(clock).as_micros();
    for happened in events {
        // Two events of different lives never have the same time.
        let at = ((now + happened.off * 1_000_000) & !63) + model.lives;
        let at = Timestamp::from_micros(at);
        model.appended += 1;
        if anchors {
            let anchor = model.appended.to_be_bytes();
            source.events.append_anchored(&book.keys[key], at, &anchor, happened.event);
        } else {
            source.events.append(&book.keys[key], at, happened.event);
        }
        model.streams[key].lives.last_mut().unwrap().push((at, happened.event));
    }
    model.streams[key].head()
}

impl<A: Subject> Process<A> {
    pub(crate) fn start(
        front: impl FnOnce(watch::Receiver<bool>) -> Front,
        source: &Source,
        clock: &ManualClock,
        config: &NodeConfig,
        (anchors, deltas): (bool, Option<u32>),
    ) -> Self {
        let (kill, died) = watch::channel(false);
        let front = front(died.clone());
        let book = Arc::clone(&front.book);
        let on_failure =
            if config.replays_on_failure { OnStoreFailure::Replay } else { OnStoreFailure::Fail };
        let mut builder = A::upcasting(SnapshotEngine::builder(source.clone(), front.clone()))
            .clock(clock.clone())
            .trigger(config.when.build())
            .on_store_failure(on_failure)
            .max_queued(config.max_queued)
            // A thread of its own would make the order of events depend on the machine.
            .encode_in_place(u64::MAX)
            .observer(Ear { book: Arc::clone(&book), died });
        builder = match config.retention {
            Some(policy) => {
                book.applies(policy);
                builder.retention(policy.build())
            }
            None => builder.without_retention(),
        };
        if let Some(seconds) = config.cache {
            let cache = CacheConfig::default().time_to_live(Duration::from_secs(seconds));
            builder = builder.cache(cache);
        }
        if let Some(deltas) = deltas {
            let all = Incremental::lz4().min_bytes(0).max_percent(u8::MAX);
            builder = builder.incremental(all.max_deltas(deltas));
        }
        let client = Client {
            engine: builder.build().unwrap(),
            book,
            source: source.clone(),
            clock: clock.clone(),
            config: config.clone(),
            readable: A::readable(),
            anchors,
        };
        Self { client, kill, tasks: Vec::new() }
    }
}

#[async_trait]
impl<A: Subject> Node for Process<A> {
    fn begin(&mut self, index: usize, key: usize, op: Op, patience: Option<Duration>) {
        let client = self.client.clone();
        self.tasks.retain(|task| !task.is_finished());
        self.tasks.push(tokio::spawn(async move {
            let guard = client.book.begin(index, key, client.right(key, &op));
            let work = client.perform(&guard, key, op);
            let given_up = match patience {
                Some(patience) => tokio::time::timeout(patience, work).await.is_err(),
                None => tokio::time::timeout(FOR_EVER, work).await.is_err_and(|_| {
                    client.book.violate("liveness", "an operation never ended");
                    true
                }),
            };
            if given_up {
                client.book.note(&format!("#{index} was given up"));
                client.book.met("an operation given up");
            }
        }));
    }

    async fn die(&mut self) {
        self.kill.send_replace(true);
        for task in &self.tasks {
            task.abort();
        }
        self.join().await;
        // Tasks of the background learn of it when they are polled next.
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    async fn settle(&mut self) {
        self.join().await;
        let flushed = self.client.engine.flush(FOR_EVER).await;
        self.client.book.require("liveness", flushed.is_ok(), || format!("flush: {flushed:?}"));
    }

    async fn finale(&self, index: usize, key: usize) {
        self.client.finale(index, key).await;
    }
}

impl<A: Subject> Process<A> {
    async fn join(&mut self) {
        for task in self.tasks.drain(..) {
            if let Err(error) = task.await
                && error.is_panic()
            {
                self.client.book.violate("R16", "an operation panicked");
            }
        }
    }
}

impl<A: Subject> Client<A> {
    pub(crate) fn key(&self, key: usize) -> &AggregateKey {
        &self.book.keys[key]
    }

    /// What an operation may do, fixed when it begins.
    fn right(&self, key: usize, op: &Op) -> Right {
        let head = self.book.lock().streams[key].head();
        match op {
            Op::Compact(policy) => Right::Compact(*policy),
            Op::Delete(place) => Right::Delete(place.version(head)),
            Op::DeleteBefore(place) => Right::DeleteBefore(place.version(head)),
            Op::Repair(place) => Right::Replace(place.version(head)),
            _ => Right::Nothing,
        }
    }

    async fn perform(&self, guard: &Guard, key: usize, op: Op) {
        let (before, name) = (&*guard.before, self.key(key).clone());
        let head = before.of(key).head;
        match op {
            Op::Command(events) => self.command(guard, key, &events).await,
            Op::Load(ask) => {
                let asked = self.asked(ask, key, head);
                let loaded = self.ask(key, asked).await;
                self.check_load(before, key, asked, loaded.as_ref(), false);
            }
            Op::Fetch(place) => {
                let version = place.map(|place| place.version(head));
                let fetched = match version {
                    Some(version) => self.engine.snapshot(&name, version).await,
                    None => self.engine.latest_snapshot(&name).await,
                };
                self.check_fetch(before, key, version, fetched);
            }
            Op::List => {
                let listed = self.engine.snapshots(&name, 0..=u64::MAX).await;
                self.check_list(before, key, listed);
            }
            Op::Stats => {
                let stats = self.engine.stats(&name).await;
                self.check_stats(before, key, &stats);
            }
            Op::Create { at, pinned } => {
                let version = at.map(|place| place.version(head));
                let created = self.create(key, version, pinned).await;
                self.check_create(before, key, version, created);
            }
            Op::CreateMany => {
                let created = self.engine.create_many(&self.book.keys).await;
                for (key, created) in created.into_iter().enumerate() {
                    self.check_create(before, key, None, created);
                }
            }
            Op::Plan(policy) => {
                let plan = self.engine.plan_retention(&name, &*policy.build()).await;
                self.check_error(before, key, "plan", plan.as_ref().err());
            }
            Op::Compact(policy) => {
                let compaction = self.engine.apply_retention(&name, &*policy.build()).await;
                let dropped = compaction.as_ref().is_ok_and(|done| done.deleted.snapshots > 0);
                if dropped {
                    self.book.met("a snapshot dropped by retention");
                }
                self.check_error(before, key, "compact", compaction.as_ref().err());
            }
            Op::Delete(place) => {
                let version = place.version(head);
                let deleted = self.engine.delete(&name, version).await;
                self.check_delete(before, key, version..=version, &deleted);
            }
            Op::DeleteBefore(place) => {
                let version = place.version(head);
                let deleted = self.engine.delete_before(&name, version).await;
                let Some(last) = version.checked_sub(1) else { return };
                self.check_delete(before, key, 0..=last, &deleted);
            }
            Op::Repair(place) => {
                let version = place.version(head);
                let repaired = self.engine.rebuild(&name, version).await;
                self.check_repair(before, key, version, repaired);
            }
            Op::Recompress { lz4, whole } => {
                let form = if lz4 { Compression::lz4().min_bytes(0) } else { Compression::none() };
                let request = RecompressRequest::new(form).key(name).whole_deltas(whole);
                let done = self.engine.recompress(&request).await;
                self.check_error(before, key, "recompress", done.as_ref().err());
            }
        }
    }

    /// What a command does: it commits only if nobody else did since its load.
    async fn command(&self, guard: &Guard, key: usize, events: &[Happened]) {
        let loaded = self.ask(key, Asked::Now).await;
        self.check_load(&guard.before, key, Asked::Now, loaded.as_ref(), false);
        let Ok(loaded) = loaded else { return };
        if self.book.lock().streams[key].head() != loaded.version {
            self.book.met("a command that lost against another one");
            return;
        }
        let head = append(&self.book, &self.source, &self.clock, self.anchors, key, events);
        let decision = self.engine.committed(&loaded, head);
        self.book.note(&format!("{key}: committed up to {head}: {decision}"));
        if decision.is_queued() {
            self.book.met("a background snapshot queued");
        }
    }

    pub(crate) async fn create(
        &self,
        key: usize,
        version: Option<u64>,
        pinned: bool,
    ) -> Result<snapfold::manager::CreateOutcome, Error> {
        let mut options = CreateOptions::new();
        options.version = version;
        if pinned {
            options = options.pin("audit");
        }
        self.engine.create_with(self.key(key), options).await
    }

    pub(crate) async fn ask(&self, key: usize, asked: Asked) -> Result<snapfold::Loaded<A>, Error> {
        let (at, key) = (key, self.key(key));
        match asked {
            // Some alone, others together with all aggregates.
            Asked::Now if at % 2 == 1 => {
                self.engine.load_many(&self.book.keys).await.swap_remove(at)
            }
            Asked::Now => self.engine.load(key).await,
            Asked::Version(version) => self.engine.at_version(key, version).await,
            Asked::Time(time) => self.engine.at_time(key, time).await,
            Asked::Known(version) => self.engine.latest_known(key, Point::Version(version)).await,
        }
    }

    fn asked(&self, ask: Ask, key: usize, head: u64) -> Asked {
        match ask {
            Ask::Now => Asked::Now,
            Ask::Version(place) => Asked::Version(place.version(head)),
            Ask::Known(place) => Asked::Known(place.version(head)),
            Ask::Time(place, off) => {
                let model = self.book.lock();
                let events = model.streams[key].events();
                let at = usize::try_from(place.version(head)).unwrap();
                let at = events.get(at).map_or(1_000_000_000, |(at, _)| at.as_micros());
                Asked::Time(Timestamp::from_micros(at + off * 1_000_000))
            }
        }
    }
}

/// Hears what the engine reports.
struct Ear {
    book: Arc<Book>,
    died: watch::Receiver<bool>,
}

impl Observer for Ear {
    fn observe(&self, report: &Observation<'_>) {
        if *self.died.borrow() {
            return;
        }
        match report {
            Observation::Saved { key, created, .. } => {
                self.book.note(&format!("{}: saved in the background", self.book.index(key)));
                self.book.met("a background snapshot saved");
                // It was put just now, and nothing was polled since; so what is not there now was
                // deleted while the answer was on its way, which removals since then excuse.
                if let Some(meta) = created.meta() {
                    let id = self.book.id_of(meta);
                    let model = self.book.lock();
                    let was_there = model.attempted.contains(&id) || model.lost.contains(&id);
                    drop(model);
                    self.book.require("R11", was_there, || {
                        format!("{} was reported as saved and never put", name(id))
                    });
                }
            }
            Observation::SaveFailed { key, error, backing_off } => {
                let index = self.book.index(key);
                let line = format!("{index}: not saved: {error} (backing off {backing_off:?})");
                self.book.note(&line);
                self.book.met("a background snapshot failed");
                let panicked = error.to_string().contains("panicked");
                self.book.require("R16", !panicked, || line.clone());
            }
            Observation::Retained { key, retained } => {
                let deleted = retained.deleted.snapshots;
                self.book.met("a background retention that deleted something");
                self.book.note(&format!("  retention: {} lost {deleted}", key.id()));
            }
            Observation::SaveDropped { reason, .. } => {
                let kind = if reason.contains("in a row") { "backing off" } else { "queue full" };
                self.book.met(&format!("a background snapshot dropped: {kind}"));
            }
            _ => {}
        }
    }
}
