//! Sweeps over many aggregates: in bulk as one by one, and beside puts, marks and
//! other deletes.

use snapfold::postgres::{PostgresOptions, PostgresStore};
use snapfold::record::{Generation, RecordBuilder};
use snapfold::store::{DeleteOptions, ListRequest, Mark, MarkChange, PutOptions, Selection};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};

use crate::retention_worlds::sweep_both_ways;
use crate::support::TestDb;
use crate::support::account::key;

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: u64::MAX };

async fn store(db: &TestDb, table: &str) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema).table(table);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sweep_in_bulk_equals_single_calls() {
    let db = TestDb::new().await;
    let mut deleted = 0;
    for seed in 0..4 {
        let stores =
            [store(&db, &format!("one{seed}")).await, store(&db, &format!("two{seed}")).await];
        deleted += sweep_both_ways(seed, 40, stores).await;
    }
    assert!(deleted > 50, "{deleted}");
    db.close().await;
}

fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: GENERATION, version }
}

fn record(key: &AggregateKey, version: u64) -> snapfold::record::Record {
    RecordBuilder::new(key.clone(), GENERATION, version, Timestamp::MIN).build(b"x").unwrap()
}

/// Locks are taken in the same order by all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deletes_puts_and_marks_of_the_same_aggregates_do_not_deadlock() {
    let db = TestDb::new().await;
    let store = store(&db, "snapfold_snapshots").await;
    let keys: Vec<_> = (0..40).map(|n| key(&format!("a{n}"))).collect();
    let records: Vec<_> =
        keys.iter().flat_map(|key| (1..=4).map(|version| record(key, version))).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6_usize {
        let (store, mut keys, mut records) = (store.clone(), keys.clone(), records.clone());
        tasks.spawn(async move {
            if n % 2 == 0 {
                keys.reverse();
                records.reverse();
            }
            let mut deleted = 0;
            for _ in 0..25 {
                let replace = PutOptions::default().replace(true);
                store.put(records.clone(), replace).await.unwrap();
                let mut ids = [id(1), id(3), id(4)];
                ids.rotate_left(n % 3);
                // Some keys twice.
                let selected: Vec<_> =
                    keys.iter().chain(keys.iter().take(n)).map(|key| (key, &ids[..])).collect();
                let results = store.delete_many(&selected, DeleteOptions::default()).await.unwrap();
                deleted += results.iter().map(|result| result.snapshots).sum::<u64>();
                let mark = Mark::retirement("wrong", Timestamp::MIN);
                let key = &keys[n];
                store.mark(key, Selection::All, MarkChange::Set(&mark)).await.unwrap();
            }
            deleted
        });
    }
    let mut deleted = 0;
    while let Some(done) = tasks.join_next().await {
        deleted += done.unwrap();
    }
    assert!(deleted > 0);
    for key in &keys {
        let left = store.list(ListRequest::new(key)).await.unwrap().items;
        assert!(left.iter().any(|meta| meta.version == 2), "{key}");
    }
    db.close().await;
}

/// A row that was changed while the statement waited for its lock is found in another way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_is_set_while_a_delete_waits_counts_and_a_change_does_not_hide_a_row() {
    let db = TestDb::new().await;
    let store = store(&db, "snapfold_snapshots").await;
    let keys = ["a", "b", "c"].map(key);
    let records = keys.iter().flat_map(|key| [record(key, 1), record(key, 2)]).collect();
    store.put(records, PutOptions::default()).await.unwrap();
    let mut other = db.pool.begin().await.unwrap();
    let (pin, label) = (Mark::pin("audit", Timestamp::MIN), Mark::retirement("x", Timestamp::MIN));
    let (one, two) = ([id(1)], [id(2)]);
    for (key, ids, mark) in [(&keys[0], &one, &pin), (&keys[1], &two, &label)] {
        let change = MarkChange::Set(mark);
        store.mark_in(&mut other, key, Selection::Ids(ids), change).await.unwrap();
    }
    let ids = [id(1), id(2)];
    let waiting = tokio::spawn({
        let (store, keys) = (store.clone(), keys.clone());
        async move {
            let selected: Vec<_> = keys.iter().map(|key| (key, &ids[..])).collect();
            store.delete_many(&selected, DeleteOptions::default()).await.unwrap()
        }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                 AND query LIKE '%{schema}%'";
    while db.number(waits).await == 0 {
        tokio::task::yield_now().await;
    }
    other.commit().await.unwrap();
    let deleted: Vec<_> =
        waiting.await.unwrap().iter().map(|it| (it.snapshots, it.pinned)).collect();
    assert_eq!(deleted, [(1, 1), (2, 0), (2, 0)]);
    db.close().await;
}
