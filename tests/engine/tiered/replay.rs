//! A load over a tiered store equals a full replay (R1), whatever was moved, deleted or retired.

use serde::{Deserialize, Serialize};
use snapfold::engine::{Incremental, ManualClock, OnStoreFailure};
use snapfold::layer::{Faults, FaultyStore, TieredStore};
use snapfold::record::SnapshotMeta;
use snapfold::retention::keep_last;
use snapfold::store::{DeleteOptions, ListRequest, Mark, MarkChange, Selection, SnapshotStoreExt};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, Error, MemoryEvents, MemoryStore, SnapshotEngine, SnapshotStore,
    Timestamp,
};

use super::at;

/// Large enough for deltas. Depends on each event and on their order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shelf {
    slots: Vec<u64>,
    last: u64,
}

impl Aggregate for Shelf {
    type Event = u64;
    const KIND: &'static str = "shelf";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self {
            slots: (0..300).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect(),
            last: 0,
        }
    }

    fn apply(&mut self, event: &u64) {
        let place = usize::try_from(*event).unwrap() % self.slots.len();
        self.slots[place] = self.last;
        self.last = self.last.wrapping_mul(31).wrapping_add(*event);
    }
}

#[derive(Debug, Default)]
struct Tally {
    moved: u64,
    restored: u64,
    from_cold: u64,
    deltas: u64,
    failed: u64,
}

struct World {
    events: MemoryEvents<u64>,
    hot: MemoryStore,
    cold: MemoryStore,
    faults: Option<(FaultyStore, FaultyStore)>,
    store: TieredStore,
    engine: SnapshotEngine<Shelf>,
    clock: ManualClock,
    key: AggregateKey,
    states: Vec<Shelf>,
}

impl World {
    fn new(seed: u64, rate: f64) -> Self {
        let (hot, cold) = (MemoryStore::new(), MemoryStore::new());
        let key = AggregateKey::new("shelf", "s").unwrap();
        let events = MemoryEvents::new();
        let clock = ManualClock::at(Timestamp::from_seconds(1));
        let mut pair = None;
        let store = if rate > 0.0 {
            let faulty = |store: &MemoryStore, seed| {
                FaultyStore::new(store.clone(), Faults::mixed(seed, rate))
            };
            let both = (faulty(&hot, 2 * seed), faulty(&cold, 2 * seed + 1));
            pair = Some(both.clone());
            TieredStore::new(both.0, both.1)
        } else {
            TieredStore::new(hot.clone(), cold.clone())
        };
        let mut builder = SnapshotEngine::builder(events.clone(), store.clone())
            .trigger(manual())
            .clock(clock.clone())
            .on_store_failure(OnStoreFailure::Replay);
        if seed.is_multiple_of(2) {
            builder = builder.incremental(Incremental::lz4().max_deltas(3).min_bytes(0));
        }
        let engine = builder.build().unwrap();
        let states = vec![Shelf::initial(&key)];
        Self { events, hot, cold, faults: pair, store, engine, clock, key, states }
    }

    fn head(&self) -> u64 {
        self.states.len() as u64 - 1
    }

    fn state(&self, version: u64) -> &Shelf {
        &self.states[usize::try_from(version).unwrap()]
    }

    fn append(&mut self, event: u64) {
        self.events.append(&self.key, at(self.head()), event);
        let mut state = self.states.last().unwrap().clone();
        state.apply(&event);
        self.states.push(state);
        self.clock.advance(std::time::Duration::from_secs(1));
    }

    async fn turn(&mut self, random: &mut fastrand::Rng, tally: &mut Tally) -> Result<(), Error> {
        let key = self.key.clone();
        let all = [
            self.hot.list_all(ListRequest::new(&key)).await?,
            self.cold.list_all(ListRequest::new(&key)).await?,
        ];
        let some = all.iter().flatten().map(SnapshotMeta::id).filter(|_| random.u8(..3) == 0);
        let some: Vec<_> = some.collect();
        match random.u8(..14) {
            0..=5 => {
                for _ in 0..random.u64(1..6) {
                    self.append(random.u64(..1_000));
                }
                self.engine.create(&key).await?;
            }
            6..=8 => {
                let cut = at(random.u64(0..3 + self.head()));
                tally.moved += self.store.archive(&key, cut).await?.moved;
            }
            9 => {
                let restored = self.store.restore(&key, Selection::Ids(&some)).await?;
                tally.restored += restored.deleted;
            }
            10 => {
                self.engine.apply_retention(&key, &keep_last(random.usize(1..6))).await?;
            }
            11 => {
                let options = DeleteOptions::default();
                self.store.delete(&key, Selection::Ids(&some), options).await?;
            }
            12 => {
                let mark = Mark::retirement("wrong", Timestamp::from_seconds(1));
                let change = if random.bool() {
                    MarkChange::Set(&mark)
                } else {
                    MarkChange::Clear { kind: mark.kind, name: &mark.name }
                };
                self.store.mark(&key, Selection::Ids(&some), change).await?;
            }
            _ => {
                let version = random.u64(..=self.head());
                self.engine.delete(&key, version).await.map(drop)?;
            }
        }
        Ok(())
    }

    async fn check(&self, random: &mut fastrand::Rng, tally: &mut Tally, seed: u64) {
        let head = self.head();
        let loaded = self.engine.load(&self.key).await.unwrap();
        assert_eq!(loaded.version, head, "seed {seed}");
        assert!(*loaded.state == *self.state(head), "seed {seed}: the head");
        let version = random.u64(..=head);
        let loaded = self.engine.at_version(&self.key, version).await.unwrap();
        assert!(*loaded.state == *self.state(version), "seed {seed}: version {version}");
        let from = loaded.provenance.snapshot.as_ref().map(|used| used.id.version);
        let cold = self.cold.list_all(ListRequest::new(&self.key)).await.unwrap();
        let used = cold.iter().find(|meta| Some(meta.version) == from);
        tally.from_cold += u64::from(used.is_some());
        tally.deltas += u64::from(used.is_some_and(|used| used.base.is_some()));
    }
}

async fn equals_a_replay(rate: f64) -> Tally {
    let mut tally = Tally::default();
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut world = World::new(seed, rate);
        for _ in 0..60 {
            if let Err(error) = world.turn(&mut random, &mut tally).await {
                assert!(rate > 0.0, "seed {seed}: {error:?}");
                tally.failed += u64::from(rate > 0.0);
            }
            world.check(&mut random, &mut tally, seed).await;
        }
        if let Some((hot, cold)) = &world.faults {
            hot.stop();
            cold.stop();
        }
        let before = world.store.list_all(ListRequest::new(&world.key)).await.unwrap();
        world.store.archive(&world.key, Timestamp::MAX).await.unwrap();
        let after = world.store.list_all(ListRequest::new(&world.key)).await.unwrap();
        assert_eq!(after, before, "seed {seed}");
        for (version, state) in world.states.iter().enumerate() {
            let loaded = world.engine.at_version(&world.key, version as u64).await.unwrap();
            assert!(*loaded.state == *state, "seed {seed}: version {version}");
        }
    }
    tally
}

#[test]
fn a_load_over_two_tiers_equals_a_full_replay() {
    let tally = run(equals_a_replay(0.0));
    println!("{tally:?}");
    assert!(tally.moved > 300 && tally.restored > 50, "{tally:?}");
    assert!(tally.from_cold > 300 && tally.deltas > 50, "{tally:?}");
}

#[test]
fn a_load_over_two_failing_tiers_equals_a_full_replay() {
    let tally = run(equals_a_replay(0.05));
    println!("{tally:?}");
    assert!(tally.moved > 60 && tally.from_cold > 100 && tally.failed > 300, "{tally:?}");
}

/// Runs on a runtime with a paused clock: time passes only where a fault waits.
fn run<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().unwrap().block_on(test)
}
