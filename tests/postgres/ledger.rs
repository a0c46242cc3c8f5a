//! Schedules, statistics and the audit trail answer in PostgreSQL as in any other ledger; two nodes
//! never run the same schedule; nobody rewrites the trail. And with row-level security on, a
//! connection bound to one tenant gets nothing of another, however its code asks: a leak there is
//! a leak of a customer's data.

use std::sync::{Arc, Mutex};

use crate::ledger_support::{at, key, schedule};
use crate::support::TestDb;
use async_trait::async_trait;
use snapfold::conformance::{self, LedgerFactory};
use snapfold::ledger::{
    AuditEntry, AuditHead, AuditRequest, DailyStatistics, Day, Ledger, StoreLedger, TrailCheck,
};
use snapfold::postgres::{PostgresOptions, PostgresStore, TenantBinding};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, PutOptions, Query, Selection,
};
use snapfold::{AggregateKey, BoxError, ErrorKind, Retry, SnapshotId, SnapshotStore};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

/// Ledgers in schemas of their own: in the tables for it, or as documents among the snapshots.
#[derive(Default)]
struct InPostgres {
    documents: bool,
    made: Mutex<Vec<TestDb>>,
}

#[async_trait]
impl LedgerFactory for InPostgres {
    async fn nodes(&self, count: usize) -> Result<Vec<Arc<dyn Ledger>>, BoxError> {
        let db = TestDb::new().await;
        let mut nodes: Vec<Arc<dyn Ledger>> = Vec::new();
        for _ in 0..count {
            let store = Arc::new(store(&db).await);
            nodes.push(if self.documents { Arc::new(StoreLedger::new(store)) } else { store });
        }
        self.made.lock().unwrap().push(db);
        Ok(nodes)
    }
}

async fn keeps_every_obligation(documents: bool) {
    let factory = InPostgres { documents, made: Mutex::default() };
    let report = conformance::ledger(&factory).await;
    for db in factory.made.into_inner().unwrap() {
        db.close().await;
    }
    report.into_result().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ledger_keeps_every_obligation() {
    keeps_every_obligation(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_of_documents_keeps_every_obligation() {
    keeps_every_obligation(true).await;
}

#[tokio::test]
async fn any_calls_are_answered_as_by_the_model() {
    let db = TestDb::new().await;
    crate::ledger_support::any_calls_are_answered_as_by_the_model(&store(&db).await).await;
    db.close().await;
}

/// Whoever may do anything to the tables can change a row; that is found out.
#[tokio::test]
async fn a_row_that_was_changed_or_removed_breaks_the_chain() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let entry =
        |n: u64| AuditEntry::new(at(0), "mallory", "delete").about(key("t", "a")).version(n);
    let entries: Vec<_> = (1..=5).map(entry).collect();
    store.append_all(&entries).await.unwrap();
    let check = async || store.check_trail("t", AuditHead::START).await.unwrap();
    let whole = check().await;
    assert!(matches!(whole, TrailCheck::Whole(AuditHead { sequence: 5, .. })), "{whole:?}");
    for change in [
        "UPDATE {table} SET actor = 'alice' WHERE sequence = 3",
        "UPDATE {table} SET version = NULL WHERE sequence = 3",
        "UPDATE {table} SET failed = 'x', failure = '' WHERE sequence = 3",
        "UPDATE {table} SET kind = NULL, id = NULL WHERE sequence = 3",
        "UPDATE {table} SET at = 1 WHERE sequence = 3",
        "DELETE FROM {table} WHERE sequence = 3",
    ] {
        let table = "{schema}.snapfold_snapshots_audit";
        db.run(&format!("CREATE TABLE {{schema}}.kept AS TABLE {table}")).await;
        db.run(&format!("ALTER TABLE {table} DISABLE TRIGGER append_only")).await;
        db.run(&change.replace("{table}", table)).await;
        let found = check().await;
        assert!(matches!(found, TrailCheck::Broken { sequence: 3, .. }), "{change}: {found:?}");
        db.run(&format!("DELETE FROM {table}")).await;
        db.run(&format!("INSERT INTO {table} SELECT * FROM {{schema}}.kept")).await;
        db.run("DROP TABLE {schema}.kept").await;
        assert_eq!(check().await, whole);
    }
    db.close().await;
}

#[tokio::test]
async fn nobody_changes_or_empties_the_audit_trail() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    store.append(&AuditEntry::new(at(0), "a", "b")).await.unwrap();
    for sql in [
        "UPDATE {schema}.snapfold_snapshots_audit SET actor = 'somebody else'",
        "DELETE FROM {schema}.snapfold_snapshots_audit",
        "TRUNCATE {schema}.snapfold_snapshots_audit",
    ] {
        let sql = sql.replace("{schema}", &db.schema);
        let error = db.pool.execute(AssertSqlSafe(sql)).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
    db.close().await;
}

fn record(tenant: &str, version: u64) -> Record {
    RecordBuilder::new(key(tenant, "a"), GENERATION, version, at(0)).build(b"state").unwrap()
}

/// What a connection bound to the tenant of `own_key` gets of the ledger of another tenant.
async fn gets_nothing_of_its_ledger(
    bound: &PostgresStore,
    own_key: &AggregateKey,
    other_key: &AggregateKey,
) {
    let target = other_key.clone().into();
    assert!(bound.put_schedule(&schedule(other_key.clone(), 0)).await.is_err());
    let claim = bound.claim(&target, at(0), "node", at(0), at(9)).await.unwrap();
    assert_eq!(claim, None);
    assert_eq!(bound.schedule(&target).await.unwrap(), None);
    assert!(!bound.remove_schedule(&target).await.unwrap());
    let one = |key| (key, Day::new(0), DailyStatistics::deleted(1));
    let batch = [one(own_key.clone()), one(other_key.clone())];
    assert!(bound.add_statistics(&batch).await.is_err());
    let days = Day::new(-9)..=Day::new(9);
    assert!(bound.daily(other_key, days).await.unwrap().is_empty());
    let entry = AuditEntry::new(at(0), "a", "b").about(other_key.clone());
    assert!(bound.append(&entry).await.is_err());
    let trail = bound.entries(AuditRequest::new().key(other_key)).await.unwrap();
    assert!(trail.items.is_empty());
}

/// The calls for several keys list and delete nothing of the others.
async fn reaches_only_its_own(bound: &PostgresStore, own: &AggregateKey, other: &AggregateKey) {
    let requests = [own, other].map(ListRequest::new);
    let pages = bound.list_many(&requests).await.unwrap();
    let listed: Vec<_> = pages.iter().map(|page| page.items.len()).collect();
    assert_eq!(listed, [2, 0]);
    let ids = [SnapshotId { generation: GENERATION, version: 1 }];
    let deleted = bound.delete_many(&[(other, &ids)], DeleteOptions::default()).await.unwrap();
    assert_eq!(deleted, [Deleted::default()]);
}

#[tokio::test]
async fn a_connection_bound_to_one_tenant_gets_nothing_of_another() {
    let db = TestDb::new().await;
    let owner = store(&db).await;
    for tenant in ["north", "south", ""] {
        owner.put(vec![record(tenant, 1)], PutOptions::default()).await.unwrap();
        owner.put_schedule(&schedule(key(tenant, "a"), 0)).await.unwrap();
        let one = (key(tenant, "a"), Day::new(0), DailyStatistics::deleted(1));
        owner.add_statistics(&[one]).await.unwrap();
        owner.append(&AuditEntry::new(at(0), "a", "b").about(key(tenant, "a"))).await.unwrap();
    }
    let role = format!("{}_role", db.schema);
    db.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{schema}} TO {role}"
    ))
    .await;
    for binding in [TenantBinding::Setting, TenantBinding::Role] {
        owner.migrations().enable_row_security(binding).await.unwrap();
        // Under the binding by role, the tenant has the name of the role.
        let own = if binding == TenantBinding::Role { role.as_str() } else { "north" };
        let bind = format!("SET ROLE {role}; SET snapfold.tenant = 'north'");
        let pool = PgPoolOptions::new().max_connections(2).after_connect(move |c, _| {
            let bind = bind.clone();
            Box::pin(async move { c.execute(sqlx::raw_sql(AssertSqlSafe(bind))).await.map(drop) })
        });
        let pool = pool.connect_with(db.options.clone()).await.unwrap();
        let options = PostgresOptions::new().schema(&db.schema);
        let bound = PostgresStore::with_options(pool.clone(), &options).unwrap();
        // Its own rows it may do everything with.
        bound.put(vec![record(own, 1), record(own, 2)], PutOptions::default()).await.unwrap();
        let own_key = key(own, "a");
        let found = bound.get(Query::latest(&own_key, GENERATION)).await.unwrap();
        assert!(matches!(found, Lookup::Found(_)));
        let replaced = bound.put(vec![record(own, 2)], PutOptions::default().replace(true)).await;
        assert!(replaced.is_ok());
        // Nothing of the others, whatever it asks for.
        for other in ["south", ""] {
            let other_key = key(other, "a");
            let found = bound.get(Query::latest(&other_key, GENERATION)).await.unwrap();
            assert_eq!(found, Lookup::Absent);
            assert!(bound.list(ListRequest::new(&other_key)).await.unwrap().items.is_empty());
            let deleted =
                bound.delete(&other_key, Selection::All, DeleteOptions::default()).await.unwrap();
            assert_eq!(deleted, Deleted::default());
            reaches_only_its_own(&bound, &own_key, &other_key).await;
            assert_eq!(bound.prune(&other_key, 1).await.unwrap(), Deleted::default());
            for options in [PutOptions::default(), PutOptions::default().replace(true)] {
                for version in [1, 7] {
                    let batch = vec![record(own, 9), record(other, version)];
                    let error = bound.put(batch, options.clone()).await.unwrap_err();
                    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
                }
            }
            gets_nothing_of_its_ledger(&bound, &own_key, &other_key).await;
        }
        // Its own trail and schedules are open to it.
        bound.append(&AuditEntry::new(at(0), "a", "b").about(own_key.clone())).await.unwrap();
        bound.put_schedule(&schedule(own_key.clone(), 0)).await.unwrap();
        let keys = bound.keys(KeysRequest::new()).await.unwrap().items;
        assert_eq!(keys, [key(own, "a")]);
        assert!(bound.keys(KeysRequest::new().tenant("south")).await.unwrap().items.is_empty());
        let due = bound.due(at(9), 10).await.unwrap();
        assert!(due.iter().all(|schedule| schedule.key.tenant() == own));
        let trail = bound.entries(AuditRequest::new().tenant(own)).await.unwrap().items;
        assert!(!trail.is_empty() && trail.iter().all(|record| record.entry.tenant() == own));
        let pruned = bound.prune_all(1).await.unwrap();
        assert_eq!(pruned.snapshots, 1);
        // Raw SQL on the connection sees no more.
        let sql = format!("SELECT count(*) FROM {}.snapfold_snapshots", db.schema);
        let seen: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&pool).await.unwrap();
        assert_eq!(seen, 1);
        let sql = format!(
            "INSERT INTO {}.snapfold_snapshots_daily VALUES ('south', 'k', 'i', 1, 1, 1, 1, 1)",
            db.schema
        );
        assert!(pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.is_err());
        pool.close().await;
    }
    // A connection that is bound to nobody sees nothing, even if the table belongs to its role.
    owner.migrations().enable_row_security(TenantBinding::Setting).await.unwrap();
    let mut unbound = db.pool.acquire().await.unwrap();
    let sql = format!(
        "SET ROLE {role}; SET snapfold.tenant = ''; \
         DO 'BEGIN ASSERT (SELECT count(*) FROM {}.snapfold_snapshots) = 0; END'; RESET ROLE",
        db.schema
    );
    unbound.execute(sqlx::raw_sql(AssertSqlSafe(sql.clone()))).await.unwrap();
    let handed_over = format!("ALTER TABLE {{schema}}.snapfold_snapshots OWNER TO {role}");
    db.run(&handed_over).await;
    unbound.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    db.run("ALTER TABLE {schema}.snapfold_snapshots OWNER TO CURRENT_USER").await;
    drop(unbound);
    // And back: everything of the others is still there.
    owner.migrations().disable_row_security().await.unwrap();
    for tenant in ["south", ""] {
        let other_key = key(tenant, "a");
        let found = owner.get(Query::latest(&other_key, GENERATION)).await.unwrap();
        assert_eq!(found.into_record(), Some(record(tenant, 1)));
    }
    // The three of the owner, and one under each binding.
    assert_eq!(db.number("SELECT count(*) FROM {schema}.snapfold_snapshots_audit").await, 5);
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}
