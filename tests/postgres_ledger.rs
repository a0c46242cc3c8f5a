//! Schedules, statistics and the audit trail answer in PostgreSQL as in memory and in files; two nodes
//! never run the same schedule; nobody rewrites the trail. And with row-level security on, a
//! connection bound to one tenant gets nothing of another, however its code asks: a leak there is
//! a leak of a customer's data.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    dead_code,
    reason = "a test"
)]

mod ledger_support;
mod postgres_support;

use ledger_support::{at, key};
use postgres_support::TestDb;
use snapfold::{
    AuditEntry, AuditLog, AuditRequest, DailyStatistics, Day, DeleteOptions, Deleted, ErrorKind,
    Generation, KeysRequest, ListRequest, Lookup, PostgresOptions, PostgresStore, PutOptions,
    Query, Record, RecordBuilder, Retry, Schedule, ScheduleStore, Selection, SnapshotStore,
    StatisticsStore, TenantBinding,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::new(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

/// Each assertion that every ledger must pass (tests/ledgers.rs has the others).
macro_rules! in_postgres {
    ($($name:ident)*) => {$(
        #[tokio::test]
        async fn $name() {
            let db = TestDb::new().await;
            ledger_support::$name(&store(&db).await).await;
            db.close().await;
        }
    )*};
}

in_postgres! {
    schedules_are_kept_due_and_claimed
    a_due_run_is_claimed_by_exactly_one_node
    statistics_add_up
    the_audit_trail_is_kept_in_order
    any_calls_are_answered_as_in_memory
}

#[tokio::test]
async fn nobody_changes_or_empties_the_audit_trail() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    store.append(&AuditEntry::new(at(0), "a", "b", key("", "c"))).await.unwrap();
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

#[tokio::test]
async fn a_connection_bound_to_one_tenant_gets_nothing_of_another() {
    let db = TestDb::new().await;
    let owner = store(&db).await;
    for tenant in ["north", "south", ""] {
        owner.put(vec![record(tenant, 1)], PutOptions::default()).await.unwrap();
        let schedule = Schedule::new(key(tenant, "a"), "* * * * *").unwrap();
        owner.put_schedule(&schedule.next_run(Some(at(0)))).await.unwrap();
        owner.add(&key(tenant, "a"), Day::new(0), DailyStatistics::deleted(1)).await.unwrap();
        owner.append(&AuditEntry::new(at(0), "a", "b", key(tenant, "a"))).await.unwrap();
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
        let bound = PostgresStore::new(pool.clone(), &options).unwrap();
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
            assert_eq!(bound.prune(&other_key, 1).await.unwrap(), Deleted::default());
            for options in [PutOptions::default(), PutOptions::default().replace(true)] {
                for version in [1, 7] {
                    let batch = vec![record(own, 9), record(other, version)];
                    let error = bound.put(batch, options.clone()).await.unwrap_err();
                    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
                }
            }
            let schedule = Schedule::new(other_key.clone(), "").unwrap();
            assert!(bound.put_schedule(&schedule).await.is_err());
            assert!(!bound.claim(&other_key, at(0), None).await.unwrap());
            assert!(!bound.remove_schedule(&other_key).await.unwrap());
            assert!(bound.add(&other_key, Day::new(0), DailyStatistics::deleted(1)).await.is_err());
            let days = Day::new(-9)..=Day::new(9);
            assert!(bound.daily(&other_key, days).await.unwrap().is_empty());
            let entry = AuditEntry::new(at(0), "a", "b", other_key.clone());
            assert!(bound.append(&entry).await.is_err());
        }
        let keys = bound.keys(KeysRequest::new()).await.unwrap().items;
        assert_eq!(keys, [key(own, "a")]);
        assert!(bound.keys(KeysRequest::new().tenant("south")).await.unwrap().items.is_empty());
        let due = bound.due(at(9), 10).await.unwrap();
        assert!(due.iter().all(|schedule| schedule.key.tenant() == own));
        let trail = bound.entries(AuditRequest::new()).await.unwrap().items;
        assert!(trail.iter().all(|record| record.entry.key.tenant() == own));
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
    assert_eq!(db.number("SELECT count(*) FROM {schema}.snapfold_snapshots_audit").await, 3);
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}
