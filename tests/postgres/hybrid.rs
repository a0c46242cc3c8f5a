//! The hybrid load takes one statement where others take two. A shortcut is where a promise gets
//! lost: a tail cut short by its limit, a snapshot that is not compared with the events, a time
//! bound that leaves out an event too many. So every load is compared with a full replay, over
//! histories whose clocks run backwards and snapshots that are damaged, foreign or from another
//! history; and the number of statements is counted on the wire.

use std::sync::Arc;

use crate::support::TestDb;
use crate::support::proxy::Proxy;
use serde::{Deserialize, Serialize};
use snapfold::engine::{EngineBuilder, Incremental, OnStoreFailure, ReplayLoader};
use snapfold::events::{EventTime, HybridSource};
use snapfold::manager::Origin;
use snapfold::postgres::{EventRow, EventTable, PostgresEvents, PostgresOptions, PostgresStore};
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, EventRange, EventSource, Loader, MemoryEvents, Point,
    SnapshotEngine, SnapshotStore, Timestamp,
};
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};

/// Order matters to it: a fold that misses, repeats or swaps events ends elsewhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    hash: u64,
    count: u64,
}

impl Aggregate for Account {
    type Event = u32;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self { hash: key.id().len() as u64, count: 0 }
    }

    fn apply(&mut self, event: &u32) {
        self.hash = self.hash.wrapping_mul(31).wrapping_add(u64::from(*event));
        self.count += 1;
    }
}

fn decode(row: EventRow<'_>) -> Result<u32, snapfold::BoxError> {
    Ok(std::str::from_utf8(row.payload)?.trim_matches(['"', ' ']).parse()?)
}

fn key(id: &str) -> AggregateKey {
    Account::key(id).unwrap()
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000 + micros)
}

/// An event table, a store beside it, and engines over both.
struct World {
    db: TestDb,
    pool: PgPool,
    proxy: Proxy,
    store: PostgresStore,
    events: PostgresEvents<u32>,
}

impl World {
    async fn new() -> Self {
        let db = TestDb::new().await;
        db.run(
            "CREATE TABLE {schema}.events (tenant text, kind text, id text, version int8, \
             recorded_at timestamptz, anchor int4, payload text, \
             PRIMARY KEY (tenant, kind, id, version))",
        )
        .await;
        let proxy = Proxy::to(&db.options).await;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .test_before_acquire(false)
            .connect_with(proxy.options(&db.options))
            .await
            .unwrap();
        let options = PostgresOptions::new().schema(&db.schema);
        let store = PostgresStore::with_options(pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        let table = EventTable::new("events")
            .schema(&db.schema)
            .tenant("tenant")
            .kind("kind")
            .anchor("anchor");
        let events = PostgresEvents::new(pool.clone(), table, decode).unwrap();
        Self { db, pool, proxy, store, events }
    }

    async fn append(&self, key: &AggregateKey, version: u64, at: Timestamp, event: u32) {
        let sql = format!(
            "INSERT INTO {}.events VALUES ($1, $2, $3, $4, \
             '2023-11-14 22:13:20+00'::timestamptz + $5 * interval '1 microsecond', $6, $7)",
            self.db.schema
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(key.tenant())
            .bind(key.kind())
            .bind(key.id())
            .bind(i64::try_from(version).unwrap())
            .bind(at.as_micros() - 1_700_000_000_000_000)
            .bind(i32::try_from(event).unwrap())
            .bind(event.to_string())
            .execute(&self.db.pool)
            .await
            .unwrap();
    }

    async fn history(&self, key: &AggregateKey, count: u32) {
        for version in 1..=count {
            self.append(key, version.into(), at(version.into()), version).await;
        }
    }

    fn builder(&self) -> EngineBuilder<Account> {
        SnapshotEngine::builder(self.events.clone(), self.store.clone())
    }

    fn engine(&self) -> SnapshotEngine<Account> {
        self.builder().hybrid(self.events.with_snapshots(&self.store).unwrap()).build().unwrap()
    }

    fn replay(&self) -> ReplayLoader<Account> {
        ReplayLoader::new(self.events.clone())
    }
}

fn random(seed: &mut u64, bound: u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) % bound
}

#[tokio::test]
async fn every_fused_load_equals_a_full_replay() {
    let world = World::new().await;
    let replay = world.replay();
    let mut seed = 11;
    for round in 0..25 {
        let hybrid = world.builder().hybrid(world.events.with_snapshots(&world.store).unwrap());
        let engine = if round % 3 == 0 && cfg!(feature = "lz4") {
            let deltas = Incremental::lz4().min_bytes(0).max_percent(u8::MAX).max_deltas(3);
            hybrid.incremental(deltas).build().unwrap()
        } else {
            hybrid.build().unwrap()
        };
        let tenant = if round % 2 == 0 { "" } else { "t" };
        let key = key(&format!("a{round}'\"")).with_tenant(tenant).unwrap();
        let head = random(&mut seed, 12);
        let mut now = 0;
        for version in 1..=head {
            // Clocks stand still and run backwards.
            now += i64::try_from(random(&mut seed, 7)).unwrap() - 2;
            world
                .append(&key, version, at(now), u32::try_from(random(&mut seed, 9)).unwrap())
                .await;
            if random(&mut seed, 4) == 0 {
                engine.create(&key).await.unwrap();
            }
        }
        // Some snapshots are damaged, some belong to another history.
        match random(&mut seed, 5) {
            0 => world
                .db
                .tamper(&format!(
                    "UPDATE {{schema}}.snapfold_snapshots SET payload = '\\x00' WHERE version = {} \
                 AND id LIKE 'a{round}''%'",
                    random(&mut seed, 12)
                ))
                .await,
            1 if head > 0 => world
                .db
                .run(&format!(
                    "UPDATE {{schema}}.events SET anchor = -1, payload = '77' WHERE version >= {} \
                 AND id LIKE 'a{round}''%'",
                    1 + random(&mut seed, head)
                ))
                .await,
            2 if head > 0 => world
                .db
                .run(&format!(
                    "DELETE FROM {{schema}}.events WHERE version = {head} AND id LIKE 'a{round}''%'"
                ))
                .await,
            _ => {}
        }
        let same = async |point: Point| {
            let expected = replay.latest_known(&key, point).await.unwrap();
            let loaded = engine.latest_known(&key, point).await.unwrap();
            assert_eq!(loaded.state, expected.state, "round {round} {point:?}");
            assert_eq!((loaded.version, loaded.as_of), (expected.version, expected.as_of));
        };
        same(Point::Now).await;
        for version in 0..head + 2 {
            same(Point::Version(version)).await;
        }
        for micros in -8..30 {
            same(Point::Time(at(micros))).await;
        }
        same(Point::Time(Timestamp::MIN)).await;
        same(Point::Time(Timestamp::MAX)).await;
    }
    world.db.close().await;
}

#[tokio::test]
async fn a_load_with_a_usable_snapshot_is_exactly_one_statement() {
    let world = World::new().await;
    let engine = world.engine();
    let key = key("a");
    world.history(&key, 30).await;
    assert!(
        engine
            .create_with(&key, snapfold::manager::CreateOptions::new().at_version(10))
            .await
            .is_ok()
    );
    assert!(
        engine
            .create_with(&key, snapfold::manager::CreateOptions::new().at_version(20))
            .await
            .is_ok()
    );
    for (point, version, from) in [
        (Point::Now, 30, 20),
        (Point::Version(25), 25, 20),
        (Point::Version(20), 20, 20),
        (Point::Version(19), 19, 10),
        (Point::Time(at(15)), 15, 10),
        (Point::Time(at(29)), 29, 20),
    ] {
        let before = world.proxy.statements();
        let loaded = engine.latest_known(&key, point).await.unwrap();
        assert_eq!(world.proxy.statements() - before, 1, "{point:?}");
        assert_eq!((loaded.version, loaded.state.count), (version, version));
        assert_eq!(loaded.provenance.snapshot.unwrap().id.version, from);
        assert_eq!(loaded.provenance.events_replayed, version - from);
    }
    // For comparison: the same without the hybrid path, and the operations of the store.
    let plain = world.builder().build().unwrap();
    let before = world.proxy.statements();
    plain.load(&key).await.unwrap();
    assert_eq!(world.proxy.statements() - before, 2);
    let generation = engine.generation();
    let mut before = world.proxy.statements();
    let mut counted = |what: &str| {
        let now = world.proxy.statements();
        assert_eq!(now - before, 1, "{what}");
        before = now;
    };
    let query = snapfold::store::Query::latest(&key, generation);
    world.store.get(query).await.unwrap();
    counted("latest");
    world.store.get(query.at_most(15)).await.unwrap();
    counted("at or before");
    world.store.get(query.at_most(3)).await.unwrap();
    counted("absent");
    world.store.list(snapfold::store::ListRequest::new(&key)).await.unwrap();
    counted("a page of a list");
    world.store.keys(snapfold::store::KeysRequest::new()).await.unwrap();
    counted("a page of keys");
    let other = self::key("b");
    let hybrid = world.events.with_snapshots(&world.store).unwrap();
    let queries = [query, snapfold::store::Query::latest(&other, generation), query.at_most(15)];
    let answers = HybridSource::<Account>::fetch_many(&hybrid, &queries).await.unwrap();
    assert!(answers[0].lookup.clone().into_record().is_some());
    counted("a fetch of many");
    let page =
        EventSource::<Account>::keys(&world.events, snapfold::store::KeysRequest::new()).await;
    assert_eq!(page.unwrap().items, std::slice::from_ref(&key));
    counted("a page of the keys of events");
    let range = EventRange::new(3, u64::MAX);
    let times = EventSource::<Account>::times(&world.events, &key, range, 9).await.unwrap();
    assert_eq!(times.first(), Some(&EventTime::new(4, Some(at(4)))));
    counted("the times of events");
    world.store.prune(&key, 1).await.unwrap();
    counted("prune of one aggregate");
    world
        .store
        .delete(&key, snapfold::store::Selection::All, snapfold::store::DeleteOptions::default())
        .await
        .unwrap();
    counted("delete");
    world.db.close().await;
}

#[tokio::test]
async fn an_aggregate_without_snapshots_is_one_statement_until_its_history_is_long() {
    let world = World::new().await;
    let engine = world.engine();
    world.history(&key("short"), 5).await;
    for (id, version) in [("short", 5), ("none", 0)] {
        let before = world.proxy.statements();
        let loaded = engine.load(&key(id)).await.unwrap();
        assert_eq!(loaded.version, version);
        assert_eq!(loaded.provenance.origin, Origin::Replay);
        let statements = world.proxy.statements() - before;
        // No event at all: the event source is asked whether any were truncated.
        assert_eq!(statements, if version == 0 { 2 } else { 1 });
    }
    world
        .db
        .run(
            "INSERT INTO {schema}.events SELECT '', 'account', 'long', n, \
             '2023-11-14 22:13:20+00'::timestamptz + n * interval '1 microsecond', n, n::text \
             FROM generate_series(1, 12500) AS n",
        )
        .await;
    let (long, replay) = (key("long"), world.replay());
    for point in [Point::Now, Point::Version(1_024), Point::Version(1_025), Point::Time(at(11_000))]
    {
        let loaded = engine.latest_known(&long, point).await.unwrap();
        let expected = replay.latest_known(&long, point).await.unwrap();
        assert_eq!((loaded.version, &loaded.state), (expected.version, &expected.state));
    }
    world.db.close().await;
}

#[tokio::test]
async fn what_a_fused_load_rejects_it_names_and_replaces_like_any_other_load() {
    let world = World::new().await;
    let engine = world.engine();
    let account = key("a");
    world.history(&account, 9).await;
    for version in [3, 6, 9] {
        let options = snapfold::manager::CreateOptions::new().at_version(version);
        engine.create_with(&account, options).await.unwrap();
    }
    let expected = world.replay().load(&account).await.unwrap();
    for (damage, repair, from) in [
        ("payload = '\\x00'", "", Some(6)),
        ("header = '\\x00'", "", Some(6)),
        ("version = 8", "", Some(6)),
    ] {
        world.db.run("DROP TABLE IF EXISTS {schema}.kept; CREATE TABLE {schema}.kept AS SELECT * FROM {schema}.snapfold_snapshots").await;
        let sql = format!("UPDATE {{schema}}.snapfold_snapshots SET {damage} WHERE version = 9");
        world.db.tamper(&sql).await;
        let plain = world.builder().build().unwrap().load(&account).await.unwrap();
        let hybrid = engine.load(&account).await.unwrap();
        assert_eq!(hybrid.state, expected.state);
        assert_eq!(hybrid.provenance.rejected, plain.provenance.rejected, "{damage}{repair}");
        assert_eq!(hybrid.provenance.rejected.len(), 1);
        assert_eq!(hybrid.provenance.snapshot.map(|used| used.id.version), from);
        world.db.tamper("TRUNCATE {schema}.snapfold_snapshots; INSERT INTO {schema}.snapfold_snapshots SELECT * FROM {schema}.kept").await;
    }
    // The events below the newest snapshot are truncated: the hybrid tail begins with the event at
    // the snapshot's version, and when that is gone too, the floor decides.
    world.db.run("DELETE FROM {schema}.events WHERE version < 9").await;
    assert_eq!(engine.load(&account).await.unwrap().state, expected.state);
    world.append(&account, 10, at(10), 10).await;
    world.db.run("DELETE FROM {schema}.events WHERE version < 10").await;
    assert_eq!(engine.load(&account).await.unwrap().version, 10);
    world.db.run("DELETE FROM {schema}.snapfold_snapshots WHERE version = 9").await;
    assert_eq!(engine.load(&account).await.unwrap_err().kind(), ErrorKind::Unrecoverable);
    world.db.close().await;
}

/// The same aggregate as an older release had it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct OldAccount(u64);

impl Aggregate for OldAccount {
    type Event = u32;
    const KIND: &'static str = Account::KIND;
    const SCHEMA_VERSION: u32 = 0;

    fn initial(_: &AggregateKey) -> Self {
        Self(0)
    }

    fn apply(&mut self, _: &u32) {
        self.0 += 1;
    }
}

#[tokio::test]
async fn a_fused_load_names_the_snapshots_of_other_generations() {
    let world = World::new().await;
    let account = key("a");
    world.history(&account, 9).await;
    let old: SnapshotEngine<OldAccount> =
        SnapshotEngine::builder(world.events.clone(), world.store.clone()).build().unwrap();
    old.create_with(&account, snapfold::manager::CreateOptions::new().at_version(4)).await.unwrap();
    let plain = world.builder().build().unwrap();
    for (point, named) in [
        (Point::Now, 1),
        (Point::Version(6), 1),
        (Point::Version(3), 0),
        (Point::Time(at(6)), 1),
        (Point::Time(at(3)), 0),
    ] {
        let expected = plain.latest_known(&account, point).await.unwrap();
        let loaded = world.engine().latest_known(&account, point).await.unwrap();
        assert_eq!((loaded.version, &loaded.state), (expected.version, &expected.state));
        assert_eq!(loaded.provenance.rejected, expected.provenance.rejected);
        assert_eq!(loaded.provenance.rejected.len(), named, "{point:?}");
    }
    world.db.close().await;
}

#[tokio::test]
async fn a_failing_fused_statement_follows_the_policy_for_failing_stores() {
    let world = World::new().await;
    let account = key("a");
    world.history(&account, 5).await;
    world.store.migrations().run_to(0).await.unwrap();
    let error = world.engine().load(&account).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store);
    assert!(error.to_string().contains("migrations"), "{error}");
    let lenient = world
        .builder()
        .hybrid(world.events.with_snapshots(&world.store).unwrap())
        .on_store_failure(OnStoreFailure::Replay)
        .build()
        .unwrap();
    assert_eq!(lenient.load(&account).await.unwrap().version, 5);
    world.db.close().await;
}

#[tokio::test]
async fn keys_that_text_cannot_hold_load_through_two_statements() {
    let world = World::new().await;
    let engine = world.engine();
    assert_eq!(engine.load(&key("nul\0")).await.unwrap().version, 0);
    let control = key("c\u{1}");
    world.history(&control, 3).await;
    engine.create(&control).await.unwrap();
    let loaded = engine.load(&control).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.origin), (3, Origin::Snapshot));
    let long = key(&"x".repeat(60_000));
    assert_eq!(engine.load(&long).await.unwrap().version, 0);
    world.db.close().await;
}

#[tokio::test]
async fn event_tables_of_other_shapes_are_read_by_names_or_by_query() {
    let world = World::new().await;
    let schema = &world.db.schema;
    let id = "6f1c2f0e-5d43-4d5b-9a3e-0d7f4e4b2a11";
    world
        .db
        .run(&format!(
            "CREATE TABLE {{schema}}.\"We\"\"ird\" (stream uuid, pos int4, at_us int8, hash bytea, \
             body jsonb, PRIMARY KEY (stream, pos)); \
             INSERT INTO {{schema}}.\"We\"\"ird\" SELECT '{id}', n, 1700000000000000 + n, \
             decode(md5(n::text), 'hex'), to_jsonb(n) FROM generate_series(0, 9) AS n"
        ))
        .await;
    let named = EventTable::new("We\"ird")
        .schema(schema)
        .uuid_id("stream")
        .version("pos", 0)
        .recorded_at_micros("at_us")
        .anchor("hash")
        .payload("body");
    let query = EventTable::query(format!(
        "SELECT pos + 1, at_us, hash, NULL, body FROM {schema}.\"We\"\"ird\" \
         WHERE stream = {{id}}::uuid AND pos >= {{after}} AND pos < {{until}}"
    ));
    let key = key(id);
    let mut states = Vec::new();
    for table in [named, query] {
        let events = PostgresEvents::new(world.pool.clone(), table, decode).unwrap();
        let hybrid = events.with_snapshots(&world.store).unwrap();
        let engine: SnapshotEngine<Account> =
            SnapshotEngine::builder(events.clone(), world.store.clone())
                .hybrid(hybrid)
                .build()
                .unwrap();
        engine
            .create_with(&key, snapfold::manager::CreateOptions::new().at_version(4))
            .await
            .unwrap();
        let replay = ReplayLoader::<Account>::new(events);
        for point in [Point::Now, Point::Version(7), Point::Version(2), Point::Time(at(5))] {
            let before = world.proxy.statements();
            let loaded = engine.latest_known(&key, point).await.unwrap();
            assert_eq!(world.proxy.statements() - before, 1);
            let expected = replay.latest_known(&key, point).await.unwrap();
            assert_eq!((loaded.version, &loaded.state), (expected.version, &expected.state));
            states.push(loaded.state);
        }
        assert_eq!(engine.load(&key).await.unwrap().version, 10);
        assert_eq!(engine.load(&Account::key(id).unwrap()).await.unwrap().version, 10);
    }
    assert_eq!(states[..4], states[4..]);
    let error = EventTable::query("SELECT 1");
    let error = PostgresEvents::<u32>::new(world.pool.clone(), error, decode).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    world.db.close().await;
}

#[tokio::test]
async fn an_event_that_does_not_decode_fails_the_load_as_an_event_source_failure() {
    let world = World::new().await;
    let account = key("a");
    world.history(&account, 3).await;
    for damage in ["payload = 'secret-4711'", "payload = NULL", "recorded_at = NULL"] {
        world.db.run(&format!("UPDATE {{schema}}.events SET {damage} WHERE version = 2")).await;
        for engine in [world.engine(), world.builder().build().unwrap()] {
            let error = engine.load(&account).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::EventSource, "{damage}");
            assert!(!format!("{error}").contains("4711"));
        }
    }
    world.db.close().await;
}

/// Compiles: an engine whose hybrid source belongs to another kind of event is a type error, and
/// any other source may have a hybrid one.
#[tokio::test]
async fn a_store_beside_foreign_events_needs_no_fused_source() {
    let db = TestDb::new().await;
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    let events = MemoryEvents::new();
    for version in 0..20 {
        events.append(&key("a"), at(version), 7);
    }
    let shared: Arc<dyn SnapshotStore> = Arc::new(store);
    let engine: SnapshotEngine<Account> =
        SnapshotEngine::builder(events.clone(), shared).build().unwrap();
    engine.create(&key("a")).await.unwrap();
    events.append(&key("a"), at(20), 8);
    let loaded = engine.load(&key("a")).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.origin), (21, Origin::Snapshot));
    db.close().await;
}
