//! Finding the first version that fulfils a condition, among 100,000 with a snapshot every 100:
//! `bisect` of the engine, and a scan by hand that folds all events and asks at each version. Goal:
//! at most 17 reconstructions, and at most 1/50 of the scan's time. `fold` is the comparison of all
//! 1,000 snapshots with the events, against a fold without one.

#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, reason = "bench code")]
#![allow(
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::indexing_slicing,
    reason = "bench code"
)]

#[path = "support/event_log.rs"]
mod event_log;
#[path = "support/states.rs"]
mod states;

use std::hint::black_box;

use criterion::Criterion;
use event_log::EventLog;
use snapfold::engine::ReplayLoader;
use snapfold::manager::CreateOptions;
use snapfold::retention::keep_last;
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, Loader as _, MemoryStore, SnapshotEngine};
use states::{Account, BenchState};
use tokio::runtime::Runtime;

const VERSIONS: u64 = 100_000;
const EVERY: u64 = 100;
/// The first version with at least this many postings is the same number.
const SOUGHT: u64 = 61_803;

fn postings<const SLOW: bool>(account: &Account<SLOW>) -> u64 {
    // The field is private to the states, so the condition is asked of the view that serde has.
    serde_json::to_value(account).unwrap()["postings"].as_u64().unwrap()
}

fn run<const SLOW: bool>(criterion: &mut Criterion, runtime: &Runtime, name: &str) {
    let is_listed = std::env::args().any(|argument| argument == "--list");
    let versions = if is_listed { EVERY } else { VERSIONS };
    let key: AggregateKey = Account::<SLOW>::key("a").unwrap();
    let log = EventLog::new();
    log.write("a", (0..versions).map(Account::<SLOW>::event));
    let engine = SnapshotEngine::<Account<SLOW>>::builder(log.clone(), MemoryStore::new())
        .trigger(manual())
        .retention(keep_last(usize::MAX))
        .build()
        .unwrap();
    for version in (EVERY..=versions).step_by(EVERY as usize) {
        let options = CreateOptions::new().at_version(version);
        runtime.block_on(engine.create_with(&key, options)).unwrap();
    }
    let mut group = criterion.benchmark_group(format!("bisect/{name}"));
    let is_it = |account: &Account<SLOW>| postings(account) >= SOUGHT;
    group.bench_function("engine", |b| {
        b.iter(|| {
            let found = runtime.block_on(engine.bisect(&key, 1..=versions, is_it)).unwrap();
            assert!(is_listed || found.first == Some(SOUGHT));
            assert!(found.reconstructions <= 17);
        });
    });
    group.bench_function("scan by hand", |b| {
        b.iter(|| {
            let mut account = Account::<SLOW>::initial(&key);
            let at = log.rows("a").iter().position(|row| {
                account
                    .apply(&EventLog::<<Account<SLOW> as Aggregate>::Event>::decode(row).unwrap());
                black_box(is_it(&account));
                false
            });
            black_box(at)
        });
    });
    group.bench_function("scan by hand, condition for nothing", |b| {
        b.iter(|| {
            let mut account = Account::<SLOW>::initial(&key);
            for row in log.rows("a").iter() {
                account
                    .apply(&EventLog::<<Account<SLOW> as Aggregate>::Event>::decode(row).unwrap());
                black_box(&account);
            }
            account
        });
    });
    group.finish();
    let mut group = criterion.benchmark_group(format!("fold/{name}"));
    group.sample_size(20);
    group.bench_function("compare_with_events", |b| {
        b.iter(|| {
            let compared = runtime.block_on(engine.compare_with_events(&key)).unwrap();
            assert!(compared.is_clean());
        });
    });
    let replay = ReplayLoader::<Account<SLOW>>::new(log.clone());
    group.bench_function("replay", |b| {
        b.iter(|| runtime.block_on(replay.load(&key)).unwrap());
    });
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    run::<false>(&mut criterion, &runtime, "20 ns");
    run::<true>(&mut criterion, &runtime, "200 ns");
    criterion.final_summary();
}
