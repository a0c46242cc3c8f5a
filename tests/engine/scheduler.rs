//! Schedules that run: what a run does, what it does when something fails, and what it never does.
//! A run that is lost, or made where it should not be, is noticed by nobody until a load is slow.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use snapfold::engine::{Clock, ManualClock};
use snapfold::ledger::{
    AuditEntry, AuditHead, Ledger, Schedule, ScheduleKey, SignedTrail, StoreLedger, Task,
};
use snapfold::manager::Kinds;
use snapfold::record::SigningKeys;
use snapfold::service::{MissedRuns, RunOutcome, RunReport, Scheduler, SchedulerEvent};
use snapfold::{Aggregate, AggregateKey, Error, ErrorKind, MemoryStore, Timestamp};
use tokio::time::{Instant, sleep};

use crate::support::{Account, Event, Op, Store, World, key, until};

const START: Timestamp = Timestamp::from_seconds(1_000_000);

/// Follows the paused time of tokio.
#[derive(Clone, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        START.saturating_add(self.0.elapsed())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

/// An engine, a ledger over a store of its own, and a scheduler that writes down its events.
struct Node {
    world: World,
    ledger: Arc<StoreLedger>,
    /// Of the ledger.
    documents: Store,
    clock: TokioClock,
    scheduler: Scheduler,
    events: Arc<Mutex<Vec<String>>>,
}

impl Node {
    fn new() -> Self {
        let documents = Store::default();
        let ledger = Arc::new(StoreLedger::new(documents.clone()));
        let (world, clock) = (World::new(), TokioClock(Instant::now()));
        let events = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&events);
        let kinds = Kinds::new().with(world.engine.clone()).unwrap();
        let scheduler =
            Scheduler::new(ledger.clone(), kinds, "node").unwrap().clock(clock.clone()).on_event(
                move |event: &SchedulerEvent<'_>| log.lock().unwrap().push(event.to_string()),
            );
        Self { world, ledger, documents, clock, scheduler, events }
    }

    /// Stores a schedule that is due every minute, the first time now.
    async fn every_minute(&self, key: impl Into<ScheduleKey>, task: &str) -> ScheduleKey {
        let schedule = Schedule::new(key, "every 60s".parse().unwrap(), self.clock.now()).unwrap();
        let schedule = schedule.task(Task::from_stored(task).unwrap());
        let schedule = schedule.next_run(Some(self.clock.now()));
        self.ledger.put_schedule(&schedule).await.unwrap();
        schedule.key
    }

    async fn stored(&self, key: &ScheduleKey) -> Schedule {
        self.ledger.schedule(key).await.unwrap().unwrap()
    }

    async fn run_one(&self) -> RunReport {
        let mut reports = self.scheduler.run_due().await.unwrap();
        assert_eq!(reports.len(), 1, "{reports:?}");
        reports.remove(0)
    }

    /// Runs the scheduler for so long.
    async fn run_for(&self, time: Duration) {
        self.scheduler.run(sleep(time)).await;
    }

    fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }
}

fn accounts() -> ScheduleKey {
    ScheduleKey::kind_wide("", Account::KIND).unwrap()
}

fn seconds(seconds: u64) -> Timestamp {
    START.saturating_add(Duration::from_secs(seconds))
}

fn is_completed(report: &RunReport) -> bool {
    matches!(report.outcome, RunOutcome::Completed)
}

/// Nothing is committed any more, so no trigger is asked: only the sweep reaches them.
#[tokio::test(start_paused = true)]
async fn a_sweep_reaches_quiet_aggregates_that_moved_on_and_leaves_the_others_alone() {
    let node = Node::new();
    for n in 0..600 {
        node.world.grow(&key(&n.to_string()), 3);
        node.world.engine.create(&key(&n.to_string())).await.unwrap();
    }
    for n in 0..600 {
        if n % 20 == 0 {
            node.world.grow(&key(&n.to_string()), 5);
        }
    }
    node.every_minute(accounts(), "snapshot").await;
    let (puts, gets) = (node.world.store.calls(Op::Put), node.world.store.calls(Op::Get));
    let report = node.run_one().await;
    assert!(is_completed(&report), "{report}");
    assert_eq!(
        (report.counts.aggregates, report.counts.changed, report.counts.failed),
        (600, 30, 0)
    );
    assert_eq!(node.world.store.calls(Op::Put), puts + 30);
    assert_eq!(node.world.store.calls(Op::Get), gets + 30, "an unchanged one is not read");
    assert_eq!(node.world.store.versions(&key("40")).await, [5, 3]);
    assert_eq!(node.world.store.versions(&key("41")).await, [3]);
    sleep(Duration::from_secs(60)).await;
    let report = node.run_one().await;
    assert_eq!((report.counts.aggregates, report.counts.changed), (600, 0));
    assert_eq!(node.world.store.calls(Op::Put), puts + 30);
}

/// An aggregate that went quiet before its first snapshot is in no store: only its events tell.
#[tokio::test(start_paused = true)]
async fn snapshot_all_reaches_aggregates_without_a_snapshot_if_the_source_lists_them() {
    let node = Node::new();
    for n in 0..300 {
        node.world.grow(&key(&n.to_string()), 2);
    }
    node.world.engine.create(&key("7")).await.unwrap();
    let schedule = node.every_minute(accounts(), "snapshot").await;
    let report = node.run_one().await;
    assert_eq!((report.counts.aggregates, report.counts.changed), (1, 0), "{report}");
    node.every_minute(schedule, "snapshot all").await;
    let report = node.run_one().await;
    assert!(matches!(report.outcome, RunOutcome::Failed { retry_at: None, .. }), "{report}");
    assert!(report.to_string().contains("implement EventSource::keys"), "{report}");

    // The source of the tests does not list its aggregates, the one in memory does.
    let events = node.world.source.events.clone();
    let store = node.world.store.clone();
    let engine = snapfold::SnapshotEngine::<Account>::builder(events, store).build().unwrap();
    let scheduler = Scheduler::new(node.ledger.clone(), Kinds::new().with(engine).unwrap(), "two");
    let scheduler = scheduler.unwrap().clock(node.clock.clone());
    sleep(Duration::from_secs(60)).await;
    let report = scheduler.run_due().await.unwrap().remove(0);
    assert_eq!((report.counts.aggregates, report.counts.changed), (300, 299), "{report}");
    sleep(Duration::from_secs(60)).await;
    let report = scheduler.run_due().await.unwrap().remove(0);
    assert_eq!((report.counts.aggregates, report.counts.changed), (300, 0), "{report}");
}

#[tokio::test(start_paused = true)]
async fn each_task_does_what_it_says() {
    let node = Node::new();
    node.world.grow(&key("a"), 9);
    node.world.snapshots_at(&key("a"), &[1, 2, 3, 4, 5, 6]).await;
    let single = |name| ScheduleKey::from(key("a")).named(name).unwrap();
    let verify = node.every_minute(single("verify"), "verify").await;
    let report = node.run_one().await;
    assert!(is_completed(&report) && report.rejected.is_empty(), "{report}");
    let flip = |mut bytes: Vec<u8>| {
        *bytes.last_mut().unwrap() ^= 1;
        bytes
    };
    node.world.store.tamper_with(&key("a"), 2, flip).await;
    sleep(Duration::from_secs(60)).await;
    let report = node.run_one().await;
    assert!(is_completed(&report) && report.counts.rejected == 1, "{report}");
    assert_eq!((report.rejected[0].0.clone(), report.rejected[0].1.version), (key("a"), Some(2)));
    assert!(report.to_string().contains("snapshots rejected 1"), "{report}");
    assert!(node.ledger.remove_schedule(&verify).await.unwrap());

    node.every_minute(single("retention"), "retention last 2").await;
    let report = node.run_one().await;
    assert_eq!((report.counts.changed, report.counts.deleted), (1, 4), "{report}");
    assert_eq!(node.world.store.versions(&key("a")).await, [6, 5]);

    node.every_minute(single("policy"), "keep last 1, label release").await;
    let report = node.run_one().await;
    assert_eq!((report.counts.changed, report.counts.deleted), (1, 1), "{report}");
    assert_eq!(node.world.store.versions(&key("a")).await, [6]);

    node.every_minute(single("refold"), "refold").await;
    let report = node.run_one().await;
    assert_eq!((report.task.clone(), report.counts.changed), (Task::Refold, 1), "{report}");
    assert_eq!(node.world.store.versions(&key("a")).await, [9, 6]);
    node.every_minute(single("snapshot"), "snapshot").await;
    let report = node.run_one().await;
    assert_eq!((report.counts.aggregates, report.counts.changed), (1, 0), "{report}");
    let page = node.ledger.schedules(None, 9).await.unwrap();
    assert!(page.items.iter().all(|it| it.next_run == Some(seconds(120)) && it.lease.is_none()));
}

#[tokio::test(start_paused = true)]
async fn one_run_makes_up_for_those_missed_or_is_skipped_if_that_is_too_late() {
    let node = Node::new();
    let hourly: snapfold::ledger::Cadence = "every 1h".parse().unwrap();
    let schedule = Schedule::new(key("a"), hourly, START).unwrap();
    node.ledger.put_schedule(&schedule).await.unwrap();
    sleep(Duration::from_secs(3_600 * 5 + 60)).await;
    let report = node.run_one().await;
    assert_eq!(
        (report.due, report.late_by()),
        (seconds(3_600), Duration::from_secs(4 * 3_600 + 60))
    );
    assert!(is_completed(&report), "{report}");
    assert_eq!(node.stored(&schedule.key).await.next_run, Some(seconds(6 * 3_600)));
    assert!(node.scheduler.run_due().await.unwrap().is_empty());

    let strict = node.scheduler.clone();
    let strict = strict.missed_runs(MissedRuns::SkipOlderThan(Duration::from_secs(60)));
    sleep(Duration::from_secs(3_540 + 60)).await;
    let report = strict.run_due().await.unwrap().remove(0);
    assert!(is_completed(&report) && report.late_by() == Duration::from_secs(60), "{report}");
    sleep(Duration::from_secs(3_600 + 1)).await;
    let report = strict.run_due().await.unwrap().remove(0);
    assert!(matches!(report.outcome, RunOutcome::Skipped), "{report}");
    assert_eq!((report.counts.aggregates, strict.statistics().skipped), (0, 1));
    assert_eq!(node.stored(&schedule.key).await.next_run, Some(seconds(8 * 3_600)));
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_that_fails_or_panics_stops_no_other() {
    let node = Node::new();
    let fuse = Arc::new(AtomicBool::new(false));
    for n in 0..50 {
        let key = key(&format!("{n:02}"));
        node.world.grow(&key, 1);
        node.world.engine.create(&key).await.unwrap();
        let event = if n == 7 { Event::Fused(fuse.clone()) } else { Event::Deposited(1) };
        node.world.source.append(&key, 2, event);
    }
    fuse.store(true, Ordering::SeqCst);
    node.world.store.panic_over(&key("11"));
    node.world.store.refuse(&key("12"));
    node.every_minute(accounts(), "snapshot").await;
    let report = node.run_one().await;
    assert!(is_completed(&report), "{report}");
    assert_eq!(
        (report.counts.aggregates, report.counts.changed, report.counts.failed),
        (50, 47, 3)
    );
    let mut failed: Vec<_> = report.failures.iter().map(|(key, _)| key.id()).collect();
    failed.sort_unstable();
    assert_eq!(failed, ["07", "11", "12"]);
    assert!(report.to_string().contains("failed 3"), "{report}");

    // Of a single aggregate, the panic is the failure of the run.
    node.every_minute(ScheduleKey::from(key("07")), "snapshot").await;
    let report = node.run_one().await;
    let RunOutcome::Failed { error, retry_at } = &report.outcome else { panic!("{report}") };
    assert!(format!("{error:#}").contains("panicked") && error.is_retryable(), "{error:#}");
    assert_eq!(*retry_at, Some(seconds(10)));
}

#[tokio::test(start_paused = true)]
async fn a_failed_run_backs_off_until_the_next_one_is_due() {
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    let schedule = node.every_minute(ScheduleKey::from(key("a")), "snapshot").await;
    node.world.store.fail(Op::Put, usize::MAX);
    node.run_for(Duration::from_secs(59)).await;
    let failed: Vec<_> =
        node.events().into_iter().filter(|it| it.contains("failed, next")).collect();
    // After 10, 20 and 40 seconds.
    assert_eq!(failed.len(), 3, "{failed:#?}");
    assert!(failed[0].contains("disk is on fire") && !failed[0].contains('\n'), "{}", failed[0]);
    assert_eq!(node.stored(&schedule).await.next_run, Some(seconds(60)));
    assert!(node.events().iter().any(|it| it.contains("left to the next run")));
    node.world.store.fail(Op::Put, 0);
    node.run_for(Duration::from_secs(5)).await;
    assert_eq!(node.stored(&schedule).await.next_run, Some(seconds(120)));
    let statistics = node.scheduler.statistics();
    assert_eq!((statistics.failed, statistics.completed, statistics.running), (4, 1, 0));
    assert!(statistics.last_error.unwrap().contains("fire"));

    // What cannot succeed is not tried again.
    let order = AggregateKey::new(Account::KIND, "b").unwrap();
    node.world.source.append(&order, 1, Event::Deposited(1));
    node.world.store.refuse(&order);
    let refused = node.every_minute(ScheduleKey::from(order), "snapshot").await;
    let before = node.clock.now();
    let report = node.run_one().await;
    assert!(matches!(report.outcome, RunOutcome::Failed { retry_at: None, .. }), "{report}");
    let next = before.saturating_add(Duration::from_secs(60));
    assert_eq!(node.stored(&refused).await.next_run, Some(next));
}

#[tokio::test(start_paused = true)]
async fn a_sweep_over_a_store_that_is_down_gives_up_and_is_tried_again() {
    let node = Node::new();
    for n in 0..300 {
        node.world.grow(&key(&n.to_string()), 1);
        node.world.engine.create(&key(&n.to_string())).await.unwrap();
        node.world.grow(&key(&n.to_string()), 2);
    }
    let schedule = Schedule::new(accounts(), "every 1d".parse().unwrap(), START).unwrap();
    node.ledger.put_schedule(&schedule.next_run(Some(START))).await.unwrap();
    node.world.store.fail(Op::Put, usize::MAX);
    let report = node.run_one().await;
    let RunOutcome::Failed { error, retry_at: Some(_) } = &report.outcome else {
        panic!("{report}")
    };
    assert!(format!("{error:#}").contains("100 aggregates failed in a row"), "{error:#}");
    assert!((100..120).contains(&report.counts.failed), "{report}");
    assert_eq!(report.failures.len(), RunReport::MAX_DETAILS);
    node.world.store.fail(Op::Put, 0);
    sleep(Duration::from_secs(10)).await;
    let report = node.run_one().await;
    assert!(is_completed(&report) && report.counts.changed == 300, "{report}");
}

#[tokio::test(start_paused = true)]
async fn what_this_node_cannot_run_is_left_to_others_and_reported_once() {
    let node = Node::new();
    let mut ignored = vec![
        node.every_minute(accounts().named("newer").unwrap(), "archive to tape").await,
        node.every_minute(AggregateKey::new("order", "1").unwrap(), "snapshot").await,
    ];
    let zone = snapfold::ledger::Cadence::from_stored("TZ=Mars/Base 0 3 * * *").unwrap();
    let zone = Schedule::from_stored(accounts().named("zone").unwrap(), zone, START);
    node.ledger.put_schedule(&zone.clone().next_run(Some(START))).await.unwrap();
    ignored.push(zone.key);
    // More than are asked for at once, all due before the one that can be run.
    for n in 0..1_500 {
        ignored.push(
            node.every_minute(AggregateKey::new("order", &format!("x{n}")).unwrap(), "snapshot")
                .await,
        );
    }
    sleep(Duration::from_secs(1)).await;
    node.every_minute(accounts(), "snapshot").await;
    node.run_for(Duration::from_secs(3)).await;
    let events = node.events();
    let runs: Vec<_> = events.iter().filter(|it| it.contains("completed")).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let told = |what: &str| events.iter().filter(|it| it.contains(what)).count();
    assert_eq!(told("is not run here"), ignored.len());
    assert_eq!(told("archive to tape"), 1);
    assert_eq!(told("Mars/Base"), usize::from(cfg!(feature = "schedules")));
    assert_eq!(node.scheduler.statistics().ignored, ignored.len());
    for key in ignored {
        let stored = node.stored(&key).await;
        assert_eq!((stored.lease, stored.next_run), (None, Some(START)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_its_lease_stops_at_once() {
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    let schedule = node.every_minute(ScheduleKey::from(key("a")), "snapshot").await;
    node.world.store.put_gate.close();
    let scheduler = node.scheduler.clone();
    let run = tokio::spawn(async move { scheduler.run_due().await.unwrap().remove(0) });
    until("it works", || node.world.store.put_gate.waiting() == 1).await;
    // While it hangs the lease is renewed, so that no other node gets the run.
    sleep(Duration::from_secs(600)).await;
    let lease = node.stored(&schedule).await.lease.unwrap();
    assert!(lease.until > node.clock.now() && lease.holder == "node");
    assert!(node.ledger.due(node.clock.now(), 9).await.unwrap().is_empty());
    node.ledger.remove_schedule(&schedule).await.unwrap();
    let report = run.await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::Stopped { .. }), "{report}");
    assert!(report.took < Duration::from_secs(621), "{report}");
    assert_eq!(node.world.store.put_gate.waiting(), 0, "its work was dropped");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_for_a_minute_delays_a_run_and_a_ledger_that_hangs_stops_it() {
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    let schedule = node.every_minute(ScheduleKey::from(key("a")), "snapshot").await;
    node.world.store.put_gate.close();
    let (scheduler, gate) = (node.scheduler.clone(), node.world.store.put_gate.clone());
    let run = tokio::spawn(async move { scheduler.run_due().await.unwrap().remove(0) });
    sleep(Duration::from_secs(60)).await;
    gate.open();
    let report = run.await.unwrap();
    assert!(is_completed(&report) && report.took >= Duration::from_secs(60), "{report}");
    // The run that was due meanwhile was made up for.
    assert_eq!(node.stored(&schedule).await.next_run, Some(seconds(120)));

    // Now the ledger hangs, too: nothing renews the lease.
    sleep(Duration::from_secs(60)).await;
    gate.close();
    node.world.grow(&key("a"), 2);
    let scheduler = node.scheduler.clone();
    let run = tokio::spawn(async move { scheduler.run_due().await.unwrap().remove(0) });
    until("it works", || gate.waiting() == 1).await;
    node.documents.get_gate.close();
    let report = run.await.unwrap();
    let stopped = "its lease ended before the ledger renewed it";
    assert!(
        matches!(report.outcome, RunOutcome::Stopped { reason } if reason == stopped),
        "{report}"
    );
    assert!(report.took <= Duration::from_secs(62), "{report}");
    assert!(node.scheduler.statistics().ledger_failures > 0);
    node.documents.get_gate.open();
    gate.open();
    sleep(Duration::from_secs(60)).await;
    let report = node.run_one().await;
    assert!(is_completed(&report) && report.due == seconds(120), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_releases_the_runs_in_progress() {
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    let schedule = node.every_minute(ScheduleKey::from(key("a")), "snapshot").await;
    node.world.store.put_gate.close();
    node.run_for(Duration::from_secs(5)).await;
    let stored = node.stored(&schedule).await;
    assert_eq!((stored.lease, stored.next_run), (None, Some(START)), "it is due again");
    assert_eq!(node.world.store.put_gate.waiting(), 0);
    let statistics = node.scheduler.statistics();
    assert_eq!((statistics.stopped, statistics.running), (1, 0));
    node.world.store.put_gate.open();
    assert!(is_completed(&node.run_one().await));
}

/// A shutdown is not held up by a ledger that hangs.
#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_five_seconds_for_the_ledger() {
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    node.every_minute(ScheduleKey::from(key("a")), "snapshot").await;
    node.world.store.put_gate.close();
    let gate = node.documents.get_gate.clone();
    let began = Instant::now();
    let shutdown = async move {
        sleep(Duration::from_secs(5)).await;
        gate.close();
        sleep(Duration::from_secs(5)).await;
    };
    node.scheduler.run(shutdown).await;
    assert_eq!(began.elapsed(), Duration::from_secs(15));
}

#[test]
fn a_runtime_that_shuts_down_in_a_run_leaves_it_to_another_node() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true).build().unwrap()
    };
    let (store, documents) = (Store::default(), MemoryStore::new());
    let clock = ManualClock::at(START);
    let node = |store: &Store| {
        let world = World::over(crate::support::Source::default(), store.clone(), |it| it);
        world.grow(&key("a"), 1);
        let ledger = Arc::new(StoreLedger::new(documents.clone()));
        let kinds = Kinds::new().with(world.engine.clone()).unwrap();
        (Scheduler::new(ledger.clone(), kinds, "node").unwrap().clock(clock.clone()), ledger)
    };
    let first = runtime();
    let (scheduler, ledger) = node(&store);
    first.block_on(async {
        let schedule = Schedule::new(key("a"), "every 60s".parse().unwrap(), START).unwrap();
        ledger.put_schedule(&schedule.next_run(Some(START))).await.unwrap();
        store.put_gate.close();
        let run = scheduler.clone();
        tokio::spawn(async move { run.run(std::future::pending()).await });
        until("it works", || store.put_gate.waiting() == 1).await;
    });
    drop(first);
    assert_eq!((store.put_gate.waiting(), scheduler.statistics().running), (0, 0));
    store.put_gate.open();
    let (scheduler, ledger) = node(&store);
    runtime().block_on(async {
        clock.advance(Duration::from_secs(59));
        assert!(scheduler.run_due().await.unwrap().is_empty(), "its lease has not ended");
        clock.advance(Duration::from_secs(1));
        let reports = scheduler.run_due().await.unwrap();
        assert!(is_completed(&reports[0]) && reports[0].counts.changed == 1, "{}", reports[0]);
        let stored = ledger.schedule(&key("a").into()).await.unwrap().unwrap();
        assert_eq!(stored.next_run, Some(seconds(120)));
    });
}

#[tokio::test(start_paused = true)]
async fn an_observer_that_panics_and_a_ledger_that_fails_stop_nothing() {
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    let schedule = node.every_minute(ScheduleKey::from(key("a")), "snapshot").await;
    let scheduler = node.scheduler.clone().on_event(|_: &SchedulerEvent<'_>| panic!("on purpose"));
    node.documents.fail(Op::Get, 2);
    node.documents.panic(Op::Put, 1);
    scheduler.run(sleep(Duration::from_secs(70))).await;
    let statistics = scheduler.statistics();
    assert_eq!(node.stored(&schedule).await.next_run, Some(seconds(120)));
    assert!(statistics.ledger_failures >= 2, "{statistics:?}");
    assert!(statistics.observer_panics >= 3, "{statistics:?}");
    assert!(statistics.completed >= 1, "{statistics:?}");
    node.documents.fail(Op::Get, 1);
    assert_eq!(node.scheduler.run_due().await.unwrap_err().kind(), ErrorKind::Store);
}

#[tokio::test(start_paused = true)]
async fn settings_of_zero_are_the_least_that_works() {
    let node = Node::new();
    let zero = Duration::ZERO;
    let scheduler = node.scheduler.clone();
    let scheduler = scheduler.lease(zero).poll_interval(zero).jitter(zero).runs_at_once(0);
    let scheduler = scheduler.aggregates_at_once(0).missed_runs(MissedRuns::SkipOlderThan(zero));
    for id in ["a", "b", "c"] {
        node.world.grow(&key(id), 1);
        node.every_minute(ScheduleKey::from(key(id)), "snapshot").await;
    }
    scheduler.run(sleep(Duration::from_secs(3))).await;
    assert_eq!(scheduler.statistics().completed, 3);
    // And the most.
    let most = node.scheduler.clone().lease(Duration::MAX).jitter(Duration::MAX);
    let most = most.runs_at_once(usize::MAX).aggregates_at_once(usize::MAX);
    sleep(Duration::from_secs(60)).await;
    assert!(most.run_due().await.unwrap().is_empty(), "the jitter never ends");
    let most = most.jitter(zero).poll_interval(Duration::MAX);
    most.run(sleep(Duration::from_secs(3))).await;
    assert_eq!(most.statistics().completed, 6);
    for owner in [String::new(), "x".repeat(1_001)] {
        let made = Scheduler::new(node.ledger.clone(), Kinds::new(), owner);
        let error: Error = made.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_runs_alike_on_every_node() {
    let node = Node::new();
    for n in 0..200 {
        node.every_minute(ScheduleKey::from(key(&n.to_string())), "snapshot").await;
    }
    let spread = node.scheduler.clone().jitter(Duration::from_secs(40));
    let other = spread.clone().seed(77);
    let mut delays = Vec::new();
    for _ in 0..40 {
        delays.push(spread.run_due().await.unwrap().len());
        assert!(other.run_due().await.unwrap().is_empty(), "the other node waits for the same");
        sleep(Duration::from_secs(1)).await;
    }
    delays.push(spread.run_due().await.unwrap().len());
    assert_eq!(delays.iter().sum::<usize>(), 200);
    assert!(delays.iter().all(|runs| *runs < 20), "{delays:?}");
}

/// A clock that is wrong runs each schedule once, and the runs after that follow that clock.
#[tokio::test(start_paused = true)]
async fn a_clock_a_year_ahead_or_behind_neither_loops_nor_loses_a_schedule() {
    let year = Duration::from_secs(365 * 86_400);
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    let schedule = node.every_minute(ScheduleKey::from(key("a")), "snapshot").await;
    let clock = ManualClock::at(START.saturating_sub(year));
    let wrong = node.scheduler.clone().clock(clock.clone());
    assert!(wrong.run_due().await.unwrap().is_empty(), "nothing is due a year ago");
    clock.set(START.saturating_add(year));
    let report = wrong.run_due().await.unwrap().remove(0);
    assert!(is_completed(&report) && report.late_by() == year, "{report}");
    assert!(wrong.run_due().await.unwrap().is_empty(), "one run makes up for a year");
    let next = node.stored(&schedule).await.next_run.unwrap();
    assert!(next > START.saturating_add(year) && next <= clock.now().saturating_add(year));
    // Stored again, it follows the right clock.
    assert!(node.scheduler.run_due().await.unwrap().is_empty());
    node.every_minute(schedule.clone(), "snapshot").await;
    assert!(is_completed(&node.run_one().await));
    // A jump during a run changes neither its lease nor the run after it.
    node.world.store.put_gate.close();
    node.world.grow(&key("a"), 2);
    clock.set(seconds(60));
    let run = wrong.clone();
    let run = tokio::spawn(async move { run.run_due().await.unwrap().remove(0) });
    until("it works", || node.world.store.put_gate.waiting() == 1).await;
    clock.set(START.saturating_add(year));
    sleep(Duration::from_secs(50)).await;
    let lease = node.stored(&schedule).await.lease.unwrap();
    assert!(lease.until <= seconds(60 + 120), "{lease:?}");
    node.world.store.put_gate.open();
    assert!(is_completed(&run.await.unwrap()));
    assert_eq!(node.stored(&schedule).await.next_run, Some(seconds(120)));
}

#[cfg(feature = "schedules")]
#[tokio::test(start_paused = true)]
async fn a_cron_expression_whose_years_are_over_runs_no_more() {
    let node = Node::new();
    node.world.grow(&key("a"), 1);
    // The START is in January 1970.
    let cadence = "0 0 0 * * * 1970".parse().unwrap();
    let schedule = Schedule::new(key("a"), cadence, START).unwrap();
    let late = Timestamp::from_seconds(400 * 86_400);
    node.ledger.put_schedule(&schedule.clone().next_run(Some(START))).await.unwrap();
    let clock = ManualClock::at(late);
    let scheduler = node.scheduler.clone().clock(clock.clone());
    let report = scheduler.run_due().await.unwrap().remove(0);
    assert!(is_completed(&report), "{report}");
    assert_eq!(node.stored(&schedule.key).await.next_run, None);
    clock.set(Timestamp::MAX);
    assert!(scheduler.run_due().await.unwrap().is_empty());
    // One that never matches cannot be stored.
    assert!("0 0 31 2 *".parse::<snapfold::ledger::Cadence>().is_err());
}

/// It visits no aggregates, signs only what is new, and signs no trail that was changed.
#[tokio::test(start_paused = true)]
async fn an_audit_trail_is_signed_at_an_interval() {
    let node = Node::new();
    node.world.grow(&key("a"), 3);
    node.world.engine.create(&key("a")).await.unwrap();
    let keys = SigningKeys::new("k1", [1; 32]).unwrap();
    let signing = node.scheduler.clone().signing_keys(keys.clone());
    node.every_minute(accounts(), "seal audit").await;
    let entry = AuditEntry::new(START, "ada", "delete");
    let minute = Duration::from_secs(60);
    let next = async |scheduler: &Scheduler, appended: usize| {
        node.ledger.append_all(&vec![entry.clone(); appended]).await.unwrap();
        let mut reports = scheduler.run_due().await.unwrap();
        sleep(minute).await;
        assert_eq!((reports.len(), reports[0].counts.aggregates), (1, 0));
        let trail = keys.check_trail(&*node.ledger, "", AuditHead::START).await.unwrap();
        (reports.remove(0), trail)
    };
    for (appended, entries, signed_to) in [(0, 0, None), (2, 3, Some(2)), (0, 3, Some(2))] {
        let (report, trail) = next(&signing, appended).await;
        assert!(is_completed(&report), "{report}");
        let SignedTrail::Whole { head, signed, unsigned, .. } = trail else { panic!("{trail:?}") };
        assert_eq!((head.sequence, unsigned), (entries, 0));
        assert_eq!(signed.map(|signed| signed.head.sequence), signed_to);
    }
    // Without keys, nothing is signed.
    let (report, trail) = next(&node.scheduler, 1).await;
    assert!(is_completed(&report), "{report}");
    assert!(matches!(trail, SignedTrail::Whole { unsigned: 1, .. }), "{trail:?}");
    let theirs = SigningKeys::new("k1", [9; 32]).unwrap().sign_head("", AuditHead::START);
    node.ledger.append(&theirs.to_entry("", START, "eve")).await.unwrap();
    let (report, trail) = next(&signing, 1).await;
    let RunOutcome::Failed { error, .. } = &report.outcome else { panic!("{report}") };
    assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
    assert!(matches!(trail, SignedTrail::Broken { sequence: 5, .. }), "{trail:?}");
}
