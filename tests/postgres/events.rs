//! Event tables as applications have them: ids that are numbers, labels or UUIDs, times without a
//! zone or without an end, names with dots, queries copied from a console with their semicolon,
//! columns that were mixed up, and columns that change their type while the application runs. A
//! wrong answer to any of these is a version 0, or a state that lacks events, without an error. So
//! each is either right, compared with a fold over the rows, or refused with the name of what to
//! check.

use std::time::Duration;

use crate::support::TestDb;
use crate::support::account::{Account, chain, decode, folded, key};
use snapfold::engine::ReplayLoader;
use snapfold::manager::{CreateOptions, Origin};
use snapfold::postgres::{
    EventRow, EventTable, KeyType, PostgresEvents, PostgresOptions, PostgresStore,
};
use snapfold::store::KeysRequest;
use snapfold::{
    AggregateKey, BoxError, Error, ErrorKind, EventSource, Loaded, Loader, MemoryStore, Point,
    Retry, SnapshotEngine, Timestamp,
};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

/// The columns of a table that fits the defaults.
const COLUMNS: &str = "id text, version int8, recorded_at timestamptz, payload jsonb";
/// Ten events of `a`, one a second, the first at 1 s after 2026 began.
const EVENTS: &str = "SELECT 'a', n, timestamptz '2026-01-01 00:00:00+00' + n * interval '1 s', \
     to_jsonb(n) FROM generate_series(1, 10) n";

fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(1_767_225_600 + second)
}

/// The ways to load: with snapshots in one statement and in two, and without any.
struct Ways {
    hybrid: SnapshotEngine<Account>,
    plain: SnapshotEngine<Account>,
    replay: ReplayLoader<Account>,
}

impl Ways {
    async fn new(db: &TestDb, pool: &PgPool, table: EventTable) -> Self {
        Self::decoded(db, pool, table, decode).await
    }

    async fn decoded(
        db: &TestDb,
        pool: &PgPool,
        table: EventTable,
        decode: impl Fn(EventRow<'_>) -> Result<i64, BoxError> + Send + Sync + 'static,
    ) -> Self {
        let options = PostgresOptions::new().schema(&db.schema);
        let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        let events = PostgresEvents::new(pool.clone(), table, decode).unwrap();
        let builder = || SnapshotEngine::builder(events.clone(), store.clone());
        Self {
            hybrid: builder().hybrid(events.with_snapshots(&store).unwrap()).build().unwrap(),
            plain: builder().build().unwrap(),
            replay: ReplayLoader::new(events.clone()),
        }
    }

    /// The answer of each way.
    async fn load(&self, id: &str, point: Point) -> [Result<Loaded<Account>, Error>; 3] {
        let key = key(id);
        [
            self.hybrid.latest_known(&key, point).await,
            self.plain.latest_known(&key, point).await,
            self.replay.latest_known(&key, point).await,
        ]
    }

    /// Checks that each answer is the state after `events` events.
    async fn gives(&self, id: &str, point: Point, events: i64) {
        for (way, loaded) in ["hybrid", "plain", "replay"].iter().zip(self.load(id, point).await) {
            let loaded = loaded.unwrap_or_else(|e| panic!("{way} {id} {point:?}: {e:?}"));
            assert_eq!(*loaded.state, folded(1..=events), "{way} {id} {point:?}");
        }
    }

    /// Checks that each way refuses, with these words.
    async fn refuses(&self, id: &str, kind: ErrorKind, words: &[&str]) {
        for (way, loaded) in
            ["hybrid", "plain", "replay"].iter().zip(self.load(id, Point::Now).await)
        {
            let error = loaded.map(|loaded| loaded.version).unwrap_err();
            let text = chain(&error);
            assert_eq!(error.kind(), kind, "{way} {id}: {text}");
            assert_eq!(error.retry(), Retry::Never, "{way} {id}: {text}");
            for word in words {
                assert!(text.contains(word), "{way} {id}: {word:?} is not in {text:?}");
            }
            assert!(!text.contains("migrat"), "{way}: {text}");
        }
    }
}

async fn table(db: &TestDb, columns: &str, rows: &str) {
    db.run(&format!(
        "DROP TABLE IF EXISTS {{schema}}.events; \
         CREATE TABLE {{schema}}.events ({columns}); INSERT INTO {{schema}}.events {rows}"
    ))
    .await;
}

fn events(db: &TestDb) -> EventTable {
    EventTable::new(format!("{}.events", db.schema))
}

#[tokio::test]
async fn a_table_without_tenants_has_no_events_of_another_tenant() {
    let db = TestDb::new().await;
    table(&db, COLUMNS, EVENTS).await;
    let of = |tenant: &str| AggregateKey::from_parts(tenant, key("a").kind(), "a").unwrap();
    let query = EventTable::query(format!(
        "SELECT version, recorded_at, NULL, NULL, payload FROM {}.events \
         WHERE id = {{id}} AND version > {{after}} AND version <= {{until}}",
        db.schema
    ));
    for own in [events(&db), query] {
        for (own, tenant, another) in
            [(own.clone(), "", "north"), (own.of_tenant("north"), "north", "")]
        {
            let ways = Ways::new(&db, &db.pool, own.clone()).await;
            let loaders: [&dyn Loader<Account>; 3] = [&ways.hybrid, &ways.plain, &ways.replay];
            for loader in loaders {
                assert_eq!(*loader.load(&of(tenant)).await.unwrap().state, folded(1..=10));
                let error = loader.load(&of(another)).await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error:?}");
                assert!(chain(&error).contains("EventTable::of_tenant"), "{}", chain(&error));
            }
            let source = PostgresEvents::new(db.pool.clone(), own, decode).unwrap();
            let keys = |request| EventSource::<Account>::keys(&source, request);
            let Ok(all) = keys(KeysRequest::new()).await else { continue };
            assert_eq!(all.items, [of(tenant)]);
            let named = keys(KeysRequest::new().tenant(tenant)).await.unwrap();
            assert_eq!(named.items, [of(tenant)]);
            assert!(keys(KeysRequest::new().tenant(another)).await.unwrap().items.is_empty());
        }
    }
    db.close().await;
}

#[tokio::test]
async fn ids_and_kinds_of_other_types_are_read_and_bad_ones_refused_alike() {
    let db = TestDb::new().await;
    db.run("CREATE TYPE {schema}.\"Kind\" AS ENUM ('account', 'order', 'a')").await;
    let uuid = "6f1c2f0e-5d43-4d5b-9a3e-0d7f4e4b2a11";
    let label = KeyType::Enum(format!("{}.Kind", db.schema));
    for (of, id, bad, own, words) in [
        ("uuid", uuid, "no uuid", events(&db).uuid_id("i"), "is not a uuid"),
        ("int8", "-42", "4.2", events(&db).bigint_id("i"), "is not a bigint"),
        ("int4", "42", "", events(&db).bigint_id("i"), "is not a bigint"),
        ("int2", "42", "99999999999999999999", events(&db).bigint_id("i"), "is not a bigint"),
        ("{schema}.\"Kind\"", "a", "b", events(&db).id_as("i", label.clone()), "of the key"),
        ("varchar", "a", "", events(&db).id("i"), ""),
        ("char(3)", "a", "", events(&db).id("i"), ""),
    ] {
        let columns = format!(
            "i {of}, version int8, recorded_at timestamptz, payload jsonb, k {{schema}}.\"Kind\""
        );
        let rows = format!(
            "SELECT '{id}', n, timestamptz '2026-01-01' + n * interval '1 s', to_jsonb(n), 'account' \
             FROM generate_series(1, 10) n"
        );
        table(&db, &columns, &rows).await;
        let ways = Ways::new(&db, &db.pool, own.kind_as("k", label.clone())).await;
        ways.gives(id, Point::Now, 10).await;
        ways.hybrid.create_with(&key(id), CreateOptions::new().at_version(4)).await.unwrap();
        ways.gives(id, Point::Now, 10).await;
        ways.gives(id, Point::Version(6), 6).await;
        ways.gives(id, Point::Time(at(7)), 7).await;
        if !words.is_empty() {
            ways.refuses(bad, ErrorKind::InvalidInput, &[words]).await;
        }
    }
    db.close().await;
}

#[tokio::test]
async fn domains_and_views_are_read_as_what_they_are_made_of() {
    let db = TestDb::new().await;
    db.run(
        "CREATE DOMAIN {schema}.moment AS timestamptz NOT NULL; \
         CREATE DOMAIN {schema}.body AS jsonb; CREATE DOMAIN {schema}.body2 AS {schema}.body; \
         CREATE DOMAIN {schema}.name AS text",
    )
    .await;
    let columns = "id {schema}.name, version int8, recorded_at {schema}.moment, \
         payload {schema}.body2, what {schema}.name DEFAULT 'w', anchor int4 DEFAULT 7";
    table(&db, columns, EVENTS).await;
    db.run("CREATE VIEW {schema}.seen AS SELECT * FROM {schema}.events").await;
    for name in ["events", "seen"] {
        let own = EventTable::new(format!("{}.{name}", db.schema));
        let ways = Ways::new(&db, &db.pool, own.event_type("what").anchor("anchor")).await;
        ways.hybrid.create_with(&key("a"), CreateOptions::new().at_version(4)).await.unwrap();
        for _ in 0..7 {
            ways.gives("a", Point::Now, 10).await;
            ways.gives("a", Point::Version(6), 6).await;
            ways.gives("a", Point::Time(at(7)), 7).await;
        }
    }
    db.close().await;
}

#[tokio::test]
async fn the_version_of_an_events_schema_reaches_the_decoder() {
    let db = TestDb::new().await;
    let columns = "id text, version int8, recorded_at timestamptz, payload jsonb, \
         what text DEFAULT 'w', revision int2 DEFAULT 2, meta text DEFAULT 'm', note text";
    table(&db, columns, EVENTS).await;
    // With and without the columns beside it, and NULL.
    for (described, expected) in [
        (events(&db).event_version("revision"), [None, Some("2"), None]),
        (
            events(&db).event_type("what").event_version("revision").metadata("meta"),
            [Some("w"), Some("2"), Some("m")],
        ),
        (events(&db).event_version("note").metadata("meta"), [None, None, Some("m")]),
    ] {
        let check = move |row: EventRow<'_>| {
            let meta = row.metadata.map(|meta| std::str::from_utf8(meta).unwrap());
            assert_eq!([row.event_type, row.event_version, meta], expected);
            decode(row)
        };
        let ways = Ways::decoded(&db, &db.pool, described, check).await;
        ways.hybrid.create_with(&key("a"), CreateOptions::new().at_version(4)).await.unwrap();
        ways.gives("a", Point::Now, 10).await;
        ways.gives("a", Point::Version(6), 6).await;
        let many = ways.hybrid.load_many(&[key("a")]).await;
        assert_eq!(*many[0].as_ref().unwrap().state, folded(1..=10));
    }
    db.close().await;
}

#[tokio::test]
async fn a_time_without_a_zone_is_refused_with_its_column_even_without_rows() {
    let db = TestDb::new().await;
    for rows in [EVENTS, "SELECT 'b', 1, now(), '1'"] {
        table(&db, "id text, version int8, \"at\" timestamp, payload jsonb", rows).await;
        let ways = Ways::new(&db, &db.pool, events(&db).recorded_at("at")).await;
        let words = ["check EventTable", "\"at\"", "without time zone", "timestamptz"];
        ways.refuses("a", ErrorKind::InvalidInput, &words).await;
        let query = format!(
            "SELECT version, \"at\", NULL, NULL, payload FROM {}.events WHERE id = {{id}} \
             AND version > {{after}} AND version <= {{until}}",
            db.schema
        );
        let ways = Ways::new(&db, &db.pool, EventTable::query(&query)).await;
        ways.refuses("a", ErrorKind::InvalidInput, &["check EventTable", "time zone"]).await;
        let query = query.replace("\"at\"", "\"at\" AT TIME ZONE 'UTC'");
        let ways = Ways::new(&db, &db.pool, EventTable::query(query)).await;
        ways.gives("a", Point::Now, if rows == EVENTS { 10 } else { 0 }).await;
    }
    db.close().await;
}

#[tokio::test]
async fn infinite_and_extreme_times_are_compared_as_the_fold_compares_them() {
    let db = TestDb::new().await;
    let extremes = [
        "-infinity",
        "4714-11-24 00:00:00+00 BC",
        "4714-11-24 00:00:00.000001+00 BC",
        "2026-01-01 00:00:01+00",
        "294246-12-31 00:00:00+00",
        "294276-12-31 23:59:59+00",
        "infinity",
    ];
    let bounds = [
        Timestamp::MIN,
        Timestamp::from_micros(i64::MIN + 1),
        Timestamp::from_micros(-211_813_488_000_000_000 + 946_684_800_000_000 - 1),
        Timestamp::from_micros(-211_813_488_000_000_000 + 946_684_800_000_000),
        at(1),
        Timestamp::from_micros(i64::MAX - 1),
        Timestamp::MAX,
    ];
    // Every order of two of them, then ordinary ones.
    for first in extremes {
        for second in extremes {
            let rows = format!(
                "SELECT 'a', n, CASE n WHEN 1 THEN timestamptz '{first}' WHEN 2 THEN '{second}' \
                   ELSE timestamptz '2026-01-01 00:00:00+00' END, to_jsonb(n) \
                 FROM generate_series(1, 4) n"
            );
            table(&db, COLUMNS, &rows).await;
            let ways = Ways::new(&db, &db.pool, events(&db)).await;
            for bound in bounds {
                let [hybrid, plain, replay] =
                    ways.load("a", Point::Time(bound)).await.map(Result::unwrap);
                let what = format!("{first}, {second}, {bound:?}");
                assert_eq!(
                    (&hybrid.state, hybrid.version),
                    (&replay.state, replay.version),
                    "{what}"
                );
                assert_eq!((plain.state, plain.version), (replay.state, replay.version), "{what}");
            }
        }
    }
    // All are before the highest time, and only one is at the lowest.
    table(&db, COLUMNS, "VALUES ('a', 1, '-infinity', '1'), ('a', 2, 'infinity', '2')").await;
    let ways = Ways::new(&db, &db.pool, events(&db)).await;
    ways.gives("a", Point::Time(Timestamp::MIN), 1).await;
    ways.gives("a", Point::Time(Timestamp::from_micros(i64::MAX - 1)), 1).await;
    ways.gives("a", Point::Time(Timestamp::MAX), 2).await;
    db.close().await;
}

#[tokio::test]
async fn a_name_with_a_dot_is_a_schema_and_a_table() {
    let db = TestDb::new().await;
    table(&db, COLUMNS, EVENTS).await;
    Ways::new(&db, &db.pool, events(&db)).await.gives("a", Point::Now, 10).await;
    // Unless the schema is named, or the names are too many.
    db.run("ALTER TABLE {schema}.events RENAME TO \"my.events\"").await;
    let named = EventTable::new("my.events").schema(&db.schema);
    Ways::new(&db, &db.pool, named).await.gives("a", Point::Now, 10).await;
    for (name, word) in
        [("a.b.c", "more than one dot"), (".b", "schema"), ("a.", "table"), ("", "")]
    {
        let error = PostgresEvents::<i64>::new(db.pool.clone(), EventTable::new(name), decode);
        let error = error.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{name}");
        assert!(error.to_string().contains(word), "{name}: {error}");
    }
    db.close().await;
}

#[tokio::test]
async fn a_query_may_end_as_queries_do() {
    let db = TestDb::new().await;
    table(&db, COLUMNS, EVENTS).await;
    let sql = format!(
        "SELECT version, recorded_at, NULL, NULL, payload /* of {{id}} */ FROM {}.events -- all {{after}}\n\
         WHERE id = {{id}} AND version > {{after}} AND version <= {{until}} AND 'a;b' <> '--'",
        db.schema
    );
    for end in ["", ";", "\n;\n", " -- done", "; -- done {id}", " /* done */ ;"] {
        let query = EventTable::query(format!("{sql}{end}"));
        let ways = Ways::new(&db, &db.pool, query).await;
        ways.gives("a", Point::Now, 10).await;
        ways.gives("a", Point::Version(3), 3).await;
        ways.gives("a", Point::Time(at(5)), 5).await;
        ways.gives("b", Point::Now, 0).await;
    }
    db.close().await;
}

#[tokio::test]
async fn what_is_wrong_in_an_event_table_is_named() {
    let db = TestDb::new().await;
    let columns = "tenant text, kind text, id uuid, version int8, recorded_at timestamptz, \
         payload jsonb, at_us int8, note text";
    let uuid = "6f1c2f0e-5d43-4d5b-9a3e-0d7f4e4b2a11";
    let rows = format!(
        "SELECT '', 'account', '{uuid}'::uuid, n, now(), to_jsonb(n), 1, '' FROM generate_series(1, 3) n"
    );
    table(&db, columns, &rows).await;
    let good = || events(&db).uuid_id("id").kind("kind");
    Ways::new(&db, &db.pool, good()).await.gives(uuid, Point::Now, 3).await;
    PostgresEvents::new(db.pool.clone(), good(), decode).unwrap().check().await.unwrap();
    for (wrong, words) in [
        (good().payload("body"), ["no column \"body\"", ""]),
        (good().kind("aggregate_type"), ["no column \"aggregate_type\"", ""]),
        (good().anchor("event_id"), ["no column \"event_id\"", ""]),
        (good().event_version("revision"), ["no column \"revision\"", ""]),
        (good().event_type("type"), ["no column \"type\"", ""]),
        (good().uuid_id("stream\"id"), ["no column \"stream\\\"id\"", ""]),
        (good().recorded_at("at"), ["no column \"at\"", ""]),
        (good().version("seq", 1), ["no column \"seq\"", ""]),
        (events(&db).kind("kind"), ["\"id\" does not have the", "uuid_id"]),
        (events(&db).kind("kind").bigint_id("id"), ["\"id\"", "bigint"]),
        (good().version("payload", 1), ["\"payload\" does not have the", "integer"]),
        (good().version("note", 1), ["\"note\" does not have the", "integer"]),
        (good().recorded_at("at_us"), ["\"at_us\" has the type INT8", "recorded_at_micros"]),
        (
            good().recorded_at_micros("recorded_at"),
            ["\"recorded_at\" has the type", "recorded_at_micros"],
        ),
        (good().payload("version"), ["\"version\" has the type INT8", "bytea"]),
        (good().payload("id"), ["\"id\" has the type UUID", "bytea"]),
        (good().event_type("at_us"), ["\"at_us\" has the type INT8", "text"]),
        (good().kind_as("kind", KeyType::Enum("nothing".into())), ["there is no such type", ""]),
        (EventTable::new("nowhere").schema(&db.schema).uuid_id("id"), ["no such table", ""]),
        (EventTable::new("no_schema.events").uuid_id("id"), ["no such table", ""]),
        (EventTable::query("SELECT {id}, {after}, wrong FROM nowhere"), ["no such table", ""]),
        (
            EventTable::query("SELECT 1, now(), '', '', wrong WHERE {id} = '' AND {after} > 0"),
            ["check EventTable", "wrong"],
        ),
        (EventTable::query("SELECT {id}, {after}"), ["check EventTable", "columns"]),
    ] {
        let source = PostgresEvents::new(db.pool.clone(), wrong.clone(), decode);
        let checked = source.unwrap().check().await;
        let error = checked.expect_err(&format!("{words:?}"));
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{words:?}: {error}");
        let text = chain(&error);
        assert!(text.contains("check EventTable") && text.contains(words[0]), "{words:?}: {text}");
        let ways = Ways::new(&db, &db.pool, wrong).await;
        let id = if words[1] == "bigint" { "7" } else { uuid };
        ways.refuses(id, ErrorKind::InvalidInput, &["check EventTable", words[0], words[1]]).await;
    }
    // By the time as well, which is compared in SQL only there.
    let ways = Ways::new(&db, &db.pool, good().recorded_at("at_us")).await;
    for loaded in ways.load(uuid, Point::Time(at(1))).await {
        let text = chain(&loaded.unwrap_err());
        assert!(text.contains("check EventTable") && text.contains("at_us"), "{text}");
    }
    // What is wrong with the store's own tables still is not the event table.
    let options = PostgresOptions::new().schema(&db.schema).table("other");
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    let events = PostgresEvents::new(db.pool.clone(), good(), decode).unwrap();
    let hybrid = events.with_snapshots(&store).unwrap();
    let engine: SnapshotEngine<Account> =
        SnapshotEngine::builder(events, store).hybrid(hybrid).build().unwrap();
    for point in [Point::Now, Point::Version(1), Point::Time(at(1))] {
        let text = chain(&engine.latest_known(&key(uuid), point).await.unwrap_err());
        assert!(text.contains("migrations") && !text.contains("EventTable"), "{text}");
    }
    db.close().await;
}

#[tokio::test]
async fn a_version_column_that_counts_from_elsewhere_is_named() {
    let db = TestDb::new().await;
    let zero_based = EVENTS.replace("'a', n,", "'a', n - 1,");
    // Events that nobody would miss: the first one has a number below what was said.
    table(&db, COLUMNS, &zero_based).await;
    let ways = Ways::new(&db, &db.pool, events(&db).version("version", 0)).await;
    ways.gives("a", Point::Now, 10).await;
    ways.gives("a", Point::Version(4), 4).await;
    let ways = Ways::new(&db, &db.pool, events(&db)).await;
    let words = ["check EventTable", "has 0 in column \"version\"", "version(\"version\", 1)"];
    ways.refuses("a", ErrorKind::InvalidInput, &words).await;
    let source = PostgresEvents::<i64>::new(db.pool.clone(), events(&db), decode).unwrap();
    for answer in [
        EventSource::<Account>::head(&source, &key("a")).await.map(drop),
        EventSource::<Account>::floor(&source, &key("a")).await.map(drop),
    ] {
        assert!(chain(&*answer.unwrap_err()).contains("check EventTable"));
    }
    // And the other way round: it looks as if the first event were gone.
    table(&db, COLUMNS, EVENTS).await;
    let ways = Ways::new(&db, &db.pool, events(&db).version("version", 0)).await;
    let words = ["check EventTable", "\"version\"", "version(\"version\", 0)"];
    ways.refuses("a", ErrorKind::Unrecoverable, &words).await;
    // Where the first event really is gone, a snapshot serves as ever.
    table(&db, COLUMNS, &zero_based).await;
    let ways = Ways::new(&db, &db.pool, events(&db).version("version", 0)).await;
    ways.hybrid.create_with(&key("a"), CreateOptions::new().at_version(1)).await.unwrap();
    db.run("DELETE FROM {schema}.events WHERE version = 0").await;
    for engine in [&ways.hybrid, &ways.plain] {
        let loaded = engine.load(&key("a")).await.unwrap();
        assert_eq!((&*loaded.state, loaded.version), (&folded(1..=10), 10));
        assert_eq!(loaded.provenance.origin, Origin::Snapshot);
    }
    // Far away offsets neither overflow nor hide anything.
    for first in [i32::MIN, -1, 2, i32::MAX] {
        let rows = EVENTS.replace("'a', n,", &format!("'a', n - 1 + ({first})::int8,"));
        table(&db, COLUMNS, &rows).await;
        let ways = Ways::new(&db, &db.pool, events(&db).version("version", first)).await;
        for (point, count) in
            [(Point::Now, 10), (Point::Version(u64::MAX), 10), (Point::Time(at(3)), 3)]
        {
            db.tamper("TRUNCATE {schema}.snapfold_snapshots").await;
            ways.gives("a", point, count).await;
        }
    }
    db.close().await;
}

#[tokio::test]
async fn a_column_that_changes_its_type_fails_no_load_of_a_warm_pool() {
    for connections in [1_u32, 2, 8] {
        let db = TestDb::new().await;
        table(&db, &COLUMNS.replace("jsonb", "json"), &EVENTS.replace("to_jsonb", "to_json")).await;
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .connect_with(db.options.clone())
            .await
            .unwrap();
        let ways = Ways::new(&db, &pool, events(&db)).await;
        ways.hybrid.create_with(&key("a"), CreateOptions::new().at_version(4)).await.unwrap();
        for (of, version) in [("jsonb", "int4"), ("text", "int8"), ("json", "int2")] {
            // Every connection has the statements of every way prepared.
            let mut held = Vec::new();
            for _ in 0..connections {
                held.push(pool.acquire().await.unwrap());
            }
            drop(held);
            let mut warm = tokio::task::JoinSet::new();
            for _ in 0..connections * 20 {
                let (hybrid, plain) = (ways.hybrid.clone(), ways.plain.clone());
                warm.spawn(async move {
                    hybrid.load(&key("a")).await.unwrap();
                    plain.load(&key("a")).await.unwrap();
                });
            }
            warm.join_all().await;
            db.run(&format!(
                "ALTER TABLE {{schema}}.events ALTER payload TYPE {of} USING payload::text::{of}, \
                 ALTER version TYPE {version}"
            ))
            .await;
            for _ in 0..20 {
                ways.gives("a", Point::Now, 10).await;
            }
        }
        pool.close().await;
        db.close().await;
    }
}

#[tokio::test]
async fn statements_that_somebody_deallocated_are_prepared_again() {
    let db = TestDb::new().await;
    table(&db, COLUMNS, EVENTS).await;
    let pool = PgPoolOptions::new().max_connections(1).connect_with(db.options.clone());
    let pool = pool.await.unwrap();
    let ways = Ways::new(&db, &pool, events(&db)).await;
    for _ in 0..3 {
        ways.gives("a", Point::Now, 10).await;
        sqlx::Executor::execute(&pool, sqlx::raw_sql("DISCARD ALL")).await.unwrap();
    }
    db.close().await;
}

#[tokio::test]
async fn no_time_is_too_long_to_wait() {
    let db = TestDb::new().await;
    table(&db, COLUMNS, EVENTS).await;
    let options = PostgresOptions::new().schema(&db.schema).timeout(Duration::MAX);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    let url = crate::support::shared_url();
    PostgresStore::connect_with(url, &options).await.unwrap().check().await.unwrap();
    let source = PostgresEvents::new(db.pool.clone(), events(&db), decode).unwrap();
    let source = source.timeout(Duration::MAX);
    let replay = ReplayLoader::<Account>::new(source.clone());
    assert_eq!(*replay.load(&key("a")).await.unwrap().state, folded(1..=10));
    let engine: SnapshotEngine<Account> =
        SnapshotEngine::builder(source, MemoryStore::new()).build().unwrap();
    assert_eq!(engine.load(&key("a")).await.unwrap().version, 10);
    db.close().await;
}

#[tokio::test]
async fn a_table_without_times_is_read_at_versions_and_never_at_a_time() {
    let db = TestDb::new().await;
    let rows = "SELECT 'a', n, to_jsonb(n) FROM generate_series(1, 10) n";
    table(&db, "id text, version int8, payload jsonb", rows).await;
    let source = PostgresEvents::new(db.pool.clone(), events(&db).untimed(), decode).unwrap();
    source.check().await.unwrap();
    let ways = Ways::new(&db, &db.pool, events(&db).untimed()).await;
    ways.gives("a", Point::Now, 10).await;
    ways.gives("a", Point::Version(4), 4).await;
    for engine in [&ways.hybrid, &ways.plain] {
        let at_six = CreateOptions::new().at_version(6);
        engine.create_with(&key("a"), at_six).await.unwrap();
        let loaded = engine.load(&key("a")).await.unwrap();
        assert_eq!((loaded.provenance.origin, loaded.version), (Origin::Snapshot, 10));
        assert_eq!(loaded.as_of, Some(Timestamp::MAX));
        let times = engine.times(&key("a"), 1..=10, 100).await.unwrap();
        assert!(times.len() == 10 && times.iter().all(|it| it.recorded_at.is_none()));
    }
    ways.gives("a", Point::Version(8), 8).await;
    for loaded in ways.load("a", Point::Time(at(5))).await {
        assert_eq!(loaded.unwrap_err().kind(), ErrorKind::Unsupported);
    }
    // Without saying so, the column is missing.
    Ways::new(&db, &db.pool, events(&db))
        .await
        .refuses("a", ErrorKind::InvalidInput, &["no column \"recorded_at\""])
        .await;
    db.close().await;
}
