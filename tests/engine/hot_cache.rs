//! The hot cache serves what a full replay would give, and spares the store.
//!
//! Guards against: a stampede of loads on one cold aggregate; a cached state that outlives its
//! history, its repair or its time; a state in the past served as the state now; a first loader
//! that is cancelled or panics and leaves the others waiting for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crate::support::{Account, Event, Op, World, at, key, until};
use snapfold::codec::CodecId;
use snapfold::engine::CacheConfig;
use snapfold::manager::{CreateOptions, CreateOutcome, Origin};
use snapfold::record::{RecordBuilder, RejectReason};
use snapfold::store::{Mark, MarkChange, MarkKind, PutOptions, Selection};
use snapfold::{AggregateKey, ErrorKind, Point, SnapshotEngine, SnapshotStore};

fn cached() -> World {
    World::with(|builder| builder.cache(CacheConfig::default()))
}

async fn warm(world: &World, key: &AggregateKey, version: u64) {
    world.grow(key, version);
    world.load_checked(key).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_loads_of_one_cold_aggregate_ask_the_store_once() {
    for snapshots in [&[][..], &[5]] {
        let world = cached();
        let key = key("a");
        world.grow(&key, 9);
        world.snapshots_at(&key, snapshots).await;
        world.engine.delete_before(&key, 0).await.unwrap();
        let before = world.store.calls(Op::Get);
        world.store.get_gate.close();
        let loads: Vec<_> = (0..1_000)
            .map(|_| {
                let (engine, key) = (world.engine.clone(), key.clone());
                tokio::spawn(async move { engine.load(&key).await })
            })
            .collect();
        until("one load waits for the store", || world.store.get_gate.waiting() == 1).await;
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.store.get_gate.waiting(), 1);
        world.store.get_gate.open();
        let truth = world.truth(&key).await;
        for load in loads {
            assert_eq!(*load.await.unwrap().unwrap().state, truth);
        }
        assert_eq!(world.store.calls(Op::Get) - before, 1);
    }
}

#[tokio::test]
async fn an_aggregate_without_events_does_not_ask_the_store_at_each_load() {
    let world = cached();
    let nobody = key("nobody");
    for _ in 0..5 {
        assert_eq!(world.load_checked(&nobody).await.version, 0);
    }
    assert_eq!(world.store.calls(Op::Get), 1);
    warm(&world, &nobody, 3).await;
    // Where it had events that are gone, it is not empty.
    let gone = key("gone");
    assert_eq!(world.load_checked(&gone).await.version, 0);
    world.grow(&gone, 3);
    world.source.events.truncate_below(&gone, 3);
    let error = world.engine.load(&gone).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable);
}

#[tokio::test]
async fn the_tail_advances_a_cached_state_without_the_store() {
    let world = cached();
    let key = key("a");
    warm(&world, &key, 3).await;
    let gets = world.store.calls(Op::Get);
    for version in 4..=40 {
        world.grow(&key, version);
        let loaded = world.load_checked(&key).await;
        assert_eq!((loaded.version, loaded.provenance.origin), (version, Origin::Cache));
        assert_eq!(loaded.provenance.events_replayed, 1);
        assert_eq!(loaded.as_of, Some(at(version)));
    }
    let again = world.load_checked(&key).await;
    assert_eq!(again.provenance.events_replayed, 0);
    assert_eq!(again.provenance.to_string(), "from the cache and 0 events in 0ns");
    assert_eq!(world.store.calls(Op::Get), gets);
}

#[tokio::test]
async fn a_state_is_copied_only_when_there_is_a_tail_and_never_changed_behind_a_reader() {
    let world = cached();
    let key = key("a");
    warm(&world, &key, 3).await;
    let first = world.engine.load(&key).await.unwrap();
    let second = world.engine.load(&key).await.unwrap();
    assert!(Arc::ptr_eq(&first.state, &second.state));
    let before = Account::clone(&first.state);
    world.grow(&key, 4);
    let third = world.engine.load(&key).await.unwrap();
    assert!(!Arc::ptr_eq(&first.state, &third.state));
    assert_eq!(*first.state, before);
    assert!(Arc::ptr_eq(&third.state, &world.engine.load(&key).await.unwrap().state));
}

#[tokio::test]
async fn a_cached_state_of_a_rewound_or_rewritten_history_is_never_served() {
    let world = cached();
    let key = key("a");
    world.grow(&key, 9);
    world.snapshots_at(&key, &[5]).await;
    warm(&world, &key, 9).await;
    // Rewound.
    world.source.events.rewind(&key, 7);
    let loaded = world.load_checked(&key).await;
    assert_eq!((loaded.version, loaded.provenance.origin), (7, Origin::Snapshot));
    // Rewritten: another event at the version of the cached state.
    world.source.events.rewind(&key, 6);
    world.source.append(&key, 1_000, Event::Deposited(-5));
    let loaded = world.load_checked(&key).await;
    assert_eq!((loaded.version, loaded.provenance.origin), (7, Origin::Snapshot));
    // Rewritten below the snapshot too.
    world.source.events.rewind(&key, 0);
    for seconds in 1..=9 {
        world.source.append(&key, 2_000 + seconds, Event::Deposited(1));
    }
    let loaded = world.load_checked(&key).await;
    assert_eq!((loaded.version, loaded.provenance.origin), (9, Origin::Replay));
    assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Diverged);
    assert_eq!(world.load_checked(&key).await.provenance.origin, Origin::Cache);
}

#[tokio::test]
async fn a_cached_state_with_another_anchor_is_never_served() {
    let world = cached();
    let key = key("a");
    world.source.events.append_anchored(&key, at(1), b"one", Event::Deposited(1));
    world.load_checked(&key).await;
    world.source.events.rewind(&key, 0);
    world.source.events.append_anchored(&key, at(1), b"two", Event::Deposited(2));
    assert_eq!(world.load_checked(&key).await.provenance.origin, Origin::Replay);
}

#[tokio::test]
async fn states_are_dropped_at_their_age_and_when_idle_by_the_clock_of_the_engine() {
    let config = CacheConfig::new(1 << 20)
        .time_to_live(Duration::from_secs(100))
        .time_to_idle(Duration::from_secs(30));
    let world = World::with(|builder| builder.cache(config));
    let key = key("a");
    warm(&world, &key, 3).await;
    let advance = |seconds| world.clock.advance(Duration::from_secs(seconds));
    let origin = || async { world.load_checked(&key).await.provenance.origin };
    // Loads keep it from being idle, and do not make it younger; nor does a tail.
    for version in 4..=6 {
        advance(29);
        world.grow(&key, version);
        assert_eq!(origin().await, Origin::Cache);
    }
    advance(12);
    assert_eq!(origin().await, Origin::Cache, "99 seconds old");
    advance(1);
    assert_eq!(origin().await, Origin::Replay, "100 seconds old");
    assert_eq!(origin().await, Origin::Cache);
    advance(30);
    assert_eq!(origin().await, Origin::Replay, "30 seconds idle");
    advance(29);
    assert_eq!(origin().await, Origin::Cache);
    // A wall clock that jumps says nothing about age.
    world.clock.set(snapfold::Timestamp::MAX);
    assert_eq!(origin().await, Origin::Cache);
}

#[tokio::test]
async fn an_engine_with_the_clock_of_the_system_drops_states_as_well() {
    let (long, none) = (Duration::from_secs(3_600), Duration::ZERO);
    for (live, idle, origin) in
        [(long, long, Origin::Cache), (none, long, Origin::Replay), (long, none, Origin::Replay)]
    {
        let (world, key) = (World::new(), key("a"));
        let config = CacheConfig::default().time_to_live(live).time_to_idle(idle);
        let engine = SnapshotEngine::<Account>::builder(world.source.clone(), world.store.clone())
            .cache(config)
            .build()
            .unwrap();
        world.grow(&key, 3);
        engine.load(&key).await.unwrap();
        for version in [3, 4, 4] {
            world.grow(&key, version);
            let loaded = engine.load(&key).await.unwrap();
            assert_eq!(loaded.provenance.origin, origin, "{live:?} {idle:?}");
            assert_eq!(*loaded.state, world.truth(&key).await);
        }
    }
}

/// A thousand small states, with what each entry takes besides, are several times as much as the
/// cache may hold.
#[tokio::test]
async fn no_more_is_kept_than_the_settings_allow() {
    let world = World::with(|builder| builder.cache(CacheConfig::new(64 << 10)));
    let keys: Vec<_> = (0..1_000).map(|i| key(&format!("k{i}"))).collect();
    for key in &keys {
        world.grow(key, 1);
        world.engine.load(key).await.unwrap();
    }
    let mut hits = 0;
    for key in &keys {
        let loaded = world.engine.load(key).await.unwrap();
        hits += usize::from(loaded.provenance.origin == Origin::Cache);
    }
    assert!(hits < 200, "{hits} of 1,000 were still there");
}

#[tokio::test]
async fn extreme_cache_settings_neither_panic_nor_change_a_load() {
    for max_bytes in [0, 1, u64::MAX] {
        for time in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let config = CacheConfig::new(max_bytes).time_to_live(time).time_to_idle(time);
            let world = World::with(|builder| builder.cache(config));
            for version in 1..=5 {
                warm(&world, &key("a"), version).await;
                warm(&world, &key("b"), version).await;
            }
            world.clock.advance(Duration::MAX);
            warm(&world, &key("a"), 6).await;
        }
    }
}

#[tokio::test]
async fn loads_of_the_past_neither_come_from_the_cache_nor_get_into_it() {
    let world = cached();
    let key = key("a");
    world.grow(&key, 9);
    for _ in 0..2 {
        let past = world.engine.at_version(&key, 4).await.unwrap();
        assert_eq!((past.version, past.provenance.origin), (4, Origin::Replay));
        let past = world.engine.at_time(&key, at(5)).await.unwrap();
        assert_eq!((past.version, past.provenance.origin), (5, Origin::Replay));
        let past = world.engine.latest_known(&key, Point::Version(3)).await.unwrap();
        assert_eq!((past.version, past.provenance.origin), (3, Origin::Replay));
        world.engine.create_with(&key, CreateOptions::new().at_version(2)).await.unwrap();
        world.engine.delete(&key, 2).await.unwrap();
        let now = world.load_checked(&key).await;
        assert_eq!((now.version, now.provenance.origin), (9, Origin::Replay));
        world.engine.delete_before(&key, 0).await.unwrap();
    }
}

/// Stores a well-formed snapshot of a wrong state, as a bug fixed since may have left it.
async fn put_wrong(world: &World, key: &AggregateKey, version: u64) {
    let right = world.engine.at_version(key, version).await.unwrap();
    let wrong = Account { balance: 1_000_000, ..Account::clone(&right.state) };
    let raw = postcard::to_stdvec(&wrong).unwrap();
    let record = RecordBuilder::new(key.clone(), world.engine.generation(), version, at(version));
    let record = record.codec(CodecId::POSTCARD).build(&raw).unwrap();
    world.store.put(vec![record], PutOptions::default()).await.unwrap();
}

#[tokio::test]
async fn a_repair_and_a_delete_also_take_the_cached_state() {
    let world = cached();
    let key = key("a");
    world.grow(&key, 9);
    put_wrong(&world, &key, 5).await;
    assert!(world.engine.load(&key).await.unwrap().state.balance > 999_999);
    world.engine.rebuild(&key, 5).await.unwrap();
    world.load_checked(&key).await;

    for delete_all in [false, true] {
        world.engine.delete_before(&key, u64::MAX).await.unwrap();
        put_wrong(&world, &key, 6).await;
        assert!(world.engine.load(&key).await.unwrap().state.balance > 999_999);
        if delete_all {
            world.engine.delete_before(&key, 7).await.unwrap();
        } else {
            world.engine.delete(&key, 6).await.unwrap();
        }
        world.load_checked(&key).await;
    }
}

/// A retirement says that a state is wrong: what was built from it is not served from the cache
/// either. A pin says nothing about the state.
#[tokio::test]
async fn a_retirement_also_takes_the_cached_state() {
    let world = cached();
    let key = key("a");
    world.grow(&key, 9);
    put_wrong(&world, &key, 5).await;
    assert!(world.engine.load(&key).await.unwrap().state.balance > 999_999);
    let pin = Mark::pin("evidence", at(20));
    world.engine.mark(&key, Selection::Below(6), MarkChange::Set(&pin)).await.unwrap();
    assert_eq!(world.engine.load(&key).await.unwrap().provenance.origin, Origin::Cache);

    let wrong = Mark::retirement("wrong fold", at(20));
    let retired = world.engine.mark(&key, Selection::All, MarkChange::Set(&wrong)).await.unwrap();
    assert_eq!(retired, 1);
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.origin, Origin::Replay);
    assert_eq!(world.load_checked(&key).await.provenance.origin, Origin::Cache);

    // Taken back: the next load starts from the snapshot again.
    let back = MarkChange::Clear { kind: MarkKind::Retirement, name: "wrong fold" };
    assert_eq!(world.engine.mark(&key, Selection::All, back).await.unwrap(), 1);
    assert_eq!(world.engine.load(&key).await.unwrap().provenance.origin, Origin::Snapshot);

    // Refolded: it differs, so it is replaced.
    world.engine.refold(&key, Some(5)).await.unwrap_err();
    let unpinned = MarkChange::Clear { kind: MarkKind::Pin, name: "evidence" };
    world.engine.mark(&key, Selection::All, unpinned).await.unwrap();
    assert!(world.engine.load(&key).await.unwrap().state.balance > 999_999);
    assert!(matches!(
        world.engine.refold(&key, Some(5)).await.unwrap(),
        CreateOutcome::Replaced(_)
    ));
    assert_eq!(world.load_checked(&key).await.provenance.origin, Origin::Snapshot);
}

#[tokio::test]
async fn a_load_that_is_under_way_during_a_repair_does_not_bring_the_old_state_back() {
    // Cold: it has read the wrong record and waits for its events.
    let world = cached();
    let key = key("a");
    world.grow(&key, 9);
    put_wrong(&world, &key, 5).await;
    world.source.gate.close();
    let (engine, of) = (world.engine.clone(), key.clone());
    let loading = tokio::spawn(async move { engine.load(&of).await });
    until("the load waits for its events", || world.source.gate.waiting() == 1).await;
    let (engine, of) = (world.engine.clone(), key.clone());
    repair_while(&world, async move { engine.rebuild(&of, 5).await.map(|_| ()) }).await;
    loading.await.unwrap().unwrap();
    world.load_checked(&key).await;

    // Warm: it advances the wrong state.
    let world = cached();
    world.grow(&key, 9);
    put_wrong(&world, &key, 5).await;
    world.engine.load(&key).await.unwrap();
    world.grow(&key, 10);
    world.source.gate.close();
    let (engine, of) = (world.engine.clone(), key.clone());
    let loading = tokio::spawn(async move { engine.load(&of).await });
    until("the load waits for its events", || world.source.gate.waiting() == 1).await;
    let (engine, of) = (world.engine.clone(), key.clone());
    repair_while(&world, async move { engine.rebuild(&of, 5).await.map(|_| ()) }).await;
    loading.await.unwrap().unwrap();
    world.load_checked(&key).await;

    // A retirement, while a cold load has the wrong record already.
    let world = cached();
    world.grow(&key, 9);
    put_wrong(&world, &key, 5).await;
    world.source.gate.close();
    let (engine, of) = (world.engine.clone(), key.clone());
    let loading = tokio::spawn(async move { engine.load(&of).await });
    until("the load waits for its events", || world.source.gate.waiting() == 1).await;
    let wrong = Mark::retirement("wrong fold", at(20));
    world.engine.mark(&key, Selection::All, MarkChange::Set(&wrong)).await.unwrap();
    world.source.gate.open();
    loading.await.unwrap().unwrap();
    world.load_checked(&key).await;
}

/// Runs `repair` to its end before those that wait at the source's gate may go on.
async fn repair_while(
    world: &World,
    repair: impl Future<Output = Result<(), snapfold::Error>> + Send + 'static,
) {
    world.source.gate.let_pass(1);
    tokio::spawn(repair).await.unwrap().unwrap();
    world.source.gate.open();
}

#[tokio::test]
async fn when_the_first_loader_is_cancelled_or_panics_another_takes_over() {
    for panics in [false, true] {
        let world = cached();
        let key = key("a");
        world.grow(&key, 9);
        let fuse = Arc::new(AtomicBool::new(false));
        world.source.append(&key, 10, Event::Fused(Arc::clone(&fuse)));
        world.store.get_gate.close();
        let load = || {
            let (engine, key) = (world.engine.clone(), key.clone());
            tokio::spawn(async move { engine.load(&key).await })
        };
        let first = load();
        until("the first load waits", || world.store.get_gate.waiting() == 1).await;
        let others: Vec<_> = (0..20).map(|_| load()).collect();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        if panics {
            world.store.panic(Op::Get, 1);
            world.store.get_gate.open();
            assert!(first.await.unwrap_err().is_panic());
        } else {
            first.abort();
            assert!(first.await.unwrap_err().is_cancelled());
            world.store.get_gate.open();
        }
        for other in others {
            assert_eq!(other.await.unwrap().unwrap().version, 10);
        }
        // A panic in the fold: each caller meets it itself, none hangs.
        world.engine.delete_before(&key, 0).await.unwrap();
        fuse.store(true, Ordering::SeqCst);
        let loads: Vec<_> = (0..20).map(|_| load()).collect();
        for load in loads {
            assert!(load.await.unwrap_err().is_panic());
        }
        fuse.store(false, Ordering::SeqCst);
        assert_eq!(world.load_checked(&key).await.version, 10);
    }
}

#[tokio::test]
async fn a_failure_of_the_store_is_not_cached() {
    let world = cached();
    let key = key("a");
    world.grow(&key, 9);
    world.store.fail(Op::Get, 1);
    assert_eq!(world.engine.load(&key).await.unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(world.load_checked(&key).await.provenance.origin, Origin::Replay);
    assert_eq!(world.load_checked(&key).await.provenance.origin, Origin::Cache);
    // What is cached needs no store.
    world.store.fail(Op::Get, usize::MAX);
    assert_eq!(world.load_checked(&key).await.provenance.origin, Origin::Cache);
}

#[tokio::test]
async fn a_load_that_began_after_an_append_returned_sees_it_also_when_it_waits_for_another() {
    let world = cached();
    let key = key("a");
    world.grow(&key, 9);
    let (engine, of) = (world.engine.clone(), key.clone());
    world.source.yields.set(3);
    world.store.get_gate.close();
    let first = tokio::spawn(async move { engine.load(&of).await });
    until("the first load waits", || world.store.get_gate.waiting() == 1).await;
    world.store.get_gate.open();
    // The first one reads its events; then one is appended, and the second one begins.
    let reads = world.source.reads();
    until("the first load reads", || world.source.reads() > reads).await;
    for _ in 0..5 {
        tokio::task::yield_now().await;
    }
    world.grow(&key, 10);
    let second = world.engine.load(&key).await.unwrap();
    assert_eq!(second.version, 10);
    assert!(first.await.unwrap().unwrap().version >= 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_and_loads_from_many_tasks_are_linearizable() {
    const EVENTS: u64 = 300;
    let world = cached();
    let keys = [key("a"), key("b")];
    let appended: Arc<[AtomicU64; 2]> = Arc::default();
    let mut tasks = Vec::new();
    for (at, key) in keys.iter().enumerate() {
        let (source, key, appended) = (world.source.clone(), key.clone(), Arc::clone(&appended));
        tasks.push(tokio::spawn(async move {
            for version in 1..=EVENTS {
                source.grow(&key, version);
                appended[at].store(version, Ordering::SeqCst);
                tokio::task::yield_now().await;
            }
        }));
    }
    for reader in 0..4 {
        let (engine, keys, appended) = (world.engine.clone(), keys.clone(), Arc::clone(&appended));
        tasks.push(tokio::spawn(async move {
            let mut last = 0;
            let at = reader % 2;
            while last < EVENTS {
                let lowest = appended[at].load(Ordering::SeqCst);
                let loaded = engine.load(&keys[at]).await.unwrap();
                assert!(loaded.version >= lowest, "{} < {lowest}", loaded.version);
                assert!(loaded.version >= last, "went back");
                // The sum of 1 to n: the state is that of its version.
                let sum = i64::try_from(loaded.version * (loaded.version + 1) / 2).unwrap();
                assert_eq!(loaded.state.balance, sum);
                last = loaded.version;
                tokio::task::yield_now().await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    for key in &keys {
        world.load_checked(key).await;
    }
}
