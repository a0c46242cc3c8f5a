//! Events, a snapshot of the state after them, and an audit entry commit together in one
//! transaction of the caller, or not at all.

use crate::support::TestDb;
use crate::support::account::{Account, decode, folded, key};
use snapfold::ledger::{AuditEntry, AuditRequest, Ledger};
use snapfold::manager::Origin;
use snapfold::postgres::{EventTable, PostgresEvents, PostgresOptions, PostgresStore};
use snapfold::store::{Lookup, PutOptions, PutOutcome, Query};
use snapfold::{BoxError, EventSource, SnapshotEngine, SnapshotStore, Timestamp};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

struct World {
    db: TestDb,
    store: PostgresStore,
    events: PostgresEvents<i64>,
    engine: SnapshotEngine<Account>,
}

impl World {
    async fn new(is_hybrid: bool) -> Self {
        let db = TestDb::new().await;
        db.run(
            "CREATE TABLE {schema}.events (id text, version int8, recorded_at timestamptz, \
             payload text, PRIMARY KEY (id, version))",
        )
        .await;
        let options = PostgresOptions::new().schema(&db.schema);
        let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        let table = EventTable::new("events").schema(&db.schema);
        let events = PostgresEvents::new(db.pool.clone(), table, decode).unwrap();
        let mut builder = SnapshotEngine::builder(events.clone(), store.clone());
        if is_hybrid {
            builder = builder.hybrid(events.with_snapshots(&store).unwrap());
        }
        let engine = builder.build().unwrap();
        Self { db, store, events, engine }
    }

    /// Appends events to the aggregate `a`, with the application's own SQL.
    async fn append(&self, connection: &mut PgConnection, versions: std::ops::Range<i64>) {
        let sql = format!(
            "INSERT INTO {}.events SELECT 'a', v, to_timestamp(v), v::text \
             FROM generate_series($1, $2) AS v",
            self.db.schema
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(versions.start).bind(versions.end - 1);
        query.execute(connection).await.unwrap();
    }

    /// The newest version that is stored.
    async fn stored(&self) -> Option<u64> {
        let (key, generation) = (key("a"), self.engine.generation());
        match self.store.get(Query::latest(&key, generation)).await.unwrap() {
            Lookup::Found(found) => Some(found.version),
            _ => None,
        }
    }

    async fn audited(&self) -> usize {
        self.store.entries(AuditRequest::new()).await.unwrap().items.len()
    }
}

#[tokio::test]
async fn events_snapshot_and_audit_entry_commit_together_or_not_at_all() {
    for is_hybrid in [false, true] {
        let world = World::new(is_hybrid).await;
        let (key, mut first) = (key("a"), 1);
        for (round, commits) in [false, true, false, true, true].into_iter().enumerate() {
            let (before, audited) = (world.stored().await, world.audited().await);
            let next = first + 3;
            let mut transaction = world.db.pool.begin().await.unwrap();
            world.append(&mut transaction, first..next).await;
            let within = world.events.within(&mut transaction);
            let record = world.engine.capture_through(&key, &within).await.unwrap().unwrap();
            let options = PutOptions::default();
            let put = world.store.put_in(&mut transaction, vec![record], options).await;
            assert_eq!(put.unwrap(), [PutOutcome::Stored]);
            let entry = AuditEntry::new(Timestamp::from_seconds(1), "ada", "capture");
            world.store.append_in(&mut transaction, &[entry.about(key.clone())]).await.unwrap();
            // Nobody else sees anything of it, and nothing of it is cached.
            let seen = world.engine.load(&key).await.unwrap();
            assert_eq!(*seen.state, folded(1..first), "round {round}");
            assert_eq!((world.stored().await, world.audited().await), (before, audited));
            if commits {
                transaction.commit().await.unwrap();
                first = next;
                let loaded = world.engine.load(&key).await.unwrap();
                assert_eq!(*loaded.state, folded(1..next));
                let provenance = &loaded.provenance;
                assert_eq!((provenance.origin, provenance.events_replayed), (Origin::Snapshot, 0));
                assert_eq!(world.stored().await, u64::try_from(next - 1).ok());
                assert_eq!(world.audited().await, audited + 1);
            } else {
                transaction.rollback().await.unwrap();
                let loaded = world.engine.load(&key).await.unwrap();
                assert_eq!(*loaded.state, folded(1..first));
                assert_eq!((world.stored().await, world.audited().await), (before, audited));
            }
        }
        world.db.close().await;
    }
}

#[tokio::test]
async fn a_capture_starts_from_a_usable_snapshot_and_passes_over_others() {
    let world = World::new(false).await;
    let key = key("a");
    let mut connection = world.db.pool.acquire().await.unwrap();
    let empty = world.engine.capture_through(&key, &world.events.within(&mut connection)).await;
    assert_eq!(empty.unwrap(), None);
    world.append(&mut connection, 1..11).await;
    world.engine.create(&key).await.unwrap();
    // From the snapshot: the events before it are not read.
    world.db.run("UPDATE {schema}.events SET payload = 'no number' WHERE version < 10").await;
    world.append(&mut connection, 11..13).await;
    let record = world.engine.capture_through(&key, &world.events.within(&mut connection)).await;
    let record = record.unwrap().unwrap();
    assert_eq!(record.header().unwrap().version, 12);
    world.store.put(vec![record], PutOptions::default()).await.unwrap();
    assert_eq!(*world.engine.load(&key).await.unwrap().state, folded(1..13));
    // Damaged ones are passed over. An event that cannot be read is an error, and no shorter state.
    world.db.tamper("UPDATE {schema}.snapfold_snapshots SET payload = '\\x00'").await;
    let within = world.events.within(&mut connection);
    assert!(world.engine.capture_through(&key, &within).await.is_err());
    world.db.run("UPDATE {schema}.events SET payload = version::text").await;
    let record = world.engine.capture_through(&key, &world.events.within(&mut connection)).await;
    assert_eq!(record.unwrap().unwrap().header().unwrap().version, 12);
    drop(connection);
    world.db.close().await;
}

/// The checks of the engine hold for events of a transaction too.
#[tokio::test]
async fn a_gap_in_the_transactions_events_is_an_error() {
    let world = World::new(false).await;
    let mut transaction = world.db.pool.begin().await.unwrap();
    world.append(&mut transaction, 1..3).await;
    world.append(&mut transaction, 4..5).await;
    let within = world.events.within(&mut transaction);
    let captured = world.engine.capture_through(&key("a"), &within).await;
    assert!(captured.unwrap_err().to_string().contains('3'));
    let head: Result<_, BoxError> = EventSource::<Account>::head(&within, &key("a")).await;
    assert_eq!(head.unwrap(), Some(4));
    transaction.rollback().await.unwrap();
    world.db.close().await;
}
