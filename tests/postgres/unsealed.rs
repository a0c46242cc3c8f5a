//! An audit entry can commit with the caller's own transaction. Whatever several nodes do at once,
//! each committed entry is sealed into the chain exactly once, nobody waits for an open
//! transaction, and any single change of a trail is found.

use std::collections::BTreeMap;

use crate::ledger_support::{all_entries, at, key};
use crate::support::TestDb;
use snapfold::ErrorKind;
use snapfold::ledger::{AuditEntry, AuditHead, AuditOutcome, AuditRequest, Ledger, TrailCheck};
use snapfold::postgres::{PostgresOptions, PostgresStore, TenantBinding};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, PgPool};

fn store_on(db: &TestDb, pool: PgPool) -> PostgresStore {
    PostgresStore::with_options(pool, &PostgresOptions::new().schema(&db.schema)).unwrap()
}

async fn store(db: &TestDb) -> PostgresStore {
    let store = store_on(db, db.pool.clone());
    store.migrations().run().await.unwrap();
    store
}

/// An entry that differs from all others by its idempotency key.
fn entry(name: &str) -> AuditEntry {
    AuditEntry::new(at(0), "ada", "delete").in_tenant("t").idempotency(name)
}

/// The idempotency keys of the whole trail, whose chain must be whole.
async fn names(store: &PostgresStore) -> Vec<String> {
    let check = store.check_trail("t", AuditHead::START).await.unwrap();
    let records = all_entries(store, "t", 7).await;
    let count = records.len() as u64;
    assert!(matches!(check, TrailCheck::Whole(head) if head.sequence == count), "{check:?}");
    records.into_iter().map(|record| record.entry.idempotency).collect()
}

async fn unsealed(db: &TestDb) -> i64 {
    db.number("SELECT count(*) FROM {schema}.snapfold_snapshots_unsealed").await
}

#[tokio::test]
async fn an_entry_is_there_exactly_if_its_transaction_commits() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    // All fields come back as they were.
    let full = entry("full")
        .about(key("t", "a\0b"))
        .version(u64::MAX)
        .reason("\u{1}")
        .meta("{}")
        .outcome(AuditOutcome::failed("Store", "full"));
    let mut transaction = db.pool.begin().await.unwrap();
    store.append_in(&mut transaction, &[full.clone(), entry("second")]).await.unwrap();
    store.append_in(&mut transaction, &[]).await.unwrap();
    assert!(names(&store).await.is_empty());
    transaction.rollback().await.unwrap();
    assert!(names(&store).await.is_empty());
    let mut transaction = db.pool.begin().await.unwrap();
    store.append_in(&mut transaction, &[full.clone(), entry("second")]).await.unwrap();
    let long = "x".repeat(AuditEntry::MAX_NAME_BYTES + 1);
    let error = store.append_in(&mut transaction, &[entry("no"), entry(&long)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    transaction.commit().await.unwrap();
    assert_eq!(unsealed(&db).await, 2);
    let found = store.entries(AuditRequest::new().tenant("t").limit(1)).await.unwrap();
    assert_eq!((&found.items[0].entry, found.next), (&full, Some(1)));
    assert_eq!(names(&store).await, ["full", "second"]);
    assert_eq!(unsealed(&db).await, 0);
    // On a plain connection, each call is a transaction of its own.
    let mut connection = db.pool.acquire().await.unwrap();
    store.append_in(&mut connection, &[entry("third")]).await.unwrap();
    assert_eq!(store.seal_audit().await.unwrap(), 1);
    assert_eq!(store.seal_audit().await.unwrap(), 0);
    assert_eq!(names(&store).await, ["full", "second", "third"]);
    drop(connection);
    db.close().await;
}

#[tokio::test]
async fn nobody_waits_for_an_open_transaction_and_one_that_commits_late_is_sealed_late() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let mut early = db.pool.begin().await.unwrap();
    store.append_in(&mut early, &[entry("late 1"), entry("late 2")]).await.unwrap();
    let mut quick = db.pool.begin().await.unwrap();
    store.append_in(&mut quick, &[entry("quick")]).await.unwrap();
    quick.commit().await.unwrap();
    assert_eq!(store.append(&entry("plain")).await.unwrap(), 2);
    assert_eq!(store.seal_audit().await.unwrap(), 0);
    early.commit().await.unwrap();
    // An append seals what is there before it.
    assert_eq!(store.append(&entry("last")).await.unwrap(), 5);
    assert_eq!(unsealed(&db).await, 0);
    assert_eq!(names(&store).await, ["quick", "plain", "late 1", "late 2", "last"]);
    db.close().await;
}

/// What one node does, and what must be in the trail after it: entries of one transaction in order.
async fn node(store: PostgresStore, node: u64) -> Vec<Vec<String>> {
    let mut random = fastrand::Rng::with_seed(node);
    let mut committed = Vec::new();
    for round in 0..40 {
        let count = random.usize(1..4);
        let batch: Vec<_> = (0..count).map(|n| format!("{node} {round} {n}")).collect();
        let entries: Vec<_> = batch.iter().map(|name| entry(name)).collect();
        match random.u8(..10) {
            0..3 => {
                let sequences = store.append_all(&entries).await.unwrap();
                assert_eq!(sequences.len(), count);
            }
            3 => {
                store.seal_audit().await.unwrap();
                continue;
            }
            4 => {
                let check = store.check_trail("t", AuditHead::START).await.unwrap();
                assert!(matches!(check, TrailCheck::Whole(_)), "{check:?}");
                continue;
            }
            what => {
                let mut transaction = store.pool().begin().await.unwrap();
                for entry in &entries {
                    store.append_in(&mut transaction, std::slice::from_ref(entry)).await.unwrap();
                    if what > 7 {
                        // Others pass it meanwhile.
                        store.seal_audit().await.unwrap();
                    }
                }
                if what == 5 {
                    transaction.rollback().await.unwrap();
                    continue;
                }
                transaction.commit().await.unwrap();
            }
        }
        committed.push(batch);
    }
    committed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_four_nodes_are_sealed_once_each() {
    let db = TestDb::new().await;
    let one = store(&db).await;
    let mut nodes = Vec::new();
    for number in 0..4 {
        let pool = PgPoolOptions::new().max_connections(3);
        let pool = pool.connect_with(db.options.clone()).await.unwrap();
        nodes.push(tokio::spawn(node(store_on(&db, pool), number)));
    }
    let mut expected = Vec::new();
    for node in nodes {
        expected.extend(node.await.unwrap());
    }
    let found = names(&one).await;
    let places: BTreeMap<_, _> = found.iter().zip(0..).collect();
    assert_eq!(places.len(), found.len(), "no entry is there twice");
    assert_eq!(found.len(), expected.iter().map(Vec::len).sum::<usize>());
    for transaction in &expected {
        let places: Vec<i32> = transaction.iter().map(|name| places[name]).collect();
        assert!(places.is_sorted(), "{transaction:?}");
    }
    assert_eq!(unsealed(&db).await, 0);
    db.close().await;
}

/// The ways to change one row of a trail. `{n}` is its sequence.
const CHANGES: [&str; 22] = [
    "UPDATE {table} SET at = at + 1 WHERE sequence = {n}",
    "UPDATE {table} SET kind = 'x', id = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET kind = CASE WHEN kind IS NULL THEN '' END WHERE sequence = {n}",
    "UPDATE {table} SET id = CASE WHEN id IS NULL THEN '' END WHERE sequence = {n}",
    "UPDATE {table} SET failed = '' WHERE sequence = {n}",
    "UPDATE {table} SET failure = '' WHERE sequence = {n}",
    "UPDATE {table} SET actor = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET action = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET version = coalesce(version, 0) + 1 WHERE sequence = {n}",
    "UPDATE {table} SET reason = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET meta = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET idempotency = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET failed = 'x', failure = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET previous = sha256('x') WHERE sequence = {n}",
    "UPDATE {table} SET hash = sha256('x') WHERE sequence = {n}",
    "UPDATE {table} SET tenant = 'x' WHERE sequence = {n}",
    "UPDATE {table} SET sequence = 1000 WHERE sequence = {n}",
    "DELETE FROM {table} WHERE sequence = {n}",
    // Two rows change places, with their hashes and without.
    "UPDATE {table} SET sequence = 1000 WHERE sequence = {n}; \
     UPDATE {table} SET sequence = {n} WHERE sequence = {n} % 50 + 1; \
     UPDATE {table} SET sequence = {n} % 50 + 1 WHERE sequence = 1000",
    "UPDATE {table} a SET (actor, idempotency, version) = (b.actor, b.idempotency, b.version) \
     FROM {table} b WHERE {n} IN (a.sequence, b.sequence) \
       AND {n} % 50 + 1 IN (a.sequence, b.sequence) AND a.sequence <> b.sequence",
    // A row is added before it, and after it.
    "UPDATE {table} SET sequence = sequence + 1000 WHERE sequence >= {n}; \
     UPDATE {table} SET sequence = sequence - 999 WHERE sequence > 1000; \
     INSERT INTO {table} SELECT tenant, {n}, at, kind, id, 'x', action, version, reason, meta, \
       idempotency, failed, failure, previous, hash FROM {table} WHERE sequence = {n} + 1",
    "UPDATE {table} SET sequence = sequence + 1000 WHERE sequence > {n}; \
     UPDATE {table} SET sequence = sequence - 999 WHERE sequence > 1000; \
     INSERT INTO {table} SELECT tenant, {n} + 1, at, kind, id, actor, action, version, reason, \
       meta, idempotency, failed, failure, hash, hash FROM {table} WHERE sequence = {n}",
];

#[tokio::test]
async fn any_single_change_of_a_trail_is_found() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    for n in 0..25_u64 {
        let one = entry(&format!("plain {n}")).about(key("t", "a")).version(n);
        store.append(&one).await.unwrap();
        let mut connection = db.pool.acquire().await.unwrap();
        let one = entry(&format!("in a transaction {n}"));
        store.append_in(&mut connection, &[one]).await.unwrap();
    }
    // A page with a row that no append writes cannot be read.
    let check = async |from| match store.check_trail("t", from).await {
        Ok(check) => Some(check),
        Err(error) if error.kind() == ErrorKind::CorruptStore => None,
        Err(error) => panic!("{error}"),
    };
    let whole = check(AuditHead::START).await;
    let Some(TrailCheck::Whole(kept)) = whole else { panic!("{whole:?}") };
    assert_eq!(kept.sequence, 50);
    let table = format!("{}.snapfold_snapshots_audit", db.schema);
    db.run(&format!("CREATE TABLE {{schema}}.kept AS TABLE {table}")).await;
    let restore = format!("DELETE FROM {table}; INSERT INTO {table} SELECT * FROM {{schema}}.kept");
    let is_whole = |found| matches!(found, Some(TrailCheck::Whole(_)));
    for change in CHANGES {
        for n in 1..=50 {
            let sql = change.replace("{table}", &table).replace("{n}", &n.to_string());
            db.tamper(&sql).await;
            let found = check(AuditHead::START).await;
            // What is cut off at the end is found with the head that was kept elsewhere.
            let is_found = !is_whole(found) || n == 50 && !is_whole(check(kept).await);
            assert!(is_found, "not found: {sql}");
            db.tamper(&restore).await;
            assert_eq!(check(AuditHead::START).await, whole, "a false alarm after {sql}");
            assert_eq!(check(kept).await, whole);
        }
    }
    db.close().await;
}

#[tokio::test]
async fn an_unsealed_entry_leaves_its_table_only_into_the_trail() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    store.append(&entry("plain")).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    store.append_in(&mut connection, &[entry("one")]).await.unwrap();
    drop(connection);
    let refused = async |sql: &str| {
        let sql = sql.replace("{table}", &format!("{}.snapfold_snapshots_unsealed", db.schema));
        let error = db.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql.clone()))).await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{sql}: {error}");
    };
    for sql in ["UPDATE {table} SET actor = 'x'", "DELETE FROM {table}", "TRUNCATE {table}"] {
        refused(sql).await;
    }
    // Another entry in its place is no excuse.
    db.tamper(
        "UPDATE {schema}.snapfold_snapshots_audit SET place = \
         (SELECT place FROM {schema}.snapfold_snapshots_unsealed)",
    )
    .await;
    refused("DELETE FROM {table}").await;
    db.tamper("UPDATE {schema}.snapfold_snapshots_audit SET place = NULL").await;
    // It can be seen before it has a sequence.
    let seen = "SELECT count(*) FROM {schema}.snapfold_snapshots_audit_view WHERE sequence IS NULL \
         AND idempotency = 'one'";
    assert_eq!(db.number(seen).await, 1);
    assert_eq!(names(&store).await, ["plain", "one"]);
    assert_eq!(db.number(seen).await, 0);
    db.close().await;
}

#[tokio::test]
async fn who_may_only_read_gets_what_is_sealed() {
    let db = TestDb::new().await;
    let owner = store(&db).await;
    owner.append(&entry("sealed")).await.unwrap();
    let mut connection = db.pool.acquire().await.unwrap();
    owner.append_in(&mut connection, &[entry("unsealed")]).await.unwrap();
    drop(connection);
    let role = format!("{}_role", db.schema);
    db.run(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT ON ALL TABLES IN SCHEMA {{schema}} TO {role}"
    ))
    .await;
    for bind in [format!("SET ROLE {role}"), "SET default_transaction_read_only = on".to_owned()] {
        let pool = PgPoolOptions::new().max_connections(2).after_connect(move |c, _| {
            let bind = bind.clone();
            Box::pin(async move { c.execute(sqlx::raw_sql(AssertSqlSafe(bind))).await.map(drop) })
        });
        let pool = pool.connect_with(db.options.clone()).await.unwrap();
        assert_eq!(names(&store_on(&db, pool.clone())).await, ["sealed"]);
        pool.close().await;
    }
    assert_eq!(names(&owner).await, ["sealed", "unsealed"]);
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}

#[tokio::test]
async fn a_bound_connection_appends_to_and_seals_its_own_trail_only() {
    let db = TestDb::new().await;
    let owner = store(&db).await;
    let role = format!("{}_role", db.schema);
    db.run(&format!(
        "CREATE ROLE {role}; GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{schema}} TO {role}"
    ))
    .await;
    let mut connection = db.pool.acquire().await.unwrap();
    for tenant in ["north", "south"] {
        let entry = AuditEntry::new(at(0), "a", "b").in_tenant(tenant);
        owner.append_in(&mut connection, &[entry]).await.unwrap();
    }
    drop(connection);
    owner.migrations().enable_row_security(TenantBinding::Setting).await.unwrap();
    let bind = format!("SET ROLE {role}");
    let pool = PgPoolOptions::new().max_connections(2).after_connect(move |c, _| {
        let bind = bind.clone();
        Box::pin(async move { c.execute(sqlx::raw_sql(AssertSqlSafe(bind))).await.map(drop) })
    });
    let pool = pool.connect_with(db.options.clone()).await.unwrap();
    let bound = store_on(&db, pool.clone()).for_tenant("north");
    let mut transaction = pool.begin().await.unwrap();
    let set = "SET LOCAL snapfold.tenant = 'north'";
    transaction.execute(sqlx::raw_sql(set)).await.unwrap();
    let north = AuditEntry::new(at(1), "a", "b").in_tenant("north");
    bound.append_in(&mut transaction, &[north]).await.unwrap();
    transaction.commit().await.unwrap();
    let mut transaction = pool.begin().await.unwrap();
    transaction.execute(sqlx::raw_sql(set)).await.unwrap();
    let south = AuditEntry::new(at(1), "a", "b").in_tenant("south");
    assert!(bound.append_in(&mut transaction, &[south]).await.is_err());
    drop(transaction);
    assert_eq!(bound.seal_audit().await.unwrap(), 2);
    let count = async |store: &PostgresStore, tenant| all_entries(store, tenant, 9).await.len();
    assert_eq!((count(&bound, "north").await, count(&bound, "south").await), (2, 0));
    owner.migrations().disable_row_security().await.unwrap();
    assert_eq!(count(&owner, "south").await, 1);
    pool.close().await;
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}

#[tokio::test]
async fn a_migration_back_loses_no_unsealed_entry() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let migrations = store.migrations();
    let mut connection = db.pool.acquire().await.unwrap();
    store.append_in(&mut connection, &[entry("one")]).await.unwrap();
    let error = migrations.run_to(7).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("seal_audit"), "{source}");
    assert_eq!(store.seal_audit().await.unwrap(), 1);
    migrations.run_to(7).await.unwrap();
    let kept = format!(
        "SELECT count(*) FROM {}.snapfold_snapshots_audit_view WHERE sequence = 1",
        db.schema
    );
    assert_eq!(db.number(&kept).await, 1);
    migrations.run().await.unwrap();
    assert_eq!(names(&store).await, ["one"]);
    store.append_in(&mut connection, &[entry("two")]).await.unwrap();
    // Everything is removed on request.
    migrations.run_to(0).await.unwrap();
    assert_eq!(migrations.current().await.unwrap(), 0);
    drop(connection);
    db.close().await;
}
