//! Percentiles of single calls, and the memory of a long run. Prints tables; not a criterion bench,
//! because a mean hides what these figures are about.
//!
//! - `command`: four callers load through the cache, append, sync a journal (or not) and tell the
//!   engine, once a millisecond each. `saving` has another engine beside them, which saves a state of
//!   10 MB to the same disk over and over; `by_hand` a thread that encodes such a state, reads it
//!   back, compresses it, and writes and syncs a file, as often; `plain_writes` a thread that only
//!   writes and syncs files of that size, as often; `idle` nothing.
//! - `create`: a snapshot of a cached state after one more event, against encoding, compressing
//!   and putting the same state by hand, also with what the engine proves: that the snapshot can
//!   be read back to the same state. States of 130 B, 4 KB and 120 KB.
//! - `memory`: a million events over 10,000 aggregates with cache, a snapshot every 10 events,
//!   retention and an observer. The resident memory after each tenth.
//!
//! Ways take turns; each figure is the median over the turns. An argument selects the tables.
//! `SNAPFOLD_BENCH_DIR` chooses the disk; the directory for temporary files otherwise.

#![allow(
    unreachable_pub,
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a bench"
)]
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]

#[cfg(feature = "postgres")]
#[path = "../tests/postgres/support/mod.rs"]
mod postgres;
mod support;

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use snapfold::engine::{CacheConfig, Observation, Observer};
use snapfold::events::Recorded;
use snapfold::file::FileStore;
use snapfold::record::{Generation, RecordBuilder};
use snapfold::store::PutOptions;
use snapfold::trigger::{every_events, manual};
use snapfold::{
    Aggregate, AggregateKey, BoxError, EventRange, EventSource, MemoryEvents, Replay,
    SnapshotEngine, SnapshotStore, Timestamp,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use support::states::{Account, BenchState, Ledger, Order, Posted};

fn scratch() -> TempDir {
    match std::env::var("SNAPFOLD_BENCH_DIR") {
        Ok(dir) => tempfile::tempdir_in(dir).unwrap(),
        Err(_) => tempfile::tempdir().unwrap(),
    }
}

/// The value below which this share of `times` lies.
fn percentile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    times[((times.len() as f64 * share) as usize).min(times.len() - 1)]
}

/// Prints percentiles of several ways that took turns, and their ratio to the last one in the same
/// turn.
fn print(name: &str, shares: &[f64], ways: &[(&str, Vec<Vec<f64>>)]) {
    for &share in shares {
        let of = |turns: &[Vec<f64>]| -> Vec<f64> {
            turns.iter().map(|turn| percentile(&mut turn.clone(), share)).collect()
        };
        let base = ways.last().map(|(_, turns)| of(turns)).unwrap_or_default();
        for (way, turns) in ways {
            let mut own = of(turns);
            let mut ratios: Vec<_> = own.iter().zip(&base).map(|(own, base)| own / base).collect();
            println!(
                "{name:<26} p{:<3}{way:<18}{:>9.1} us {:>6.2}x ({:.2} to {:.2})",
                share * 100.0,
                percentile(&mut own, 0.5),
                percentile(&mut ratios, 0.5),
                percentile(&mut ratios, 0.25),
                percentile(&mut ratios, 0.75),
            );
        }
    }
}

// Commands beside a large save ------------------------------------------------

/// A state of 10 MB encoded, which is cheap to clone and to change.
#[derive(Clone, Serialize, Deserialize)]
struct Catalogue {
    rows: Arc<Vec<Row>>,
    changes: u64,
}

#[derive(Serialize, Deserialize)]
struct Row {
    name: String,
    amounts: Vec<u64>,
}

impl Aggregate for Catalogue {
    type Event = ();
    const KIND: &'static str = "catalogue";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        let row = |i: u64| Row {
            name: format!("article number {} of the catalogue", i * 7_919 % 1_000_003),
            amounts: (0..16).map(|n| (i * 31 + n) * 1_299_709 % 1_000_000_007).collect(),
        };
        Self { rows: Arc::new((0..94_000).map(row).collect()), changes: 0 }
    }

    fn apply(&mut self, (): &()) {
        self.changes += 1;
    }
}

async fn call(
    engine: SnapshotEngine<Account<false>>,
    events: MemoryEvents<Posted>,
    journal: Option<Arc<File>>,
    caller: u64,
    stop: Arc<AtomicBool>,
) -> Vec<f64> {
    let key = Account::<false>::key(&format!("a{caller}")).unwrap();
    let mut times = Vec::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(1));
    for version in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        ticks.tick().await;
        let began = Instant::now();
        let loaded = engine.load(&key).await.unwrap();
        if let Some(journal) = &journal {
            let journal = Arc::clone(journal);
            let durable = move || {
                (&*journal).write_all(&[7; 64]).unwrap();
                journal.sync_data().unwrap();
            };
            tokio::task::spawn_blocking(durable).await.unwrap();
        }
        let at = Timestamp::from_seconds(version as i64);
        events.append(&key, at, Account::<false>::event(version));
        let _ = engine.committed(&loaded, version);
        times.push(began.elapsed().as_secs_f64() * 1e6);
    }
    times
}

/// What happens beside the commands.
#[derive(Clone, Copy, PartialEq)]
enum Beside {
    Saves,
    /// This many states a second, encoded by hand.
    ByHand(f64),
    /// This many files a second.
    Writes(f64),
    Nothing,
}

/// Saves a state of 10 MB by hand. With a copy to compare with, as any engine that proves what it
/// stores.
fn save_by_hand(dir: &Path, per_second: f64, stop: &AtomicBool) {
    let state = Catalogue::initial(&Catalogue::key("by hand").unwrap());
    let bytes = || {
        let raw = postcard::to_stdvec(&state).unwrap();
        let again: Catalogue = postcard::from_bytes(&raw).unwrap();
        assert_eq!(again.rows.len(), state.rows.len());
        lz4_flex::block::compress_prepend_size(&raw)
    };
    write_often(dir, per_second, stop, bytes);
}

/// Writes files of 10 MB, and syncs them.
fn write_plainly(dir: &Path, per_second: f64, stop: &AtomicBool) {
    let bytes: Vec<u8> =
        (0..10_u32 << 20).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    write_often(dir, per_second, stop, || &bytes);
}

fn write_often<B: AsRef<[u8]>>(
    dir: &Path,
    per_second: f64,
    stop: &AtomicBool,
    bytes: impl Fn() -> B,
) {
    for at in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let bytes = bytes();
        let mut file = File::create(dir.join(format!("large-{at}"))).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
        file.sync_data().unwrap();
        let pause = Duration::from_secs_f64(1.0 / per_second).saturating_sub(began.elapsed());
        std::thread::sleep(pause);
    }
}

/// The times of commands during a few seconds, and the number of saves beside them.
async fn commands(beside: Beside, synced: bool) -> (Vec<f64>, u64) {
    let dir = scratch();
    let store = Arc::new(FileStore::open(dir.path().join("store")).unwrap());
    let events = MemoryEvents::new();
    let engine = SnapshotEngine::<Account<false>>::builder(events.clone(), Arc::clone(&store))
        .cache(CacheConfig::default())
        .trigger(every_events(100))
        .build()
        .unwrap();
    let changes = MemoryEvents::new();
    let large = SnapshotEngine::<Catalogue>::builder(changes.clone(), store)
        .cache(CacheConfig::default())
        .trigger(every_events(1))
        .build()
        .unwrap();
    let catalogue = Catalogue::key("c").unwrap();
    changes.append(&catalogue, Timestamp::from_seconds(1), ());
    large.load(&catalogue).await.unwrap();

    let stop = Arc::new(AtomicBool::new(false));
    let calls: Vec<_> = (0..4)
        .map(|caller| {
            let journal = dir.path().join(format!("journal-{caller}"));
            let journal = synced.then(|| Arc::new(File::create(journal).unwrap()));
            tokio::spawn(call(engine.clone(), events.clone(), journal, caller, Arc::clone(&stop)))
        })
        .collect();
    let writer = {
        let (dir, stop) = (dir.path().to_owned(), Arc::clone(&stop));
        match beside {
            Beside::ByHand(rate) => {
                Some(std::thread::spawn(move || save_by_hand(&dir, rate, &stop)))
            }
            Beside::Writes(rate) => {
                Some(std::thread::spawn(move || write_plainly(&dir, rate, &stop)))
            }
            _ => None,
        }
    };
    let began = Instant::now();
    let mut version = 1;
    while began.elapsed() < Duration::from_secs(3) {
        if beside == Beside::Saves {
            version += 1;
            changes.append(&catalogue, Timestamp::from_seconds(version), ());
            let loaded = large.load(&catalogue).await.unwrap();
            let _ = large.committed(&loaded, loaded.version);
            large.flush(Duration::MAX).await.unwrap();
        } else {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut times = Vec::new();
    for call in calls {
        times.extend(call.await.unwrap());
    }
    if let Some(writer) = writer {
        writer.join().unwrap();
    }
    (times, large.statistics().saved)
}

fn large_saves(runtime: &Runtime) {
    for (name, synced) in [("command/no_journal", false), ("command/synced_journal", true)] {
        let (mut busy, mut by_hand) = (Vec::new(), Vec::new());
        let (mut plain, mut idle, mut saves) = (Vec::new(), Vec::new(), 0);
        for _ in 0..5 {
            let (times, count) = runtime.block_on(commands(Beside::Saves, synced));
            busy.push(times);
            saves += count;
            let rate = count as f64 / 3.0;
            by_hand.push(runtime.block_on(commands(Beside::ByHand(rate), synced)).0);
            plain.push(runtime.block_on(commands(Beside::Writes(rate), synced)).0);
            idle.push(runtime.block_on(commands(Beside::Nothing, synced)).0);
        }
        let ways =
            [("saving", busy), ("by_hand", by_hand), ("plain_writes", plain), ("idle", idle)];
        print(name, &[0.5, 0.99], &ways);
        println!("{name:<26} {} saves of 10 MB a second", saves / 15);
    }
}

// Creating a snapshot ---------------------------------------------------------

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 0 };

fn create<A: BenchState>(runtime: &Runtime, store: &Arc<dyn SnapshotStore>, name: &str) {
    const ROUNDS: u64 = 40;
    let events = Computed::default();
    let engine = SnapshotEngine::<A>::builder(events.clone(), Arc::clone(store))
        .cache(CacheConfig::default())
        .trigger(manual())
        .build()
        .unwrap();
    let key = A::key("engine").unwrap();
    let (mut ours, mut proved, mut by_hand) = (Vec::new(), Vec::new(), Vec::new());
    runtime.block_on(async {
        let mut version = 0;
        for _ in 0..7 {
            let (mut own, mut check, mut base) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                version += 1;
                events.set(&key, version);
                let began = Instant::now();
                engine.create(&key).await.unwrap();
                own.push(began.elapsed().as_secs_f64() * 1e6);

                let state = engine.load(&key).await.unwrap().state;
                for (read_back, times) in [(true, &mut check), (false, &mut base)] {
                    let other = A::key(if read_back { "proved" } else { "by hand" }).unwrap();
                    let at = Timestamp::from_seconds(version as i64);
                    let began = Instant::now();
                    let raw = postcard::to_stdvec(&*state).unwrap();
                    if read_back {
                        let again: A = postcard::from_bytes(&raw).unwrap();
                        assert!(postcard::to_stdvec(&again).unwrap() == raw);
                    }
                    let payload = lz4_flex::block::compress_prepend_size(&raw);
                    let record =
                        RecordBuilder::new(other, GENERATION, version, at).build(&payload).unwrap();
                    store.put(vec![record], PutOptions::default()).await.unwrap();
                    times.push(began.elapsed().as_secs_f64() * 1e6);
                }
            }
            ours.push(own);
            proved.push(check);
            by_hand.push(base);
        }
    });
    let name = format!("create/{name}/{}", A::NAME);
    let ways = [("engine", ours), ("by_hand_read_back", proved), ("by_hand", by_hand)];
    print(&name, &[0.5, 0.95], &ways);
}

fn creates(runtime: &Runtime) {
    let dir = scratch();
    let file: Arc<dyn SnapshotStore> = Arc::new(FileStore::open(dir.path().join("store")).unwrap());
    create::<Account<false>>(runtime, &file, "file");
    create::<Order<false>>(runtime, &file, "file");
    create::<Ledger<false>>(runtime, &file, "file");
    #[cfg(feature = "postgres")]
    {
        use snapfold::postgres::{PostgresOptions, PostgresStore};
        let cluster = postgres::Cluster::start_with_tcp(true);
        let pool = sqlx::postgres::PgPoolOptions::new();
        let pool = runtime.block_on(pool.connect(&cluster.url())).unwrap();
        let store = PostgresStore::with_options(pool, &PostgresOptions::new()).unwrap();
        runtime.block_on(store.migrations().run()).unwrap();
        let store: Arc<dyn SnapshotStore> = Arc::new(store);
        create::<Account<false>>(runtime, &store, "postgres");
        create::<Order<false>>(runtime, &store, "postgres");
        create::<Ledger<false>>(runtime, &store, "postgres");
    }
}

// Memory of a long run --------------------------------------------------------

/// An event source that stores nothing: each event follows from its version.
#[derive(Clone, Default)]
struct Computed {
    heads: Arc<Mutex<HashMap<String, u64>>>,
}

impl Computed {
    fn set(&self, key: &AggregateKey, head: u64) {
        self.heads.lock().unwrap().insert(key.id().to_owned(), head);
    }
}

#[async_trait]
impl<A: BenchState> EventSource<A> for Computed {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        let head = self.heads.lock().unwrap().get(key.id()).copied().unwrap_or(0);
        for version in range.after + 1..=head {
            let event = A::event(version);
            let at = Timestamp::from_seconds(version as i64);
            if replay.push(Recorded::new(version, at, &event)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Counting(AtomicU64);

impl Observer for Counting {
    fn observe(&self, _: &Observation<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn resident_mib() -> f64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = text.split(' ').nth(1).and_then(|n| n.parse().ok()).unwrap_or(f64::NAN);
    pages * 4_096.0 / f64::from(1 << 20)
}

fn memory(runtime: &Runtime) {
    const AGGREGATES: u64 = 10_000;
    let dir = scratch();
    let store = FileStore::open(dir.path().join("store")).unwrap();
    let source = Computed::default();
    let engine = SnapshotEngine::<Account<false>>::builder(source.clone(), store)
        .cache(CacheConfig::default())
        .trigger(every_events(10))
        .observer(Counting::default())
        .build()
        .unwrap();
    let begun = resident_mib();
    runtime.block_on(async {
        for tenth in 1..=10 {
            for version in (tenth - 1) * 10 + 1..=tenth * 10 {
                for id in 0..AGGREGATES {
                    let key = Account::<false>::key(&id.to_string()).unwrap();
                    let loaded = engine.load(&key).await.unwrap();
                    source.set(&key, version);
                    let _ = engine.committed(&loaded, version);
                }
            }
            let statistics = engine.statistics();
            println!(
                "memory after {:>9} events: {:>6.1} MiB more than at the start, {} saved",
                tenth * 10 * AGGREGATES,
                resident_mib() - begun,
                statistics.saved
            );
        }
        engine.flush(Duration::MAX).await.unwrap();
    });
}

fn main() {
    let filters: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted =
        |table: &str| filters.is_empty() || filters.iter().any(|f| table.contains(&**f));
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    if is_wanted("command") {
        large_saves(&runtime);
    }
    if is_wanted("create") {
        creates(&runtime);
    }
    if is_wanted("memory") {
        memory(&runtime);
    }
}
