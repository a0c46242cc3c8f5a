//! Between an application and PostgreSQL there often is a connection pooler, and one in transaction
//! mode mixes up prepared statements: parameters meet the text of another statement, and what comes
//! back looks like an answer. Loads have folded the events of another table that way, and snapshots
//! landed in another schema. So a real `PgBouncer` stands between here: in the set-ups that the
//! documentation calls supported, everything is right; in the others, nothing is wrong and the
//! error says what to set. And a tenant that a call is bound to must not be there for the next
//! call, whatever happens in between.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};

use crate::support::TestDb;
use crate::support::account::{Account, chain, decode, folded, key};
use crate::support::bouncer::{Bouncer, Program, programs};
use snapfold::manager::CreateOptions;
use snapfold::postgres::{
    EventTable, PostgresEvents, PostgresMigrations, PostgresOptions, PostgresStore, TenantBinding,
};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{DeleteOptions, KeysRequest, Lookup, PutOptions, Query, Selection};
use snapfold::{AggregateKey, Error, Point, Retry, SnapshotEngine, SnapshotStore, Timestamp};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, Executor, PgPool, Row};
use tokio::task::JoinSet;

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
/// How many aggregates each table has, and how many events each of them.
const AGGREGATES: u64 = 20;
const EVENTS: i64 = 30;
/// Tasks on each table.
const TASKS: u64 = 10;
const SESSION: &str = "pool_mode = session\ndefault_pool_size = 60";
/// Fewer connections of the server than of the client, so that they are shared all the time.
const TRANSACTION: &str = "pool_mode = transaction\ndefault_pool_size = 4";

async fn pool(options: PgConnectOptions, connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .unwrap()
}

/// One of two tables of events, and a store of its own for it.
#[derive(Clone)]
struct Side {
    sign: i64,
    store: PostgresStore,
    engine: SnapshotEngine<Account>,
    plain: SnapshotEngine<Account>,
}

impl Side {
    /// On the table `orders` or `refunds` of the schema of `db`, by way of `options`.
    async fn new(db: &TestDb, options: PgConnectOptions, sign: i64, mode: bool) -> Self {
        Self::on(db, pool(options, 8).await, sign, mode).await
    }

    async fn on(db: &TestDb, pool: PgPool, sign: i64, mode: bool) -> Self {
        let name = if sign > 0 { "orders" } else { "refunds" };
        let options = PostgresOptions::new()
            .schema(&db.schema)
            .table(format!("{name}_snapshots"))
            .transaction_pooler(mode);
        PostgresStore::with_options(db.pool.clone(), &options)
            .unwrap()
            .migrations()
            .run()
            .await
            .unwrap();
        let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
        let table = EventTable::new(format!("{}.{name}", db.schema));
        let events = PostgresEvents::new(pool, table, decode).unwrap().transaction_pooler(mode);
        let builder = || SnapshotEngine::builder(events.clone(), store.clone());
        let engine = builder().hybrid(events.with_snapshots(&store).unwrap()).build().unwrap();
        Self { sign, plain: builder().build().unwrap(), store, engine }
    }

    fn state(&self, version: i64) -> Account {
        folded((1..=version).map(|n| n * self.sign))
    }
}

async fn tables(db: &TestDb) {
    for (table, sign) in [("orders", 1), ("refunds", -1)] {
        db.run(&format!(
            "CREATE TABLE {{schema}}.{table} (id text, version int8, recorded_at timestamptz, \
               payload jsonb, PRIMARY KEY (id, version)); \
             INSERT INTO {{schema}}.{table} SELECT 'i' || i, n, \
               timestamptz '2026-01-01' + n * interval '1 s', to_jsonb(n * {sign}) \
             FROM generate_series(1, {EVENTS}) n, generate_series(0, {AGGREGATES} - 1) i"
        ))
        .await;
    }
}

/// What came of many calls.
#[derive(Debug, Default)]
struct Outcome {
    right: u64,
    wrong: Vec<String>,
    errors: Vec<Error>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong.extend(other.wrong);
        self.errors.extend(other.errors);
    }
}

/// So many loads on each side at once, of all kinds, with snapshots being made and deleted in
/// between.
async fn many_loads(sides: &[Side], each: u64) -> Outcome {
    let mut tasks = JoinSet::new();
    for side in sides {
        for task in 0..TASKS {
            let side = side.clone();
            tasks.spawn(async move {
                let mut outcome = Outcome::default();
                for n in 0..each / TASKS {
                    let key = key(&format!("i{}", (n + task) % AGGREGATES));
                    let engine = if n % 3 == 0 { &side.plain } else { &side.engine };
                    let version = if n % 2 == 0 { EVENTS } else { 1 + (n.cast_signed() % EVENTS) };
                    let point = match n % 6 {
                        1 | 5 => Point::Version(version.cast_unsigned()),
                        3 => Point::Time(Timestamp::from_seconds(1_767_225_600 + version)),
                        _ => Point::Now,
                    };
                    match engine.latest_known(&key, point).await {
                        Ok(loaded) if *loaded.state == side.state(version) => outcome.right += 1,
                        Ok(loaded) => outcome.wrong.push(format!("{key} {point:?} {loaded:?}")),
                        Err(error) => outcome.errors.push(error),
                    }
                    if n % 20 == 0 {
                        let options = CreateOptions::new().at_version(1 + n % 29);
                        if let Err(error) = engine.create_with(&key, options).await {
                            outcome.errors.push(error);
                        }
                    }
                    if n % 33 == 32
                        && let Err(error) = side
                            .store
                            .delete(&key, Selection::Below(9), DeleteOptions::default())
                            .await
                    {
                        outcome.errors.push(error);
                    }
                }
                outcome
            });
        }
    }
    let mut all = Outcome::default();
    while let Some(outcome) = tasks.join_next().await {
        all.add(outcome.unwrap());
    }
    all
}

/// Puts snapshots from many tasks at once, the side in their ids.
async fn many_puts(sides: &[Side]) {
    let mut tasks = JoinSet::new();
    for side in sides {
        for task in 0..TASKS {
            let side = side.clone();
            tasks.spawn(async move {
                for n in 1..=20 {
                    let key = AggregateKey::new("put", &format!("{}-{task}", side.sign)).unwrap();
                    let record = RecordBuilder::new(key, GENERATION, n, Timestamp::from_seconds(1));
                    let record = record.build(&[7; 64]).unwrap();
                    // Whether it succeeds is not the question here.
                    let _ = side.store.put(vec![record], PutOptions::default()).await;
                }
            });
        }
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
}

/// How many of them are in the table of the other side.
async fn astray(db: &TestDb) -> i64 {
    db.number(
        "SELECT (SELECT count(*) FROM {schema}.orders_snapshots WHERE kind = 'put' AND id LIKE '-%') \
         + (SELECT count(*) FROM {schema}.refunds_snapshots WHERE kind = 'put' AND id NOT LIKE '-%')",
    )
    .await
}

/// The set-ups that are supported: the settings of the pooler, and whether
/// `transaction_pooler(true)` is set.
fn supported(program: &Program) -> Vec<(String, bool)> {
    let mut all = vec![(SESSION.to_owned(), false), (TRANSACTION.to_owned(), true)];
    if program.keeps_statements() {
        all.push((format!("{TRANSACTION}\nmax_prepared_statements = 200"), false));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_load_is_right_in_the_supported_set_ups() {
    for program in programs() {
        for (settings, mode) in supported(&program) {
            let db = TestDb::new().await;
            tables(&db).await;
            let bouncer = Bouncer::start(&program, &db.options, &settings, &[]);
            let mut sides = Vec::new();
            for sign in [1, -1] {
                sides.push(Side::new(&db, bouncer.options(), sign, mode).await);
            }
            let outcome = many_loads(&sides, 5_000).await;
            let Outcome { right, wrong, errors } = outcome;
            println!("{program:?} {settings:?} {mode}: {right} right");
            assert_eq!(
                (wrong.len(), errors.len()),
                (0, 0),
                "{settings} {mode} {wrong:?} {errors:?}"
            );
            assert_eq!(right, 10_000, "{program:?} {settings}");
            many_puts(&sides).await;
            assert_eq!(astray(&db).await, 0);
            let stored = "SELECT count(*) FROM {schema}.orders_snapshots WHERE kind = 'put'";
            assert_eq!(db.number(stored).await, 20 * TASKS.cast_signed());
            db.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_the_mode_nothing_is_wrong_and_the_error_says_what_to_set() {
    for program in programs() {
        // By default, sqlx keeps prepared statements; with 0, it prepares each one each time.
        for capacity in [100, 0] {
            let db = TestDb::new().await;
            tables(&db).await;
            let mut settings = TRANSACTION.to_owned();
            if program.keeps_statements() {
                settings += "\nmax_prepared_statements = 0";
            }
            let bouncer = Bouncer::start(&program, &db.options, &settings, &[]);
            let mut sides = Vec::new();
            for sign in [1, -1] {
                let options = bouncer.options().statement_cache_capacity(capacity);
                sides.push(Side::new(&db, options, sign, false).await);
            }
            let Outcome { right, wrong, errors } = many_loads(&sides, 1_000).await;
            println!("{program:?} {capacity}: {right} right, {} errors", errors.len());
            assert_eq!(wrong.len(), 0, "{wrong:?}");
            assert!(!errors.is_empty(), "the set-up works after all");
            for error in &errors {
                let text = chain(error);
                assert!(text.contains("transaction_pooler(true)"), "{text}");
                assert_ne!(error.retry(), Retry::Never, "{text}");
            }
            many_puts(&sides).await;
            assert_eq!(astray(&db).await, 0);
            db.close().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrations_run_through_any_pooler_with_and_without_the_mode() {
    let latest = PostgresMigrations::LATEST;
    for program in programs() {
        for settings in [SESSION, TRANSACTION] {
            let db = TestDb::new().await;
            let bouncer = Bouncer::start(&program, &db.options, settings, &[]);
            for mode in [false, true] {
                let mut nodes = JoinSet::new();
                let options = PostgresOptions::new().schema(&db.schema).transaction_pooler(mode);
                for _ in 0..6 {
                    let store =
                        PostgresStore::with_options(pool(bouncer.options(), 2).await, &options);
                    let migrations = store.unwrap().migrations();
                    nodes.spawn(async move {
                        let before = migrations.run().await.unwrap();
                        migrations.check().await.unwrap();
                        before
                    });
                }
                let mut found = nodes.join_all().await;
                found.sort_unstable();
                assert_eq!(found, [0, latest, latest, latest, latest, latest], "{settings} {mode}");
                let store = PostgresStore::with_options(pool(bouncer.options(), 2).await, &options)
                    .unwrap();
                store.migrations().enable_row_security(TenantBinding::Setting).await.unwrap();
                store.migrations().disable_row_security().await.unwrap();
                assert_eq!(store.migrations().run_to(0).await.unwrap(), latest);
            }
            db.close().await;
        }
    }
}

fn record(tenant: &str, id: &str, version: u64) -> Record {
    let key = AggregateKey::from_parts(tenant, "account", id).unwrap();
    let at = Timestamp::from_seconds(1);
    RecordBuilder::new(key, GENERATION, version, at).build(tenant.as_bytes()).unwrap()
}

async fn finds(store: &PostgresStore, tenant: &str) -> bool {
    let key = AggregateKey::from_parts(tenant, "account", "a").unwrap();
    matches!(store.get(Query::latest(&key, GENERATION)).await.unwrap(), Lookup::Found(_))
}

#[tokio::test]
async fn the_mode_leaves_nothing_prepared_and_takes_part_in_the_callers_transaction() {
    for program in programs() {
        let db = TestDb::new().await;
        let settings = "pool_mode = transaction\ndefault_pool_size = 1";
        let bouncer = Bouncer::start(&program, &db.options, settings, &[]);
        let options = PostgresOptions::new().schema(&db.schema).transaction_pooler(true);
        let pool = pool(bouncer.options(), 3).await;
        let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        for version in 1..50 {
            store.put(vec![record("t", "a", version)], PutOptions::default()).await.unwrap();
            assert!(finds(&store, "t").await);
        }
        let sql = "SELECT count(*)::text FROM pg_prepared_statements";
        let row = pool.fetch_one(sqlx::raw_sql(sql)).await.unwrap();
        assert_eq!(row.get::<&str, _>(0), "0");

        // A transaction begun by sqlx, one begun by SQL of the caller's own, and none.
        let seen = async |id: &str| {
            let key = AggregateKey::from_parts("t", "account", id).unwrap();
            let found = store.get(Query::latest(&key, GENERATION)).await.unwrap();
            matches!(found, Lookup::Found(_))
        };
        for commits in [false, true] {
            let id = format!("sqlx {commits}");
            let mut connection = pool.acquire().await.unwrap();
            let mut transaction = connection.begin().await.unwrap();
            let records = vec![record("t", &id, 1)];
            store.put_in(&mut transaction, records, PutOptions::default()).await.unwrap();
            if commits {
                transaction.commit().await.unwrap();
            } else {
                transaction.rollback().await.unwrap();
            }
            assert_eq!(seen(&id).await, commits);

            let id = format!("raw {commits}");
            connection.execute(sqlx::raw_sql("BEGIN")).await.unwrap();
            let records = vec![record("t", &id, 1)];
            store.put_in(&mut connection, records, PutOptions::default()).await.unwrap();
            let end = if commits { "COMMIT" } else { "ROLLBACK" };
            connection.execute(sqlx::raw_sql(end)).await.unwrap();
            drop(connection);
            assert_eq!(seen(&id).await, commits);
        }
        let mut connection = pool.acquire().await.unwrap();
        let records = vec![record("t", "alone", 1)];
        store.put_in(&mut connection, records, PutOptions::default()).await.unwrap();
        drop(connection);
        assert!(seen("alone").await);
        db.close().await;
    }
}

#[tokio::test]
async fn the_mode_reads_columns_of_enumerated_types() {
    for program in programs() {
        let db = TestDb::new().await;
        db.run(
            "CREATE TYPE {schema}.kind AS ENUM ('account', 'order'); \
             CREATE TYPE {schema}.what AS ENUM ('deposited', 'withdrawn'); \
             CREATE TABLE {schema}.events (kind {schema}.kind, id text, version int8, \
               recorded_at timestamptz, what {schema}.what, anchor {schema}.what, payload jsonb, \
               PRIMARY KEY (kind, id, version)); \
             INSERT INTO {schema}.events SELECT 'account', 'a', n, now(), 'withdrawn', \
               'deposited', to_jsonb(n) FROM generate_series(1, 5) n",
        )
        .await;
        let bouncer = Bouncer::start(&program, &db.options, TRANSACTION, &[]);
        let pool = pool(bouncer.options(), 3).await;
        let options = PostgresOptions::new().schema(&db.schema).transaction_pooler(true);
        let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        let table = EventTable::new(format!("{}.events", db.schema))
            .kind_as("kind", snapfold::postgres::KeyType::Enum(format!("{}.kind", db.schema)))
            .event_type("what")
            .anchor("anchor");
        let events = PostgresEvents::new(pool, table, |row| {
            assert_eq!(row.event_type, Some("withdrawn"));
            decode(row)
        });
        let events = events.unwrap().transaction_pooler(true);
        let engine = SnapshotEngine::<Account>::builder(events.clone(), store.clone())
            .hybrid(events.with_snapshots(&store).unwrap())
            .build()
            .unwrap();
        for version in [2, 4] {
            assert_eq!(*engine.load(&key("a")).await.unwrap().state, folded(1..=5));
            let options = CreateOptions::new().at_version(version);
            engine.create_with(&key("a"), options).await.unwrap();
        }
        db.close().await;
    }
}

/// Polls `future` up to `times` times, letting I/O happen in between, then drops it.
async fn poll_and_drop<T>(times: usize, future: impl Future<Output = T>) {
    let mut future = pin!(future);
    for _ in 0..times {
        let mut context = Context::from_waker(Waker::noop());
        if future.as_mut().poll(&mut context).is_ready() {
            return;
        }
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }
}

/// Attacks the binding on a pool that two tenants share: calls that succeed, fail, are refused by
/// the server, run out of time or are dropped at any point. After each, a call that is bound to
/// nobody sees nothing, on whatever connection it runs.
async fn attack_the_binding(pool: &PgPool, options: &PostgresOptions, what: &str) {
    let unbound = PostgresStore::with_options(pool.clone(), options).unwrap();
    let hasty = options.clone().timeout(std::time::Duration::from_micros(300));
    let hasty = PostgresStore::with_options(pool.clone(), &hasty).unwrap();
    let (north, south) = (unbound.for_tenant("north"), unbound.for_tenant("so'u\\th"));
    let nothing = async |after: &str| {
        // On several connections, those of before among them.
        let (a, b, c) = tokio::join!(
            unbound.keys(KeysRequest::new()),
            unbound.keys(KeysRequest::new()),
            unbound.keys(KeysRequest::new())
        );
        for page in [a, b, c] {
            assert!(page.unwrap().items.is_empty(), "{what}: a binding outlives {after}");
        }
        let sql = "SELECT coalesce(current_setting('snapfold.tenant', true), '')";
        let row = pool.fetch_one(sqlx::raw_sql(sql)).await.unwrap();
        assert_eq!(row.get::<&str, _>(0), "", "{what}: a setting outlives {after}");
    };
    for (store, own, other) in [(&north, "north", "so'u\\th"), (&south, "so'u\\th", "north")] {
        store.put(vec![record(own, "a", 1)], PutOptions::default()).await.unwrap();
        nothing("a put").await;
        assert!(finds(store, own).await && !finds(store, other).await, "{what}");
        nothing("a get").await;
        let keys = store.keys(KeysRequest::new()).await.unwrap().items;
        assert_eq!(keys.iter().map(AggregateKey::tenant).collect::<Vec<_>>(), [own], "{what}");
        // Refused by the server, in the middle of the transaction.
        let error = store.put(vec![record(other, "a", 9)], PutOptions::default()).await;
        assert!(error.is_err(), "{what}");
        nothing("a refusal").await;
        for times in 0..16 {
            poll_and_drop(times, store.get(Query::latest(&keys[0], GENERATION))).await;
            nothing("a get that was dropped").await;
            let put = store.put(vec![record(own, "b", 1)], PutOptions::default());
            poll_and_drop(times, put).await;
            nothing("a put that was dropped").await;
            store
                .delete(record_key(own, "b"), Selection::All, DeleteOptions::default())
                .await
                .unwrap();
        }
        for _ in 0..20 {
            let late = hasty.for_tenant(own);
            let _ = late.get(Query::latest(&keys[0], GENERATION)).await;
            nothing("a timeout").await;
        }
    }
    // Both at once.
    let mut tasks = JoinSet::new();
    for (store, own, other) in [(north, "north", "so'u\\th"), (south, "so'u\\th", "north")] {
        for _ in 0..4 {
            let store = store.clone();
            tasks.spawn(async move {
                for _ in 0..40 {
                    assert!(finds(&store, own).await);
                    assert!(!finds(&store, other).await);
                }
            });
        }
    }
    for _ in 0..4 {
        let unbound = unbound.clone();
        tasks.spawn(async move {
            for _ in 0..40 {
                assert!(!finds(&unbound, "north").await);
            }
        });
    }
    while let Some(result) = tasks.join_next().await {
        result.unwrap();
    }
}

fn record_key(tenant: &str, id: &str) -> &'static AggregateKey {
    Box::leak(Box::new(AggregateKey::from_parts(tenant, "account", id).unwrap()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_binding_ends_with_its_call_with_and_without_a_pooler() {
    let db = TestDb::new().await;
    let owner =
        PostgresStore::with_options(db.pool.clone(), &PostgresOptions::new().schema(&db.schema))
            .unwrap();
    owner.migrations().run().await.unwrap();
    owner.migrations().enable_row_security(TenantBinding::Setting).await.unwrap();
    let role = format!("{}_role", db.schema);
    db.run(&format!(
        "CREATE ROLE {role} LOGIN; GRANT USAGE ON SCHEMA {{schema}} TO {role}; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {{schema}} TO {role}"
    ))
    .await;
    for mode in [false, true] {
        let options = PostgresOptions::new().schema(&db.schema).transaction_pooler(mode);
        let direct = pool(db.options.clone().username(&role), 3).await;
        attack_the_binding(&direct, &options, &format!("direct, {mode}")).await;
        direct.close().await;
        for program in programs() {
            for (settings, supported) in supported(&program) {
                if supported != mode {
                    continue;
                }
                let bouncer = Bouncer::start(&program, &db.options, &settings, &[&role]);
                let pool = pool(bouncer.options().username(&role), 3).await;
                let what = format!("{program:?}, {settings}, {mode}");
                attack_the_binding(&pool, &options, &what).await;
                pool.close().await;
            }
        }
    }
    db.run(&format!("DROP OWNED BY {role}; DROP ROLE {role}")).await;
    db.close().await;
}

/// A pooler that prepares statements for its clients prepares them anew on a new connection of the
/// server. The server then knows of no change, and the client goes on by the types that it was told
/// before: the first byte of a payload would be taken for the format number of a `jsonb`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_prepares_anew_does_not_hide_that_a_column_has_changed() {
    for program in programs() {
        if !program.keeps_statements() {
            continue;
        }
        let settings = format!("{TRANSACTION}\nmax_prepared_statements = 200");
        let db = TestDb::new().await;
        tables(&db).await;
        let bouncer = Bouncer::start(&program, &db.options, &settings, &[]);
        let side = Side::new(&db, bouncer.options(), 1, false).await;
        let options = CreateOptions::new().at_version(10);
        side.engine.create_with(&key("i0"), options).await.unwrap();
        for of in ["json", "jsonb", "text", "jsonb"] {
            for engine in [&side.engine, &side.plain].repeat(20) {
                assert_eq!(*engine.load(&key("i0")).await.unwrap().state, side.state(EVENTS));
            }
            db.run(&format!(
                "ALTER TABLE {{schema}}.orders ALTER payload TYPE {of} USING payload::{of}"
            ))
            .await;
            db.run(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
                 WHERE pid <> pg_backend_pid() AND state = 'idle' AND query LIKE '%{schema}%' \
                   AND query NOT LIKE 'ALTER%'",
            )
            .await;
            for engine in [&side.engine, &side.plain].repeat(20) {
                let Ok(loaded) = engine.load(&key("i0")).await else { continue };
                assert_eq!(*loaded.state, side.state(EVENTS), "{of}");
            }
        }
        db.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_that_changes_its_type_under_a_warm_pool_fails_no_load() {
    for program in programs() {
        for (settings, mode) in supported(&program) {
            let db = TestDb::new().await;
            tables(&db).await;
            let bouncer = Bouncer::start(&program, &db.options, &settings, &[]);
            let side = Arc::new(Side::new(&db, bouncer.options(), 1, mode).await);
            let options = CreateOptions::new().at_version(10);
            side.engine.create_with(&key("i0"), options).await.unwrap();
            let mut was = "jsonb";
            // Often, as only a statement that meets a fresh connection of the server shows it.
            for of in ["json", "text", "jsonb", "bytea", "jsonb", "json", "jsonb", "text", "jsonb"]
            {
                let mut warm = JoinSet::new();
                for n in 0..160 {
                    let side = Arc::clone(&side);
                    warm.spawn(async move {
                        let engine = if n % 2 == 0 { &side.engine } else { &side.plain };
                        engine.load(&key("i0")).await.unwrap().version
                    });
                }
                warm.join_all().await;
                let value = match (was, of) {
                    (_, "bytea") => "convert_to(payload::text, 'UTF8')".to_owned(),
                    ("bytea", _) => format!("convert_from(payload, 'UTF8')::{of}"),
                    _ => format!("payload::{of}"),
                };
                was = of;
                db.run(&format!(
                    "ALTER TABLE {{schema}}.orders ALTER payload TYPE {of} USING {value}"
                ))
                .await;
                for n in 0..20 {
                    let engine = if n % 2 == 0 { &side.engine } else { &side.plain };
                    let loaded = engine.load(&key("i0")).await;
                    let loaded = loaded.unwrap_or_else(|e| panic!("{settings} {mode}: {e:?}"));
                    assert_eq!(*loaded.state, side.state(EVENTS));
                }
            }
            db.close().await;
        }
    }
}

/// The client has prepared a statement, and knows the types of its columns from then. The pooler
/// prepares it on another connection after a type has changed, and the server sees nothing wrong.
#[tokio::test]
async fn a_statement_that_a_pooler_prepares_again_is_not_read_with_the_types_of_before() {
    for program in programs().iter().filter(|program| program.keeps_statements()) {
        for (before, after) in [("jsonb", "json"), ("json", "jsonb"), ("text", "jsonb")] {
            let db = TestDb::new().await;
            tables(&db).await;
            let change = async |of: &str| {
                db.run(&format!(
                    "ALTER TABLE {{schema}}.orders ALTER payload TYPE {of} USING payload::text::{of}"
                ))
                .await;
            };
            change(before).await;
            let settings =
                "pool_mode = transaction\ndefault_pool_size = 2\nmax_prepared_statements = 200";
            let bouncer = Bouncer::start(program, &db.options, settings, &[]);
            let side = Side::on(&db, pool(bouncer.options(), 1).await, 1, false).await;
            let other = pool(bouncer.options(), 1).await;
            for engine in [&side.engine, &side.plain] {
                engine.load(&key("i0")).await.unwrap();
            }
            // Now the connection that all this ran on is busy.
            let mut busy = other.acquire().await.unwrap();
            busy.execute(sqlx::raw_sql("BEGIN")).await.unwrap();
            change(after).await;
            for engine in [&side.engine, &side.plain] {
                let loaded = engine.load(&key("i0")).await.unwrap();
                assert_eq!(*loaded.state, side.state(EVENTS), "{before} to {after}");
            }
            busy.execute(sqlx::raw_sql("ROLLBACK")).await.unwrap();
            db.close().await;
        }
    }
}
