//! What a load costs: through a snapshot, from the cache, by full replay, and written by hand.
//!
//! All of them read the same log, which holds encoded events of about 23 bytes, as event stores do:
//! decoding one costs about 40 ns, applying it about 20 ns (`fast`) or 200 ns (`slow`).
//!
//! Groups are `load/<state>/<handler>/<events>`. `snapshot` and `hand_written` restore the newest
//! snapshot and fold the last 50 events, `snapshot_unverified` without comparing digests; `full_replay` and `bare_fold` fold all of them;
//! `cached` returns a state that is in the hot cache and has no new events, beside `moka_get`, a
//! bare look-up in the same kind of cache, and `moka_get_aging`, one in a cache that is set up like
//! the engine's. Compare within one group only.

#![allow(
    unreachable_pub,
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

use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use snapfold::engine::{CacheConfig, ReplayLoader, Verify};
use snapfold::manager::CreateOptions;
use snapfold::{Loader, MemoryStore, SnapshotEngine};
use support::by_hand::ByHand;
use support::event_log::EventLog;
use support::states::{Account, BenchState, Ledger, Order};
use tokio::runtime::Runtime;

const TAIL: u64 = 50;

fn bench<S: BenchState>(c: &mut Criterion, handler: &str, events: u64) {
    let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let key = S::key("0001").unwrap();
    let source = EventLog::new();
    source.write(key.id(), (1..=events).map(S::event));
    let by_hand = ByHand::<S>::new(source.clone());

    let store = MemoryStore::new();
    let engine = SnapshotEngine::<S>::builder(source.clone(), store.clone()).build().unwrap();
    let unverified = SnapshotEngine::<S>::builder(source.clone(), store.clone())
        .verify(Verify::Sampled(u64::MAX))
        .build()
        .unwrap();
    let cached = SnapshotEngine::<S>::builder(source.clone(), store)
        .cache(CacheConfig::default())
        .build()
        .unwrap();
    let replay = ReplayLoader::<S>::new(source);
    let options = CreateOptions::new().at_version(events - TAIL);
    rt.block_on(engine.create_with(&key, options)).unwrap();
    let at_snapshot = rt.block_on(engine.at_version(&key, events - TAIL)).unwrap();
    by_hand.save(key.id(), events - TAIL, &at_snapshot.state);
    check(&rt, &engine, &by_hand, &key);

    let moka = moka::future::Cache::builder().max_capacity(1_000).build();
    rt.block_on(moka.insert(key.clone(), Arc::clone(&at_snapshot.state)));
    // As the engine sets its cache up: with bounds on the age, which are looked at by each get.
    let aging = moka::future::Cache::builder()
        .max_capacity(1 << 26)
        .weigher(|_: &snapfold::AggregateKey, _: &Arc<S>| 1_000)
        .time_to_live(Duration::from_secs(3_600))
        .time_to_idle(Duration::from_secs(600))
        .build();
    rt.block_on(aging.insert(key.clone(), Arc::clone(&at_snapshot.state)));

    let mut group = c.benchmark_group(format!("load/{}/{handler}/{events}", S::NAME));
    group.bench_function("full_replay", |b| {
        b.to_async(&rt).iter(|| async { replay.load(&key).await.unwrap() });
    });
    group.bench_function("bare_fold", |b| {
        b.to_async(&rt).iter(|| async { by_hand.bare_fold(&key).await.unwrap() });
    });
    group.bench_function("snapshot", |b| {
        b.to_async(&rt).iter(|| async { engine.load(&key).await.unwrap() });
    });
    group.bench_function("snapshot_unverified", |b| {
        b.to_async(&rt).iter(|| async { unverified.load(&key).await.unwrap() });
    });
    group.bench_function("hand_written", |b| {
        b.to_async(&rt).iter(|| async { by_hand.load(&key).await.unwrap() });
    });
    group.bench_function("cached", |b| {
        b.to_async(&rt).iter(|| async { cached.load(&key).await.unwrap() });
    });
    group.bench_function("moka_get", |b| {
        b.to_async(&rt).iter(|| async { moka.get(&key).await.unwrap() });
    });
    group.bench_function("moka_get_aging", |b| {
        b.to_async(&rt).iter(|| async { aging.get(&key).await.unwrap() });
    });
    group.finish();
}

/// A bench of wrong states would be worth nothing.
fn check<S: BenchState>(
    rt: &Runtime,
    engine: &SnapshotEngine<S>,
    by_hand: &ByHand<S>,
    key: &snapfold::AggregateKey,
) {
    let encoded = |state: &S| postcard::to_stdvec(state).unwrap();
    let folded = rt.block_on(by_hand.bare_fold(key)).unwrap().0;
    let loaded = rt.block_on(engine.load(key)).unwrap();
    assert_eq!(loaded.provenance.events_replayed, TAIL);
    let snapshot = loaded.provenance.snapshot.unwrap();
    assert!(S::ENCODED.contains(&snapshot.raw_bytes), "{} B encoded", snapshot.raw_bytes);
    assert_eq!(encoded(&loaded.state), encoded(&folded));
    assert_eq!(encoded(&rt.block_on(by_hand.load(key)).unwrap().0), encoded(&folded));
}

fn loads(c: &mut Criterion) {
    for events in [100, 1_000, 10_000, 100_000] {
        bench::<Account<false>>(c, "fast", events);
        bench::<Account<true>>(c, "slow", events);
        bench::<Order<false>>(c, "fast", events);
        bench::<Order<true>>(c, "slow", events);
        bench::<Ledger<false>>(c, "fast", events);
        bench::<Ledger<true>>(c, "slow", events);
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1));
    targets = loads
}
criterion_main!(benches);
