//! What the engine does in the background, over a file store.
//!
//! `commands`: eight callers, each with four aggregates, load through the cache, append an event to a
//! file that they sync, and tell the engine. `with_snapshots` takes one each 100 events and applies
//! the default retention; `without` takes none. Per command.
//!
//! `spot_checks`: the same callers without a journal and over a store in memory, so that nothing hides
//! the cost, 20,000 commands for each aggregate. `off` compares no snapshot with the events, `default`
//! one in 1,000, `all` as many as the pauses allow. Per command.
//!
//! `batch/refold`: 10,000 aggregates, one at a time, 8 and 64 at once.
//!
//! `save`: 1,000 and 10,000 aggregates whose snapshots are due. `one_by_one` takes them one after the other,
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

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, Throughput};
use snapfold::engine::{CacheConfig, SpotChecks};
use snapfold::file::FileStore;
use snapfold::ledger::Task;
use snapfold::service::Batch;
use snapfold::trigger::{every_events, manual};
use snapfold::{
    Aggregate, AggregateKey, Loaded, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use support::event_log::EventLog;
use support::states::{Account, BenchState, Order, Posted};

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
            .max_queued(keys.len())
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

fn saves<A: BenchState>(criterion: &mut Criterion, runtime: &Runtime, aggregates: usize) {
    let events = EventLog::new();
    let keys: Vec<_> = (0..aggregates).map(|id| A::key(&format!("a{id}")).unwrap()).collect();
    for key in &keys {
        events.write(key.id(), (0..EVENTS).map(A::event));
    }
    let mut group = criterion.benchmark_group(format!("save/{}/{aggregates}", A::NAME));
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(aggregates as u64));
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
                    assert_eq!(world.engine.statistics().saved, aggregates as u64);
                    took
                })
            };
            (0..rounds).map(|_| round()).sum()
        });
    });
}

const CALLERS: u64 = 8;
const EACH: u64 = 4;
const COMMANDS: u64 = 250;

/// What one caller does: commands on aggregates of its own, one after the other.
async fn call(
    engine: SnapshotEngine<Account<false>>,
    events: MemoryEvents<Posted>,
    journal: Arc<File>,
    caller: u64,
) {
    let key = |n| Account::<false>::key(&format!("a{caller}-{n}")).unwrap();
    let keys: Vec<_> = (0..EACH).map(key).collect();
    for version in 1..=COMMANDS {
        for key in &keys {
            let loaded = engine.load(key).await.unwrap();
            assert_eq!(loaded.version, version - 1);
            let journal = Arc::clone(&journal);
            let durable = move || {
                (&*journal).write_all(&[7; 64]).unwrap();
                journal.sync_data().unwrap();
            };
            tokio::task::spawn_blocking(durable).await.unwrap();
            let at = Timestamp::from_seconds(version as i64);
            events.append(key, at, Account::<false>::event(version));
            let _ = engine.committed(&loaded, version);
        }
    }
}

fn commands(criterion: &mut Criterion, runtime: &Runtime) {
    let mut group = criterion.benchmark_group("commands");
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(20));
    for (name, with_snapshots) in
        [("without", false), ("with_snapshots", true), ("without_again", false)]
    {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let round = || {
                    let dir = scratch();
                    let store = FileStore::open(dir.path().join("store")).unwrap();
                    let events = MemoryEvents::new();
                    let builder = SnapshotEngine::<Account<false>>::builder(events.clone(), store)
                        .cache(CacheConfig::default());
                    let engine = if with_snapshots {
                        builder.trigger(every_events(EVENTS)).build().unwrap()
                    } else {
                        builder.trigger(manual()).build().unwrap()
                    };
                    runtime.block_on(async {
                        let started = Instant::now();
                        let calls = (0..CALLERS).map(|caller| {
                            let journal = dir.path().join(format!("journal-{caller}"));
                            let journal = Arc::new(File::create(journal).unwrap());
                            tokio::spawn(call(engine.clone(), events.clone(), journal, caller))
                        });
                        for call in calls.collect::<Vec<_>>() {
                            call.await.unwrap();
                        }
                        let took = started.elapsed();
                        engine.flush(Duration::MAX).await.unwrap();
                        let due =
                            if with_snapshots { CALLERS * EACH * (COMMANDS / EVENTS) } else { 0 };
                        assert!(engine.statistics().saved >= due);
                        took
                    })
                };
                let all: Duration = (0..rounds).map(|_| round()).sum();
                all / (CALLERS * EACH * COMMANDS) as u32
            });
        });
    }
}

/// Commands beside spot checks, as fast as they go.
fn spot_checks(criterion: &mut Criterion, runtime: &Runtime) {
    const COMMANDS: u64 = 20_000;
    async fn call(engine: SnapshotEngine<Account<false>>, events: MemoryEvents<Posted>, n: u64) {
        let key = |n| Account::<false>::key(&format!("a{n}")).unwrap();
        let keys: Vec<_> = (n * EACH..(n + 1) * EACH).map(key).collect();
        for version in 1..=COMMANDS {
            for key in &keys {
                let loaded = engine.load(key).await.unwrap();
                let at = Timestamp::from_seconds(version as i64);
                events.append(key, at, Account::<false>::event(version));
                let _ = engine.committed(&loaded, version);
            }
            tokio::task::yield_now().await;
        }
    }
    let mut group = criterion.benchmark_group("spot_checks");
    group.sampling_mode(SamplingMode::Flat).measurement_time(Duration::from_secs(30));
    let ways = [
        ("off", None),
        ("default", Some(SpotChecks::default())),
        ("all", Some(SpotChecks::one_in(1))),
        ("off_again", None),
    ];
    for (name, checks) in ways {
        group.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let round = || {
                    let events = MemoryEvents::new();
                    let store = MemoryStore::new();
                    let builder = SnapshotEngine::<Account<false>>::builder(events.clone(), store)
                        .cache(CacheConfig::default())
                        .trigger(every_events(EVENTS));
                    let engine = match checks {
                        Some(checks) => builder.spot_checks(checks).build().unwrap(),
                        None => builder.without_spot_checks().build().unwrap(),
                    };
                    runtime.block_on(async {
                        let started = Instant::now();
                        let calls = (0..CALLERS)
                            .map(|n| tokio::spawn(call(engine.clone(), events.clone(), n)));
                        for call in calls.collect::<Vec<_>>() {
                            call.await.unwrap();
                        }
                        let took = started.elapsed();
                        engine.flush(Duration::MAX).await.unwrap();
                        assert_eq!(engine.statistics().spot_checks > 0, checks.is_some());
                        took
                    })
                };
                let all: Duration = (0..rounds).map(|_| round()).sum();
                all / (CALLERS * EACH * COMMANDS) as u32
            });
        });
    }
}

/// Folds 10,000 aggregates from the beginning and stores them, one at a time and several at once.
fn batches(criterion: &mut Criterion, runtime: &Runtime) {
    const AGGREGATES: usize = 10_000;
    let events = EventLog::new();
    let key = |id| Account::<false>::key(&format!("a{id}")).unwrap();
    let keys: Vec<_> = (0..AGGREGATES).map(key).collect();
    for key in &keys {
        events.write(key.id(), (0..EVENTS).map(Account::<false>::event));
    }
    let mut group = criterion.benchmark_group("batch/refold");
    group.sampling_mode(SamplingMode::Flat).throughput(Throughput::Elements(AGGREGATES as u64));
    for parallel in [1, 8, 64] {
        group.bench_function(parallel.to_string(), |b| {
            b.iter_custom(|rounds| {
                let round = || {
                    let world = World::<Account<false>>::new(&events, &keys);
                    let batch = Batch::new(Arc::new(world.engine.clone())).parallel(parallel);
                    let report = runtime.block_on(batch.run_for(Task::Refold, &keys));
                    assert_eq!(report.counts.changed, AGGREGATES as u64, "{report}");
                    report.took
                };
                (0..rounds).map(|_| round()).sum()
            });
        });
    }
}

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    commands(&mut criterion, &runtime);
    spot_checks(&mut criterion, &runtime);
    batches(&mut criterion, &runtime);
    saves::<Account<false>>(&mut criterion, &runtime, 1_000);
    saves::<Order<false>>(&mut criterion, &runtime, 1_000);
    saves::<Account<false>>(&mut criterion, &runtime, 10_000);
    criterion.final_summary();
}
