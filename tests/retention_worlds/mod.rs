//! Random stores for retention: histories with floors and rewinds, snapshots of several
//! generations, pins, retirements and damage. Two stores that are filled from one seed hold the
//! same; one is swept aggregate by aggregate, the other in bulk.
//!
//! Guards against: a sweep in bulk that drops what a single one keeps, or keeps what it drops; and
//! a load that fails or differs from a full replay after either.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test binary uses a part")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};
use snapfold::engine::{ManualClock, ReplayLoader};
use snapfold::manager::{AdminContext, CreateOptions};
use snapfold::record::{Base, Generation, RecordBuilder};
use snapfold::retention::{Retention, keep_last, keep_within};
use snapfold::service::Batch;
use snapfold::store::{ListRequest, Mark, MarkChange, PutOptions, Selection, SnapshotStoreExt};
use snapfold::{
    Aggregate, AggregateKey, Loader, MemoryEvents, SnapshotAdmin, SnapshotEngine, SnapshotId,
    SnapshotStore, Timestamp,
};

const DAY: Duration = Duration::from_secs(86_400);
/// Of newer code, whose states this code cannot read.
const NEWER: Generation = Generation { schema_version: 9, fingerprint: 9 };

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sum {
    total: u64,
    events: u64,
}

/// The state of older code: another shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OldSum {
    total: u64,
}

impl Aggregate for Sum {
    type Event = u64;
    const KIND: &'static str = "sum";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { total: 0, events: 0 }
    }

    fn apply(&mut self, event: &u64) {
        self.total = self.total.wrapping_mul(31).wrapping_add(*event);
        self.events += 1;
    }
}

impl Aggregate for OldSum {
    type Event = u64;
    const KIND: &'static str = "sum";
    const SCHEMA_VERSION: u32 = 0;

    fn initial(_: &AggregateKey) -> Self {
        Self { total: 0 }
    }

    fn apply(&mut self, event: &u64) {
        self.total = self.total.wrapping_mul(31).wrapping_add(*event);
    }
}

/// The events and one store, made from a seed.
pub struct RetentionWorld<S> {
    pub store: S,
    pub clock: ManualClock,
    pub keys: Vec<AggregateKey>,
    /// Without what was truncated.
    events: MemoryEvents<u64>,
    /// All of them: what a full replay folds.
    whole: MemoryEvents<u64>,
    pub engine: SnapshotEngine<Sum>,
}

impl<S: SnapshotStore + Clone + 'static> RetentionWorld<S> {
    /// Fills `store`, which is empty. The same seed fills it with the same snapshots.
    pub async fn new(seed: u64, aggregates: usize, store: S) -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_700_000_000));
        let (events, whole) = (MemoryEvents::new(), MemoryEvents::new());
        let engine = SnapshotEngine::<Sum>::builder(events.clone(), store.clone());
        let engine = engine.clock(clock.clone()).build().unwrap();
        let keys = (0..aggregates).map(|n| Sum::key(&format!("a{n:03}")).unwrap()).collect();
        let world = Self { store, clock, keys, events, whole, engine };
        let mut random = Rng::with_seed(seed);
        for key in &world.keys {
            world.fill(key, &mut random).await;
        }
        world
    }

    fn append(&self, key: &AggregateKey, random: &mut Rng) {
        let (event, anchor) = (random.u64(..), random.u64(..).to_le_bytes());
        let at = Timestamp::from_seconds(1_600_000_000 + random.i64(0..50_000_000));
        for events in [&self.events, &self.whole] {
            events.append_anchored(key, at, &anchor, event);
        }
    }

    async fn fill(&self, key: &AggregateKey, random: &mut Rng) {
        let old = SnapshotEngine::<OldSum>::builder(self.events.clone(), self.store.clone());
        let old = old.clock(self.clock.clone()).build().unwrap();
        // Some have more snapshots than a batch lists, some none.
        let steps = if random.u8(..20) == 0 { 120 } else { random.u64(0..14) };
        let (mut head, mut floor, mut is_rewound) = (0, 0, false);
        for _ in 0..steps {
            match random.u8(..24) {
                0..=5 => {}
                6 if head > 1 => {
                    let left = random.u64(floor.max(1)..=head);
                    for events in [&self.events, &self.whole] {
                        events.rewind(key, left);
                    }
                    (head, is_rewound) = (left, true);
                }
                7 => self.clock.advance(DAY * random.u32(0..5)),
                8 => self.put_foreign(key, head, random).await,
                9 => self.damage(key, random).await,
                10 | 11 => self.mark(key, random).await,
                12 if head > 0 => drop(old.create(key).await),
                // Where the first events after a rewind are gone, nothing tells it from the past.
                13 if floor < head && !is_rewound => {
                    floor = random.u64(floor..=head);
                    self.events.truncate_below(key, floor);
                }
                _ => {
                    for _ in 0..random.u64(1..4) {
                        self.append(key, random);
                        head += 1;
                    }
                    let options = CreateOptions::new();
                    let is_past = random.u8(..4) == 0;
                    let options =
                        if is_past { options.at_version(random.u64(1..=head)) } else { options };
                    // It fails if the events before it are gone.
                    drop(self.engine.create_with(key, options).await);
                    continue;
                }
            }
            self.append(key, random);
            head += 1;
        }
    }

    /// Puts a snapshot of newer code, sometimes a delta.
    async fn put_foreign(&self, key: &AggregateKey, head: u64, random: &mut Rng) {
        let version = head + random.u64(0..3);
        if version == 0 {
            return;
        }
        let mut builder = RecordBuilder::new(key.clone(), NEWER, version, Timestamp::MIN);
        if version > 2 && random.bool() {
            builder = builder.base(Base { version: version - random.u64(1..3), checksum: 7 });
        }
        self.put(builder.build(b"newer").unwrap(), false).await;
    }

    async fn put(&self, record: snapfold::record::Record, replace: bool) {
        let options = PutOptions::default().replace(replace);
        self.store.put(vec![record], options).await.unwrap();
    }

    async fn ids(&self, key: &AggregateKey) -> Vec<SnapshotId> {
        let metas = self.store.list_all(ListRequest::new(key)).await.unwrap();
        metas.iter().map(snapfold::record::SnapshotMeta::id).collect()
    }

    /// Replaces a snapshot by one that does not decode to a state.
    async fn damage(&self, key: &AggregateKey, random: &mut Rng) {
        let Some(id) = random.choice(self.ids(key).await) else { return };
        let query = snapfold::store::Query::exact(key, id).include_retired(true);
        let Some(record) = self.store.get(query).await.unwrap().into_record() else { return };
        let header = record.header().unwrap();
        let damaged = RecordBuilder::new(key.clone(), id.generation, id.version, header.as_of)
            .codec(header.codec)
            .created_at(header.created_at)
            .build(b"\xff\xff\xff");
        self.put(damaged.unwrap(), true).await;
    }

    async fn mark(&self, key: &AggregateKey, random: &mut Rng) {
        let Some(id) = random.choice(self.ids(key).await) else { return };
        let pin = Mark::pin("audit", Timestamp::MIN);
        let retirement = Mark::retirement("wrong", Timestamp::MIN);
        let mark = if random.bool() { pin } else { retirement };
        let ids = [id];
        let change = MarkChange::Set(&mark);
        self.store.mark(key, Selection::Ids(&ids), change).await.unwrap();
    }

    /// All that is stored, with its marks.
    async fn dump(&self) -> Vec<snapfold::record::SnapshotMeta> {
        let mut dump = Vec::new();
        for key in &self.keys {
            dump.extend(self.store.list_all(ListRequest::new(key)).await.unwrap());
        }
        dump
    }

    /// Loads each aggregate. What loads equals a full replay; returns which do.
    async fn loads(&self) -> BTreeSet<AggregateKey> {
        let truth = ReplayLoader::<Sum>::new(self.whole.clone());
        let mut loaded = BTreeSet::new();
        for key in &self.keys {
            let Ok(state) = self.engine.load(key).await else { continue };
            let truth = truth.load(key).await.unwrap();
            assert_eq!((&*state.state, state.version), (&*truth.state, truth.version), "{key}");
            loaded.insert(key.clone());
        }
        loaded
    }
}

fn policy(random: &mut Rng) -> Arc<dyn Retention> {
    let (last, days) = (random.usize(0..7), random.u32(0..20));
    let superseded = DAY * random.u32(0..9);
    match random.u8(..4) {
        0 => Arc::new(keep_last(last)),
        1 => Arc::new(keep_within(DAY * days).keep_superseded_for(superseded)),
        2 => Arc::new(keep_last(last).keep_superseded_for(superseded)),
        _ => Arc::new(keep_last(last).or(keep_within(DAY * days))),
    }
}

/// Sweeps two stores that hold the same, in the two ways, several times. Returns how many snapshots
/// were deleted.
pub async fn sweep_both_ways<S: SnapshotStore + Clone + 'static>(
    seed: u64,
    aggregates: usize,
    stores: [S; 2],
) -> u64 {
    let [one, two] = stores;
    let single = RetentionWorld::new(seed, aggregates, one).await;
    let bulk = RetentionWorld::new(seed, aggregates, two).await;
    assert_eq!(single.dump().await, bulk.dump().await, "seed {seed}");
    let mut random = Rng::with_seed(!seed);
    let by = AdminContext::new("test");
    let mut deleted = 0;
    for round in 0..3 {
        let policy = policy(&mut random);
        let what = format!("seed {seed}, round {round}, {policy:?}");
        let before = bulk.loads().await;
        let mut expected = Vec::new();
        for key in &single.keys {
            let applied = single.engine.admin().apply_retention(key, &*policy, &by).await;
            expected.push(applied.map_err(|error| error.to_string()));
        }
        if round == 1 {
            let admin: Arc<dyn SnapshotAdmin> = Arc::new(bulk.engine.clone());
            let report = Batch::new(admin).apply_retention(policy).await;
            let failed = expected.iter().filter(|applied| applied.is_err()).count() as u64;
            assert_eq!(report.counts.failed, failed, "{what}: {report}");
        } else {
            let applied = bulk.engine.admin();
            let applied = applied.apply_retention_many(&bulk.keys, &*policy, &by).await;
            for (key, (applied, expected)) in
                bulk.keys.iter().zip(applied.into_iter().zip(&expected))
            {
                let applied = applied.map_err(|error| error.to_string());
                assert_eq!(applied, *expected, "{key}, {what}");
            }
        }
        deleted += expected.iter().flatten().map(|it| it.deleted.snapshots).sum::<u64>();
        assert_eq!(single.dump().await, bulk.dump().await, "{what}");
        let after = bulk.loads().await;
        assert!(before.is_subset(&after), "{what}: {:?}", before.difference(&after));
        assert_eq!(single.loads().await, after, "{what}");
        for world in [&single, &bulk] {
            world.clock.advance(DAY * 3);
        }
    }
    deleted
}
