//! What loads and gauges do while too much is going on, or while the store fails or hangs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use snapfold::ErrorKind;
use snapfold::engine::{Observation, Observer, OnStoreFailure, SharedLimits, Workload};
use snapfold::trigger::every_events;

use crate::support::{Op, World, key, until};

/// Replays of other aggregates that cannot begin are no outage of the store.
#[tokio::test(start_paused = true)]
async fn a_usable_snapshot_in_load_many_is_loaded_although_replays_time_out() {
    let limits = SharedLimits::new().replays(1).replay_wait(Duration::from_millis(100));
    let world = World::with(|builder| builder.limits(limits.clone()));
    let keys: Vec<_> = ["x", "y", "z", "good"].iter().map(|id| key(id)).collect();
    for key in &keys {
        world.grow(key, 1_500);
    }
    world.snapshots_at(&keys[3], &[1_400, 1_450]).await;
    world
        .store
        .tamper_with(&keys[3], 1_450, |mut bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        })
        .await;
    let fresh =
        World::over(world.source.clone(), world.store.clone(), |b| b.limits(limits.clone()));
    // Alone it does not wait.
    let slow_limits_holder = limits.clone();
    let hold = World::with(|builder| builder.limits(slow_limits_holder));
    hold.grow(&key("busy"), 2_000);
    hold.source.gate.close();
    let engine = hold.engine.clone();
    let running = tokio::spawn(async move { engine.load(&key("busy")).await });
    until("the replay runs", || limits.replays_running() == 1).await;
    let alone =
        World::over(world.source.clone(), world.store.clone(), |b| b.limits(limits.clone()));
    assert_eq!(alone.engine.load(&keys[3]).await.unwrap().version, 1_500);
    let many = fresh.engine.load_many(&keys).await;
    for (key, result) in keys.iter().zip(&many).take(3) {
        assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::Timeout, "{key}");
    }
    let good = many.into_iter().last().unwrap();
    hold.source.gate.open();
    running.await.unwrap().unwrap();
    assert_eq!(good.map(|loaded| loaded.version).map_err(|e| e.to_string()), Ok(1_500));
}

#[derive(Clone, Default)]
struct Last(Arc<Mutex<Option<Workload>>>);

impl Observer for Last {
    fn observe(&self, observation: &Observation<'_>) {
        if let Observation::Workload { workload, .. } = observation {
            // As an observer that sends it elsewhere: another thread may come in between.
            for _ in 0..fastrand::u8(..4) {
                std::thread::yield_now();
            }
            *self.0.lock().unwrap() = Some(*workload);
        }
    }
}

/// When nothing runs any more, the last reported workload says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_last_reported_workload_is_the_current_one() {
    let mut stale = 0;
    for _ in 0..500 {
        let last = Last::default();
        let world = World::with(|builder| builder.observer(last.clone()));
        let mut loads = tokio::task::JoinSet::new();
        for i in 0..16 {
            let key = key(&i.to_string());
            world.grow(&key, 3);
            let engine = world.engine.clone();
            loads.spawn(async move { engine.load(&key).await.unwrap().version });
        }
        while loads.join_next().await.is_some() {}
        assert_eq!(world.engine.health().workload, Workload::default());
        if *last.0.lock().unwrap() != Some(Workload::default()) {
            stale += 1;
        }
    }
    assert_eq!(stale, 0, "of 500 runs ended with a stale gauge");
}

/// While the store is known to be down, a background snapshot takes no replay from a caller.
#[tokio::test(start_paused = true)]
async fn background_snapshots_do_not_replay_while_the_store_is_down() {
    let limits = SharedLimits::new().replays(1).replay_wait(Duration::from_secs(3_600));
    let world = World::with(|builder| {
        builder
            .limits(limits.clone())
            .on_store_failure(OnStoreFailure::Replay)
            .trigger(every_events(10))
    });
    let (a, b) = (key("a"), key("b"));
    world.grow(&a, 1_500);
    world.grow(&b, 1_500);
    world.store.fail(Op::Get, usize::MAX);
    world.store.fail(Op::Put, usize::MAX);
    let mut loaded = world.engine.load(&a).await.unwrap();
    for _ in 0..3 {
        loaded = world.engine.load(&a).await.unwrap();
    }
    world.source.gate.close();
    assert!(
        world.engine.committed(&loaded, 1_500).is_queued() || {
            world.grow(&a, 1_600);
            world.engine.committed(&loaded, 1_600).is_queued()
        }
    );
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
    let taken = limits.replays_running();
    world.source.gate.open();
    assert_eq!(taken, 0, "the background snapshot has the only replay");
}

/// Loads that ask a store that is down, and hangs, become fewer.
#[tokio::test(start_paused = true)]
async fn a_hanging_store_that_is_down_holds_few_loads() {
    let world = World::with(|builder| builder.on_store_failure(OnStoreFailure::Replay));
    world.grow(&key("a"), 5);
    world.store.fail(Op::Get, 3);
    for _ in 0..3 {
        world.load_checked(&key("a")).await;
    }
    world.store.get_gate.close();
    let mut loads = Vec::new();
    for i in 0..10 {
        world.clock.advance(Duration::from_secs(1));
        let engine = world.engine.clone();
        let id = key(&format!("k{i}"));
        world.grow(&id, 5);
        loads.push(tokio::spawn(async move { engine.load(&id).await }));
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    let held = loads.iter().filter(|load| !load.is_finished()).count();
    world.store.get_gate.open();
    // At 1, 3 and 7 seconds; one a minute in the end.
    assert!(held <= 3, "{held} loads held by a store that hangs");
}
