//! Many tasks in several processes, on few aggregates, while everything fails: each answer is one
//! that a store in order could have given.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::Record;
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Lookup, Mark, MarkChange, MarkKind, Marks, PutOptions,
    PutOutcome, Query, Rewrite, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, SnapshotId, SnapshotStore, Timestamp};

use crate::support::legal::{Answer, Done, Op, Put, SLOTS, is_legal};
use crate::support::unreliable::{Mishap, Unreliable};
use crate::support::{ROOT, get, id_of, key, names, opened_with, record, run};

/// How many seeds each test run goes through, unless `OBJECT_STORE_SEEDS` says otherwise.
const SEEDS: u64 = 2_000;
const THREADS: usize = 4;
const AGGREGATES: usize = 2;
const HANDLES: usize = 3;
const TASKS: usize = 4;
/// Longer than the age at which a sweep deletes.
const HOURS: Duration = Duration::from_secs(2 * 3_600);

/// The slots of one generation, the highest version first.
const NEWEST: [[usize; 2]; 2] = [[1, 0], [3, 2]];

fn slot_id(slot: usize) -> SnapshotId {
    id_of(1 + slot as u64 / 2, 10 + slot as u64 % 2)
}

/// What all tasks of a run share.
struct World {
    objects: Unreliable,
    handles: Vec<Mutex<ObjectStoreSnapshots>>,
    options: ObjectStoreOptions,
    aggregates: Vec<AggregateKey>,
    shared: Mutex<Shared>,
    is_killing: bool,
}

#[derive(Default)]
struct Shared {
    /// Counts starts and ends.
    now: u64,
    histories: Vec<Vec<Done>>,
    records: Vec<Record>,
    values: HashMap<Bytes, u16>,
    answered: BTreeMap<&'static str, u64>,
}

impl World {
    async fn new(seed: u64) -> Arc<Self> {
        let mut rng = Rng::with_seed(seed);
        let mut rates = Vec::new();
        for mishap in Mishap::ALL {
            // Some runs without each.
            if mishap != Mishap::Disorder && rng.bool() {
                rates.push((mishap, 0.12 * rng.f64()));
            }
        }
        let objects = Unreliable::new(seed, rates);
        let inline = if rng.u8(..3) == 0 { 0 } else { 300 };
        let cache = if rng.u8(..4) == 0 { 0 } else { 1 << 20 };
        let options = ObjectStoreOptions::new()
            .inline_limit(inline)
            .cache_bytes(cache)
            .timeout(Duration::from_secs(rng.u64(1..30)));
        let mut handles = Vec::new();
        for _ in 0..HANDLES {
            handles.push(Mutex::new(opened_with(&objects, options.clone()).await));
        }
        let aggregates: Vec<_> = ["a", "b/c"][..AGGREGATES].iter().map(|id| key(id)).collect();
        let histories = vec![Vec::new(); AGGREGATES];
        let shared = Mutex::new(Shared { histories, ..Shared::default() });
        let is_killing = rng.bool();
        Arc::new(Self { objects, handles, options, aggregates, shared, is_killing })
    }

    async fn open(&self) -> Result<ObjectStoreSnapshots, Error> {
        let objects = Arc::new(self.objects.clone());
        ObjectStoreSnapshots::open_with(objects, ROOT, self.options.clone()).await
    }

    fn handle(&self, at: usize) -> ObjectStoreSnapshots {
        self.handles[at].lock().unwrap().clone()
    }

    /// A new record, and its number.
    fn record(&self, rng: &mut Rng, aggregate: usize, slot: usize) -> u16 {
        let mut shared = self.shared.lock().unwrap();
        let value = u16::try_from(shared.records.len()).unwrap();
        // Some within the limit of copies in the index.
        let bytes = rng.usize(8..400);
        let new = record(&self.aggregates[aggregate], slot_id(slot), value.into(), bytes);
        shared.values.insert(new.clone().into_bytes(), value);
        shared.records.push(new);
        value
    }

    fn recorded(&self, value: u16) -> Record {
        self.shared.lock().unwrap().records[usize::from(value)].clone()
    }

    /// Begins an operation, whose outcome is unknown until it is told.
    fn begin(&self, aggregate: usize, op: Op) -> usize {
        let mut shared = self.shared.lock().unwrap();
        shared.now += 1;
        let from = shared.now;
        shared.histories[aggregate].push(Done { op, from, answer: None });
        shared.histories[aggregate].len() - 1
    }

    fn end(&self, aggregate: usize, at: usize, answer: Result<Answer, Error>) {
        let mut shared = self.shared.lock().unwrap();
        shared.now += 1;
        let now = shared.now;
        let what = match &answer {
            Ok(_) => "answered",
            Err(error) if error.retry() == Retry::Unknown => "unknown",
            Err(_) => "failed",
        };
        *shared.answered.entry(what).or_default() += 1;
        let done = &mut shared.histories[aggregate][at];
        match answer {
            Ok(answer) => done.answer = Some((now, answer)),
            // It is known to have had no effect.
            Err(error) if error.retry() != Retry::Unknown => {
                let fits = matches!(
                    error.kind(),
                    ErrorKind::Store | ErrorKind::Timeout | ErrorKind::Conflict
                );
                assert!(fits, "{:?}: {error:?}", done.op);
                done.op = Op::Failed(Box::new(done.op.clone()), error.to_string());
                done.answer = Some((now, Answer::Got(None)));
            }
            Err(_) => {}
        }
    }

    fn draw(&self, rng: &mut Rng, aggregate: usize) -> Op {
        let some = |rng: &mut Rng| (0..SLOTS).filter(|_| rng.u8(..3) == 0).collect::<Vec<_>>();
        match rng.u8(..20) {
            0..7 => {
                let mut slots = vec![rng.usize(..SLOTS)];
                if rng.u8(..3) == 0 {
                    slots.push(rng.usize(..SLOTS));
                }
                let record = |slot| (slot, self.record(rng, aggregate, slot));
                let records = slots.into_iter().map(record).collect();
                let (replace, spare, pin) = (rng.u8(..3) == 0, rng.bool(), rng.u8(..4) == 0);
                Op::Put { records, replace, spare, pin }
            }
            7 => {
                let slot = rng.usize(..SLOTS);
                let known: Vec<_> = {
                    let shared = self.shared.lock().unwrap();
                    let id = slot_id(slot);
                    let of_slot = |record: &Record| {
                        let header = record.header().unwrap();
                        header.is_of(&self.aggregates[aggregate])
                            && (header.version, header.generation) == (id.version, id.generation)
                    };
                    let values = (0_u16..).zip(&shared.records);
                    values.filter(|(_, record)| of_slot(record)).map(|(value, _)| value).collect()
                };
                match rng.choice(known) {
                    Some(expected) => {
                        let value = self.record(rng, aggregate, slot);
                        Op::Rewrite { slot, expected, value }
                    }
                    None => Op::List,
                }
            }
            8..11 => {
                let all = rng.u8(..4) == 0;
                let slots = if all { (0..SLOTS).collect() } else { some(rng) };
                Op::Delete { slots, overrule: rng.bool() }
            }
            11..13 => Op::Mark { slots: some(rng), retirement: rng.bool(), set: rng.u8(..3) > 0 },
            13..18 => {
                let newest = NEWEST[rng.usize(..2)];
                let slots = if rng.bool() { newest.to_vec() } else { vec![newest[1]] };
                Op::Get { slots, retired: rng.bool() }
            }
            _ => Op::List,
        }
    }

    async fn perform(
        &self,
        store: &ObjectStoreSnapshots,
        aggregate: usize,
        op: &Op,
        erases: bool,
    ) -> Result<Answer, Error> {
        let key = &self.aggregates[aggregate];
        let ids = |slots: &[usize]| slots.iter().map(|slot| slot_id(*slot)).collect::<Vec<_>>();
        let at = Timestamp::from_seconds(1);
        Ok(match op {
            Op::Put { records, replace, spare, pin } => {
                let marks = pin.then(|| Mark::pin("m", at));
                let options = PutOptions::default()
                    .replace(*replace)
                    .spare_pinned(*spare)
                    .marks(Marks::new(marks)?);
                let records = records.iter().map(|(_, value)| self.recorded(*value)).collect();
                let outcomes = store.put(records, options).await?;
                let put = |outcome| match outcome {
                    PutOutcome::Stored => Put::Stored,
                    PutOutcome::Replaced => Put::Replaced,
                    PutOutcome::Existing { identical } => Put::Existing(identical),
                    other => panic!("{other:?}"),
                };
                Answer::Put(outcomes.into_iter().map(put).collect())
            }
            Op::Rewrite { expected, value, .. } => {
                let rewrite = Rewrite::new(self.recorded(*expected), self.recorded(*value));
                Answer::Rewritten(store.rewrite(vec![rewrite]).await?[0])
            }
            Op::Delete { slots, .. } if erases => {
                assert_eq!(slots.len(), SLOTS);
                let receipt = store.erase(key).await?;
                Answer::Deleted { deleted: receipt.snapshots, pinned: 0 }
            }
            Op::Delete { slots, overrule } => {
                let ids = ids(slots);
                let selection =
                    if slots.len() == SLOTS { Selection::All } else { Selection::Ids(&ids) };
                let options = DeleteOptions::default().overrule_pins(*overrule);
                let deleted = store.delete(key, selection, options).await?;
                assert_eq!(deleted.needed, 0);
                Answer::Deleted { deleted: deleted.snapshots, pinned: deleted.pinned }
            }
            Op::Mark { slots, retirement, set } => {
                let kind = if *retirement { MarkKind::Retirement } else { MarkKind::Pin };
                let mark = Mark::new(kind, "m", at);
                let change = if *set {
                    MarkChange::Set(&mark)
                } else {
                    MarkChange::Clear { kind, name: "m" }
                };
                Answer::Marked(store.mark(key, Selection::Ids(&ids(slots)), change).await?)
            }
            Op::Get { slots, retired } => {
                let newest = slot_id(slots[0]);
                let query = Query::latest(key, newest.generation)
                    .at_most(newest.version)
                    .include_retired(*retired);
                match store.get(query).await? {
                    Lookup::Found(found) => {
                        let bytes = found.record.into_bytes();
                        let shared = self.shared.lock().unwrap();
                        // What was never put is no record at all.
                        Answer::Got(Some(shared.values.get(&bytes).copied().unwrap_or(u16::MAX)))
                    }
                    _ => Answer::Got(None),
                }
            }
            Op::Failed(..) | Op::List => {
                let mut listed = [None; SLOTS];
                for meta in store.list(ListRequest::new(key)).await?.items {
                    let slot = (0..SLOTS).find(|slot| slot_id(*slot) == meta.id()).unwrap();
                    let pin = u8::from(meta.is_pinned());
                    let retirement = 2 * u8::from(meta.marks.is_retired());
                    listed[slot] = Some(pin + retirement);
                }
                Answer::Listed(listed)
            }
        })
    }

    async fn task(self: Arc<Self>, seed: u64, ops: usize) {
        let mut rng = Rng::with_seed(seed);
        for _ in 0..ops {
            tokio::time::sleep(Duration::from_millis(rng.u64(..60))).await;
            let aggregate = rng.usize(..AGGREGATES);
            let store = self.handle(rng.usize(..HANDLES));
            match rng.u8(..30) {
                0 => {
                    // It may fail. It may not delete what is needed.
                    drop(store.sweep().await);
                    continue;
                }
                1 => {
                    drop(store.keys(KeysRequest::new()).await);
                    continue;
                }
                // A process ends: everything that it had in memory is gone.
                2 if self.is_killing => {
                    let new = self.open();
                    // It begins again some time later.
                    if let Ok(new) = new.await {
                        *self.handles[rng.usize(..HANDLES)].lock().unwrap() = new;
                    }
                    continue;
                }
                _ => {}
            }
            let mut op = self.draw(&mut rng, aggregate);
            let erases =
                matches!(&op, Op::Delete { slots, .. } if slots.len() == SLOTS) && rng.bool();
            if let (Op::Delete { overrule, .. }, true) = (&mut op, erases) {
                *overrule = true;
            }
            let at = self.begin(aggregate, op.clone());
            let work = self.perform(&store, aggregate, &op, erases);
            if self.is_killing && rng.u8(..10) == 0 {
                let patience = Duration::from_millis(rng.u64(..60));
                if let Ok(answer) = tokio::time::timeout(patience, work).await {
                    self.end(aggregate, at, answer);
                }
            } else {
                let answer = work.await;
                self.end(aggregate, at, answer);
            }
        }
    }

    async fn storm(self: &Arc<Self>, seed: u64, ops: usize) {
        self.objects.on(true);
        let tasks = (0..TASKS as u64)
            .map(|task| tokio::spawn(Arc::clone(self).task(seed ^ (task + 1) << 32, ops)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        self.objects.on(false);
    }

    /// Asks a new handle for everything, as part of the histories.
    async fn ask_all(&self) {
        let store = opened_with(&self.objects, self.options.clone().cache_bytes(0)).await;
        for aggregate in 0..AGGREGATES {
            let gets = (0..SLOTS).map(|slot| Op::Get { slots: vec![slot], retired: true });
            for op in std::iter::once(Op::List).chain(gets) {
                let at = self.begin(aggregate, op.clone());
                let key = &self.aggregates[aggregate];
                let answer = match &op {
                    Op::Get { slots, .. } => {
                        let got = get(&store, key, slot_id(slots[0])).await;
                        let bytes = got.map(Record::into_bytes);
                        let shared = self.shared.lock().unwrap();
                        let value = |bytes| shared.values.get(&bytes).copied().unwrap_or(u16::MAX);
                        Ok(Answer::Got(bytes.map(value)))
                    }
                    _ => self.perform(&store, aggregate, &op, false).await,
                };
                self.end(aggregate, at, answer);
            }
        }
    }

    fn check(&self, seed: u64, when: &str) {
        let shared = self.shared.lock().unwrap();
        for history in &shared.histories {
            if !is_legal(history) {
                let lines: Vec<_> = history.iter().map(|done| format!("{done:?}")).collect();
                panic!("seed {seed}, {when}: this cannot have happened:\n{}", lines.join("\n"));
            }
        }
    }
}

async fn history(seed: u64) -> Arc<World> {
    let world = World::new(seed).await;
    world.storm(seed, 5).await;
    // Some requests of the first storm arrive in the second one, or after it.
    tokio::time::sleep(HOURS).await;
    world.storm(!seed, 4).await;
    world.objects.arrive();
    world.ask_all().await;
    world.check(seed, "after the storm");
    // All objects that nobody needs are old now, and go; the others stay.
    tokio::time::sleep(HOURS).await;
    let store = opened_with(&world.objects, world.options.clone()).await;
    let swept = store.sweep().await.unwrap();
    world.ask_all().await;
    world.check(seed, "after a sweep");
    let mut needed = 0;
    for key in &world.aggregates {
        needed += store.list(ListRequest::new(key)).await.unwrap().items.len() as u64;
    }
    let objects = names(&world.objects, "r").await.len() as u64;
    assert_eq!(objects, needed + swept.without_index, "seed {seed}: {swept:?}");
    world
}

#[test]
fn every_answer_is_legal_whatever_fails() {
    let from = environment("OBJECT_STORE_FROM").unwrap_or(0);
    let seeds = environment("OBJECT_STORE_SEEDS").unwrap_or(SEEDS);
    let met: Mutex<BTreeMap<String, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for part in 0..THREADS {
            let (met, part) = (&met, (from..from + seeds).skip(part).step_by(THREADS));
            scope.spawn(move || {
                for seed in part {
                    let world = run(seed, history(seed));
                    let mut met = met.lock().unwrap();
                    for (mishap, count) in world.objects.counts() {
                        *met.entry(format!("{mishap:?}")).or_default() += count;
                    }
                    for (what, count) in &world.shared.lock().unwrap().answered {
                        *met.entry((*what).to_owned()).or_default() += count;
                    }
                }
            });
        }
    });
    let met = met.into_inner().unwrap();
    println!("{seeds} seeds from {from}: {met:#?}");
    if seeds >= SEEDS {
        assert!(met.len() >= Mishap::ALL.len() + 2, "{met:?}");
    }
}

fn environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {text:?}")))
}
