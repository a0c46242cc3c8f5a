//! A load equals a full replay (R1), with seals, deltas, dictionaries and own compressions, by
//! engines that differ in them and share a store.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde::{Deserialize, Serialize};
use snapfold::codec::{Compression, CompressionId, Dictionary};
use snapfold::engine::Incremental;
use snapfold::manager::{CreateOptions, Origin};
use snapfold::retention::keep_last;
use snapfold::store::{ListRequest, SnapshotStoreExt};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, Loaded, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp,
};

use crate::own_coding::{NoCipher, Runs};
use crate::property::coverage::Coverage;
use crate::property::runner;

/// Takes some seconds in a debug build.
const CASES: u32 = 96;
const KEYS: usize = 2;

/// About 1 KB, with runs for the compressor, and parts that events leave alone for the deltas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Page {
    trail: u64,
    lines: Vec<String>,
}

impl Aggregate for Page {
    type Event = u8;
    const KIND: &'static str = "page";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        let trail = key.id().bytes().fold(7, |trail, byte| trail * 31 + u64::from(byte));
        let line =
            |n: u64| format!("{:016x} status=active city=Rotterdam {}", n * trail, "-".repeat(9));
        Self { trail, lines: (1..=16).map(line).collect() }
    }

    fn apply(&mut self, event: &u8) {
        self.trail = self.trail.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(*event));
        let (at, few) = (usize::from(*event) % 16, event.is_multiple_of(3));
        self.lines[at] = "x".repeat(usize::from(*event) / 2);
        // Now and then nearly everything changes, so that a delta would be too large.
        if few {
            let trail = self.trail;
            let lines = self.lines.iter_mut().zip(0_u32..);
            lines.for_each(|(line, n)| *line = format!("{:x}", trail.rotate_left(n * 3)));
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<u8>),
    Create(u16),
    CreateAll,
    Rebuild(u16),
    Refold,
    Delete(u16),
    Retain(usize),
    /// Seals with another key from now on.
    Rotate(u8),
    /// All keys but the current one and this one are gone.
    Forget(u8),
    /// The store gets all snapshots as another store has them.
    Move,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => vec(any::<u8>(), 1..6).prop_map(Step::Append),
        9 => any::<u16>().prop_map(Step::Create),
        2 => Just(Step::CreateAll),
        1 => any::<u16>().prop_map(Step::Rebuild),
        1 => Just(Step::Refold),
        1 => any::<u16>().prop_map(Step::Delete),
        1 => (1_usize..4).prop_map(Step::Retain),
        2 => (0_u8..5).prop_map(Step::Rotate),
        1 => (0_u8..5).prop_map(Step::Forget),
        1 => Just(Step::Move),
    ]
}

struct World<'c> {
    coverage: &'c Coverage,
    events: MemoryEvents<u8>,
    store: MemoryStore,
    seal: NoCipher,
    engines: Vec<SnapshotEngine<Page>>,
    keys: Vec<AggregateKey>,
    histories: Vec<Vec<u8>>,
    current: u8,
}

fn dictionary() -> Dictionary {
    Dictionary::from_bytes(b" status=active city=Rotterdam ---------xxxxxxxxxxxxxxxx".to_vec())
        .unwrap()
}

impl<'c> World<'c> {
    fn new(coverage: &'c Coverage) -> Self {
        let seal = NoCipher::new("key 0");
        let mut world = Self {
            coverage,
            events: MemoryEvents::new(),
            store: MemoryStore::new(),
            seal,
            engines: Vec::new(),
            keys: (0..KEYS).map(|n| Page::key(&format!("p{n}")).unwrap()).collect(),
            histories: vec![Vec::new(); KEYS],
            current: 0,
        };
        world.open();
        world
    }

    /// Builds the engines, over the store of now.
    fn open(&mut self) {
        let eager = |compression: Compression| compression.min_bytes(1).min_saving_percent(0);
        let runs = || eager(Compression::custom(Runs::new()));
        let deltas = |of: Incremental| Some(of.min_bytes(1).max_deltas(3).max_percent(60));
        let with_dictionary = || eager(Compression::zstd().dictionary(dictionary()));
        self.engines = [
            (Compression::none(), None),
            (eager(Compression::lz4()), deltas(Incremental::auto())),
            (eager(Compression::zstd()), deltas(Incremental::zstd())),
            (with_dictionary(), deltas(Incremental::auto())),
            (runs(), None),
            (runs(), deltas(Incremental::lz4())),
        ]
        .into_iter()
        .map(|(compression, deltas)| {
            let builder = SnapshotEngine::builder(self.events.clone(), self.store.clone())
                .compression(compression)
                .compressor(Runs::new())
                .dictionary(dictionary())
                .seal(self.seal.clone())
                .trigger(manual());
            match deltas {
                Some(deltas) => builder.incremental(deltas).build().unwrap(),
                None => builder.build().unwrap(),
            }
        })
        .collect();
        // One that has only the keys, and one that has nothing and writes in clear.
        let keys_only = SnapshotEngine::builder(self.events.clone(), self.store.clone());
        let keys_only = keys_only.seal(self.seal.clone());
        let bare = SnapshotEngine::builder(self.events.clone(), self.store.clone());
        for builder in [keys_only, bare] {
            self.engines.push(builder.trigger(manual()).build().unwrap());
        }
    }

    async fn step(&mut self, engine: usize, at: usize, step: &Step) {
        let engine = &self.engines[engine % self.engines.len()];
        let key = &self.keys[at];
        let head = self.histories[at].len() as u64;
        let version = |place: u16| u64::from(place) % (head + 1);
        match step {
            Step::Append(events) => {
                for event in events {
                    let time =
                        Timestamp::from_seconds(i64::try_from(self.histories[at].len()).unwrap());
                    self.events.append(key, time, *event);
                    self.histories[at].push(*event);
                }
            }
            Step::Create(place) => {
                // Mostly the newest, as deltas are based on older ones.
                let version = if place % 3 == 0 { version(*place) } else { head };
                let created =
                    engine.create_with(key, CreateOptions::new().at_version(version)).await;
                assert!(created.is_ok() || version == 0, "{created:?}");
            }
            Step::CreateAll => {
                for created in engine.create_many(&self.keys).await {
                    created.unwrap();
                }
            }
            Step::Rebuild(place) => drop(engine.rebuild(key, version(*place)).await),
            Step::Refold => drop(engine.refold(key, None).await.unwrap()),
            Step::Delete(place) => drop(engine.delete(key, version(*place)).await),
            Step::Retain(last) => {
                engine.apply_retention(key, &keep_last(*last)).await.unwrap();
            }
            Step::Rotate(number) => {
                self.current = *number;
                self.seal.rotate(&format!("key {number}"));
            }
            Step::Forget(number) => {
                let gone = (0..5).filter(|other| other != number && *other != self.current);
                gone.for_each(|other| self.seal.forget(&format!("key {other}")));
            }
            Step::Move => {
                let target = MemoryStore::new();
                for key in &self.keys {
                    self.store.copy_key(key, &target).await.unwrap();
                }
                self.store = target;
                self.open();
            }
        }
    }

    async fn look(&self, place: u16) -> Result<(), TestCaseError> {
        for (at, key) in self.keys.iter().enumerate() {
            let history = &self.histories[at];
            let version = u64::from(place) % (history.len() as u64 + 1);
            for engine in &self.engines {
                self.check(key, history, history.len() as u64, &engine.load(key).await.unwrap())?;
                let past = engine.at_version(key, version).await.unwrap();
                self.check(key, history, version, &past)?;
            }
            let together = self.engines[usize::from(place) % 8].load_many(&self.keys).await;
            let loaded = together[at].as_ref().unwrap();
            self.check(key, history, history.len() as u64, loaded)?;
            for meta in self.store.list_all(ListRequest::new(key)).await.unwrap() {
                self.coverage.note("sealed", meta.seal_key.is_some());
                self.coverage.note("in clear", meta.seal_key.is_none());
                self.coverage.note("with a dictionary", meta.dictionary.is_some());
                self.coverage.note("a delta", meta.base.is_some() && meta.seal_key.is_some());
                let is_custom = meta.compression == CompressionId::custom(7);
                self.coverage.note("own compression", is_custom);
            }
        }
        Ok(())
    }

    fn check(
        &self,
        key: &AggregateKey,
        history: &[u8],
        version: u64,
        loaded: &Loaded<Page>,
    ) -> Result<(), TestCaseError> {
        let mut state = Page::initial(key);
        history.iter().take(usize::try_from(version).unwrap()).for_each(|it| state.apply(it));
        prop_assert_eq!(loaded.version, version);
        prop_assert!(*loaded.state == state, "{} at {}: {}", key, version, loaded.provenance);
        self.coverage.note("from a snapshot", loaded.provenance.origin == Origin::Snapshot);
        for rejected in &loaded.provenance.rejected {
            self.coverage.note(rejected.reason.name(), true);
        }
        Ok(())
    }
}

/// What a run of so many cases has to meet.
const MET: [&str; 9] = [
    "from a snapshot",
    "sealed",
    "in clear",
    "with a dictionary",
    "a delta",
    "own compression",
    "seal_key",
    "dictionary",
    "unknown_compression",
];

#[test]
fn a_load_equals_a_full_replay_whatever_the_seal_and_the_compression() {
    let mut runner = runner(77, CASES, 2_000);
    let coverage = Arc::new(Coverage::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let turn = (any::<usize>(), 0..KEYS, step(), any::<u16>());
    let outcome = runner.run(&vec(turn, 1..40), |turns| {
        runtime.block_on(async {
            let mut world = World::new(&coverage);
            for (engine, at, step, place) in &turns {
                world.step(*engine, *at, step).await;
                world.look(*place).await?;
            }
            Ok(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    if runner.config().cases >= CASES {
        coverage.require(&MET);
    }
}
