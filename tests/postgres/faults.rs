//! Servers are killed, networks cut connections in the middle of a statement, pools run dry,
//! replicas are read-only. What was acknowledged must be there afterwards, a batch whole or not at
//! all; the error must say whether to try again; and no call may hang. All of it here happens to a
//! real server.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use crate::support::proxy::{Mode, Proxy};
use crate::support::{Cluster, TestDb};
use snapfold::ledger::{DailyStatistics, Day, Ledger};
use snapfold::postgres::{PostgresMigrations, PostgresOptions, PostgresStore};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Lookup, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, SnapshotStore, Timestamp};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgPool};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
/// How many snapshots the crash tests put at once.
const BATCH: u64 = 5;

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("account", id).unwrap()
}

fn record(key: &AggregateKey, version: u64) -> Record {
    let at = Timestamp::from_seconds(1);
    RecordBuilder::new(key.clone(), GENERATION, version, at).build(&[7; 500]).unwrap()
}

fn batch(key: &AggregateKey) -> Vec<Record> {
    (1..=BATCH).map(|version| record(key, version)).collect()
}

async fn bounded<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), future).await.expect("nothing hangs")
}

async fn pool_of(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .acquire_timeout(Duration::from_secs(20))
        .connect_with(options)
        .await
        .unwrap()
}

async fn store_on(pool: PgPool, schema: &str) -> PostgresStore {
    let store = PostgresStore::with_options(pool, &PostgresOptions::new().schema(schema)).unwrap();
    store.migrations().run().await.unwrap();
    store
}

async fn is_there(store: &PostgresStore, key: &AggregateKey) -> bool {
    matches!(store.get(Query::latest(key, GENERATION)).await.unwrap(), Lookup::Found(_))
}

/// Puts a batch, by the store or on a connection of the caller, where a put is never repeated.
async fn put_once(
    store: &PostgresStore,
    key: &AggregateKey,
    by_store: bool,
) -> Result<Vec<PutOutcome>, Error> {
    if by_store {
        return store.put(batch(key), PutOptions::default()).await;
    }
    loop {
        // The server may be down just now.
        let Ok(mut connection) = store.pool().acquire().await else { continue };
        let result = store.put_in(&mut connection, batch(key), PutOptions::default()).await;
        if result.is_err() {
            drop(connection.detach());
        }
        return result;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_was_acknowledged_survives_kill_9_and_batches_stay_whole() {
    let mut cluster = Cluster::start(true);
    let options: PgConnectOptions = cluster.url().parse().unwrap();
    let store = store_on(pool_of(options, 6).await, "public").await;
    let stop = Arc::new(AtomicBool::new(false));
    let progress = Arc::new(AtomicU64::new(0));
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let (store, stop) = (store.clone(), Arc::clone(&stop));
            let progress = Arc::clone(&progress);
            tokio::spawn(async move {
                let mut acknowledged = Vec::new();
                let mut tried = Vec::new();
                for n in 0.. {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let key = key(&format!("{writer}-{n}"));
                    tried.push(key.clone());
                    let put = bounded(put_once(&store, &key, writer % 2 == 0));
                    match put.await {
                        Ok(_) => {
                            progress.fetch_add(1, Ordering::SeqCst);
                            acknowledged.push((key, false));
                        }
                        Err(error) => assert!(error.is_retryable(), "{error:?}"),
                    }
                    // Some are pruned, while the server may be killed too.
                    if n % 3 == 0
                        && let Some((key, pruned)) = acknowledged.last_mut()
                    {
                        match bounded(store.prune(key, 1)).await {
                            Ok(_) => *pruned = true,
                            Err(error) => {
                                assert!(error.is_retryable(), "{error:?}");
                                acknowledged.pop();
                            }
                        }
                    }
                }
                (acknowledged, tried)
            })
        })
        .collect();
    for _ in 0..4 {
        // The moment of the kill is not chosen: the writers are in the middle of everything.
        let enough = progress.load(Ordering::SeqCst) + 40;
        bounded(async {
            while progress.load(Ordering::SeqCst) < enough {
                tokio::task::yield_now().await;
            }
        })
        .await;
        tokio::task::block_in_place(|| {
            cluster.kill();
            cluster.restart();
        });
    }
    stop.store(true, Ordering::SeqCst);
    for writer in writers {
        let (acknowledged, tried) = bounded(writer).await.unwrap();
        for (key, pruned) in &acknowledged {
            let left = store.list(ListRequest::new(key)).await.unwrap().items;
            let expected = if *pruned { 1 } else { BATCH };
            assert_eq!(left.len() as u64, expected, "{key}");
            let found = store.get(Query::latest(key, GENERATION)).await.unwrap().into_record();
            assert_eq!(found, Some(record(key, BATCH)));
        }
        for key in &tried {
            let left = store.list(ListRequest::new(key)).await.unwrap().items.len() as u64;
            assert!([0, 1, BATCH].contains(&left), "a batch in part: {left} of {key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_migration_that_is_killed_leaves_nothing_half_done() {
    let mut cluster = Cluster::start(true);
    let options: PgConnectOptions = cluster.url().parse().unwrap();
    let store = store_on(pool_of(options, 4).await, "app").await;
    let migrations = store.migrations();
    let stop = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU64::new(0));
    let migrating = {
        let (migrations, stop) = (migrations.clone(), Arc::clone(&stop));
        let rounds = Arc::clone(&rounds);
        tokio::spawn(async move {
            for n in 0_u32.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let target = if n % 2 == 0 { 0 } else { PostgresMigrations::LATEST };
                if let Err(error) = bounded(migrations.run_to(target)).await {
                    assert!(error.is_retryable(), "{error:?}");
                }
                rounds.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    for _ in 0..4 {
        let enough = rounds.load(Ordering::SeqCst) + 5;
        bounded(async {
            while rounds.load(Ordering::SeqCst) < enough {
                tokio::task::yield_now().await;
            }
        })
        .await;
        tokio::task::block_in_place(|| {
            cluster.kill();
            cluster.restart();
        });
        let current = bounded(migrations.current()).await.unwrap();
        assert!([0, PostgresMigrations::LATEST].contains(&current), "{current}");
    }
    stop.store(true, Ordering::SeqCst);
    bounded(migrating).await.unwrap();
    migrations.run().await.unwrap();
    store.check().await.unwrap();
    let outcomes = store.put(vec![record(&key("a"), 1)], PutOptions::default()).await.unwrap();
    assert_eq!(outcomes, [PutOutcome::Stored]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_every_call_works_though_every_idle_connection_is_dead() {
    let mut cluster = Cluster::start(false);
    let options: PgConnectOptions = cluster.url().parse().unwrap();
    let pool = pool_of(options, 8).await;
    let store = store_on(pool.clone(), "public").await;
    store.put(batch(&key("a")), PutOptions::default()).await.unwrap();
    for round in 0..3 {
        // Eight idle connections, all of which the restart breaks.
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(pool.acquire().await.unwrap());
        }
        drop(held);
        tokio::task::block_in_place(|| {
            if round == 1 {
                cluster.kill();
            } else {
                cluster.stop();
            }
            cluster.restart();
        });
        let account = key("a");
        assert!(bounded(is_there(&store, &account)).await);
        let outcomes = bounded(store.put(batch(&account), PutOptions::default())).await.unwrap();
        assert_eq!(outcomes, [PutOutcome::Existing { identical: true }; 5]);
        assert_eq!(store.keys(KeysRequest::new()).await.unwrap().items, [account]);
    }
    // The first connection breaks under the put, so nobody knows; then nothing is sent any more. It
    // has to be back first: the pool looks at it once more, and that must not meet the end of the
    // server.
    bounded(async {
        while pool.num_idle() == 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    tokio::task::block_in_place(|| cluster.stop());
    for expected in [Retry::Unknown, Retry::Later] {
        assert_eq!(put_error(&store).await.retry(), expected);
    }
    let error = bounded(store.get(Query::latest(&key("a"), GENERATION))).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "{error:?}");
}

/// A store behind a proxy, with one connection.
async fn behind_proxy(db: &TestDb, timeout: Duration) -> (Proxy, PostgresStore) {
    store_on(db.pool.clone(), &db.schema).await;
    let proxy = Proxy::to(&db.options).await;
    let pool = pool_of(proxy.options(&db.options), 1).await;
    let options = PostgresOptions::new().schema(&db.schema).timeout(timeout);
    (proxy, PostgresStore::with_options(pool, &options).unwrap())
}

#[tokio::test]
async fn a_connection_cut_in_the_middle_of_a_statement_is_replaced_once() {
    let db = TestDb::new().await;
    let (proxy, store) = behind_proxy(&db, Duration::from_secs(30)).await;
    let account = key("a");
    for mode in [Mode::CutBefore, Mode::CutAfter] {
        proxy.set(mode);
        let outcomes = bounded(store.put(batch(&account), PutOptions::default())).await.unwrap();
        let identical = PutOutcome::Existing { identical: true };
        assert!(outcomes == [PutOutcome::Stored; 5] || outcomes == [identical; 5], "{outcomes:?}");
        proxy.set(mode);
        assert!(bounded(is_there(&store, &account)).await);
        proxy.set(mode);
        assert_eq!(bounded(store.list(ListRequest::new(&account))).await.unwrap().items.len(), 5);
        proxy.set(mode);
        assert_eq!(bounded(store.keys(KeysRequest::new())).await.unwrap().items.len(), 1);
        proxy.set(mode);
        bounded(store.delete(&account, Selection::All, DeleteOptions::default())).await.unwrap();
        assert!(!is_there(&store, &account).await);
    }
    // What would count twice is not repeated, and nobody knows whether it happened.
    proxy.set(Mode::CutAfter);
    let batch_of_one = [(account.clone(), Day::new(0), DailyStatistics::deleted(1))];
    let error = bounded(store.add_statistics(&batch_of_one)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Unknown));
    // Nor is anything repeated on the caller's own connection.
    for (mode, expected) in [(Mode::CutBefore, false), (Mode::CutAfter, true)] {
        let mut connection = store.pool().acquire().await.unwrap();
        proxy.set(mode);
        let put = store.put_in(&mut connection, batch(&account), PutOptions::default());
        let error = bounded(put).await.unwrap_err();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Unknown));
        drop(connection.detach());
        let found = bounded(async {
            // The server may still be at it.
            for _ in 0..1_000 {
                if is_there(&store, &account).await == expected {
                    return expected;
                }
            }
            !expected
        });
        assert_eq!(found.await, expected);
    }
    db.close().await;
}

#[tokio::test]
async fn wherever_the_connection_breaks_a_write_is_whole_or_absent() {
    let db = TestDb::new().await;
    let direct = store_on(db.pool.clone(), &db.schema).await;
    let (proxy, store) = behind_proxy(&db, Duration::from_secs(30)).await;
    let account = key("a");
    for allowed in 0.. {
        proxy.allow(allowed);
        let result = bounded(store.put(batch(&account), PutOptions::default())).await;
        let left = direct.list(ListRequest::new(&account)).await.unwrap().items.len() as u64;
        assert!([0, BATCH].contains(&left), "{left} of a batch after {allowed} statements");
        if result.is_ok() {
            assert_eq!(left, BATCH);
            break;
        }
        direct.delete(&account, Selection::All, DeleteOptions::default()).await.unwrap();
    }
    // Back to nothing, and forward from there.
    let (migrations, latest) = (store.migrations(), PostgresMigrations::LATEST);
    for (from, to) in [(latest, 0), (0, latest)] {
        for allowed in 0.. {
            proxy.allow(allowed);
            let result = bounded(migrations.run_to(to)).await;
            let current = direct.migrations().current().await.unwrap();
            assert!([from, to].contains(&current), "{current} after {allowed} statements");
            if result.is_ok() {
                assert_eq!(current, to);
                break;
            }
            direct.migrations().run_to(from).await.unwrap();
        }
    }
    db.close().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_ends_in_a_timeout_and_a_closed_connection() {
    let db = TestDb::new().await;
    let (proxy, store) = behind_proxy(&db, Duration::from_millis(500)).await;
    let account = key("a");
    // The pool tests a connection after its use, in the background, before it is idle again.
    let idle = async || {
        bounded(async {
            while store.pool().num_idle() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    assert!(!is_there(&store, &account).await);
    idle().await;
    proxy.set(Mode::Hold);
    let error = bounded(store.get(Query::latest(&account, GENERATION))).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Later));
    proxy.set(Mode::Pass);
    assert!(!is_there(&store, &account).await, "the held connection is not used again");
    idle().await;
    proxy.set(Mode::Hold);
    let put = store.put(batch(&account), PutOptions::default());
    let error = bounded(put).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Unknown));
    proxy.set(Mode::Pass);
    let outcomes = bounded(store.put(batch(&account), PutOptions::default())).await.unwrap();
    assert_eq!(outcomes.len(), 5);
    db.close().await;
}

#[tokio::test]
async fn an_exhausted_pool_is_a_timeout_that_says_so() {
    let db = TestDb::new().await;
    store_on(db.pool.clone(), &db.schema).await;
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(2))
        .connect_with(db.options.clone())
        .await
        .unwrap();
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
    let held = pool.acquire().await.unwrap();
    let error = bounded(store.put(batch(&key("a")), PutOptions::default())).await.unwrap_err();
    // Nothing was sent, so a write may be repeated without a second thought.
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Later));
    drop(held);
    bounded(store.put(batch(&key("a")), PutOptions::default())).await.unwrap();
    pool.close().await;
    let error = store.get(Query::latest(&key("a"), GENERATION)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
    db.close().await;
}

/// A store whose connections all begin with `sql`.
async fn with_session(db: &TestDb, sql: &'static str) -> PostgresStore {
    let pool = PgPoolOptions::new()
        .max_connections(2)
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(sql)).await.map(drop) })
        })
        .connect_with(db.options.clone())
        .await
        .unwrap();
    PostgresStore::with_options(pool, &PostgresOptions::new().schema(&db.schema)).unwrap()
}

async fn put_error(store: &PostgresStore) -> Error {
    bounded(store.put(batch(&key("a")), PutOptions::default())).await.unwrap_err()
}

#[tokio::test]
async fn a_statement_or_a_lock_that_takes_too_long_is_a_timeout() {
    let db = TestDb::new().await;
    store_on(db.pool.clone(), &db.schema).await;
    let mut transaction = db.pool.begin().await.unwrap();
    let lock = format!("LOCK TABLE {}.snapfold_snapshots", db.schema);
    transaction.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await.unwrap();
    for session in ["SET statement_timeout = '50ms'", "SET lock_timeout = '50ms'"] {
        let store = with_session(&db, session).await;
        let error = put_error(&store).await;
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Timeout, Retry::Later), "{session}");
    }
    // The wait of a migration for another node is bounded too.
    let options = PostgresOptions::new().schema(&db.schema).timeout(Duration::from_millis(100));
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    let error = bounded(store.migrations().run_to(0)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout);
    transaction.rollback().await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn a_serialization_failure_may_be_tried_again() {
    let db = TestDb::new().await;
    let store = store_on(db.pool.clone(), &db.schema).await;
    let mut transaction = db.pool.begin().await.unwrap();
    transaction.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let account = key("a");
    store.get_in(&mut transaction, Query::latest(&account, GENERATION)).await.unwrap();
    store.put(batch(&account), PutOptions::default()).await.unwrap();
    let put = store.put_in(&mut transaction, batch(&account), PutOptions::default());
    let error = bounded(put).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Later), "{error:?}");
    // The transaction is over; the next call in it says that this is the caller's to mend.
    let again = store.get_in(&mut transaction, Query::latest(&account, GENERATION)).await;
    assert_eq!(again.unwrap_err().retry(), Retry::Never);
    drop(transaction);
    db.close().await;
}

#[tokio::test]
async fn a_put_that_meets_one_under_way_waits_for_it_and_agrees() {
    let db = TestDb::new().await;
    let store = store_on(db.pool.clone(), &db.schema).await;
    let account = key("a");
    for same in [true, false] {
        let mut transaction = db.pool.begin().await.unwrap();
        let first = vec![record(&account, 1)];
        store.put_in(&mut transaction, first, PutOptions::default()).await.unwrap();
        let at = Timestamp::from_seconds(1);
        let payload = if same { [7; 500] } else { [8; 500] };
        let second = RecordBuilder::new(account.clone(), GENERATION, 1, at).build(&payload);
        let put = store.put(vec![second.unwrap()], PutOptions::default());
        let commit = async {
            // Until the second put waits for the first.
            while db
                .number("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%{schema}%'")
                .await
                == 0
            {
                tokio::task::yield_now().await;
            }
            transaction.commit().await.unwrap();
        };
        let (outcomes, ()) = bounded(async { tokio::join!(put, commit) }).await;
        assert_eq!(outcomes.unwrap(), [PutOutcome::Existing { identical: same }]);
        store.delete(&account, Selection::All, DeleteOptions::default()).await.unwrap();
    }
    db.close().await;
}

#[tokio::test]
async fn each_refusal_of_the_server_has_its_kind_and_its_advice() {
    let db = TestDb::new().await;
    let missing = PostgresStore::with_options(
        db.pool.clone(),
        &PostgresOptions::new().schema(format!("{}_not", db.schema)),
    );
    let error = put_error(&missing.unwrap()).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
    assert!(error.to_string().contains("migrations"), "{error}");
    let store = store_on(db.pool.clone(), &db.schema).await;

    let read_only = with_session(&db, "SET default_transaction_read_only = on").await;
    let error = put_error(&read_only).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Later));
    assert!(error.to_string().contains("read-only"), "{error}");
    assert!(!is_there(&read_only, &key("a")).await, "it can still read");

    db.run("DROP ROLE IF EXISTS snapfold_powerless; CREATE ROLE snapfold_powerless").await;
    let powerless = with_session(&db, "SET ROLE snapfold_powerless").await;
    let error = put_error(&powerless).await;
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
    powerless.pool().close().await;
    db.run("DROP ROLE snapfold_powerless").await;

    for (condition, kind, retry) in [
        ("disk_full", ErrorKind::OutOfSpace, Retry::Later),
        ("out_of_memory", ErrorKind::OutOfSpace, Retry::Later),
        ("deadlock_detected", ErrorKind::Store, Retry::Later),
        ("too_many_connections", ErrorKind::Store, Retry::Later),
        ("data_corrupted", ErrorKind::CorruptStore, Retry::Never),
        ("check_violation", ErrorKind::Store, Retry::Never),
        ("io_error", ErrorKind::Store, Retry::Unknown),
    ] {
        db.run(&format!(
            "CREATE OR REPLACE FUNCTION {{schema}}.refuse() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN RAISE {condition}; END'; \
             CREATE OR REPLACE TRIGGER refuse BEFORE INSERT ON {{schema}}.snapfold_snapshots \
             EXECUTE FUNCTION {{schema}}.refuse()"
        ))
        .await;
        let error = put_error(&store).await;
        assert_eq!((error.kind(), error.retry()), (kind, retry), "{condition}");
    }
    db.close().await;
}

#[tokio::test]
async fn a_statement_prepared_before_a_migration_is_prepared_again() {
    let db = TestDb::new().await;
    let pool = pool_of(db.options.clone(), 1).await;
    let store = store_on(pool, &db.schema).await;
    store.put(batch(&key("a")), PutOptions::default()).await.unwrap();
    assert!(is_there(&store, &key("a")).await);
    db.run(
        "DROP VIEW {schema}.snapfold_snapshots_view; \
         DROP TRIGGER immutable ON {schema}.snapfold_snapshots; \
         ALTER TABLE {schema}.snapfold_snapshots RENAME COLUMN payload TO was; \
         ALTER TABLE {schema}.snapfold_snapshots ADD COLUMN payload bytea; \
         UPDATE {schema}.snapfold_snapshots SET payload = was; \
         ALTER TABLE {schema}.snapfold_snapshots DROP COLUMN was",
    )
    .await;
    assert!(is_there(&store, &key("a")).await);
    db.run("ALTER TABLE {schema}.snapfold_snapshots ALTER COLUMN version TYPE numeric").await;
    let error = store.get(Query::latest(&key("a"), GENERATION)).await.unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
    db.close().await;
}

#[tokio::test]
async fn a_store_without_options_has_the_default_ones() {
    let db = TestDb::new().await;
    let plain = PostgresStore::new(db.pool.clone()).unwrap();
    let spelt = PostgresStore::with_options(db.pool.clone(), &PostgresOptions::new()).unwrap();
    assert_eq!(format!("{plain:?}"), format!("{spelt:?}"));
    let error = PostgresStore::connect("no connection string").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    db.close().await;
}

#[tokio::test]
async fn no_error_shows_the_connection_string() {
    let options = PostgresOptions::new().timeout(Duration::from_millis(300));
    for url in [
        "postgres://someone:s3cret-pw@127.0.0.1:1/db",
        "postgres://someone:s3cret-pw@[::bad/db?x=s3cret-pw",
        "postgres://someone:s3cret-pw@127.0.0.1:notaport/db",
        "s3cret-pw",
        "postgres:///db?host=/nonexistent&user=u&password=s3cret-pw&sslmode=s3cret-pw",
    ] {
        let error = bounded(PostgresStore::connect_with(url, &options)).await.unwrap_err();
        let mut shown = format!("{error} {error:?} {error:#?}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            write!(shown, "{cause} {cause:?}").unwrap();
            source = cause.source();
        }
        assert!(!shown.contains("s3cret-pw") && !shown.contains("someone"), "{shown}");
    }
    let db = TestDb::new().await;
    let store = store_on(db.pool.clone(), &db.schema).await;
    let shown = format!("{store:?} {:?}", store.migrations());
    assert!(!shown.contains("host") && !shown.contains("postgres@"), "{shown}");
    db.close().await;
}

/// Polls `future` up to `times` times, letting I/O happen in between, then drops it.
async fn poll_and_drop<T>(times: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..times {
        let mut context = Context::from_waker(Waker::noop());
        // Within the runtime, so that I/O is registered; the wake-ups go nowhere.
        if let Poll::Ready(result) = future.as_mut().poll(&mut context) {
            return Some(result);
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
    None
}

#[tokio::test]
async fn a_call_dropped_at_any_point_leaves_all_or_nothing_and_a_store_that_works() {
    let db = TestDb::new().await;
    let pool = pool_of(db.options.clone(), 2).await;
    let store = store_on(pool.clone(), &db.schema).await;
    let mut dropped = 0;
    for times in 0..14 {
        let account = key(&format!("a{times}"));
        let put = store.put(batch(&account), PutOptions::default());
        dropped += u32::from(poll_and_drop(times, put).await.is_none());
        let left = bounded(store.list(ListRequest::new(&account))).await.unwrap().items.len();
        assert!(left == 0 || left as u64 == BATCH, "{left} after {times} polls");
        bounded(store.put(batch(&account), PutOptions::default())).await.unwrap();
        poll_and_drop(times, store.get(Query::latest(&account, GENERATION))).await;
        poll_and_drop(times, store.keys(KeysRequest::new())).await;
        poll_and_drop(times, store.migrations().run()).await;
        assert!(bounded(is_there(&store, &account)).await);
        poll_and_drop(times, store.delete(&account, Selection::Below(3), DeleteOptions::default()))
            .await;
        let left = bounded(store.list(ListRequest::new(&account))).await.unwrap().items.len();
        assert!(left == 3 || left as u64 == BATCH, "{left} after {times} polls");
    }
    assert!(dropped > 0, "some calls were dropped before their end");
    assert!(pool.size() <= 2);
    let mut connection = bounded(pool.acquire()).await.unwrap();
    connection.ping().await.unwrap();
    db.close().await;
}
