//! Schedules, statistics and the audit trail answer alike in memory and in PostgreSQL; two nodes
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

mod postgres_support;

use std::time::Duration;

use postgres_support::TestDb;
use snapfold::{
    AggregateKey, AuditEntry, AuditLog, AuditRequest, DailyStatistics, Day, Deleted, ErrorKind,
    Generation, KeysRequest, ListRequest, Lookup, MemoryLedger, PostgresOptions, PostgresStore,
    PutOptions, Query, Record, RecordBuilder, Retry, Schedule, ScheduleStore, Selection,
    SnapshotStore, StatisticsStore, TenantBinding, Timestamp,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn key(tenant: &str, id: &str) -> AggregateKey {
    AggregateKey::from_parts(tenant, "account", id).unwrap()
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::new(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

#[tokio::test]
async fn schedules_answer_alike_in_memory_and_in_postgres() {
    let db = TestDb::new().await;
    let (postgres, memory) = (store(&db).await, MemoryLedger::new());
    let stores: [&dyn ScheduleStore; 2] = [&postgres, &memory];
    for store in stores {
        let names = ["a", "b", "b\0", "c"];
        for (n, id) in (0..).zip(names) {
            let schedule = Schedule::new(key("", id), "0 3 * * *\0").unwrap();
            store.put_schedule(&schedule.next_run(Some(at(40 - 10 * n)))).await.unwrap();
        }
        let paused = Schedule::new(key("t", "a"), "").unwrap().next_run(Some(at(0)));
        store.put_schedule(&paused.clone().enabled(false)).await.unwrap();
        let ids = |found: Vec<Schedule>| -> Vec<String> {
            found.into_iter().map(|s| s.key.id().to_owned()).collect()
        };
        assert_eq!(ids(store.due(at(30), 10).await.unwrap()), ["c", "b\0", "b"]);
        assert_eq!(ids(store.due(at(30), 0).await.unwrap()), ["c"]);
        assert!(store.due(at(9), 10).await.unwrap().is_empty());
        assert!(!store.claim(&key("", "c"), at(11), None).await.unwrap(), "another run");
        assert!(!store.claim(&key("t", "a"), at(0), None).await.unwrap(), "not in force");
        assert!(store.claim(&key("", "c"), at(10), Some(at(99))).await.unwrap());
        assert!(!store.claim(&key("", "c"), at(10), Some(at(99))).await.unwrap(), "claimed");
        let kept = store.schedule(&key("", "c")).await.unwrap().unwrap();
        assert_eq!((kept.cron.as_str(), kept.next_run), ("0 3 * * *\0", Some(at(99))));
        let mut all = Vec::new();
        let mut after = None;
        loop {
            let page = store.schedules(after.as_ref(), 2).await.unwrap();
            all.extend(page.items);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(ids(all), ["a", "b", "b\0", "c", "a"]);
        assert!(store.remove_schedule(&key("", "b")).await.unwrap());
        assert!(!store.remove_schedule(&key("", "b")).await.unwrap());
        assert_eq!(store.schedule(&key("", "b")).await.unwrap(), None);
    }
    let error = Schedule::new(key("", "a"), "x".repeat(1_001)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    db.close().await;
}

#[tokio::test]
async fn a_due_run_is_claimed_by_exactly_one_node() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let due = Schedule::new(key("", "a"), "* * * * *").unwrap().next_run(Some(at(1)));
    store.put_schedule(&due).await.unwrap();
    let claims: Vec<_> = (0..16)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.claim(&key("", "a"), at(1), Some(at(61))).await })
        })
        .collect();
    let mut won = 0;
    for claim in claims {
        won += u32::from(claim.await.unwrap().unwrap());
    }
    assert_eq!(won, 1);
    db.close().await;
}

#[tokio::test]
async fn statistics_add_up_alike_in_memory_and_in_postgres() {
    let db = TestDb::new().await;
    let (postgres, memory) = (store(&db).await, MemoryLedger::new());
    let stores: [&dyn StatisticsStore; 2] = [&postgres, &memory];
    let mut answers = Vec::new();
    for store in stores {
        let account = key("t", "a");
        let (day, before) = (Day::of(at(86_400)), Day::of(at(-1)));
        assert_eq!((day.number(), before.number()), (1, -1));
        for n in 1..=4 {
            let created = DailyStatistics::created(100, Duration::from_micros(10 * n));
            store.add(&account, day, created).await.unwrap();
        }
        store.add(&account, day, DailyStatistics::deleted(3)).await.unwrap();
        store.add(&account, before, DailyStatistics::deleted(1)).await.unwrap();
        store.add(&key("", "a"), day, DailyStatistics::deleted(9)).await.unwrap();
        let all = store.daily(&account, Day::new(i32::MIN)..=Day::new(i32::MAX)).await.unwrap();
        let (_, on_day) = all[1];
        assert_eq!((on_day.created, on_day.deleted, on_day.bytes), (4, 3, 400));
        assert_eq!(on_day.average_creation(), Some(Duration::from_micros(25)));
        assert_eq!(all[0].1.average_creation(), None);
        assert_eq!(store.daily(&account, day..=day).await.unwrap().len(), 1);
        let nothing = store.daily(&account, Day::new(9)..=Day::new(-9)).await.unwrap();
        assert!(nothing.is_empty());
        let mut most = DailyStatistics::deleted(u64::MAX);
        most.bytes = u64::MAX;
        store.add(&account, Day::new(7), most).await.unwrap();
        store.add(&account, Day::new(7), most).await.unwrap();
        let (_, most) = store.daily(&account, Day::new(7)..=Day::new(7)).await.unwrap()[0];
        assert!(most.deleted >= i64::MAX.cast_unsigned());
        answers.push(all);
    }
    assert_eq!(answers[0], answers[1]);
    db.close().await;
}

#[tokio::test]
async fn the_audit_trail_answers_alike_in_memory_and_in_postgres() {
    let db = TestDb::new().await;
    let (postgres, memory) = (store(&db).await, MemoryLedger::new());
    let stores: [&dyn AuditLog; 2] = [&postgres, &memory];
    for log in stores {
        let mut last = 0;
        for n in 0..7_u64 {
            let about = key("", if n % 2 == 0 { "a" } else { "b" });
            let entry = AuditEntry::new(at(-5), "ops\0'", "delete", about)
                .version(n)
                .reason("cleaned \u{1} up");
            let sequence = log.append(&entry).await.unwrap();
            assert!(sequence > last);
            last = sequence;
        }
        let account = key("", "a");
        let mut request = AuditRequest::new().key(&account).limit(2);
        let mut versions = Vec::new();
        loop {
            let page = log.entries(request).await.unwrap();
            for record in &page.items {
                assert_eq!((&*record.entry.actor, record.entry.at), ("ops\0'", at(-5)));
                assert_eq!(record.entry.reason, "cleaned \u{1} up");
                versions.push(record.entry.version.unwrap());
            }
            match page.next {
                Some(next) => request = request.after(next),
                None => break,
            }
        }
        assert_eq!(versions, [0, 2, 4, 6]);
        assert_eq!(log.entries(AuditRequest::new()).await.unwrap().items.len(), 7);
        let long = AuditEntry::new(at(0), "x".repeat(1_001), "", key("", "a"));
        assert_eq!(log.append(&long).await.unwrap_err().kind(), ErrorKind::InvalidInput);
    }
    db.close().await;
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
            let deleted = bound.delete(&other_key, Selection::All).await.unwrap();
            assert_eq!(deleted, Deleted::default());
            assert_eq!(bound.prune(&other_key, 1).await.unwrap(), Deleted::default());
            for options in [PutOptions::default(), PutOptions::default().replace(true)] {
                for version in [1, 7] {
                    let batch = vec![record(own, 9), record(other, version)];
                    let error = bound.put(batch, options).await.unwrap_err();
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
        pool.close().await;
    }
    // A connection that is bound to nobody sees nothing.
    owner.migrations().enable_row_security(TenantBinding::Setting).await.unwrap();
    let mut unbound = db.pool.acquire().await.unwrap();
    let sql = format!(
        "SET ROLE {role}; SET snapfold.tenant = ''; \
         DO 'BEGIN ASSERT (SELECT count(*) FROM {}.snapfold_snapshots) = 0; END'; RESET ROLE",
        db.schema
    );
    unbound.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
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
