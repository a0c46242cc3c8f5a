//! A statement whose plan is wrong gives right answers, slower with every snapshot that is stored:
//! a page of keys once read all versions of each aggregate, and everything before its cursor. So
//! the pages of tables and indexes that a call touches are counted, in small tables and in large
//! ones.

use std::sync::{Mutex, OnceLock};

use crate::support::account::{Account, decode, key};
use crate::support::{Cluster, FREE, GUARDED, TestDb};
use snapfold::events::HybridSource;
use snapfold::postgres::{EventTable, PostgresEvents, PostgresOptions, PostgresStore};
use snapfold::record::{Generation, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, Lookup, Mark, MarkChange, PutOptions, Query, Selection,
};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Executor, PgPool};

const AGGREGATES: i64 = 120;
const PAGE: usize = 50;
const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 0 };

/// A server that only these tests use: where others change many tables, every session must look at
/// its own again, and touches more pages.
fn server() -> PgConnectOptions {
    static SERVER: OnceLock<Mutex<Cluster>> = OnceLock::new();
    let server = SERVER.get_or_init(|| Mutex::new(Cluster::start(false)));
    server.lock().unwrap().url().parse().unwrap()
}

/// A store on one connection, whose count of touched pages is therefore complete.
struct World {
    db: TestDb,
    pool: PgPool,
    store: PostgresStore,
}

impl World {
    /// Three kinds in two tenants, each with as many aggregates, and so many versions of each.
    async fn new(versions: i64) -> Self {
        let db = TestDb::on(server()).await;
        let pool = PgPoolOptions::new().max_connections(1).connect_with(db.options.clone());
        let pool = pool.await.unwrap();
        let options = PostgresOptions::new().schema(&db.schema);
        let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        let world = Self { db, pool, store };
        // Nothing but the calls of the test may touch the table, or change what the planner knows.
        let fill = format!(
            "ALTER TABLE {{schema}}.snapfold_snapshots SET (autovacuum_enabled = false); \
             INSERT INTO {{schema}}.snapfold_snapshots (tenant, kind, id, schema_version, \
               fingerprint, version, as_of, created_at, raw_bytes, codec, header, payload) \
             SELECT tenant, kind, 'id' || n, 1, -9223372036854775808, v, 0, 0, 0, 1, '', '' \
             FROM unnest(ARRAY['s', 't']) AS tenant, unnest(ARRAY['a', 'b', 'c']) AS kind, \
               generate_series(1, {versions}) AS v, generate_series(1, {AGGREGATES}) AS n; \
             ANALYZE {{schema}}.snapfold_snapshots"
        );
        world.run(&fill).await;
        world
    }

    /// Runs statements on the one connection: another one would report what it touched at some
    /// later time.
    async fn run(&self, sql: &str) {
        let sql = sql.replace("{schema}", &self.db.schema);
        self.pool.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
    }

    /// How many pages have been touched so far.
    async fn touched(&self) -> i64 {
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&self.pool).await.unwrap();
        self.db
            .number(
                "SELECT (heap_blks_read + heap_blks_hit + idx_blks_read + idx_blks_hit)::int8 \
                 FROM pg_statio_user_tables \
                 WHERE schemaname = '{schema}' AND relname = 'snapfold_snapshots'",
            )
            .await
    }

    /// Reads all keys, page by page, and returns how many there are and the most pages of the
    /// server that one page of keys touched.
    async fn costliest_page(&self, request: KeysRequest<'_>) -> (usize, i64) {
        self.costliest_of(request, usize::MAX).await
    }

    /// The same for the first pages.
    async fn costliest_of(&self, request: KeysRequest<'_>, pages: usize) -> (usize, i64) {
        let (mut count, mut most) = (0, 0);
        let mut cursor = request.after.cloned();
        for _ in 0..pages {
            let before = self.touched().await;
            let mut request = request.limit(PAGE);
            if let Some(cursor) = &cursor {
                request = request.after(cursor);
            }
            let page = self.store.keys(request).await.unwrap();
            most = most.max(self.touched().await - before);
            count += page.items.len();
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        (count, most)
    }
}

#[tokio::test]
async fn a_page_of_keys_costs_the_same_however_many_snapshots_there_are() {
    for versions in [1, 300] {
        let world = World::new(versions).await;
        let all = KeysRequest::new();
        let each = usize::try_from(AGGREGATES).unwrap();
        for (request, expected) in [
            (all, 6 * each),
            (all.tenant("t"), 3 * each),
            (all.kind("b"), 2 * each),
            (all.kind("d"), 0),
            (all.tenant("s").kind("c"), each),
        ] {
            let (count, touched) = world.costliest_page(request).await;
            assert_eq!(count, expected, "{request:?}");
            // A search in the index goes down at most three levels, and may look at the row.
            let bound = 6 * (i64::try_from(PAGE).unwrap() + 4);
            assert!(touched > 0 && touched <= bound, "{touched}, {versions} versions, {request:?}");
        }
        world.db.close().await;
    }
}

/// 100,000 snapshots, one of each second. Their keys and their places in the table are in two other
/// orders, as after years of deletes.
#[tokio::test]
async fn keys_of_a_short_time_are_found_by_the_index_and_those_of_a_long_one_are_not() {
    let world = World::new(1).await;
    let fill = "SET session_replication_role = replica; \
         TRUNCATE {schema}.snapfold_snapshots; RESET session_replication_role; \
         INSERT INTO {schema}.snapfold_snapshots (tenant, kind, id, schema_version, \
           fingerprint, version, as_of, created_at, raw_bytes, codec, header, payload) \
         SELECT '', 'account', md5(v::text), 1, -9223372036854775808, 1, 0, v::int8 * 1000000, \
           0, 0, '', '' FROM generate_series(1, 100000) AS v ORDER BY md5('x' || v); \
         VACUUM ANALYZE {schema}.snapfold_snapshots";
    for statement in fill.split_inclusive(';') {
        world.run(statement).await;
    }
    let all = KeysRequest::new();
    let at = |second| Timestamp::from_seconds(second);
    let short = all.created_from(at(99_501));
    for (request, expected) in [
        (short, 500),
        (short.tenant(""), 500),
        (short.kind("account"), 500),
        (short.tenant("").kind("account"), 500),
        (all.created_before(at(501)), 500),
        (all.created_from(at(30_000)).created_before(at(30_500)), 500),
    ] {
        let (count, touched) = world.costliest_page(request).await;
        assert_eq!(count, expected, "{request:?}");
        // Each row is counted and read. In the order of keys, a page is found among 10,000 rows.
        assert!(touched > 0 && touched <= 1_200, "{touched}, {request:?}");
    }
    // Of keys of all times, only about as many rows are read as there are keys on the page, and only
    // the first page counts.
    let most = 4 * i64::try_from(PAGE).unwrap();
    for request in [all.created_from(at(1)), all.created_before(at(i64::from(i32::MAX)))] {
        let (_, first) = world.costliest_of(request, 1).await;
        assert!(first > 0 && first <= 64 * most, "{first}, {request:?}");
        let cursor = world.store.keys(request.limit(PAGE)).await.unwrap().next.unwrap();
        let (count, touched) = world.costliest_of(request.after(&cursor), 20).await;
        assert_eq!(count, 20 * PAGE, "{request:?}");
        assert!(touched > 0 && touched <= most, "{touched}, {request:?}");
    }
    world.db.close().await;
}

#[tokio::test]
async fn a_snapshot_is_found_in_a_few_pages_however_many_there_are() {
    for versions in [1, 60] {
        let world = World::new(versions).await;
        let key = AggregateKey::from_parts("s", "b", "id7").unwrap();
        let missing = AggregateKey::from_parts("s", "b", "id7x").unwrap();
        let query = Query::latest(&key, GENERATION);
        for query in [query, query.at_most(3), Query::latest(&missing, GENERATION)] {
            // Also with the plan for any parameters, which the server makes after five runs.
            for _ in 0..7 {
                let before = world.touched().await;
                world.store.get(query).await.unwrap();
                let touched = world.touched().await - before;
                assert!(touched > 0 && touched <= 12, "{touched}, {versions} versions, {query:?}");
            }
        }
        world.db.close().await;
    }
}

/// One snapshot of each second, from version 1 on, `disordered` or not.
async fn history(world: &World, versions: i64, disordered: bool) {
    let fill = format!(
        "{FREE} TRUNCATE {{schema}}.snapfold_snapshots; {GUARDED} \
         INSERT INTO {{schema}}.snapfold_snapshots (tenant, kind, id, schema_version, \
           fingerprint, version, as_of, created_at, raw_bytes, codec, header, payload, \
           disordered) \
         SELECT '', 'account', 'a', 1, -9223372036854775808, v, v::int8 * 1000000, 0, 0, 1, \
           '', '', {disordered} AND v = 1 FROM generate_series(1, {versions}) AS v"
    );
    world.run(&fill).await;
}

#[tokio::test]
async fn a_snapshot_at_a_past_time_is_found_in_a_few_pages_however_many_are_newer() {
    let world = World::new(1).await;
    world
        .db
        .run(
            "CREATE TABLE {schema}.events (id text, version int8, recorded_at timestamptz, \
             payload jsonb, PRIMARY KEY (id, version))",
        )
        .await;
    let table = EventTable::new(format!("{}.events", world.db.schema));
    let events = PostgresEvents::new(world.pool.clone(), table, decode).unwrap();
    let hybrid = events.with_snapshots(&world.store).unwrap();
    let key = key("a");
    let at = |second| Timestamp::from_seconds(second);
    let mut costs = Vec::new();
    for versions in [10, 1_000, 100_000] {
        history(&world, versions, false).await;
        // With what the planner guesses and with what it knows, with the plan for these parameters
        // and, from the sixth time on, for any.
        for analyzed in [false, true] {
            if analyzed {
                world.run("ANALYZE {schema}.snapfold_snapshots").await;
            }
            let of = Query::latest(&key, GENERATION);
            let other = Query::latest(&key, Generation { schema_version: 2, fingerprint: 1 });
            let found = |lookup: Lookup| match lookup {
                Lookup::Found(found) => found.version.cast_signed(),
                Lookup::OtherGeneration => -1,
                _ => 0,
            };
            for (query, expected) in [
                (of.as_of(at(5)), 5),
                (of.as_of(at(5)).at_most(3), 3),
                (of.as_of(at(versions)), versions),
                (of.as_of(at(i64::from(i32::MAX))), versions),
                (of.as_of(at(versions / 2)), versions / 2),
                (of.as_of(at(0)), 0),
                (other.as_of(at(0)), 0),
                (other.as_of(at(1)), -1),
            ] {
                for round in 0..7 {
                    let before = world.touched().await;
                    assert_eq!(found(world.store.get(query).await.unwrap()), expected);
                    let store = world.touched().await - before;
                    let fetched = HybridSource::<Account>::fetch(&hybrid, query).await.unwrap();
                    assert_eq!(found(fetched.lookup), expected);
                    let hybrid = world.touched().await - before - store;
                    costs.push(store.max(hybrid));
                    // In the first call the planner also reads one page of each index there is.
                    assert!(
                        store <= 25 && hybrid <= 25,
                        "{store} and {hybrid} pages, {versions} versions, {query:?}, {round}"
                    );
                }
            }
        }
    }
    println!("at most {:?} pages", costs.iter().max());
    // Where versions and times do not rise together, each newer one is looked at, as it must be.
    history(&world, 1_000, true).await;
    let before = world.touched().await;
    world.store.get(Query::latest(&key, GENERATION).as_of(at(5))).await.unwrap();
    assert!(world.touched().await - before > 24);
    world.db.close().await;
}

#[tokio::test]
async fn snapshots_that_are_put_in_order_are_not_marked_and_others_are() {
    let world = World::new(1).await;
    let marked = async || {
        world.db.number("SELECT count(*) FROM {schema}.snapfold_snapshots WHERE disordered").await
    };
    let record = |version: u64, second: i64| {
        let at = Timestamp::from_seconds(second);
        RecordBuilder::new(key("a"), GENERATION, version, at).build(b"state").unwrap()
    };
    let put = async |records| {
        let replace = PutOptions::default().replace(true);
        world.store.put(records, replace).await.unwrap();
    };
    put(vec![record(10, 10), record(20, 20), record(30, 20)]).await;
    put(vec![record(15, 10)]).await;
    put(vec![record(5, 10), record(40, 20)]).await;
    put(vec![record(20, 15)]).await;
    assert_eq!(marked().await, 0);
    // Each in a transaction of its own that is taken back: below the one before, above the one
    // after, within one batch, by a replacement.
    for records in [
        vec![record(16, 9)],
        vec![record(41, 19)],
        vec![record(4, 11)],
        vec![record(50, 31), record(51, 30)],
        vec![record(20, 21)],
    ] {
        let before = world.db.number("SELECT count(*) FROM {schema}.snapfold_snapshots").await;
        put(records.clone()).await;
        assert!(marked().await > 0, "{records:?}");
        // All that follow are, until they are gone.
        put(vec![record(99, 99)]).await;
        assert!(marked().await > 1, "{records:?}");
        world.db.run("DELETE FROM {schema}.snapfold_snapshots WHERE disordered").await;
        put(vec![record(20, 15)]).await;
        assert_eq!(marked().await, 0);
        let after = world.db.number("SELECT count(*) FROM {schema}.snapfold_snapshots").await;
        assert_eq!(after, before);
    }
    world.db.close().await;
}

#[tokio::test]
async fn a_migration_marks_what_was_stored_out_of_order() {
    let world = World::new(1).await;
    let migrations = world.store.migrations();
    history(&world, 100, false).await;
    world
        .db
        .tamper("UPDATE {schema}.snapfold_snapshots SET as_of = 0 WHERE version = 50 AND id = 'a'")
        .await;
    migrations.run_to(2).await.unwrap();
    migrations.run().await.unwrap();
    let marked = "SELECT sum(version)::int8 FROM {schema}.snapfold_snapshots WHERE disordered";
    assert_eq!(world.db.number(marked).await, 50);
    let key = key("a");
    let query = Query::latest(&key, GENERATION).as_of(Timestamp::from_seconds(3));
    let Lookup::Found(found) = world.store.get(query).await.unwrap() else { panic!("not found") };
    assert_eq!(found.version, 50);
    world.db.close().await;
}

/// How many rows are named matters, how many there are does not.
#[tokio::test]
async fn marks_and_deletes_of_ids_cost_the_same_however_many_snapshots_there_are() {
    let world = World::new(1).await;
    let key = key("a");
    let pin = Mark::pin("audit", Timestamp::from_seconds(1));
    for versions in [300, 100_000] {
        history(&world, versions, false).await;
        // Chains of 16, each on a snapshot that is no delta.
        let base = "SET base = version - 1 WHERE version % 16 <> 1";
        let update = format!("{FREE} UPDATE {{schema}}.snapfold_snapshots {base}; {GUARDED}");
        world.run(&update).await;
        world.run("VACUUM {schema}.snapfold_snapshots").await;
        for analyzed in [false, true] {
            if analyzed {
                world.run("ANALYZE {schema}.snapfold_snapshots").await;
            }
            let middle = versions.cast_unsigned() / 32 * 16;
            for count in [1, 16, 100] {
                let ids: Vec<_> = (middle + 1..=middle + count)
                    .map(|version| SnapshotId { generation: GENERATION, version })
                    .collect();
                let ids = Selection::Ids(&ids);
                // Also with the plan for any parameters, which the server makes after five runs.
                for round in 0..7 {
                    let before = world.touched().await;
                    let mut transaction = world.pool.begin().await.unwrap();
                    let set = MarkChange::Set(&pin);
                    let marked = world.store.mark_in(&mut transaction, &key, ids, set).await;
                    assert_eq!(marked.unwrap(), count);
                    transaction.rollback().await.unwrap();
                    let mark = world.touched().await - before;
                    let mut transaction = world.pool.begin().await.unwrap();
                    let plain = DeleteOptions::default();
                    let deleted = world.store.delete_in(&mut transaction, &key, ids, plain).await;
                    // The named part of the last chain stays, as the rest of it is based on that.
                    let needed = count % 16;
                    let deleted = deleted.unwrap();
                    assert_eq!((deleted.snapshots, deleted.needed), (count - needed, needed));
                    transaction.rollback().await.unwrap();
                    let delete = world.touched().await - before - mark;
                    // A table of 40 pages is read whole if that is cheaper than ten lookups.
                    let bound = 80 + 32 * count.cast_signed();
                    assert!(
                        mark <= bound && delete <= bound,
                        "{mark} and {delete} pages, {count} of {versions}, {analyzed}, {round}"
                    );
                }
            }
        }
    }
    world.db.close().await;
}

#[tokio::test]
async fn deletes_of_many_keys_cost_the_same_however_many_snapshots_there_are() {
    for versions in [8, 300] {
        let world = World::new(versions).await;
        let keys: Vec<_> = (1..=100)
            .map(|n| AggregateKey::from_parts("s", "b", &format!("id{n}")).unwrap())
            .collect();
        // Also with the plan for any parameters, which the server makes after five runs.
        for version in 1..=7 {
            let ids = [SnapshotId { generation: GENERATION, version }];
            let selected: Vec<_> = keys.iter().map(|key| (key, &ids[..])).collect();
            let before = world.touched().await;
            let deleted =
                world.store.delete_many(&selected, DeleteOptions::default()).await.unwrap();
            assert!(deleted.iter().all(|deleted| deleted.snapshots == 1));
            let touched = world.touched().await - before;
            let bound = 80 + 32 * i64::try_from(keys.len()).unwrap();
            assert!(touched > 0 && touched <= bound, "{touched}, {versions} versions, {version}");
        }
        world.db.close().await;
    }
}
