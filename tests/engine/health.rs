//! The health of an engine, and what its thresholds report.
//!
//! Guards against: an operator who does not see a queue that stands still; alerts that flap or come
//! twice; a secret on a health page; numbers that never return to zero; clocks, observers, stores and
//! runtimes that misbehave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use snapfold::engine::{
    EngineBuilder, HealthSignal, HealthThresholds, Observation, Observer, OnStoreFailure,
    SharedLimits, Trouble, Workload,
};
use snapfold::ledger::{Ledger, Schedule, ScheduleKey, StoreLedger};
use snapfold::trigger::every_events;
use snapfold::{ErrorKind, MemoryStore, Timestamp};

use crate::support::{Account, Op, World, key, until};

const LONG: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// The changes of health, and the greatest workload.
#[derive(Clone, Default)]
struct Alerts(Arc<Mutex<Vec<String>>>, Arc<Mutex<Option<Workload>>>);

impl Alerts {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Observer for Alerts {
    fn observe(&self, observation: &Observation<'_>) {
        match observation {
            Observation::HealthChanged { .. } => {
                self.0.lock().unwrap().push(observation.to_string());
            }
            Observation::Workload { workload, .. } => *self.1.lock().unwrap() = Some(*workload),
            _ => {}
        }
    }
}

fn world(change: impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account>) -> World {
    World::with(|builder| {
        change(builder.trigger(every_events(10)).encode_in_place(u64::MAX).without_retention())
    })
}

async fn commit(world: &World, id: &str, version: u64) {
    let key = key(id);
    let loaded = world.engine.load(&key).await.unwrap();
    world.grow(&key, version);
    world.engine.committed(&loaded, version);
}

#[tokio::test]
async fn a_store_that_hangs_for_a_minute_is_seen_and_reported_once() {
    let alerts = Alerts::default();
    let thresholds = HealthThresholds::new().saves_queued(4).queue_age(MINUTE);
    let world = world(|builder| builder.observer(alerts.clone()).health_thresholds(thresholds));
    let idle = world.engine.health();
    assert_eq!((idle.workload, idle.queue_age), (Workload::default(), None));
    assert_eq!(
        idle.to_string(),
        "account engine: ok; saves: 0 queued, 0 running (0 bytes in \
        flight); replays: 0 running, 0 waiting"
    );
    world.store.put_gate.close();
    for id in ["a", "b", "c"] {
        commit(&world, id, 10).await;
    }
    until("the put hangs", || world.store.put_gate.waiting() == 1).await;
    world.clock.advance(Duration::from_millis(59_999));
    commit(&world, "d", 5).await;
    assert_eq!(alerts.take(), [""; 0]);
    world.clock.advance(Duration::from_millis(1));
    let health = world.engine.health();
    assert_eq!(health.queue_age, Some(MINUTE));
    assert_eq!(health.raised, [HealthSignal::QueueAge]);
    assert!(health.workload.bytes_in_flight > 0, "{health}");
    assert!(health.to_string().contains("attention, queue_age; "), "{health}");
    for id in ["d", "e", "f"] {
        commit(&world, id, 20).await;
    }
    let raised = alerts.take();
    assert_eq!(raised.len(), 2, "{raised:?}");
    assert!(raised[0].starts_with("queue_age of the account engine reached its threshold: 60000"));
    assert!(raised[1].starts_with("saves_queued of the account engine reached its threshold: 4"));
    world.store.put_gate.open();
    world.engine.flush(LONG).await.unwrap();
    let back = alerts.take();
    assert_eq!(back.len(), 2, "{back:?}");
    assert!(back.iter().all(|line| line.contains("is back to normal")), "{back:?}");
    assert_eq!(*alerts.1.lock().unwrap(), Some(Workload::default()));
    assert_eq!(world.engine.health().queue_age, None);
}

/// A number that goes up and down around its threshold is reported once.
#[tokio::test(start_paused = true)]
async fn a_signal_ends_at_half_of_its_threshold() {
    let alerts = Alerts::default();
    let limits = SharedLimits::new().replays(1).replay_wait(LONG);
    let world = world(|builder| {
        builder
            .observer(alerts.clone())
            .limits(limits.clone())
            .health_thresholds(HealthThresholds::new().replays_waiting(4))
            .on_store_failure(OnStoreFailure::Replay)
    });
    world.store.fail(Op::Get, usize::MAX);
    world.grow(&key("a"), 5);
    world.source.gate.close();
    let start = || {
        let engine = world.engine.clone();
        tokio::spawn(async move { engine.load(&key("a")).await })
    };
    let wait = async |waiting| {
        until("so many wait", || limits.replays_waiting() == waiting).await;
        alerts.take().iter().filter(|line| line.starts_with("replays_waiting")).count()
    };
    let running = start();
    until("one reads", || world.source.gate.waiting() == 1).await;
    let mut loads: Vec<_> = (0..3).map(|_| start()).collect();
    assert_eq!(wait(3).await, 0);
    loads.push(start());
    assert_eq!(wait(4).await, 1);
    for _ in 0..5 {
        loads.pop().unwrap().abort();
        assert_eq!(wait(3).await, 0);
        loads.push(start());
        assert_eq!(wait(4).await, 0);
    }
    for (waiting, reported) in [(3, 0), (2, 1), (1, 0)] {
        loads.pop().unwrap().abort();
        assert_eq!(wait(waiting).await, reported);
    }
    world.source.gate.open();
    assert!(running.await.unwrap().is_ok() && loads.pop().unwrap().await.unwrap().is_ok());
}

#[tokio::test]
async fn the_last_error_of_each_sort_is_kept_without_foreign_causes() {
    let world = world(|builder| builder);
    world.store.fail(Op::Get, 1);
    let error = world.engine.load(&key("a")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    world.clock.advance(MINUTE);
    let loaded = world.engine.load(&key("a")).await.unwrap();
    world.grow(&key("a"), 10);
    world.source.fail_after(3);
    world.engine.committed(&loaded, 10);
    world.engine.flush(LONG).await.unwrap();
    let health = world.engine.health();
    let troubles: Vec<_> =
        health.last_errors.iter().map(|last| (last.trouble, last.kind)).collect();
    assert_eq!(
        troubles,
        [
            (Trouble::SaveFailed, Some(ErrorKind::EventSource)),
            (Trouble::StoreFailed, Some(ErrorKind::Store)),
        ]
    );
    // The cause could contain a connection string. The statistics have it, as the docs say.
    assert!(!format!("{health} {health:?}").contains("the network is down"), "{health:?}");
    let (_, whole) = world.engine.statistics().last_error.unwrap();
    assert!(whole.contains("the network is down"), "{whole}");
    assert!(health.to_string().contains("last error at "), "{health}");
}

/// Zero is the smallest threshold, and an engine without work is well all the same.
#[tokio::test]
async fn zero_thresholds_are_one() {
    let alerts = Alerts::default();
    let zero = HealthThresholds::new().saves_queued(0).queue_age(Duration::ZERO).replays_waiting(0);
    let world = world(|builder| builder.observer(alerts.clone()).health_thresholds(zero));
    world.engine.load(&key("a")).await.unwrap();
    assert_eq!(world.engine.health().raised, []);
    commit(&world, "a", 10).await;
    world.engine.flush(LONG).await.unwrap();
    let lines = alerts.take();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(world.engine.health().raised, []);
}

struct Fearful;

impl Observer for Fearful {
    fn observe(&self, observation: &Observation<'_>) {
        let is_new =
            matches!(observation, Observation::Workload { .. } | Observation::HealthChanged { .. });
        assert!(!is_new, "the observer panicked");
    }
}

/// An observer that panics at what is new, also while a load is dropped.
#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_at_each_change_changes_nothing() {
    let limits = SharedLimits::new().replays(1);
    let thresholds = HealthThresholds::new().saves_queued(1).replays_waiting(1);
    let world = world(|builder| {
        builder.observer(Fearful).limits(limits.clone()).health_thresholds(thresholds)
    });
    commit(&world, "a", 10).await;
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.engine.statistics().saved, 1);
    world.grow(&key("b"), 2_000);
    world.source.gate.close();
    let engine = world.engine.clone();
    let first = tokio::spawn(async move { engine.load(&key("b")).await.unwrap().version });
    until("it reads", || limits.replays_running() == 1).await;
    let engine = world.engine.clone();
    let second = tokio::spawn(async move { engine.load(&key("b")).await.unwrap().version });
    until("the other one reads its first page", || world.source.gate.waiting() == 2).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    world.source.gate.open();
    assert_eq!(first.await.unwrap(), 2_000);
    assert_eq!((limits.replays_running(), limits.replays_waiting()), (0, 0));
    assert!(world.engine.statistics().observer_panics > 4);
}

/// The runtime ends while snapshots are loaded, encoded and written.
#[test]
fn a_runtime_that_ends_during_a_save_gives_back_what_its_saves_held() {
    let limits = SharedLimits::new().saves(2).save_bytes(1 << 20).replays(1);
    let world = world(|builder| builder.limits(limits.clone()));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    first.block_on(async {
        world.store.put_gate.close();
        commit(&world, "a", 10).await;
        until("the put hangs", || world.store.put_gate.waiting() == 1).await;
        for id in ["b", "c", "d"] {
            commit(&world, id, 10).await;
        }
        until("they are encoded", || world.engine.health().workload.saves_running == 4).await;
        let late = world.engine.load(&key("z")).await.unwrap();
        world.source.gate.close();
        let engine = world.engine.clone();
        drop(tokio::spawn(async move { engine.load(&key("e")).await }));
        until("it reads", || limits.replays_running() == 1).await;
        // It never starts.
        assert!(world.engine.committed(&late, 10).is_queued());
    });
    drop(first);
    let health = world.engine.health();
    let Workload { bytes_in_flight, replays_running, saves_running, .. } = health.workload;
    assert_eq!((bytes_in_flight, replays_running, saves_running), (0, 0, 0), "{health}");
    world.store.put_gate.open();
    world.source.gate.open();
    runtime().block_on(async {
        for id in ["f", "g", "h"] {
            commit(&world, id, 10).await;
        }
        world.engine.flush(LONG).await.unwrap();
    });
    assert_eq!(world.engine.health().workload, Workload::default());
    assert!(world.engine.statistics().saved >= 3);
}

/// Nobody drains: what was queued is saved by the task that is running.
#[tokio::test]
async fn an_engine_that_is_dropped_without_a_drain_finishes_what_it_began() {
    let limits = SharedLimits::new().saves(1).save_bytes(1);
    let world = world(|builder| builder.limits(limits.clone()));
    world.store.put_gate.close();
    for id in ["a", "b", "c"] {
        commit(&world, id, 10).await;
    }
    until("the put hangs", || world.store.put_gate.waiting() == 1).await;
    let World { store, engine, .. } = world;
    drop(engine);
    store.put_gate.open();
    until("all are stored", || store.put_records() == 3).await;
}

#[tokio::test]
async fn a_clock_that_jumps_by_years_frightens_nobody() {
    let alerts = Alerts::default();
    let world = world(|builder| builder.observer(alerts.clone()));
    let start = Timestamp::from_seconds(1_000_000);
    for jump in [LONG * 24 * 365, Duration::ZERO, LONG * 24 * 365] {
        world.clock.set(start.saturating_add(jump));
        commit(&world, &format!("{jump:?}"), 10).await;
        world.engine.flush(LONG).await.unwrap();
        let health = world.engine.health();
        assert_eq!((health.queue_age, health.raised), (None, vec![]));
    }
    world.clock.set(Timestamp::MIN);
    assert_eq!(world.engine.overdue_schedules(Duration::MAX).await.unwrap(), 0);
    assert_eq!(alerts.take(), [""; 0]);
}

#[tokio::test]
async fn overdue_schedules_are_those_that_nobody_runs_in_time() {
    let store = MemoryStore::new();
    let ledger = StoreLedger::new(store.clone());
    let world = world(|builder| builder.ledger(StoreLedger::new(store)));
    let now = Timestamp::from_seconds(1_000_000);
    for (kind, name) in [("account", "late"), ("account", "taken"), ("order", "foreign")] {
        let key = ScheduleKey::kind_wide("", kind).unwrap().named(name).unwrap();
        let schedule = Schedule::new(key, "every 60s".parse().unwrap(), now).unwrap();
        ledger.put_schedule(&schedule).await.unwrap();
    }
    let overdue = async || world.engine.overdue_schedules(MINUTE).await.unwrap();
    assert_eq!(overdue().await, 0);
    world.clock.advance(MINUTE * 2);
    assert_eq!(overdue().await, 2);
    let taken = ScheduleKey::kind_wide("", "account").unwrap().named("taken").unwrap();
    let now = now.saturating_add(MINUTE * 2);
    let due = ledger.schedule(&taken).await.unwrap().unwrap().next_run.unwrap();
    ledger.claim(&taken, due, "node", now, now.saturating_add(MINUTE)).await.unwrap().unwrap();
    assert_eq!(overdue().await, 1);
}
