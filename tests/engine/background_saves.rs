//! Background snapshots never hurt a command, and are taken when they should be.
//!
//! Guards against: "every N" as divisibility, which a commit of several events jumps over; a slow
//! or failing store that slows commands down or is hammered; a queue that grows without bound; a
//! saver that dies with one panic or one runtime and never saves again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Account, Event, Log, Op, Source, Store, World, at, key, until};
use async_trait::async_trait;
use snapfold::engine::{ManualClock, Observation, Observer, WhenFull};
use snapfold::manager::{CreateOptions, Decision};
use snapfold::store::{Mark, MarkChange, Selection};
use snapfold::trigger::{Trigger, any, every_events, larger_than, manual, slower_than};
use snapfold::{
    AggregateKey, BoxError, ErrorKind, EventRange, EventSource, Loaded, Replay, SnapshotEngine,
    Timestamp,
};

const LONG: Duration = Duration::from_secs(3_600);

fn every(events: u64) -> (World, Log) {
    every_with(events, |builder| builder)
}

fn every_with(
    events: u64,
    change: impl FnOnce(
        snapfold::engine::EngineBuilder<Account>,
    ) -> snapfold::engine::EngineBuilder<Account>,
) -> (World, Log) {
    let log = Log::default();
    let observer = log.clone();
    let world = World::with(|builder| {
        // In the order of the commits, which another thread would not keep.
        let builder = builder.trigger(every_events(events)).encode_in_place(u64::MAX);
        change(builder.observer(observer))
    });
    (world, log)
}

/// Commits up to `version` on top of a fresh load.
async fn commit(world: &World, key: &AggregateKey, version: u64) -> Decision {
    let loaded = world.engine.load(key).await.unwrap();
    world.grow(key, version);
    world.engine.committed(&loaded, version)
}

// When --------------------------------------------------------------------------------------------

#[tokio::test]
async fn the_distance_counts_from_the_last_stored_snapshot_not_by_divisibility() {
    let (world, log) = every(10);
    let key = key("a");
    assert_eq!(
        commit(&world, &key, 9).await.to_string(),
        "wait: 9 of 10 events and no snapshot yet"
    );
    // A commit of several events jumps over 10, and counts.
    assert_eq!(
        commit(&world, &key, 13).await.to_string(),
        "queued: 13 of 10 events and no snapshot yet"
    );
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.store.versions(&key).await, [13]);
    // 20 is divisible by 10, and too near.
    let decision = commit(&world, &key, 20).await;
    assert_eq!(decision.to_string(), "wait: 7 of 10 events since the snapshot at version 13");
    assert!(!commit(&world, &key, 22).await.is_queued());
    assert!(commit(&world, &key, 23).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.store.versions(&key).await, [23, 13]);
    assert_eq!(log.lines(), ["saved a Some(13)", "saved a Some(23)"]);
}

#[tokio::test]
async fn a_load_seeds_the_distance_after_a_restart() {
    let (before, _) = every(10);
    let key = key("a");
    before.grow(&key, 15);
    before.snapshots_at(&key, &[8]).await;
    let world =
        World::over(before.source, before.store, |builder| builder.trigger(every_events(10)));
    let loaded = world.engine.load(&key).await.unwrap();
    let decision = world.engine.committed(&loaded, 17);
    assert_eq!(decision.to_string(), "wait: 9 of 10 events since the snapshot at version 8");
    let decision = world.engine.committed(&loaded, 18);
    assert_eq!(decision.to_string(), "queued: 10 of 10 events since the snapshot at version 8");
}

#[tokio::test]
async fn an_old_load_does_not_make_the_saver_forget_what_it_has_saved() {
    let (world, _) = every(10);
    let key = key("a");
    world.grow(&key, 5);
    let old = world.engine.load(&key).await.unwrap();
    world.grow(&key, 12);
    assert!(world.engine.committed(&old, 12).is_queued());
    world.engine.flush(LONG).await.unwrap();
    let decision = world.engine.committed(&old, 14);
    assert_eq!(decision.to_string(), "wait: 2 of 10 events since the snapshot at version 12");
    let decision = world.engine.committed(&old, 12);
    assert_eq!(decision.reason(), "nothing has been committed since the last snapshot");
}

async fn after_by_hand(world: World) {
    let key = key("a");
    world.grow(&key, 95);
    let loaded = world.engine.load(&key).await.unwrap();
    world.engine.create(&key).await.unwrap();
    let decision = world.engine.committed(&loaded, 100);
    assert_eq!(decision.to_string(), "wait: 5 of 100 events since the snapshot at version 95");
    let decision = commit(&world, &key, 100).await;
    assert_eq!(decision.to_string(), "wait: 5 of 100 events since the snapshot at version 95");
    // One of the past does not move the distance back.
    world.engine.create_with(&key, CreateOptions::new().at_version(50)).await.unwrap();
    assert!(!commit(&world, &key, 101).await.is_queued());
    world.engine.rebuild(&key, 99).await.unwrap();
    let decision = commit(&world, &key, 102).await;
    assert_eq!(decision.to_string(), "wait: 3 of 100 events since the snapshot at version 99");
    world.engine.create_many(std::slice::from_ref(&key)).await.remove(0).unwrap();
    let decision = commit(&world, &key, 103).await;
    assert_eq!(decision.to_string(), "wait: 1 of 100 events since the snapshot at version 102");
    // What was deleted is no longer stored, so it does not count.
    world.engine.delete_before(&key, 1_000).await.unwrap();
    assert!(commit(&world, &key, 104).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    // Nor does what was retired, replaced or not: no load starts from it.
    assert!(!commit(&world, &key, 105).await.is_queued());
    let wrong = Mark::retirement("wrong", Timestamp::MIN);
    world.engine.mark(&key, Selection::All, MarkChange::Set(&wrong)).await.unwrap();
    world.engine.rebuild(&key, 104).await.unwrap();
    assert!(commit(&world, &key, 106).await.is_queued());
}

#[tokio::test]
async fn snapshots_taken_and_deleted_by_hand_count_for_the_distance() {
    after_by_hand(World::with(|builder| builder.trigger(every_events(100)))).await;
    #[cfg(feature = "cache")]
    after_by_hand(World::with(|builder| {
        builder.trigger(every_events(100)).cache(snapfold::engine::CacheConfig::default())
    }))
    .await;
}

/// Where a retired snapshot is in the way of a background one and is wrong, it is replaced, and no
/// load starts from it all the same.
#[tokio::test]
async fn a_retired_snapshot_that_was_replaced_does_not_count_for_the_distance() {
    let (world, log) = every(10);
    let key = key("a");
    for version in 1..=10 {
        world.source.append(&key, 100 + version, Event::Deposited(7));
    }
    world.engine.create(&key).await.unwrap();
    let wrong = Mark::retirement("wrong", Timestamp::MIN);
    world.engine.mark(&key, Selection::All, MarkChange::Set(&wrong)).await.unwrap();
    world.source.events.rewind(&key, 0);
    assert!(commit(&world, &key, 10).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.lines(), ["saved a Some(10)"]);
    let stored = world.engine.snapshots(&key, 10..=10).await.unwrap();
    assert!(stored[0].is_retired() && stored[0].as_of == at(10), "{stored:?}");
    let decision = commit(&world, &key, 12).await;
    assert_eq!(decision.to_string(), "queued: 12 of 10 events and no snapshot yet");
}

#[tokio::test]
async fn a_rewound_history_does_not_keep_the_distance_at_zero() {
    let (world, _) = every(10);
    let key = key("a");
    world.grow(&key, 30);
    assert!(commit(&world, &key, 30).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    world.source.events.rewind(&key, 5);
    assert!(!commit(&world, &key, 9).await.is_queued());
    assert!(commit(&world, &key, 11).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.load_checked(&key).await.provenance.snapshot.unwrap().id.version, 11);
}

#[tokio::test]
async fn a_trigger_that_never_fires_takes_no_background_snapshot() {
    for never in [any(vec![]), manual().or(manual())] {
        let world = World::with(|builder| builder.trigger(never));
        assert!(matches!(commit(&world, &key("a"), 5_000).await, Decision::Wait { .. }));
        world.engine.flush(LONG).await.unwrap();
        assert_eq!(world.store.calls(Op::Put), 0);
    }
}

/// The details are in `size_trigger.rs`.
#[tokio::test]
async fn the_size_of_the_state_is_that_of_its_snapshot_or_measured_in_the_background() {
    let world = World::with(|builder| builder.trigger(larger_than(1_000).and(every_events(2))));
    let key = key("a");
    world.grow(&key, 4);
    let small = world.engine.load(&key).await.unwrap();
    assert!(!world.engine.committed(&small, 5).is_queued());
    world.engine.flush(LONG).await.unwrap();
    let decision = world.engine.committed(&small, 5);
    assert!(!decision.is_queued());
    assert!(decision.reason().contains("the threshold is 1000"), "{decision}");
    world.source.append(&key, 5, Event::Noted("x".repeat(2_000)));
    let large = world.engine.load(&key).await.unwrap();
    // Not known to be large yet; measured, it is, and the snapshot follows.
    assert!(!world.engine.committed(&large, 5).is_queued());
    world.engine.flush(LONG).await.unwrap();
    let meta = world.engine.latest_snapshot(&key).await.unwrap().usable().unwrap().meta;
    let seeded = world.engine.load(&key).await.unwrap();
    assert!(!world.engine.committed(&seeded, 6).is_queued(), "too near");
    // By another engine, which has measured nothing.
    let world = World::over(world.source, world.store, |builder| {
        builder.trigger(larger_than(1_000).and(every_events(2)))
    });
    let decision = world.engine.committed(&seeded, 7);
    assert!(decision.is_queued());
    let says = format!("has about {} bytes", meta.raw_bytes);
    assert!(decision.reason().contains(&says), "{decision}");
}

/// A source in which reading the events after the first takes its time.
struct Slow(Source, ManualClock, Duration);

#[async_trait]
impl EventSource<Account> for Slow {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        self.1.advance(Duration::from_secs(60));
        self.0.read(key, range, replay).await?;
        self.1.advance(self.2);
        Ok(())
    }
}

#[tokio::test]
async fn a_slow_replay_calls_for_a_snapshot_and_waiting_for_its_first_event_does_not() {
    for (takes, fires) in [(5, false), (6, true)] {
        let source = Source::default();
        let key = key("a");
        source.grow(&key, 3);
        let clock = ManualClock::at(at(0));
        let slow = Slow(source, clock.clone(), Duration::from_millis(takes));
        let engine = SnapshotEngine::builder(slow, Store::default())
            .trigger(slower_than(Duration::from_millis(5)))
            .clock(clock)
            .build()
            .unwrap();
        let loaded = engine.load(&key).await.unwrap();
        assert_eq!(loaded.provenance.timings.fetch, Duration::from_secs(60));
        assert_eq!(loaded.provenance.timings.fold, Duration::from_millis(takes));
        let decision = engine.committed(&loaded, 4);
        assert_eq!(decision.is_queued(), fires, "{decision}");
        assert!(decision.reason().starts_with("replaying 3 events took"), "{decision}");
    }
}

// What --------------------------------------------------------------------------------------------

#[tokio::test]
async fn only_committed_events_are_captured_whatever_the_caller_claims() {
    let (world, log) = every(10);
    let key = key("a");
    world.grow(&key, 12);
    let loaded = world.engine.load(&key).await.unwrap();
    // The application says 50; its event store has 12.
    assert!(world.engine.committed(&loaded, 50).is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.lines(), ["saved a Some(12)"]);
    let saved = world.engine.snapshot(&key, 12).await.unwrap().usable().unwrap();
    assert_eq!(*saved.state, world.truth(&key).await);
}

#[tokio::test]
async fn commits_during_a_save_lead_to_one_more_save_and_one_is_in_flight_at_a_time() {
    let (world, log) = every(1);
    let (one, two) = (key("one"), key("two"));
    world.store.put_gate.close();
    assert!(commit(&world, &one, 1).await.is_queued());
    until("a save is in flight", || world.store.put_gate.waiting() == 1).await;
    for version in 2..=50 {
        assert!(commit(&world, &one, version).await.is_queued());
        assert!(commit(&world, &two, version).await.is_queued());
    }
    assert_eq!(world.store.put_gate.waiting(), 1);
    world.store.put_gate.open();
    world.engine.flush(LONG).await.unwrap();
    // What was captured during the put is put together, without the one whose put it was.
    assert_eq!(log.lines(), ["saved one Some(1)", "saved two Some(50)", "saved one Some(50)"]);
    assert_eq!(world.store.put_records(), 3);
}

// How much ----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_full_queue_drops_further_aggregates_and_says_so() {
    let (world, log) = every_with(1, |builder| builder.max_queued(2));
    let keys: Vec<_> = (0..4).map(|i| key(&format!("k{i}"))).collect();
    world.store.put_gate.close();
    assert!(commit(&world, &keys[0], 1).await.is_queued());
    until("a save is in flight", || world.store.put_gate.waiting() == 1).await;
    assert!(commit(&world, &keys[1], 1).await.is_queued());
    assert!(commit(&world, &keys[2], 1).await.is_queued());
    let dropped = commit(&world, &keys[3], 1).await;
    assert_eq!(dropped.to_string(), "dropped: 2 aggregates are already waiting");
    assert_eq!(log.lines(), ["dropped k3 2 aggregates are already waiting"]);
    // One that waits already takes no further place.
    assert!(commit(&world, &keys[2], 2).await.is_queued());
    world.store.put_gate.open();
    world.engine.flush(LONG).await.unwrap();
    assert!(commit(&world, &keys[3], 2).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.store.versions(&keys[3]).await, [2]);
}

#[tokio::test]
async fn a_queue_of_no_places_drops_everything_and_hurts_nothing() {
    let (world, log) = every_with(1, |builder| builder.max_queued(0));
    assert!(matches!(commit(&world, &key("a"), 1).await, Decision::Dropped { .. }));
    assert_eq!(log.count("dropped"), 1);
    world.engine.flush(LONG).await.unwrap();
    world.load_checked(&key("a")).await;
}

/// Commits to these aggregates, up to these versions, while the source holds the first capture up.
async fn queue_behind_a_capture(world: &World, commits: &[(&str, u64)]) -> Vec<Decision> {
    let mut loaded = Vec::new();
    for (id, version) in [("first", 1)].iter().chain(commits) {
        let key = key(id);
        loaded.push((world.engine.load(&key).await.unwrap(), *version));
        world.grow(&key, *version);
    }
    world.source.gate.close();
    let mut decisions = Vec::new();
    for (loaded, version) in &loaded {
        decisions.push(world.engine.committed(loaded, *version));
        until("the first is captured", || world.source.gate.waiting() == 1).await;
    }
    decisions
}

#[tokio::test]
async fn a_full_queue_may_drop_the_oldest_instead() {
    let (world, log) = every_with(1, |builder| {
        builder.max_queued(2).parallel_saves(1).when_full(WhenFull::DropOldest)
    });
    let ids = ["k0", "k1", "k2", "k3"];
    let decisions = queue_behind_a_capture(&world, &ids.map(|id| (id, 1))).await;
    assert!(decisions.iter().all(Decision::is_queued));
    let dropped = |id: &str| log.count(&format!("dropped {id} "));
    assert_eq!(ids.map(dropped), [1, 1, 0, 0]);
    assert_eq!(world.engine.statistics().saves_dropped, 2);
    world.source.gate.open();
    world.engine.flush(LONG).await.unwrap();
    for (id, versions) in ids.iter().zip([&[][..], &[], &[1], &[1]]) {
        assert_eq!(world.store.versions(&key(id)).await, versions);
    }

    let (world, _) = every_with(1, |b| b.max_queued(0).when_full(WhenFull::DropOldest));
    assert!(matches!(commit(&world, &key("a"), 1).await, Decision::Dropped { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_drain_saves_the_longest_tails_first() {
    let (world, log) = every_with(1, |builder| builder.parallel_saves(1));
    let commits = [("short", 3), ("long", 30), ("longer", 31), ("middle", 10)];
    queue_behind_a_capture(&world, &commits).await;
    let engine = world.engine.clone();
    let draining = tokio::spawn(async move { engine.drain(Duration::from_secs(5)).await });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    world.source.gate.open();
    let drained = draining.await.unwrap().unwrap();
    assert_eq!((drained.saved, drained.skipped), (5, vec![]));
    let expected = ["first Some(1)", "longer Some(31)", "long Some(30)", "middle Some(10)"];
    let expected: Vec<_> = expected.iter().map(|line| format!("saved {line}")).collect();
    assert_eq!(log.lines()[..4], expected);
}

#[tokio::test(start_paused = true)]
async fn a_drain_drops_what_it_does_not_save_in_time() {
    let (world, log) = every_with(1, |builder| builder.parallel_saves(1));
    let ids: Vec<_> = (0..9).map(|id| format!("k{id}")).collect();
    let commits: Vec<_> = ids.iter().map(|id| (id.as_str(), 1)).collect();
    queue_behind_a_capture(&world, &commits).await;
    let drained = world.engine.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!((drained.saved, drained.skipped.len()), (0, 10));
    assert_eq!(log.count("dropped"), 10);
    // What was in flight goes on, and the engine can be used as before.
    world.source.gate.open();
    assert!(commit(&world, &key("next"), 1).await.is_queued());
    let drained = world.engine.drain(Duration::from_secs(5)).await.unwrap();
    assert_eq!((drained.saved, drained.skipped), (2, vec![]));
    assert_eq!(log.lines()[10..], ["saved first Some(1)", "saved next Some(1)"]);
}

// Failures ----------------------------------------------------------------------------------------

#[tokio::test]
async fn failing_saves_are_reported_backed_off_and_forgotten_after_a_success() {
    let (world, log) = every(1);
    let key = key("a");
    world.store.fail(Op::Put, 12);
    for (failures, seconds) in (1..=12_u64).zip([1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]) {
        assert!(commit(&world, &key, failures).await.is_queued(), "after {failures}");
        world.engine.flush(LONG).await.unwrap();
        assert_eq!(log.lines().last().unwrap(), &format!("failed a Store {seconds}s"));
        world.clock.advance(Duration::from_micros(seconds * 1_000_000 - 1));
        let dropped = commit(&world, &key, failures).await;
        let says = format!("no new attempt for 1\u{b5}s (failures in a row: {failures})");
        assert_eq!(dropped.reason(), says);
        assert!(matches!(dropped, Decision::Dropped { .. }));
        // Others are not held up, and loads never notice.
        world.load_checked(&key).await;
        world.clock.advance(Duration::from_micros(1));
    }
    assert_eq!(log.count("dropped a"), 12);
    assert!(commit(&world, &key, 13).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.lines().last().unwrap(), "saved a Some(13)");
    world.store.fail(Op::Put, 1);
    assert!(commit(&world, &key, 14).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.lines().last().unwrap(), "failed a Store 1s");
}

#[tokio::test]
async fn one_failing_aggregate_does_not_hold_up_another() {
    let (world, log) = every(1);
    world.store.fail(Op::Put, 1);
    assert!(commit(&world, &key("bad"), 1).await.is_queued());
    assert!(commit(&world, &key("good"), 1).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.lines(), ["failed bad Store 1s", "saved good Some(1)"]);
}

#[tokio::test]
async fn a_store_that_panics_ends_one_save_only() {
    let (world, log) = every(1);
    world.store.panic(Op::Put, 1);
    assert!(commit(&world, &key("bad"), 1).await.is_queued());
    assert!(commit(&world, &key("good"), 1).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.count("failed bad"), 1);
    assert_eq!(log.count("saved good"), 1);
    world.clock.advance(LONG);
    assert!(commit(&world, &key("bad"), 2).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.count("saved bad"), 1);
}

#[derive(Clone, Default)]
struct Touchy(Arc<AtomicBool>);

impl Observer for Touchy {
    fn observe(&self, report: &Observation<'_>) {
        if matches!(report, Observation::Saved { .. }) {
            assert!(!self.0.swap(false, Ordering::SeqCst), "the observer panicked");
        }
    }
}

#[tokio::test]
async fn an_observer_that_panics_ends_nothing_and_is_counted() {
    let touchy = Touchy::default();
    let observer = touchy.clone();
    let world = World::with(|builder| builder.trigger(every_events(1)).observer(observer));
    let keys = [key("one"), key("two")];
    touchy.0.store(true, Ordering::SeqCst);
    for key in &keys {
        assert!(commit(&world, key, 1).await.is_queued());
    }
    world.engine.flush(LONG).await.unwrap();
    for key in &keys {
        assert_eq!(world.store.versions(key).await, [1]);
    }
    let statistics = world.engine.statistics();
    assert_eq!((statistics.saved, statistics.observer_panics), (2, 1));
    let (_, what) = statistics.last_error.unwrap();
    assert!(what.contains("observer panicked"), "{what}");
}

// Waiting and runtimes ----------------------------------------------------------------------------

#[tokio::test(start_paused = true)]
async fn flushing_waits_for_what_is_queued_and_gives_up_in_time() {
    let (world, log) = every(1);
    world.engine.flush(Duration::ZERO).await.unwrap();
    world.store.put_gate.close();
    assert!(commit(&world, &key("a"), 1).await.is_queued());
    let error = world.engine.flush(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert!(error.is_retryable());
    assert_eq!(log.lines(), [""; 0]);
    let engine = world.engine.clone();
    let flushing = tokio::spawn(async move { engine.flush(Duration::MAX).await });
    tokio::task::yield_now().await;
    world.store.put_gate.open();
    flushing.await.unwrap().unwrap();
    assert_eq!(log.lines(), ["saved a Some(1)"]);
}

#[test]
fn without_a_tokio_runtime_saves_are_dropped_with_the_reason() {
    let (world, log) = every(1);
    let key = key("a");
    world.grow(&key, 3);
    let loaded = crate::support::poll_times(world.engine.load(&key), 9).unwrap().unwrap();
    let decision = world.engine.committed(&loaded, 3);
    assert_eq!(
        decision.to_string(),
        "dropped: there is no tokio runtime: call committed() inside one"
    );
    assert_eq!(log.count("dropped a there is no tokio runtime"), 1);
    // Nothing is queued, so there is nothing to wait for.
    crate::support::poll_times(world.engine.flush(LONG), 9).unwrap().unwrap();
    crate::support::poll_times(world.engine.create(&key), 9).unwrap().unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_ends_before_the_save_began_does_not_end_saving_for_good() {
    let (world, _) = every(1);
    let key = key("a");
    // The task is spawned and never polled.
    assert!(runtime().block_on(commit(&world, &key, 1)).is_queued());
    runtime().block_on(async {
        assert!(commit(&world, &key, 2).await.is_queued());
        world.engine.flush(LONG).await.unwrap();
        assert_eq!(world.store.versions(&key).await, [2]);
    });
}

#[test]
fn a_runtime_that_ends_during_a_save_does_not_end_saving_for_good() {
    let (world, _) = every(1);
    let keys = [key("one"), key("two")];
    world.store.put_gate.close();
    runtime().block_on(async {
        for key in &keys {
            assert!(commit(&world, key, 1).await.is_queued());
        }
        until("a save is in flight", || world.store.put_gate.waiting() == 1).await;
    });
    world.store.put_gate.open();
    runtime().block_on(async {
        assert!(commit(&world, &keys[1], 2).await.is_queued());
        world.engine.flush(LONG).await.unwrap();
        assert_eq!(world.store.versions(&keys[1]).await, [2]);
        assert!(commit(&world, &keys[0], 2).await.is_queued());
        world.engine.flush(LONG).await.unwrap();
        assert_eq!(world.store.versions(&keys[0]).await, [2]);
    });
}

#[test]
fn flushing_outside_of_a_tokio_runtime_is_an_error_and_no_panic() {
    let (world, _) = every(1);
    world.store.put_gate.close();
    let runtime = runtime();
    assert!(runtime.block_on(commit(&world, &key("a"), 1)).is_queued());
    let error = crate::support::poll_times(world.engine.flush(LONG), 9).unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_from_many_tasks_leave_each_newest_state_saved() {
    let (world, log) = every(1);
    let mut tasks = Vec::new();
    for id in 0..20 {
        let (engine, source) = (world.engine.clone(), world.source.clone());
        tasks.push(tokio::spawn(async move {
            let key = key(&format!("k{id}"));
            for version in 1..=20 {
                let loaded: Loaded<Account> = engine.load(&key).await.unwrap();
                source.grow(&key, version);
                // A save that is under way may have captured this version already.
                let decision = engine.committed(&loaded, version);
                let done = decision.reason().starts_with("nothing has been committed since");
                assert!(decision.is_queued() || done, "{decision}");
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    world.engine.flush(Duration::from_secs(60)).await.unwrap();
    for id in 0..20 {
        let key = key(&format!("k{id}"));
        assert_eq!(world.store.versions(&key).await[0], 20);
        world.load_checked(&key).await;
    }
    assert_eq!(log.count("failed") + log.count("dropped"), 0);
}

// Several at once ----------------------------------------------------------------------------------

/// Queues a snapshot of each of these aggregates while a first one holds the store up.
async fn queue_behind_a_put(world: &World, keys: &[AggregateKey]) {
    world.store.put_gate.close();
    assert!(commit(world, &key("first"), 1).await.is_queued());
    until("a put is in flight", || world.store.put_gate.waiting() == 1).await;
    for key in keys {
        assert!(commit(world, key, 1).await.is_queued());
    }
}

fn some_keys(count: usize) -> Vec<AggregateKey> {
    (0..count).map(|id| key(&format!("k{id}"))).collect()
}

/// Lets the aggregates that wait be captured.
async fn capture_all() {
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_captured_during_a_put_is_put_together() {
    let (world, log) = every(1);
    // The size of the first state of a kind is not known, and it is encoded on another thread.
    assert!(commit(&world, &key("zeroth"), 1).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    let keys = some_keys(300);
    queue_behind_a_put(&world, &keys).await;
    capture_all().await;
    world.store.put_gate.open();
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.count("saved"), 302);
    // The zeroth and the first one, 256 together, and the rest.
    assert_eq!(world.store.calls(Op::Put), 4);
    for key in &keys {
        assert_eq!(world.store.versions(key).await, [1]);
    }
}

#[tokio::test]
async fn as_many_are_captured_at_once_as_the_builder_says() {
    for (wanted, parallel) in [(0, 1), (1, 1), (3, 3)] {
        let (world, log) = every_with(1, |builder| builder.parallel_saves(wanted));
        let keys = some_keys(8);
        let loaded = {
            let mut loaded = Vec::new();
            for key in &keys {
                loaded.push(world.engine.load(key).await.unwrap());
                world.grow(key, 1);
            }
            loaded
        };
        world.source.gate.close();
        for loaded in &loaded {
            assert!(world.engine.committed(loaded, 1).is_queued());
        }
        until("captures are held up", || world.source.gate.waiting() >= parallel).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.source.gate.waiting(), parallel, "of {wanted}");
        world.source.gate.open();
        world.engine.flush(LONG).await.unwrap();
        assert_eq!(log.count("saved"), 8);
    }
}

#[tokio::test]
async fn one_that_the_store_refuses_or_panics_over_fails_alone() {
    for panics in [false, true] {
        let (world, log) = every(1);
        let keys = some_keys(20);
        queue_behind_a_put(&world, &keys).await;
        capture_all().await;
        if panics {
            world.store.panic_over(&keys[2]);
        } else {
            world.store.refuse(&keys[2]);
        }
        world.store.put_gate.open();
        world.engine.flush(LONG).await.unwrap();
        assert_eq!((log.count("saved"), log.count("failed k2 ")), (20, 1), "{:?}", log.lines());
        assert_eq!(world.store.versions(&keys[3]).await, [1]);
    }
}

/// Commits while a save is in flight queue the aggregate again; when its turn comes, the save before
/// has made it needless, and asking the trigger again says so. Without that, every N events would be
/// every N/2.
#[tokio::test]
async fn a_queued_save_that_the_one_before_made_needless_is_not_taken() {
    let (world, log) = every(10);
    let key = key("a");
    world.store.put_gate.close();
    assert!(commit(&world, &key, 10).await.is_queued());
    until("a save is in flight", || world.store.put_gate.waiting() == 1).await;
    assert!(commit(&world, &key, 11).await.is_queued());
    world.store.put_gate.open();
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(log.lines(), ["saved a Some(10)"]);
}

/// Metrics of loads count what callers loaded, not what snapshots were made of.
#[tokio::test]
async fn a_load_for_a_snapshot_is_reported_as_such() {
    #[derive(Clone, Default)]
    struct Counts(Arc<Mutex<[u64; 3]>>);

    impl Observer for Counts {
        fn observe(&self, report: &Observation<'_>) {
            let mut counts = self.0.lock().unwrap();
            match report {
                Observation::Loaded { .. } => counts[0] += 1,
                Observation::Captured { .. } => counts[1] += 1,
                Observation::Saved { .. } => counts[2] += 1,
                _ => {}
            }
        }
    }

    let counts = Counts::default();
    let observer = counts.clone();
    let world = World::with(|builder| builder.trigger(every_events(2)).observer(observer));
    let key = key("a");
    assert!(commit(&world, &key, 2).await.is_queued());
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(*counts.0.lock().unwrap(), [1, 1, 1]);
    world.grow(&key, 3);
    world.engine.create(&key).await.unwrap();
    world.engine.at_version(&key, 1).await.unwrap();
    assert_eq!(*counts.0.lock().unwrap(), [2, 2, 1]);
    assert_eq!(world.engine.statistics().saved, 1);
}
