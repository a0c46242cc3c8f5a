//! Two nodes share the schedules in a PostgreSQL ledger: each run is made by one of them.

use std::sync::Arc;
use std::time::Duration;

use snapfold::engine::ManualClock;
use snapfold::ledger::{Ledger, Schedule, ScheduleKey, Task};
use snapfold::manager::Kinds;
use snapfold::postgres::{PostgresOptions, PostgresStore};
use snapfold::service::{RunOutcome, Scheduler};
use snapfold::{Aggregate, MemoryEvents, SnapshotEngine, Timestamp};

use crate::support::TestDb;
use crate::support::account::{Account, key};

const START: Timestamp = Timestamp::from_seconds(1_800_000_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_make_each_run_once_and_the_run_of_a_dead_one_after_its_lease() {
    let db = TestDb::new().await;
    let store = || {
        let options = PostgresOptions::new().schema(&db.schema);
        PostgresStore::with_options(db.pool.clone(), &options).unwrap()
    };
    store().migrations().run().await.unwrap();
    let (events, clock) = (MemoryEvents::new(), ManualClock::at(START));
    let node = |name: &str| {
        let engine = SnapshotEngine::<Account>::builder(events.clone(), store());
        let kinds = Kinds::new().with(engine.build().unwrap()).unwrap();
        Scheduler::new(Arc::new(store()), kinds, name).unwrap().clock(clock.clone())
    };
    let ledger = store();
    let every = |key: ScheduleKey| {
        let schedule = Schedule::new(key, "every 1h".parse().unwrap(), START).unwrap();
        schedule.next_run(Some(START))
    };
    for n in 0..60 {
        let key = key(&n.to_string());
        events.append(&key, START, n);
        ledger.put_schedule(&every(key.into())).await.unwrap();
    }
    let (one, two) = (node("one"), node("two"));
    let (one_again, two_again) = (one.clone(), two.clone());
    let (one, two) = tokio::join!(
        tokio::spawn(async move { one.run_due().await.unwrap() }),
        tokio::spawn(async move { two.run_due().await.unwrap() }),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.len() + two.len(), 60, "{} and {}", one.len(), two.len());
    for report in one.iter().chain(&two) {
        assert!(matches!(report.outcome, RunOutcome::Completed), "{report}");
        assert_eq!((report.counts.aggregates, report.counts.changed), (1, 1), "{report}");
    }
    assert!(ledger.due(START, 100).await.unwrap().is_empty());

    // The tasks and the names come back from their columns.
    let accounts = ScheduleKey::kind_wide("", Account::KIND).unwrap();
    for (name, task) in [("sweep", "snapshot"), ("check", "verify"), ("keep", "retention last 1")] {
        let schedule = every(accounts.clone().named(name).unwrap());
        ledger.put_schedule(&schedule.task(task.parse().unwrap())).await.unwrap();
    }
    for n in 0..10 {
        events.append(&key(&n.to_string()), START, 7);
    }
    // A node claims the sweep and dies.
    let sweep = accounts.named("sweep").unwrap();
    let until = START.saturating_add(Duration::from_secs(60));
    ledger.claim(&sweep, START, "dead", START, until).await.unwrap().unwrap();
    let reports = one_again.run_due().await.unwrap();
    let tasks: Vec<_> = reports.iter().map(|report| report.task.to_string()).collect();
    assert_eq!(tasks.len(), 2, "{tasks:?}");
    assert!(!tasks.contains(&Task::Snapshot.to_string()), "its lease has not ended");
    assert!(reports.iter().all(|report| report.counts.aggregates == 60), "{reports:?}");
    clock.advance(Duration::from_secs(60));
    let reports = two_again.run_due().await.unwrap();
    assert_eq!(reports.len(), 1);
    let report = &reports[0];
    assert!(matches!(report.outcome, RunOutcome::Completed), "{report}");
    assert_eq!((report.counts.aggregates, report.counts.changed), (60, 10), "{report}");
    db.close().await;
}
