//! Batches: one task for many aggregates.
//!
//! Guards against: an aggregate that is left out, or done twice; one that fails and stops the
//! others; a checkpoint behind which something is undone; a rate that is not kept; an outage that
//! each of a million aggregates waits for.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Op, World, key};
use snapfold::ledger::Task;
use snapfold::manager::CreateOptions;
use snapfold::retention::keep_last;
use snapfold::service::Batch;
use snapfold::store::Cursor;
use snapfold::{AggregateKey, ErrorKind, SnapshotAdmin};

/// So many aggregates with five events and a snapshot at three.
async fn aggregates(world: &World, many: usize) -> Vec<AggregateKey> {
    let keys: Vec<_> = (0..many).map(|n| key(&format!("a{n:04}"))).collect();
    for key in &keys {
        world.grow(key, 5);
        world.engine.create_with(key, CreateOptions::new().at_version(3)).await.unwrap();
    }
    keys
}

fn batch(world: &World) -> Batch {
    let admin: Arc<dyn SnapshotAdmin> = Arc::new(world.engine.clone());
    Batch::new(admin)
}

#[tokio::test]
async fn each_aggregate_is_done_once_whatever_the_parallelism() {
    for parallel in [0, 1, 7, usize::MAX] {
        let world = World::new();
        let keys = aggregates(&world, 600).await;
        let report = batch(&world).parallel(parallel).run(Task::Snapshot).await;
        assert!(report.error.is_none() && report.next.is_none(), "{report}");
        assert_eq!((report.counts.aggregates, report.counts.changed), (600, 600));
        for key in &keys {
            assert_eq!(world.store.versions(key).await, [5, 3]);
        }
        let again = batch(&world).run(Task::Snapshot).await;
        assert_eq!((again.counts.aggregates, again.counts.changed), (600, 0), "{again}");
        let pruned = batch(&world).apply_retention(keep_last(1)).await;
        assert_eq!((pruned.counts.aggregates, pruned.counts.deleted), (600, 600));
        assert!(
            pruned.to_string().ends_with("changed 600, failed 0, snapshots deleted 600"),
            "{pruned}"
        );
    }
}

#[tokio::test]
async fn failures_and_rejected_snapshots_are_listed_and_stop_nothing() {
    let world = World::new();
    let keys = aggregates(&world, 50).await;
    for key in [&keys[3], &keys[44]] {
        world
            .store
            .tamper_with(key, 3, |mut bytes| {
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                bytes
            })
            .await;
    }
    let report = batch(&world).run(Task::Verify).await;
    assert_eq!((report.counts.aggregates, report.counts.rejected), (50, 2), "{report}");
    let mut rejected: Vec<_> = report.rejected.iter().map(|(key, _)| key.clone()).collect();
    rejected.sort();
    assert_eq!(rejected, [keys[3].clone(), keys[44].clone()]);
    world.store.fail(Op::Put, 3);
    let report = batch(&world).parallel(1).run(Task::Snapshot).await;
    assert_eq!(
        (report.counts.aggregates, report.counts.failed, report.counts.changed),
        (50, 3, 47)
    );
    assert_eq!(report.failures.len(), 3);
    assert!(report.failures.iter().all(|(_, error)| error.kind() == ErrorKind::Store));
    assert!(report.error.is_none(), "{report}");
}

#[tokio::test]
async fn an_outage_ends_the_batch_and_it_resumes_at_its_checkpoint() {
    let world = World::new();
    aggregates(&world, 700).await;
    let checkpoints = Arc::new(Mutex::new(Vec::new()));
    let (log, store) = (Arc::clone(&checkpoints), world.store.clone());
    let report = batch(&world)
        .on_progress(move |progress| {
            log.lock().unwrap().push((progress.counts.aggregates, progress.next.cloned()));
            // From the second page on.
            store.fail(Op::Put, usize::MAX);
        })
        .run(Task::Snapshot)
        .await;
    let error = report.error.as_ref().unwrap();
    assert!(error.to_string().contains("100 aggregates failed in a row"), "{error}");
    assert!(report.counts.aggregates < 400, "{report}");
    let last: Option<(u64, Option<Cursor>)> = checkpoints.lock().unwrap().pop();
    assert_eq!(last, Some((256, report.next.clone())));
    world.store.fail(Op::Put, 0);
    let resumed = batch(&world).resume(report.next).run(Task::Snapshot).await;
    assert_eq!((resumed.counts.aggregates, resumed.counts.changed), (444, 444), "{resumed}");
}

#[tokio::test]
async fn named_aggregates_are_those_of_the_caller() {
    let world = World::new();
    let keys = aggregates(&world, 5).await;
    world.grow(&key("new"), 2);
    let named = [keys[1].clone(), key("new"), AggregateKey::new("order", "x").unwrap()];
    let report = batch(&world).run_for(Task::Snapshot, &named).await;
    assert_eq!((report.counts.aggregates, report.counts.changed, report.counts.failed), (3, 2, 1));
    assert_eq!(world.store.versions(&key("new")).await, [2]);
    assert_eq!(world.store.versions(&keys[0]).await, [3]);
    let none = batch(&world).run_for(Task::Verify, &[]).await;
    assert_eq!(none.counts.aggregates, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let world = World::new();
    aggregates(&world, 100).await;
    let started = tokio::time::Instant::now();
    let rate = NonZeroU32::new(10).unwrap();
    let report = batch(&world).per_second(rate).run(Task::Verify).await;
    assert_eq!(report.counts.aggregates, 100);
    assert!(started.elapsed() >= Duration::from_secs(10), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_dropped_batch_leaves_what_was_done_and_starts_nothing_more() {
    let world = World::new();
    let keys = aggregates(&world, 300).await;
    world.store.put_gate.close();
    let running = batch(&world).parallel(4);
    let task = tokio::spawn(async move { running.run(Task::Snapshot).await });
    crate::support::until("four wait", || world.store.put_gate.waiting() == 4).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    crate::support::until("none waits", || world.store.put_gate.waiting() == 0).await;
    world.store.put_gate.open();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    for key in &keys {
        assert_eq!(world.store.versions(key).await, [3]);
    }
}
