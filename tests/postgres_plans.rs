//! A statement whose plan is wrong gives right answers, slower with every snapshot that is stored:
//! a page of keys once read all versions of each aggregate, and everything before its cursor. So
//! the pages of tables and indexes that a call touches are counted, in small tables and in large
//! ones.
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

use postgres_support::TestDb;
use snapfold::{
    AggregateKey, Generation, KeysRequest, PostgresOptions, PostgresStore, Query, SnapshotStore,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, Executor, PgPool};

const AGGREGATES: i64 = 120;
const PAGE: usize = 50;
const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 0 };

/// A store on one connection, whose count of touched pages is therefore complete.
struct World {
    db: TestDb,
    pool: PgPool,
    store: PostgresStore,
}

impl World {
    /// Three kinds in two tenants, each with as many aggregates, and so many versions of each.
    async fn new(versions: i64) -> Self {
        let db = TestDb::new().await;
        let pool = PgPoolOptions::new().max_connections(1).connect_with(db.options.clone());
        let pool = pool.await.unwrap();
        let options = PostgresOptions::new().schema(&db.schema);
        let store = PostgresStore::new(pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        // Nothing but the calls of the test may touch the table, or change what the planner knows.
        let fill = format!(
            "ALTER TABLE {{schema}}.snapfold_snapshots SET (autovacuum_enabled = false); \
             INSERT INTO {{schema}}.snapfold_snapshots (tenant, kind, id, schema_version, \
               fingerprint, version, as_of, created_at, raw_bytes, codec, pinned, header, payload) \
             SELECT tenant, kind, 'id' || n, 1, -9223372036854775808, v, 0, 0, 0, 1, false, '', '' \
             FROM unnest(ARRAY['s', 't']) AS tenant, unnest(ARRAY['a', 'b', 'c']) AS kind, \
               generate_series(1, {versions}) AS v, generate_series(1, {AGGREGATES}) AS n; \
             ANALYZE {{schema}}.snapfold_snapshots"
        )
        .replace("{schema}", &db.schema);
        pool.execute(sqlx::raw_sql(AssertSqlSafe(fill))).await.unwrap();
        Self { db, pool, store }
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
        let (mut count, mut most) = (0, 0);
        let mut cursor = None;
        loop {
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
                return (count, most);
            }
        }
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
