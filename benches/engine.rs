//! What the engine does in the background, over a file store.
//!
//! `save`: 1,000 aggregates whose snapshots are due. `one_by_one` takes them one after the other,
//! each with a put of its own; `in_background` is the saver of the engine, with default settings.
//! `SNAPFOLD_BENCH_DIR` chooses the disk; the directory for temporary files otherwise.

#![allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a bench"
)]
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

mod support;

use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use snapfold::file::FileStore;
use snapfold::trigger::every_events;
use snapfold::{AggregateKey, Loaded, SnapshotEngine};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use support::event_log::EventLog;
use support::states::{Account, BenchState, Order};

const AGGREGATES: usize = 1_000;
const EVENTS: u64 = 100;

fn scratch() -> TempDir {
    match std::env::var("SNAPFOLD_BENCH_DIR") {
        Ok(dir) => tempfile::tempdir_in(dir).unwrap(),
        Err(_) => tempfile::tempdir().unwrap(),
    }
}

/// Aggregates with `EVENTS` events each, and an engine over a new store that has no snapshots.
struct World<A: BenchState> {
    engine: SnapshotEngine<A>,
    keys: Vec<AggregateKey>,
    _dir: TempDir,
}

impl<A: BenchState> World<A> {
    fn new(events: &EventLog<A::Event>, keys: &[AggregateKey]) -> Self {
        let dir = scratch();
        let store = FileStore::open(dir.path().join("store")).unwrap();
        let engine = SnapshotEngine::builder(events.clone(), store)
            .trigger(every_events(EVENTS))
            .max_queued(AGGREGATES)
            .build()
            .unwrap();
        Self { engine, keys: keys.to_vec(), _dir: dir }
    }

    async fn loads(&self) -> Vec<Loaded<A>> {
        let mut loaded = Vec::with_capacity(self.keys.len());
        for key in &self.keys {
            loaded.push(self.engine.load(key).await.unwrap());
        }
        loaded
    }
}

fn saves<A: BenchState>(criterion: &mut Criterion, runtime: &Runtime) {
    let events = EventLog::new();
    let keys: Vec<_> = (0..AGGREGATES).map(|id| A::key(&format!("a{id}")).unwrap()).collect();
    for key in &keys {
        events.write(key.id(), (0..EVENTS).map(A::event));
    }
    let mut group = criterion.benchmark_group(format!("save/{}", A::NAME));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(AGGREGATES as u64));
    group.bench_function("one_by_one", |b| {
        b.iter_custom(|rounds| {
            let round = || {
                let world = World::<A>::new(&events, &keys);
                runtime.block_on(async {
                    let started = Instant::now();
                    for key in &world.keys {
                        world.engine.create(key).await.unwrap();
                    }
                    started.elapsed()
                })
            };
            (0..rounds).map(|_| round()).sum()
        });
    });
    group.bench_function("in_background", |b| {
        b.iter_custom(|rounds| {
            let round = || {
                let world = World::<A>::new(&events, &keys);
                runtime.block_on(async {
                    let loaded = world.loads().await;
                    let started = Instant::now();
                    for loaded in &loaded {
                        assert!(world.engine.committed(loaded, EVENTS).is_queued());
                    }
                    world.engine.flush(Duration::MAX).await.unwrap();
                    let took = started.elapsed();
                    assert_eq!(world.engine.statistics().saved, AGGREGATES as u64);
                    took
                })
            };
            (0..rounds).map(|_| round()).sum()
        });
    });
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    saves::<Account<false>>(&mut criterion, &runtime);
    saves::<Order<false>>(&mut criterion, &runtime);
    criterion.final_summary();
}
