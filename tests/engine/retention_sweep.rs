//! Retention for many aggregates together: it does what single calls do, and what fails for one
//! does not stop the others.

use std::sync::Arc;
use std::time::Duration;

use snapfold::ledger::{AuditRequest, Ledger, StoreLedger, Task};
use snapfold::manager::AdminContext;
use snapfold::record::SnapshotMeta;
use snapfold::retention::{Disposition, Retention, keep_last};
use snapfold::service::Batch;
use snapfold::{AggregateKey, ErrorKind, MemoryStore, SnapshotAdmin, Timestamp};

use crate::retention_worlds::sweep_both_ways;
use crate::support::{Op, World, key};

#[tokio::test]
async fn a_sweep_in_bulk_equals_single_calls_in_memory() {
    let mut deleted = 0;
    for seed in 0..40 {
        deleted += sweep_both_ways(seed, 60, [MemoryStore::new(), MemoryStore::new()]).await;
    }
    // More aggregates than one batch takes.
    deleted += sweep_both_ways(99, 600, [MemoryStore::new(), MemoryStore::new()]).await;
    assert!(deleted > 1_000, "{deleted}");
}

#[cfg(feature = "file")]
#[tokio::test]
async fn a_sweep_in_bulk_equals_single_calls_in_files() {
    use snapfold::file::{Durability, FileStore};
    let dir = tempfile::tempdir().unwrap();
    let open = |name: String| {
        let store = FileStore::builder(dir.path().join(name)).durability(Durability::Os);
        store.open().unwrap()
    };
    let mut deleted = 0;
    for seed in 0..6 {
        let stores = [open(format!("{seed}-one")), open(format!("{seed}-two"))];
        deleted += sweep_both_ways(seed, 40, stores).await;
    }
    assert!(deleted > 100, "{deleted}");
}

/// So many aggregates with snapshots at versions 1 to 6.
async fn aggregates(world: &World, many: usize) -> Vec<AggregateKey> {
    let keys: Vec<_> = (0..many).map(|n| key(&format!("a{n:04}"))).collect();
    for key in &keys {
        world.grow(key, 6);
        world.snapshots_at(key, &[1, 2, 3, 4, 5, 6]).await;
    }
    keys
}

fn batch(world: &World) -> Batch {
    let admin: Arc<dyn SnapshotAdmin> = Arc::new(world.engine.clone());
    Batch::new(admin)
}

#[tokio::test]
async fn snapshots_are_read_only_if_fewer_than_four_newest_stay() {
    let world = World::new();
    aggregates(&world, 300).await;
    let gets = world.store.calls(Op::Get);
    let report = batch(&world).apply_retention(keep_last(4)).await;
    assert_eq!((report.counts.deleted, report.counts.changed), (600, 300), "{report}");
    assert_eq!(world.store.calls(Op::Get), gets);
    let report = batch(&world).apply_retention(keep_last(1)).await;
    assert_eq!((report.counts.deleted, report.counts.changed), (900, 300), "{report}");
    assert_eq!(world.store.calls(Op::Get), gets + 300);
}

#[tokio::test]
async fn an_aggregate_that_fails_does_not_stop_others() {
    for op in [Op::List, Op::Get, Op::Delete] {
        let world = World::new();
        let keys = aggregates(&world, 50).await;
        // One call for all fails, and then that of each of two aggregates.
        world.store.fail(op, 3);
        let report = batch(&world).apply_retention(keep_last(2)).await;
        assert_eq!((report.counts.aggregates, report.counts.failed), (50, 2), "{op:?}: {report}");
        assert_eq!(report.counts.deleted, 48 * 4, "{op:?}: {report}");
        assert!(report.failures.iter().all(|(_, error)| error.kind() == ErrorKind::Store));
        let again = batch(&world).run(Task::Retention(snapfold::ledger::KeepRule::last(2))).await;
        assert_eq!((again.counts.failed, again.counts.deleted), (0, 8), "{op:?}: {again}");
        for key in &keys {
            assert_eq!(world.store.versions(key).await, [6, 5]);
        }
    }
}

#[tokio::test]
async fn an_outage_ends_the_sweep_early() {
    let world = World::new();
    aggregates(&world, 300).await;
    world.store.fail(Op::Delete, usize::MAX);
    let before = world.store.calls(Op::Delete);
    let report = batch(&world).apply_retention(keep_last(2)).await;
    let error = report.error.as_ref().unwrap();
    assert!(error.to_string().contains("100 aggregates failed in a row"), "{error}");
    assert!(world.store.calls(Op::Delete) - before < 60, "each would wait for the same store");
}

/// Panics for aggregates with one snapshot.
#[derive(Debug)]
struct Panics;

impl Retention for Panics {
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition> {
        assert!(snapshots.len() > 1, "the policy panicked");
        keep_last(4).judge(snapshots, now)
    }
}

#[tokio::test]
async fn a_policy_that_panics_over_one_aggregate_does_not_stop_others() {
    let world = World::new();
    aggregates(&world, 20).await;
    world.grow(&key("one"), 3);
    world.snapshots_at(&key("one"), &[3]).await;
    let report = batch(&world).apply_retention(Panics).await;
    assert_eq!((report.counts.aggregates, report.counts.failed), (21, 1), "{report}");
    assert_eq!(report.failures[0].0, key("one"));
    assert_eq!(report.counts.deleted, 40, "{report}");
}

#[tokio::test]
async fn each_aggregate_has_its_audit_entry_and_an_expected_version_is_checked_for_each() {
    let ledger = StoreLedger::new(MemoryStore::new());
    let world = World::with(|builder| builder.ledger(ledger.clone()));
    let mut keys = aggregates(&world, 3).await;
    world.engine.flush(Duration::from_secs(9)).await.unwrap();
    let entries = async || {
        world.engine.flush(Duration::from_secs(9)).await.unwrap();
        let all = ledger.entries(AuditRequest::new()).await.unwrap().items;
        let own = all.iter().filter(|it| it.entry.action == "apply_retention");
        own.map(|it| (it.entry.key.clone().unwrap(), it.entry.actor.clone())).collect::<Vec<_>>()
    };
    let other = AggregateKey::new("order", "1").unwrap();
    keys.push(other);
    let admin = world.engine.admin();
    let by = AdminContext::new("ops");
    let applied = admin.apply_retention_many(&keys, &keep_last(5), &by).await;
    let deleted: Vec<_> =
        applied.iter().map(|it| it.as_ref().map(|it| it.deleted.snapshots)).collect();
    assert!(
        matches!(deleted[..], [Ok(1), Ok(1), Ok(1), Err(error)]
        if error.kind() == ErrorKind::InvalidInput),
        "{deleted:?}"
    );
    let found = entries().await;
    assert_eq!(found.len(), 4, "{found:?}");
    assert!(keys.iter().all(|key| found.iter().any(|(own, by)| own == key && by == "ops")));
    world.grow(&keys[1], 7);
    world.snapshots_at(&keys[1], &[7]).await;
    let by = AdminContext::new("ops").expect_version(6);
    let applied = admin.apply_retention_many(&keys[..3], &keep_last(4), &by).await;
    let kinds: Vec<_> =
        applied.iter().map(|it| it.as_ref().map_err(snapfold::Error::kind)).collect();
    assert!(matches!(kinds[..], [Ok(_), Err(ErrorKind::Conflict), Ok(_)]), "{kinds:?}");
    assert_eq!(world.store.versions(&keys[1]).await, [7, 6, 5, 4, 3, 2]);
}
