//! Runs a plan, on one thread, by clocks that stand still unless they are told to move.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use snapfold::engine::ManualClock;
use snapfold::layer::{Fault, FaultyStore, TieredStore};
use snapfold::record::Record;
use snapfold::store::{ListRequest, Lookup, PutOptions, Query, Selection};
use snapfold::{MemoryStore, SnapshotStore, Timestamp};

use crate::disk::{Disk, Front};
use crate::model::{Book, Violation, name};
use crate::node::{Node, Process, append};
use crate::objects::Objects;
use crate::plan::{KEYS, NODES, NodeConfig, Place, Plan, What};
use crate::source::Source;
use crate::states::{First, Second, Third, generation};

/// What came of a run.
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    pub(crate) trace: Vec<String>,
    pub(crate) coverage: BTreeMap<String, u64>,
    pub(crate) faults: u64,
}

impl Outcome {
    pub(crate) fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.trace.hash(&mut hasher);
        hasher.finish()
    }
}

pub(crate) fn run(plan: &Plan) -> Outcome {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(plan);
        world.run(plan).await;
        world.end()
    })
}

struct World {
    book: Arc<Book>,
    disk: Arc<dyn SnapshotStore>,
    tiers: Option<TieredStore>,
    objects: Option<Objects>,
    store: FaultyStore,
    source: Source,
    clock: ManualClock,
    anchors: bool,
    deltas: Option<u32>,
    configs: [NodeConfig; NODES],
    nodes: Vec<Box<dyn Node>>,
}

impl World {
    fn new(plan: &Plan) -> Self {
        let book = Arc::new(Book::new(plan.meets(Fault::Lost), plan.objects));
        let objects = plan.objects.then(|| Objects::new(plan.seed, &book));
        let tiers = plan.tiers.then(|| TieredStore::new(MemoryStore::new(), MemoryStore::new()));
        let inner: Arc<dyn SnapshotStore> = match (&tiers, &objects) {
            (Some(tiers), _) => Arc::new(tiers.clone()),
            (None, Some(objects)) => objects.eye.clone(),
            (None, None) => Arc::new(MemoryStore::new()),
        };
        let store = if let Some(objects) = &objects {
            FaultyStore::new(objects.turns.clone(), plan.faults())
        } else {
            let disk = Disk { inner: Arc::clone(&inner), book: Arc::clone(&book) };
            FaultyStore::new(disk, plan.faults())
        };
        let source = Source::new(Arc::clone(&book), plan.seed, plan.source_failing);
        let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
        let configs = plan.nodes.clone();
        let (anchors, deltas) = (plan.anchors, plan.deltas);
        let mut world = Self {
            book,
            disk: inner,
            tiers,
            objects,
            store,
            source,
            clock,
            anchors,
            deltas,
            configs,
            nodes: Vec::new(),
        };
        world.nodes = (0..NODES).map(|node| world.started(node)).collect();
        world
    }

    fn started(&self, node: usize) -> Box<dyn Node> {
        let config = &self.configs[node];
        let front = |died| Front { store: self.store.clone(), book: Arc::clone(&self.book), died };
        match config.generation {
            0 => Box::new(Process::<First>::start(
                front,
                &self.source,
                &self.clock,
                config,
                (self.anchors, self.deltas),
            )),
            1 => Box::new(Process::<Second>::start(
                front,
                &self.source,
                &self.clock,
                config,
                (self.anchors, self.deltas),
            )),
            _ => Box::new(Process::<Third>::start(
                front,
                &self.source,
                &self.clock,
                config,
                (self.anchors, self.deltas),
            )),
        }
    }

    async fn run(&mut self, plan: &Plan) {
        for step in &plan.steps {
            self.book.note(&format!("#{} {:?}", step.at, step.what));
            self.step(step.at, &step.what).await;
            if step.rest > 0 {
                tokio::time::sleep(Duration::from_millis(step.rest)).await;
            } else {
                tokio::task::yield_now().await;
            }
            self.check_disk().await;
            self.forget_ended();
            if !self.book.lock().violations.is_empty() {
                return;
            }
        }
        self.finale().await;
    }

    async fn step(&mut self, at: usize, what: &What) {
        match what {
            What::Begin { node, key, op, patience } => {
                let patience = patience.map(Duration::from_millis);
                self.nodes[*node].begin(at, *key, op.clone(), patience);
            }
            What::Append { key, events } => {
                append(&self.book, &self.source, &self.clock, self.anchors, *key, events);
            }
            What::Truncate { key, to, safe } => self.truncate(*key, *to, *safe),
            What::Restore { key, to, restart } => self.restore(*key, *to, *restart).await,
            What::Restart { node, config, gently } => {
                if *gently {
                    self.nodes[*node].settle().await;
                } else {
                    self.nodes[*node].die().await;
                }
                self.configs[*node] = config.clone();
                self.nodes[*node] = self.started(*node);
                self.book.met("a restart");
            }
            What::Move { key, back } => self.moves(*key, *back).await,
            What::Rot { key, which, bit } => self.rot(*key, *which, *bit).await,
            What::Clock { forward } => self.clock.advance(Duration::from_secs(*forward)),
            What::ClockBack { seconds } => {
                let now = snapfold::engine::Clock::now(&self.clock);
                self.clock.set(now.saturating_sub(Duration::from_secs(*seconds)));
            }
            What::Weather { bad } => {
                if *bad {
                    self.store.start();
                } else {
                    self.store.stop();
                }
                self.source.weather(*bad);
                if let Some(objects) = &self.objects {
                    objects.requests.on(*bad);
                }
            }
        }
    }

    /// Requests of operations that have ended may still have their effect, unless none is on its way.
    fn forget_ended(&self) {
        if self.objects.as_ref().is_none_or(|objects| objects.requests.pending() == 0) {
            self.book.lock().forget_ended();
        }
    }

    /// All late requests arrive.
    fn arrive(&self) {
        if let Some(objects) = &self.objects {
            objects.requests.arrive();
        }
        self.forget_ended();
    }

    fn truncate(&self, key: usize, to: Place, safe: bool) {
        let mut model = self.book.lock();
        let (head, floor) = (model.streams[key].head(), model.streams[key].floor);
        let mut to = to.version(head).min(head);
        if safe {
            let usable =
                model.of_key(key).filter(|(id, stored)| stored.is_usable(id.version, floor));
            to = to.min(usable.map(|(id, _)| id.version).max().unwrap_or(0));
        }
        let bridges = model.of_key(key).filter(|(id, stored)| stored.is_usable(id.version, to));
        let bridges = bridges.map(|(id, _)| id).collect();
        // A snapshot of a lost history at just the version whose event goes now could not be told
        // from a good one any more: whoever truncates takes care of those first.
        let stream = &mut model.streams[key];
        while to > floor && stream.ghosts.contains(&to) {
            to -= 1;
        }
        if to > floor {
            stream.floor = to;
            stream.bridges = bridges;
            stream.changes.truncated += 1;
            self.source.events.truncate_below(&self.book.keys[key], to);
            drop(model);
            self.book.note(&format!("{key}: truncated up to {to}"));
            self.book.met("a truncation");
        }
    }

    /// No operation runs meanwhile: a version means the same event for as long as one does.
    async fn restore(&mut self, key: usize, to: Place, restart: bool) {
        for node in &mut self.nodes {
            if restart {
                node.die().await;
            } else {
                node.settle().await;
            }
        }
        // What arrives later would be of a history that is over, and no operation would be to blame.
        self.arrive();
        let mut model = self.book.lock();
        model.lives += 1;
        let stream = &mut model.streams[key];
        let to = to.version(stream.head()).clamp(stream.floor, stream.head());
        let kept = stream.events()[..usize::try_from(to).unwrap()].to_vec();
        stream.lives.push(kept);
        self.source.events.rewind(&self.book.keys[key], to);
        let above = |version: u64| version > to;
        let ghosts: Vec<_> = model.attempted.iter().filter(|id| id.0 == key).copied().collect();
        let ghosts = ghosts.iter().map(|id| id.1.version).filter(|version| above(*version));
        model.streams[key].ghosts.extend(ghosts);
        for (id, stored) in &mut model.truth {
            stored.is_lost |= id.0 == key && above(id.1.version);
        }
        drop(model);
        self.book.note(&format!("{key}: restored to {to}"));
        self.book.met("a restore");
        if restart {
            self.nodes = (0..NODES).map(|node| self.started(node)).collect();
        }
    }

    /// Moves do not change what is stored.
    async fn moves(&self, key: usize, back: bool) {
        let Some(tiers) = &self.tiers else { return };
        let name = &self.book.keys[key];
        let moved = if back {
            tiers.restore(name, Selection::All).await.map(|report| report.copied)
        } else {
            tiers.archive(name, Timestamp::MAX).await.map(|report| report.moved)
        };
        self.book.note(&format!("{key}: moved {moved:?}"));
        match moved {
            Ok(0) => {}
            Ok(_) if back => self.book.met("snapshots restored"),
            Ok(_) => self.book.met("snapshots archived"),
            Err(error) => self.book.violate("R10", format!("a move failed: {error}")),
        }
    }

    async fn rot(&self, key: usize, which: usize, bit: usize) {
        let record = {
            let mut model = self.book.lock();
            let ids: Vec<_> = model.of_key(key).map(|(id, _)| id).collect();
            let Some(at) = which.checked_rem(ids.len()) else { return };
            model.streams[key].changes.rotted += 1;
            let stored = model.truth.get_mut(&(key, ids[at])).unwrap();
            let payload = stored.record.header().unwrap().header_bytes();
            let mut bytes = stored.record.as_bytes().to_vec();
            let bits = (bytes.len() - payload) * 8;
            bytes[payload + bit % bits / 8] ^= 1 << (bit % 8);
            stored.record = Record::from_bytes(bytes);
            stored.is_rotten = stored.record.verify().is_err();
            stored.record.clone()
        };
        self.disk.put(vec![record], PutOptions::default().replace(true)).await.unwrap();
        self.book.met("a record that rots");
    }

    /// What is stored is what was put, byte for byte, and all of it (R10, R11).
    async fn check_disk(&self) {
        let mut found = 0;
        for (index, key) in self.book.keys.iter().enumerate() {
            let page = self.disk.list(ListRequest::new(key).limit(usize::MAX)).await.unwrap();
            found += page.items.len();
            for meta in page.items {
                let query = Query::latest(key, meta.generation).at_most(meta.version);
                let Lookup::Found(is) = self.disk.get(query).await.unwrap() else { continue };
                let id = (index, meta.id());
                let was = self.book.lock().truth.get(&id).map(|stored| stored.record.clone());
                self.book.require("R10", was.as_ref() == Some(&is.record), || {
                    format!("{} is not what was put", name(id))
                });
            }
        }
        let expected = self.book.lock().truth.len();
        self.book.require("R11", found == expected, || format!("{found} of {expected} are there"));
    }

    /// All faults end, and time passes; then everything works.
    async fn finale(&mut self) {
        self.book.note("-- finale");
        self.store.stop();
        self.source.weather(false);
        if let Some(objects) = &self.objects {
            objects.requests.on(false);
        }
        for node in &mut self.nodes {
            node.settle().await;
        }
        self.arrive();
        // Longer than any backing off.
        self.clock.advance(Duration::from_secs(400));
        for node in 0..NODES {
            for key in 0..KEYS {
                self.nodes[node].finale(1_000 + node, key).await;
                self.check_disk().await;
            }
        }
    }

    fn end(self) -> Outcome {
        let report = self.store.report();
        let mut model = self.book.lock();
        let mut coverage = std::mem::take(&mut model.coverage);
        for fault in [
            Fault::Delayed,
            Fault::Flipped,
            Fault::Hung,
            Fault::Lost,
            Fault::Refused,
            Fault::Stale,
            Fault::Torn,
            Fault::Unacknowledged,
        ] {
            if report.count(fault) > 0 {
                coverage.insert(format!("fault: {fault}"), report.count(fault));
            }
        }
        coverage.extend(self.objects.iter().flat_map(Objects::met));
        let generations = [generation::<First>(), generation::<Second>(), generation::<Third>()];
        let stored = |at: usize| model.truth.keys().any(|id| id.1.generation == generations[at]);
        if (0..KEYS).all(stored) {
            coverage.insert("three generations in one store".to_owned(), 1);
        }
        Outcome {
            violations: std::mem::take(&mut model.violations),
            trace: std::mem::take(&mut model.trace),
            coverage,
            faults: report.total(),
        }
    }
}
