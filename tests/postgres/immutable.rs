//! A stored record does not change unnoticed, whatever SQL a client sends: the server refuses it.
//! The store's own ways to replace one still work, and are counted.

use crate::support::TestDb;
use snapfold::postgres::{PostgresOptions, PostgresStore};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, Deleted, Lookup, Mark, MarkChange, PutOptions, PutOutcome, Query, Rewrite,
    Selection,
};
use snapfold::{AggregateKey, ErrorKind, Retry, SnapshotId, SnapshotStore, Timestamp};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn key() -> AggregateKey {
    AggregateKey::new("k", "a").unwrap()
}

fn record(version: u64, state: &[u8]) -> Record {
    RecordBuilder::new(key(), GENERATION, version, Timestamp::from_seconds(1)).build(state).unwrap()
}

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

async fn found(store: &PostgresStore) -> Option<Record> {
    let key = key();
    let found = store.get(Query::latest(&key, GENERATION)).await.unwrap();
    assert!(matches!(found, Lookup::Absent | Lookup::Found(_)), "{found:?}");
    found.into_record()
}

/// The message with which the server refuses a statement.
async fn refused(db: &TestDb, sql: &str) -> String {
    let sql = sql.replace("{table}", &format!("{}.snapfold_snapshots", db.schema));
    let result = db.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.clone()))).await;
    let error = result.expect_err(&sql);
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code).unwrap();
    assert_eq!(code, "42501", "{sql}: {error}");
    error.to_string()
}

#[tokio::test]
async fn no_statement_changes_a_record() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    store.put(vec![record(1, b"s")], PutOptions::default()).await.unwrap();
    for change in [
        "payload = 'x'",
        "header = payload",
        "version = 2",
        "created_at = 0",
        "as_of = as_of",
        "tenant = 'other'",
        "kind = 'other'",
        "id = 'other'",
        "schema_version = 2",
        "fingerprint = 8",
        "raw_bytes = 0",
        "codec = 9",
        "base = 0",
        "pins = NULL, payload = 'x'",
        // The trace is no way out: it only rises, by one, and never for another snapshot.
        "replacements = 0",
        "replaced_at = 5",
        "replacements = replacements + 2, payload = 'x'",
        "replacements = replacements + 1, version = 2",
        "replacements = replacements + 1, tenant = 'other'",
    ] {
        let message = refused(&db, &format!("UPDATE {{table}} SET {change}")).await;
        assert!(message.contains("snapshots are immutable"), "{change}: {message}");
    }
    let insert = "INSERT INTO {table} SELECT * FROM {table} ON CONFLICT \
         (tenant, kind, id, schema_version, fingerprint, version) DO UPDATE SET payload = 'x'";
    assert!(refused(&db, insert).await.contains("snapshots are immutable"));
    let message = refused(&db, "TRUNCATE {table}").await;
    assert!(message.contains("TRUNCATE") && message.contains("DELETE"), "{message}");
    assert_eq!(found(&store).await, Some(record(1, b"s")));
    db.close().await;
}

/// How often the record of version 1 was replaced, if a time says when.
async fn replacements(db: &TestDb) -> i64 {
    db.number(
        "SELECT CASE WHEN (replacements > 0) = (replaced_at IS NOT NULL) \
           AND coalesce(abs(extract(epoch FROM now()) - replaced_at / 1e6), 0) < 3600 \
         THEN replacements::int8 ELSE -1 END \
         FROM {schema}.snapfold_snapshots WHERE version = 1",
    )
    .await
}

#[tokio::test]
async fn the_store_replaces_marks_and_deletes_and_a_replacement_leaves_a_trace() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let (key, replace) = (key(), PutOptions::default().replace(true));
    store.put(vec![record(1, b"s")], PutOptions::default()).await.unwrap();
    let pin = Mark::pin("audit", Timestamp::from_seconds(1));
    for change in [MarkChange::Set(&pin), MarkChange::Clear { kind: pin.kind, name: &pin.name }] {
        assert_eq!(store.mark(&key, Selection::All, change).await.unwrap(), 1);
    }
    assert_eq!(replacements(&db).await, 0);
    let outcomes = store.put(vec![record(1, b"repaired")], replace.clone()).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Replaced]);
    assert_eq!(found(&store).await, Some(record(1, b"repaired")));
    assert_eq!(replacements(&db).await, 1);
    let rewrite = Rewrite::new(record(1, b"repaired"), record(1, b"repaired"));
    assert_eq!(store.rewrite(vec![rewrite]).await.unwrap(), [true]);
    assert_eq!(replacements(&db).await, 2);
    // A pinned one that is spared stays as it is, and so does what is put again.
    store.mark(&key, Selection::All, MarkChange::Set(&pin)).await.unwrap();
    let spare = replace.clone().spare_pinned(true);
    store.put(vec![record(1, b"other")], spare).await.unwrap();
    store.put(vec![record(1, b"other")], PutOptions::default()).await.unwrap();
    assert_eq!(replacements(&db).await, 2);
    // A new snapshot has no trace, and the rest of the calls has no obstacle.
    let records = (2..=5).map(|version| record(version, b"s")).collect();
    store.put(records, replace).await.unwrap();
    let traced = "SELECT count(*) FROM {schema}.snapfold_snapshots WHERE replacements > 0";
    assert_eq!(db.number(traced).await, 1);
    assert_eq!(store.prune(&key, 2).await.unwrap().snapshots, 2);
    let ids = [SnapshotId { generation: GENERATION, version: 4 }];
    let deleted = store.delete_many(&[(&key, &ids)], DeleteOptions::default()).await.unwrap();
    assert_eq!(deleted[0].snapshots, 1);
    let all = DeleteOptions::default().overrule_pins(true);
    assert_eq!(store.delete(&key, Selection::All, all).await.unwrap().snapshots, 2);
    assert_eq!(found(&store).await, None);
    db.close().await;
}

/// The strictest role of an application: it may change marks, and no record.
#[tokio::test]
async fn a_role_that_may_only_update_marks_can_do_all_but_replace() {
    let db = TestDb::new().await;
    let owner = store(&db).await;
    let role = format!("{}_role", db.schema);
    db.run(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT, INSERT, DELETE, UPDATE (pins, retirements) \
           ON {{schema}}.snapfold_snapshots TO {role}"
    ))
    .await;
    let bind = format!("SET ROLE {role}");
    let pool = PgPoolOptions::new().max_connections(2).after_connect(move |c, _| {
        let bind = bind.clone();
        Box::pin(async move { c.execute(sqlx::raw_sql(AssertSqlSafe(bind))).await.map(drop) })
    });
    let pool = pool.connect_with(db.options.clone()).await.unwrap();
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
    let (key, pin) = (key(), Mark::pin("audit", Timestamp::from_seconds(1)));
    let records: Vec<_> = (1..=4).map(|version| record(version, b"s")).collect();
    store.put(records.clone(), PutOptions::default()).await.unwrap();
    store.put(records, PutOptions::default()).await.unwrap();
    assert_eq!(store.mark(&key, Selection::All, MarkChange::Set(&pin)).await.unwrap(), 4);
    let clear = MarkChange::Clear { kind: pin.kind, name: &pin.name };
    assert_eq!(store.mark(&key, Selection::All, clear).await.unwrap(), 4);
    let replace = PutOptions::default().replace(true);
    let error = store.put(vec![record(1, b"x")], replace).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
    let rewrite = Rewrite::new(record(1, b"s"), record(1, b"s"));
    assert_eq!(store.rewrite(vec![rewrite]).await.unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(store.prune(&key, 3).await.unwrap().snapshots, 1);
    let deleted = store.delete(&key, Selection::Below(3), DeleteOptions::default()).await;
    assert_eq!(deleted.unwrap().snapshots, 1);
    assert_eq!(found(&owner).await, Some(record(4, b"s")));
    pool.close().await;
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}

#[tokio::test]
async fn the_guard_comes_and_goes_with_its_migration() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let migrations = store.migrations();
    store.put(vec![record(1, b"s")], PutOptions::default()).await.unwrap();
    let change = "UPDATE {table} SET created_at = created_at";
    migrations.run_to(5).await.unwrap();
    db.run(&change.replace("{table}", "{schema}.snapfold_snapshots")).await;
    migrations.run().await.unwrap();
    assert!(refused(&db, change).await.contains("immutable"));
    assert_eq!(found(&store).await, Some(record(1, b"s")));
    assert_eq!(replacements(&db).await, 0);
    let deleted = store.delete(&key(), Selection::All, DeleteOptions::default()).await.unwrap();
    assert_ne!(deleted, Deleted::default());
    db.close().await;
}
