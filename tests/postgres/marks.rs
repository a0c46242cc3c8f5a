//! Marks, deletes and puts of one aggregate that run at once on a server: what one transaction has
//! changed, another waits for, and then has to see.

use crate::support::TestDb;
use snapfold::codec::CodecId;
use snapfold::postgres::{PostgresOptions, PostgresStore};
use snapfold::record::{Base, Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, Deleted, Lookup, Mark, MarkChange, PutOptions, Query, Selection,
};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};
use tokio::time::{Duration, sleep};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

const fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: GENERATION, version }
}

fn key() -> AggregateKey {
    AggregateKey::new("k", "a").unwrap()
}

fn record(version: u64, base: Option<u64>) -> Record {
    let at = Timestamp::from_seconds(1);
    let mut builder = RecordBuilder::new(key(), GENERATION, version, at).codec(CodecId::custom(1));
    if let Some(version) = base {
        builder = builder.base(Base { version, checksum: 1 });
    }
    builder.build(b"state").unwrap()
}

fn pin() -> Mark {
    Mark::pin("audit", Timestamp::from_seconds(1))
}

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

/// Until a statement about the tables of `db` waits for another transaction.
async fn someone_waits(db: &TestDb) {
    let sql = "SELECT count(*) FROM pg_stat_activity \
         WHERE wait_event_type = 'Lock' AND query LIKE '%{schema}%'";
    while db.number(sql).await == 0 {
        sleep(Duration::from_millis(5)).await;
    }
}

/// The defect: which bases are needed was decided before the delete had waited for the pin.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delta_that_is_pinned_while_a_delete_waits_keeps_its_bases() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let ids = [id(1), id(2), id(3)];
    for selection in [Selection::All, Selection::Below(4), Selection::Ids(&ids)] {
        let records = vec![record(1, None), record(2, Some(1)), record(3, Some(2))];
        store.put(records, PutOptions::default()).await.unwrap();
        let mut transaction = db.pool.begin().await.unwrap();
        let (pin, delta) = (pin(), [id(3)]);
        let (key, change) = (key(), MarkChange::Set(&pin));
        let pinned = store.mark_in(&mut transaction, &key, Selection::Ids(&delta), change).await;
        assert_eq!(pinned.unwrap(), 1);
        let commit = async {
            someone_waits(&db).await;
            transaction.commit().await.unwrap();
        };
        let delete = store.delete(&key, selection, DeleteOptions::default());
        let (deleted, ()) = tokio::join!(delete, commit);
        assert_eq!(deleted.unwrap(), Deleted::default().kept(1, 2), "{selection:?}");
        let Lookup::Found(found) = store.get(Query::latest(&key, GENERATION)).await.unwrap() else {
            panic!("the pinned delta is gone")
        };
        assert_eq!(found.bases, [record(2, Some(1)), record(1, None)]);
        let all = DeleteOptions::default().overrule_pins(true);
        store.delete(&key, Selection::All, all).await.unwrap();
    }
    db.close().await;
}

/// The defect: rows were locked in whatever order the server found them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_change_several_snapshots_lock_them_in_one_order() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let key = key();
    let backwards: Vec<_> = (1..=60).rev().map(id).collect();
    let (first, second) = (pin(), Mark::pin("other", Timestamp::from_seconds(1)));
    let ids = Selection::Ids(&backwards);
    for (call, selection) in [
        ("mark", ids),
        ("mark", Selection::All),
        ("replace", ids),
        ("delete", ids),
        ("delete", Selection::All),
    ] {
        // The newest ones come first in the table, so whoever reads it as it is locks them first.
        db.tamper("TRUNCATE {schema}.snapfold_snapshots").await;
        for id in &backwards {
            store.put(vec![record(id.version, None)], PutOptions::default()).await.unwrap();
        }
        db.run("ANALYZE {schema}.snapfold_snapshots").await;
        let mut transaction = db.pool.begin().await.unwrap();
        let middle = [id(30)];
        let change = MarkChange::Set(&first);
        store.mark_in(&mut transaction, &key, Selection::Ids(&middle), change).await.unwrap();
        let highest = async {
            // By now the other call has locked what comes before the one in the middle.
            someone_waits(&db).await;
            let ids = [id(60)];
            let marked = store.mark_in(&mut transaction, &key, Selection::Ids(&ids), change).await;
            transaction.commit().await.unwrap();
            marked.unwrap()
        };
        let other = async {
            match call {
                "mark" => store.mark(&key, selection, MarkChange::Set(&second)).await.unwrap(),
                "replace" => {
                    let records = backwards.iter().map(|id| record(id.version, None)).collect();
                    let options = PutOptions::default().replace(true);
                    store.put(records, options).await.unwrap().len() as u64
                }
                _ => {
                    let options = DeleteOptions::default().overrule_pins(true);
                    store.delete(&key, selection, options).await.unwrap().snapshots
                }
            }
        };
        assert_eq!(tokio::join!(other, highest), (60, 1), "{call} {selection:?}");
    }
    db.close().await;
}
