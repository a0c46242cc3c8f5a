//! Storms: many loads that must replay, a store that is down, and limits that engines share.
//!
//! Guards against: a thousand full replays at once; loads that wait for a slot for ever, or behind
//! replays that do not concern them; slots that leak when a load is dropped; two slots for one load;
//! each load waiting for the same dead store; a wrong state because events were truncated between
//! two reads.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use snapfold::engine::{EngineBuilder, HealthSignal, OnStoreFailure, SharedLimits};
use snapfold::manager::Origin;
use snapfold::trigger::every_events;
use snapfold::{
    AggregateKey, BoxError, ErrorKind, EventRange, EventSource, Point, Replay, Retry,
    SnapshotEngine,
};

use crate::support::{Account, Event, Op, Source, Store, World, key, poll_times, until};

const LONG: Duration = Duration::from_secs(3_600);

/// A source that counts how many reads from the beginning go on at once, each of which takes a
/// second of the runtime's time.
#[derive(Clone, Default)]
struct Slow {
    source: Source,
    running: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    /// The keys in the order in which their replays began.
    begun: Arc<Mutex<Vec<String>>>,
}

#[async_trait]
impl EventSource<Account> for Slow {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        // Neither the first page of a load that has to wait nor the tail of a snapshot is a replay.
        if range.until > 1_000 && range.after.is_multiple_of(1_000) {
            self.most.fetch_max(self.running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            self.begun.lock().unwrap().push(key.id().to_owned());
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.running.fetch_sub(1, Ordering::SeqCst);
        }
        self.source.read(key, range, replay).await
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.source.head(key).await
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        self.source.floor(key).await
    }
}

type Builder = EngineBuilder<Account>;

fn slow(change: impl FnOnce(Builder) -> Builder) -> (Slow, World) {
    let (slow, store) = (Slow::default(), Store::default());
    let world = World::over(slow.source.clone(), store.clone(), |_| {
        change(SnapshotEngine::builder(slow.clone(), store))
    });
    (slow, world)
}

fn eight() -> SharedLimits {
    SharedLimits::new().replays(8).replay_wait(LONG)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_loads_without_a_store_queue_up_and_all_finish() {
    let (slow, world) =
        slow(|builder| builder.limits(eight()).on_store_failure(OnStoreFailure::Replay));
    world.store.fail(Op::Get, usize::MAX);
    let mut loads = Vec::new();
    for i in 0..1_000 {
        let key = key(&format!("{i:03}"));
        world.grow(&key, 1 + i % 7);
        let engine = world.engine.clone();
        loads.push(tokio::spawn(async move { engine.load(&key).await }));
    }
    for load in loads {
        let loaded = load.await.unwrap().unwrap();
        assert_eq!(*loaded.state, world.truth(&loaded.key).await);
        assert_eq!(loaded.provenance.origin, Origin::Replay);
    }
    assert_eq!(slow.most.load(Ordering::SeqCst), 8);
    // First come, first served.
    assert!(slow.begun.lock().unwrap().is_sorted());
    // The first three found out that the store is down, and few asked after them.
    let asked = world.store.calls(Op::Get);
    assert!(asked < 20, "{asked}");
    let workload = world.engine.health().workload;
    assert_eq!((workload.replays_running, workload.replays_waiting), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn loads_with_a_snapshot_or_a_short_history_do_not_wait_behind_replays() {
    let limits = eight().replays(1);
    let (slow, world) = slow(|builder| builder.limits(limits.clone()));
    let (with, short, long) = (key("with"), key("short"), key("long"));
    world.grow(&with, 20);
    world.snapshots_at(&with, &[15]).await;
    world.grow(&short, 1_000 - 1);
    world.grow(&long, 1_234);
    let engine = world.engine.clone();
    let running = tokio::spawn(async move { engine.load(&key("long")).await.unwrap() });
    until("the replay runs", || slow.running.load(Ordering::SeqCst) == 1).await;
    assert_eq!(world.load_checked(&with).await.version, 20);
    assert_eq!(world.load_checked(&short).await.version, 999);
    let many = world.engine.load_many(&[with.clone(), short.clone(), key("new")]).await;
    let versions = many.into_iter().map(|loaded| loaded.unwrap().version);
    assert_eq!(versions.collect::<Vec<_>>(), [20, 999, 0]);
    let at = world.engine.at_version(&long, 900).await.unwrap();
    assert_eq!(at.version, 900);
    assert_eq!((limits.replays_running(), limits.replays_waiting()), (1, 0));
    // A long one waits, alone or among others, and is complete afterwards.
    let engine = world.engine.clone();
    let waiting = tokio::spawn(async move { engine.load_many(&[key("short"), key("long")]).await });
    until("it waits", || limits.replays_waiting() == 1).await;
    let truth = world.truth(&long).await;
    assert_eq!(*running.await.unwrap().state, truth);
    assert_eq!(*waiting.await.unwrap().remove(1).unwrap().state, truth);
    assert_eq!(slow.most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_is_an_error_that_says_so() {
    let limits = SharedLimits::new().replays(1).replay_wait(Duration::from_millis(300));
    let (slow, world) = slow(|builder| builder.limits(limits.clone()));
    world.grow(&key("a"), 2_000);
    let engine = world.engine.clone();
    let running = tokio::spawn(async move { engine.load(&key("a")).await });
    until("the replay runs", || slow.running.load(Ordering::SeqCst) == 1).await;
    let error = world.engine.load(&key("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Later));
    assert!(error.to_string().contains("1 replays are running"), "{error}");
    assert_eq!(limits.replays_waiting(), 0);
    assert!(running.await.unwrap().is_ok());
    assert!(world.engine.load(&key("a")).await.is_ok());
}

/// Loads need no runtime, and neither does their wait.
#[test]
fn without_a_runtime_or_its_timers_a_load_waits_for_its_turn() {
    let world = World::with(|builder| builder.limits(SharedLimits::new().replays(1)));
    world.grow(&key("a"), 2_000);
    let wait = || {
        let key = key("a");
        world.source.gate.close();
        let mut first = Box::pin(world.engine.load(&key));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        world.source.gate.let_pass(1);
        let mut second = Box::pin(world.engine.load(&key));
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(world.engine.health().workload.replays_waiting, 1);
        world.source.gate.open();
        assert!(poll_times(first, 1).unwrap().is_ok());
        assert_eq!(poll_times(second, 1).unwrap().unwrap().version, 2_000);
    };
    wait();
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async { wait() });
}

#[tokio::test(start_paused = true)]
async fn a_dropped_load_gives_up_its_slot_and_its_place() {
    let limits = eight().replays(1);
    for polls in 1..12 {
        let world = World::with(|builder| {
            builder.limits(limits.clone()).on_store_failure(OnStoreFailure::Replay)
        });
        world.source.yields.set(2);
        world.grow(&key("a"), 1_500);
        world.store.fail(Op::Get, usize::MAX);
        let key = key("a");
        let first = world.engine.load(&key);
        let mut first = Box::pin(first);
        let _ = poll_times(first.as_mut(), 3);
        drop(poll_times(world.engine.load(&key), polls));
        drop(first);
        assert_eq!((limits.replays_running(), limits.replays_waiting()), (0, 0), "{polls}");
        assert_eq!(world.engine.load(&key).await.unwrap().version, 1_500);
    }
}

/// One slot is enough for everything: no operation holds one and waits for another.
#[tokio::test(start_paused = true)]
async fn one_slot_is_enough_for_all_operations_at_once() {
    let limits = eight().replays(1).saves(1).save_bytes(1);
    let (slow, world) = slow(|builder| {
        builder.limits(limits.clone()).trigger(every_events(10)).encode_in_place(u64::MAX)
    });
    let mut tasks = tokio::task::JoinSet::new();
    for i in 0..5 {
        let key = key(&i.to_string());
        world.grow(&key, 1_200);
        let (engine, of) = (world.engine.clone(), key.clone());
        tasks.spawn(async move { engine.create(&of).await.map(drop) });
        let (engine, of) = (world.engine.clone(), key.clone());
        tasks.spawn(async move { engine.rebuild(&of, 1_100).await.map(drop) });
        let (engine, of) = (world.engine.clone(), key.clone());
        tasks.spawn(async move { engine.refold(&of, Some(1_050)).await.map(drop) });
        let (engine, of) = (world.engine.clone(), key.clone());
        tasks.spawn(async move {
            let keys = [of.clone(), of];
            engine.load_many(&keys).await.into_iter().collect::<Result<Vec<_>, _>>().map(drop)
        });
        let engine = world.engine.clone();
        tasks.spawn(async move {
            let loaded = engine.at(&key, Point::Version(1_010)).await?;
            engine.committed(&loaded, 1_200);
            engine.flush(LONG).await
        });
        // A background snapshot of an aggregate that has none replays as well.
        let fresh = crate::support::key(&format!("fresh {i}"));
        let engine = world.engine.clone();
        let loaded = engine.load(&fresh).await.unwrap();
        world.grow(&fresh, 1_300);
        assert!(engine.committed(&loaded, 1_300).is_queued());
        tasks.spawn(async move { engine.flush(LONG).await });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap().unwrap();
    }
    assert_eq!(slow.most.load(Ordering::SeqCst), 1);
    assert_eq!(limits.replays_running(), 0);
    let statistics = world.engine.statistics();
    assert_eq!((statistics.saves_failed, statistics.saved >= 5), (0, true), "{statistics:?}");
}

#[tokio::test(start_paused = true)]
async fn engines_share_limits_and_zero_is_one() {
    let limits = SharedLimits::new().replays(0).saves(0).save_bytes(0).replay_wait(LONG);
    let worlds: Vec<_> = (0..3).map(|_| slow(|builder| builder.limits(limits.clone()))).collect();
    let mut loads = Vec::new();
    for (_, world) in &worlds {
        world.grow(&key("a"), 1_100);
        let engine = world.engine.clone();
        loads.push(tokio::spawn(async move { engine.load(&key("a")).await.unwrap().version }));
    }
    until("two wait", || limits.replays_waiting() == 2).await;
    let running: usize = worlds.iter().map(|(slow, _)| slow.running.load(Ordering::SeqCst)).sum();
    assert_eq!((running, limits.replays_running()), (1, 1));
    for load in loads {
        assert_eq!(load.await.unwrap(), 1_100);
    }
}

/// The bytes in flight of one engine hold up another one, but nobody for ever.
#[tokio::test(start_paused = true)]
async fn encoded_snapshots_of_several_engines_share_the_bytes() {
    let limits = SharedLimits::new().save_bytes(10 << 10).saves(2);
    let build = |builder: Builder| builder.limits(limits.clone()).trigger(every_events(1));
    let worlds = [World::with(build), World::with(build)];
    for world in &worlds {
        world.store.put_gate.close();
        for i in 0..8 {
            let key = key(&i.to_string());
            // Incompressible.
            let mut random = fastrand::Rng::with_seed(i);
            let note = (0..3_000).map(|_| random.alphanumeric()).collect();
            let loaded = world.engine.load(&key).await.unwrap();
            world.source.append(&key, 1, Event::Noted(note));
            assert!(world.engine.committed(&loaded, 1).is_queued());
        }
    }
    let bytes = || worlds.iter().map(|w| w.engine.health().workload.bytes_in_flight).sum::<u64>();
    until("some wait for the store", || bytes() > 5_000).await;
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
        assert!(bytes() <= 10 << 10, "{}", bytes());
    }
    for world in &worlds {
        world.store.put_gate.open();
    }
    for world in &worlds {
        world.engine.flush(LONG).await.unwrap();
        assert_eq!(world.engine.statistics().saved, 8);
        assert_eq!(world.engine.health().workload, snapfold::engine::Workload::default());
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_asked_by_one_load_a_second_until_it_answers() {
    let world = World::with(|builder| builder.on_store_failure(OnStoreFailure::Replay));
    let key = key("a");
    world.grow(&key, 30);
    world.snapshots_at(&key, &[20]).await;
    let second = Duration::from_secs(1);
    let asked = async |times: usize| {
        let before = world.store.calls(Op::Get);
        for _ in 0..times {
            world.load_checked(&key).await;
        }
        world.store.calls(Op::Get) - before
    };
    world.store.fail(Op::Get, 5);
    assert_eq!(asked(10).await, 3);
    assert_eq!(world.engine.health().raised, [HealthSignal::StoreDown]);
    let loaded = world.load_checked(&key).await;
    let why = loaded.provenance.rejected[0].reason.to_string();
    assert!(why.contains("only one load in a while asks it again"), "{why}");
    world.clock.advance(second);
    assert_eq!(asked(10).await, 1);
    // Many at once ask once, too.
    world.clock.advance(second);
    let keys = [key.clone(), key.clone(), key.clone()];
    assert!(world.engine.load_many(&keys).await.iter().all(Result::is_ok));
    assert_eq!(asked(5).await, 0);
    world.store.fail(Op::Get, 0);
    world.clock.advance(second);
    assert_eq!(asked(10).await, 10);
    assert_eq!(world.engine.health().raised, []);
    // A failure now and then is no outage.
    for _ in 0..10 {
        world.store.fail(Op::Get, 2);
        assert_eq!(asked(4).await, 4);
    }
}

#[tokio::test]
async fn without_replays_every_load_asks_the_store() {
    let world = World::new();
    world.store.fail(Op::Get, 50);
    for _ in 0..50 {
        assert_eq!(world.engine.load(&key("a")).await.unwrap_err().kind(), ErrorKind::Store);
    }
    assert_eq!(world.store.calls(Op::Get), 50);
    assert_eq!(world.engine.statistics().store_failures, 50);
    assert!(world.engine.load(&key("a")).await.is_ok());
}

/// Above the floor only the store has the state.
#[tokio::test]
async fn where_events_are_gone_a_load_asks_also_a_store_that_was_down() {
    let world = World::with(|builder| builder.on_store_failure(OnStoreFailure::Replay));
    let (whole, cut) = (key("whole"), key("cut"));
    world.grow(&whole, 5);
    world.grow(&cut, 30);
    world.snapshots_at(&cut, &[20]).await;
    let truth = world.truth(&cut).await;
    world.source.events.truncate_below(&cut, 10);
    world.store.fail(Op::Get, 4);
    for _ in 0..3 {
        world.load_checked(&whole).await;
    }
    // The store's error, not "unrecoverable".
    let error = world.engine.load(&cut).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    let loaded = world.engine.load(&cut).await.unwrap();
    assert_eq!((*loaded.state).clone(), truth);
}

/// The first page of a long history is read before the wait, the rest after it.
#[tokio::test(start_paused = true)]
async fn a_truncation_during_the_wait_loses_no_event() {
    for (head, floor) in [(1_500, 1_500), (1_500, 1_200), (1_500, 1_000), (1_500, 800)] {
        let (slow, world) = slow(|builder| builder.limits(eight().replays(1)));
        let (busy, key) = (key("busy"), key("cut"));
        world.grow(&busy, 2_000);
        world.grow(&key, head);
        let truth = world.truth(&key).await;
        let engine = world.engine.clone();
        let running = tokio::spawn(async move { engine.load(&busy).await });
        until("the replay runs", || slow.running.load(Ordering::SeqCst) == 1).await;
        let (engine, of) = (world.engine.clone(), key.clone());
        let waiting = tokio::spawn(async move { engine.load(&of).await });
        until("it waits", || world.engine.health().workload.replays_waiting == 1).await;
        // As it should be: a snapshot first, then the truncation.
        let restore = World::over(world.source.clone(), world.store.clone(), |builder| builder);
        restore.engine.create(&key).await.unwrap();
        world.source.events.truncate_below(&key, floor);
        assert!(running.await.unwrap().is_ok());
        let loaded = waiting.await.unwrap().unwrap();
        assert_eq!((loaded.version, (*loaded.state).clone()), (head, truth), "floor {floor}");
    }
}
