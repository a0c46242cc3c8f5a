//! What loads, puts and prunes cost on a real PostgreSQL server, which syncs every commit.
//!
//! `postgres/load/<state>`: 10,050 events, a snapshot at 10,000. `hybrid` is the engine with one
//! statement a load, `two_statements` the engine without, `hand_written` a loader without any
//! checks that does the same in one statement with the same codec, `full_replay` folds everything,
//! `full_replay_by_hand` likewise without any checks; all on one pool with sqlx's defaults, through a
//! unix socket. `postgres/load_tcp/<state>` is the same through TCP on one machine, where a round
//! trip costs more, as it does between two. `postgres/load_many/<link>` loads 100 aggregates one
//! after the other and together, also over a link with a round trip of 1.3 ms; `by_hand_together` is
//! one statement without any checks. `history_page` is in `support/history_page.rs`. `postgres/latest`, `postgres/put` and `postgres/prune`
//! have `pgbench`, PostgreSQL's own client, beside them. Compare within one group only.

#![allow(
    unreachable_pub,
    missing_docs,
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::future_not_send,
    clippy::cast_precision_loss,
    reason = "a bench"
)]

#[path = "support/history_page.rs"]
mod history_page;
#[path = "../tests/postgres/support/mod.rs"]
mod postgres;
#[path = "support/retention_sweep.rs"]
mod retention_sweep;
#[path = "support/slow_link.rs"]
mod slow_link;

use std::collections::HashMap;
use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use slow_link::slow_link;
use snapfold::engine::ReplayLoader;
use snapfold::manager::CreateOptions;
use snapfold::postgres::{EventRow, EventTable, PostgresEvents, PostgresOptions, PostgresStore};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{PutOptions, Query};
use snapfold::{
    Aggregate, AggregateKey, BoxError, Loader, SnapshotEngine, SnapshotStore, Timestamp,
};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Executor, PgPool, Row};
use tokio::runtime::Runtime;

const EVENTS: i64 = 10_050;
const AT: u64 = 10_000;

#[derive(Serialize, Deserialize)]
enum Event {
    Deposited { account_id: String, amount: i64, memo: String },
}

/// A balance and the last `N` movements: about 40 bytes a slot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account<const N: usize> {
    owner: String,
    balance: i64,
    count: u64,
    ring: Vec<(i64, String)>,
}

impl<const N: usize> Aggregate for Account<N> {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self { owner: String::new(), balance: 0, count: 0, ring: Vec::new() }
    }

    fn apply(&mut self, event: &Event) {
        let Event::Deposited { account_id, amount, memo } = event;
        self.owner.clone_from(account_id);
        self.balance += amount;
        if self.ring.len() < N {
            self.ring.push((*amount, memo.clone()));
        } else {
            let slot = usize::try_from(self.count).unwrap() % N;
            self.ring[slot].0 = *amount;
            self.ring[slot].1.clone_from(memo);
        }
        self.count += 1;
    }
}

fn decode(row: EventRow<'_>) -> Result<Event, BoxError> {
    Ok(serde_json::from_slice(row.payload)?)
}

struct Bench {
    rt: Runtime,
    cluster: postgres::Cluster,
    options: PgConnectOptions,
    pool: PgPool,
    store: PostgresStore,
}

/// Whether the filters of the command line let any bench of these groups run: to set them up
/// takes a while.
fn is_wanted(groups: &[&str]) -> bool {
    let filters: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let fits = |filter: &String| {
        groups.iter().any(|group| filter.starts_with(group) || group.contains(filter.as_str()))
    };
    filters.is_empty() || filters.iter().any(fits)
}

impl Bench {
    fn new() -> Self {
        let rt = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cluster = postgres::Cluster::start_with_tcp(true);
        let options: PgConnectOptions = cluster.url().parse().unwrap();
        let pool = PgPoolOptions::new().connect_with(options.clone());
        let pool = rt.block_on(pool).unwrap();
        let settings = PostgresOptions::new().timeout(Duration::from_secs(600));
        let store = {
            let _guard = rt.enter();
            PostgresStore::with_options(pool.clone(), &settings).unwrap()
        };
        rt.block_on(store.migrations().run()).unwrap();
        Self { rt, cluster, options, pool, store }
    }

    fn run(&self, sql: &'static str) {
        self.rt.block_on(self.pool.execute(sqlx::raw_sql(sql))).unwrap();
    }

    /// Transactions per second of a pgbench script, connecting not counted.
    fn pgbench(&self, script: &str, clients: u64, transactions: u64) -> f64 {
        let path = self.cluster.dir().join("script.sql");
        std::fs::File::create(&path).unwrap().write_all(script.as_bytes()).unwrap();
        let output = Command::new(postgres::binaries().join("pgbench"))
            .args(["-n", "-M", "prepared", "-U", "postgres", "-h"])
            .arg(self.cluster.dir())
            .args(["-p", &self.options.get_port().to_string()])
            .args(["-j", if clients > 1 { "2" } else { "1" }])
            .args(["-c", &clients.to_string(), "-t", &transactions.to_string(), "-f"])
            .arg(&path)
            .arg("postgres")
            .output()
            .expect("pgbench is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        let rate = text.lines().find_map(|line| line.strip_prefix("tps = "));
        rate.and_then(|rate| rate.split(' ').next()?.parse().ok()).expect("a rate")
    }
}

/// The loader that somebody would write for one table, one state and no surprises.
async fn by_hand<S: Aggregate<Event = Event> + serde::de::DeserializeOwned>(pool: &PgPool) -> S {
    let mut rows = sqlx::query(
        "WITH s AS MATERIALIZED (SELECT version, payload FROM hand_snapshots \
           WHERE kind = $1 AND id = $2 AND schema_version = $3 ORDER BY version DESC LIMIT 1) \
         SELECT 0::int2, version, payload FROM s UNION ALL \
         (SELECT 1::int2, e.version, e.payload FROM events e WHERE e.kind = $1 AND e.id = $2 \
           AND e.version > coalesce((SELECT version FROM s), 0) ORDER BY e.version)",
    )
    .bind("account")
    .bind("a")
    .bind(1)
    .fetch(pool);
    let mut state: Option<S> = None;
    let mut version = 0;
    while let Some(row) = rows.try_next().await.unwrap() {
        let payload: &[u8] = row.get(2);
        if row.get::<i16, _>(0) == 0 {
            let raw = lz4_flex::block::decompress_size_prepended(payload).unwrap();
            state = Some(postcard::from_bytes(&raw).unwrap());
        } else {
            let event = serde_json::from_slice(payload).unwrap();
            state.as_mut().expect("a snapshot").apply(&event);
            assert!(row.get::<i64, _>(1) > version);
        }
        version = row.get(1);
    }
    state.unwrap()
}

/// The same for the state from its first event on.
async fn replay_by_hand<S: Aggregate<Event = Event>>(pool: &PgPool, key: &AggregateKey) -> S {
    let mut rows = sqlx::query(
        "SELECT version, payload FROM events WHERE kind = $1 AND id = $2 ORDER BY version",
    )
    .bind("account")
    .bind("a")
    .fetch(pool);
    let (mut state, mut version) = (S::initial(key), 0);
    while let Some(row) = rows.try_next().await.unwrap() {
        state.apply(&serde_json::from_slice(row.get(1)).unwrap());
        version += 1;
        assert_eq!(row.get::<i64, _>(0), version);
    }
    state
}

fn load_times<const N: usize>(
    rt: &Runtime,
    engine: &SnapshotEngine<Account<N>>,
    key: &AggregateKey,
    times: u32,
) {
    rt.block_on(async {
        for _ in 0..times {
            engine.load(key).await.unwrap();
        }
    });
}

fn hand_times<S: Aggregate<Event = Event> + serde::de::DeserializeOwned>(
    rt: &Runtime,
    pool: &PgPool,
    times: u32,
) {
    rt.block_on(async {
        for _ in 0..times {
            by_hand::<S>(pool).await;
        }
    });
}

/// Prints the median of each way's turns, and of its ratio to the first way in the same turn.
fn take_turns(name: &str, ways: &[(&str, &dyn Fn(u32))]) {
    const TURNS: usize = 150;
    const LOADS: u32 = 20;
    let mut turns = vec![Vec::new(); ways.len()];
    for turn in 0..TURNS {
        for step in 0..ways.len() {
            // Each way comes after each other way equally often.
            let way = (turn + step) % ways.len();
            let began = Instant::now();
            ways[way].1(LOADS);
            turns[way].push(began.elapsed().as_secs_f64() / f64::from(LOADS) * 1e6);
        }
    }
    let quartiles = |values: &[f64]| {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        [TURNS / 4, TURNS / 2, 3 * TURNS / 4].map(|at| sorted[at])
    };
    for (way, own) in ways.iter().zip(&turns) {
        let ratios: Vec<_> = own.iter().zip(&turns[0]).map(|(own, first)| own / first).collect();
        let ([_, median, _], [low, ratio, high]) = (quartiles(own), quartiles(&ratios));
        println!(
            "{name}: {:<20} {median:>8.1} us, {ratio:.2}x {} ({low:.2} to {high:.2})",
            way.0, ways[0].0
        );
    }
}

fn load<const N: usize>(c: &mut Criterion, bench: &Bench, name: &str) {
    bench.run("SET session_replication_role = replica; TRUNCATE snapfold_snapshots; RESET session_replication_role; TRUNCATE hand_snapshots");
    load_through::<N>(c, bench, &bench.options, &format!("load/{name}"));
    let tcp = bench.cluster.tcp_url().parse().unwrap();
    load_through::<N>(c, bench, &tcp, &format!("load_tcp/{name}"));
}

fn load_through<const N: usize>(
    c: &mut Criterion,
    bench: &Bench,
    options: &PgConnectOptions,
    name: &str,
) {
    let rt = &bench.rt;
    let pool = &rt.block_on(PgPoolOptions::new().connect_with(options.clone())).unwrap();
    let store = &PostgresStore::with_options(pool.clone(), &PostgresOptions::new()).unwrap();
    let key = AggregateKey::new("account", "a").unwrap();
    let table = EventTable::new("events").kind("kind");
    let events = PostgresEvents::new(pool.clone(), table.clone(), decode).unwrap();
    let builder = || SnapshotEngine::<Account<N>>::builder(events.clone(), store.clone());
    let hybrid = builder().hybrid(events.with_snapshots(store).unwrap()).build().unwrap();
    let plain = builder().build().unwrap();
    let replay = ReplayLoader::<Account<N>>::new(events.clone());
    let unpinged = {
        let _guard = rt.enter();
        PgPoolOptions::new().test_before_acquire(false).connect_lazy_with(options.clone())
    };
    let quick_store =
        PostgresStore::with_options(unpinged.clone(), &PostgresOptions::new()).unwrap();
    let quick_events = PostgresEvents::new(unpinged.clone(), table, decode).unwrap();
    let quick = SnapshotEngine::<Account<N>>::builder(quick_events.clone(), quick_store.clone())
        .hybrid(quick_events.with_snapshots(&quick_store).unwrap())
        .build()
        .unwrap();

    rt.block_on(async {
        plain.create_with(&key, CreateOptions::new().at_version(AT)).await.unwrap();
        let state = plain.at_version(&key, AT).await.unwrap().state;
        let raw = postcard::to_stdvec(&*state).unwrap();
        println!("{name}: {} bytes encoded", raw.len());
        sqlx::query(
            "INSERT INTO hand_snapshots VALUES ('account', 'a', 1, $1, $2) ON CONFLICT DO NOTHING",
        )
        .bind(i64::try_from(AT).unwrap())
        .bind(lz4_flex::block::compress_prepend_size(&raw))
        .execute(pool)
        .await
        .unwrap();
        // The other aggregates have snapshots too: nobody looks one up in a table of one row.
        for (table, columns) in [
            (
                "snapfold_snapshots",
                "schema_version, fingerprint, 150, as_of, created_at, raw_bytes, codec, \
                 header, payload",
            ),
            ("hand_snapshots", "schema_version, 150, payload"),
        ] {
            let tenant = if table == "hand_snapshots" { "" } else { "tenant, " };
            let sql = format!(
                "INSERT INTO {table} SELECT {tenant}kind, 'o' || n, {columns} \
                 FROM {table}, generate_series(1, 499) AS n WHERE id = 'a' \
                 ON CONFLICT DO NOTHING"
            );
            pool.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.unwrap();
        }
        pool.execute("VACUUM ANALYZE").await.unwrap();
        let expected = replay.load(&key).await.unwrap();
        for engine in [&hybrid, &plain, &quick] {
            let loaded = engine.load(&key).await.unwrap();
            assert_eq!(loaded.state, expected.state);
            assert_eq!(loaded.provenance.events_replayed, 50);
        }
        assert_eq!(by_hand::<Account<N>>(pool).await, *expected.state);
        assert_eq!(replay_by_hand::<Account<N>>(pool, &key).await, *expected.state);
    });

    // The ratios that matter are small beside what a busy machine does to one run: here the ways
    // take turns, a few loads each.
    let ways: [(&str, &dyn Fn(u32)); 5] = [
        ("hand_written", &|n| hand_times::<Account<N>>(rt, pool, n)),
        ("hand_without_ping", &|n| hand_times::<Account<N>>(rt, &unpinged, n)),
        ("hybrid", &|n| load_times(rt, &hybrid, &key, n)),
        ("two_statements", &|n| load_times(rt, &plain, &key, n)),
        ("hybrid_without_ping", &|n| load_times(rt, &quick, &key, n)),
    ];
    take_turns(name, &ways);

    let mut group = c.benchmark_group(format!("postgres/{name}"));
    group.sample_size(30).measurement_time(Duration::from_secs(4));
    group.bench_function("hybrid", |b| b.to_async(rt).iter(|| async { hybrid.load(&key).await }));
    group.bench_function("hand_written", |b| {
        b.to_async(rt).iter(|| by_hand::<Account<N>>(pool));
    });
    group.bench_function("two_statements", |b| {
        b.to_async(rt).iter(|| async { plain.load(&key).await });
    });
    group.bench_function("hybrid_without_ping", |b| {
        b.to_async(rt).iter(|| async { quick.load(&key).await });
    });
    // Once more, to show how far one run drifts.
    group.bench_function("fused_again", |b| {
        b.to_async(rt).iter(|| async { hybrid.load(&key).await });
    });
    group.bench_function("hand_written_again", |b| {
        b.to_async(rt).iter(|| by_hand::<Account<N>>(pool));
    });
    group.sample_size(10);
    group.bench_function("full_replay", |b| {
        b.to_async(rt).iter(|| async { replay.load(&key).await });
    });
    group.bench_function("full_replay_by_hand", |b| {
        b.to_async(rt).iter(|| replay_by_hand::<Account<N>>(pool, &key));
    });
    group.finish();
}

/// Several aggregates in one statement, as somebody would write it for these tables.
async fn many_by_hand(pool: &PgPool, ids: &[String]) -> HashMap<String, Account<3>> {
    let mut rows = sqlx::query(
        "SELECT 0::int2, id, version, payload FROM hand_snapshots \
         WHERE kind = 'account' AND id = ANY($1) AND schema_version = 1 \
         UNION ALL \
         (SELECT 1::int2, e.id, e.version, e.payload FROM hand_snapshots s \
          JOIN events e ON e.kind = s.kind AND e.id = s.id AND e.version > s.version \
          WHERE s.kind = 'account' AND s.id = ANY($1) AND s.schema_version = 1 \
          ORDER BY e.id, e.version)",
    )
    .bind(ids)
    .fetch(pool);
    let mut states = HashMap::new();
    while let Some(row) = rows.try_next().await.unwrap() {
        let (id, payload): (&str, &[u8]) = (row.get(1), row.get(3));
        if row.get::<i16, _>(0) == 0 {
            let raw = lz4_flex::block::decompress_size_prepended(payload).unwrap();
            states.insert(id.to_owned(), postcard::from_bytes::<Account<3>>(&raw).unwrap());
        } else {
            let event = serde_json::from_slice(payload).unwrap();
            states.get_mut(id).expect("its snapshot").apply(&event);
        }
    }
    states
}

/// 100 aggregates, each with a snapshot and 50 events after it: one after the other, and together.
fn load_many(c: &mut Criterion, bench: &Bench) {
    bench.run("SET session_replication_role = replica; TRUNCATE snapfold_snapshots; RESET session_replication_role; TRUNCATE hand_snapshots");
    let rt = &bench.rt;
    let keys: Vec<_> =
        (1..=100).map(|n| AggregateKey::new("account", &format!("o{n}")).unwrap()).collect();
    let ids: Vec<_> = keys.iter().map(|key| key.id().to_owned()).collect();
    let direct: PgConnectOptions = bench.cluster.tcp_url().parse().unwrap();
    let server = std::net::SocketAddr::from(([127, 0, 0, 1], direct.get_port()));
    let far = slow_link(server, Duration::from_micros(650));
    for (name, options) in [
        ("socket", bench.options.clone()),
        ("loopback", direct.clone()),
        ("round_trip_of_1.3_ms", direct.port(far.port())),
    ] {
        let pool = rt.block_on(PgPoolOptions::new().connect_with(options)).unwrap();
        let store = PostgresStore::with_options(pool.clone(), &PostgresOptions::new()).unwrap();
        let table = EventTable::new("events").kind("kind");
        let events = PostgresEvents::new(pool.clone(), table, decode).unwrap();
        let builder = || SnapshotEngine::<Account<3>>::builder(events.clone(), store.clone());
        let hybrid = builder().hybrid(events.with_snapshots(&store).unwrap()).build().unwrap();
        let plain = builder().build().unwrap();
        rt.block_on(async {
            for key in &keys {
                plain.create_with(key, CreateOptions::new().at_version(150)).await.unwrap();
                let state = plain.at_version(key, 150).await.unwrap().state;
                let raw = postcard::to_stdvec(&*state).unwrap();
                sqlx::query(
                    "INSERT INTO hand_snapshots VALUES ('account', $1, 1, 150, $2) \
                     ON CONFLICT DO NOTHING",
                )
                .bind(key.id())
                .bind(lz4_flex::block::compress_prepend_size(&raw))
                .execute(&pool)
                .await
                .unwrap();
            }
            bench.pool.execute("VACUUM ANALYZE").await.unwrap();
            let together = hybrid.load_many(&keys).await;
            let by_hand = many_by_hand(&pool, &ids).await;
            for (key, together) in keys.iter().zip(together) {
                let (together, alone) = (together.unwrap(), plain.load(key).await.unwrap());
                assert_eq!((together.version, &together.state), (200, &alone.state));
                assert_eq!(by_hand.get(key.id()), Some(&*alone.state));
                assert_eq!(together.provenance.events_replayed, 50);
            }
        });
        let mut group = c.benchmark_group(format!("postgres/load_many/{name}"));
        group.sample_size(10).measurement_time(Duration::from_secs(3));
        group.bench_function("by_hand_together", |b| {
            b.to_async(rt).iter(|| many_by_hand(&pool, &ids));
        });
        for (source, engine) in [("hybrid", &hybrid), ("two_statements", &plain)] {
            group.bench_function(format!("{source}_one_by_one"), |b| {
                b.to_async(rt).iter(|| async {
                    for key in &keys {
                        engine.load(key).await.unwrap();
                    }
                });
            });
            group.bench_function(format!("{source}_together"), |b| {
                b.to_async(rt).iter(|| async {
                    let loaded = engine.load_many(&keys).await;
                    assert!(loaded.iter().all(Result::is_ok));
                });
            });
        }
    }
}

fn loads(c: &mut Criterion) {
    let wanted = |group: &str| is_wanted(&[group]);
    let alone = wanted("postgres/load/") || wanted("postgres/load_tcp/");
    if !alone && !wanted("postgres/load_many/") {
        return;
    }
    let bench = Bench::new();
    bench.run(
        "CREATE TABLE events (kind text COLLATE \"C\", id text COLLATE \"C\", version int8, \
           recorded_at timestamptz, payload bytea, PRIMARY KEY (kind, id, version)); \
         CREATE TABLE hand_snapshots (kind text COLLATE \"C\", id text COLLATE \"C\", \
           schema_version int4, version int8, payload bytea, \
           PRIMARY KEY (kind, id, schema_version, version)); \
         ALTER TABLE hand_snapshots ALTER COLUMN payload SET STORAGE EXTERNAL",
    );
    let deposit = |account: &str, n: i64| {
        let (account_id, memo) =
            (format!("account-{account}"), format!("deposit number {n} of many"));
        serde_json::to_vec(&Event::Deposited { account_id, amount: n % 97, memo }).unwrap()
    };
    bench.rt.block_on(async {
        for other in 0..500 {
            let id = if other == 0 { "a".to_owned() } else { format!("o{other}") };
            let count = if other == 0 { EVENTS } else { 200 };
            let payloads: Vec<_> = (1..=count).map(|n| deposit(&id, n)).collect();
            sqlx::query(
                "INSERT INTO events SELECT 'account', $1, n, now(), p \
                 FROM unnest($2::bytea[]) WITH ORDINALITY AS u (p, n)",
            )
            .bind(&id)
            .bind(&payloads)
            .execute(&bench.pool)
            .await
            .unwrap();
        }
    });
    if alone {
        load::<3>(c, &bench, "small");
        load::<90>(c, &bench, "medium");
    }
    if wanted("postgres/load_many/") {
        load_many(c, &bench);
    }
}

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 0 };

fn record(id: &str, version: u64, bytes: usize) -> Record {
    let key = AggregateKey::new("account", id).unwrap();
    let at = Timestamp::from_seconds(1);
    RecordBuilder::new(key, GENERATION, version, at).build(&vec![7; bytes]).unwrap()
}

/// The statement of `get`, as pgbench runs it.
const LATEST: &str = "\\set id random(1, 100000)
WITH s AS MATERIALIZED (SELECT version, header, payload FROM snapfold_snapshots \
WHERE tenant = '' AND kind = 'account' AND id = (:id)::text AND schema_version = 1 \
AND fingerprint = (-9223372036854775808) AND version <= 9223372036854775807 \
AND as_of <= 9223372036854775807 ORDER BY version DESC LIMIT 1) \
SELECT version, header, payload FROM s UNION ALL SELECT 0, NULL, NULL \
WHERE NOT EXISTS (SELECT FROM s) AND EXISTS (SELECT FROM snapfold_snapshots \
WHERE tenant = '' AND kind = 'account' AND id = (:id)::text \
AND version <= 9223372036854775807 AND as_of <= 9223372036854775807);
";

/// A single durable insert of 1 KiB.
const PUT: &str = "\\set id random(1, 1000000000000)
INSERT INTO snapfold_snapshots (tenant, kind, id, schema_version, fingerprint, version, as_of, \
created_at, raw_bytes, codec, header, payload) VALUES ('', 'bench', (:id)::text, 1, 0, 1, \
0, 0, 1024, 1, decode(repeat('07', 80), 'hex'), decode(repeat('07', 1024), 'hex')) \
ON CONFLICT DO NOTHING;
";

fn puts(c: &mut Criterion) {
    if !is_wanted(&["postgres/latest/", "postgres/put/"]) {
        return;
    }
    let bench = Bench::new();
    let Bench { rt, pool, store, .. } = &bench;
    rt.block_on(async {
        for chunk in 0..100 {
            let ids = chunk * 1_000 + 1..=chunk * 1_000 + 1_000;
            let records = ids.map(|id: u64| record(&id.to_string(), 1, 1_024)).collect();
            store.put(records, PutOptions::default()).await.unwrap();
        }
        pool.execute("VACUUM ANALYZE").await.unwrap();
    });
    let mut group = c.benchmark_group("postgres/latest");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    let mut held = rt.block_on(pool.acquire()).unwrap();
    let mut next = 0_u64;
    let mut key = || {
        next = (next + 7_919) % 100_000;
        AggregateKey::new("account", &(next + 1).to_string()).unwrap()
    };
    group.bench_function("held_connection", |b| {
        b.iter_custom(|iterations| {
            let began = Instant::now();
            for _ in 0..iterations {
                let key = key();
                let query = Query::latest(&key, GENERATION);
                let lookup = rt.block_on(store.get_in(&mut held, query)).unwrap();
                assert!(lookup.into_record().is_some());
            }
            began.elapsed()
        });
    });
    group.bench_function("pgbench", |b| {
        b.iter_custom(|iterations| {
            let transactions = iterations.max(2_000);
            let rate = bench.pgbench(LATEST, 1, transactions);
            Duration::from_secs_f64(iterations as f64 / rate)
        });
    });
    group.bench_function("held_connection_again", |b| {
        b.iter_custom(|iterations| {
            let began = Instant::now();
            for _ in 0..iterations {
                let key = key();
                let query = Query::latest(&key, GENERATION);
                rt.block_on(store.get_in(&mut held, query)).unwrap();
            }
            began.elapsed()
        });
    });
    group.finish();
    {
        let _guard = rt.enter();
        drop(held);
    }

    // Time per row in all of them.
    let mut group = c.benchmark_group("postgres/put");
    group.sample_size(20).measurement_time(Duration::from_secs(4));
    let mut version = 1;
    let mut put = |rows: u64, iterations: u64| {
        let mut spent = Duration::ZERO;
        let mut left = iterations;
        while left > 0 {
            version += 1;
            let records: Vec<_> =
                (0..rows).map(|n| record(&format!("b{n}"), version, 1_024)).collect();
            let began = Instant::now();
            rt.block_on(store.put(records, PutOptions::default())).unwrap();
            // A batch counts as many times as it has rows.
            let counted = left.min(rows);
            spent += began.elapsed().mul_f64(counted as f64 / rows as f64);
            left -= counted;
        }
        spent
    };
    group.bench_function("batch_of_100_per_row", |b| b.iter_custom(|n| put(100, n)));
    group.bench_function("pgbench_16_clients_per_row", |b| {
        b.iter_custom(|iterations| {
            let rate = bench.pgbench(PUT, 16, (iterations / 16).max(300));
            Duration::from_secs_f64(iterations as f64 / rate)
        });
    });
    group.bench_function("single", |b| b.iter_custom(|n| put(1, n)));
    group.finish();
}

/// 200,000 aggregates with five snapshots each.
const POPULATE: &str = "SET session_replication_role = replica; TRUNCATE snapfold_snapshots; RESET session_replication_role; INSERT INTO snapfold_snapshots (tenant, kind, \
    id, schema_version, fingerprint, version, as_of, created_at, raw_bytes, codec, header, \
    payload) SELECT '', 'account', a::text, 1, 0, v * 100, 0, 0, 200, 1, \
    decode(repeat('07', 90), 'hex'), decode(repeat('07', 200), 'hex') \
    FROM generate_series(1, 200000) AS a, generate_series(1, 5) AS v ORDER BY a::text, v; \
    ANALYZE snapfold_snapshots";

fn prunes(c: &mut Criterion) {
    if !is_wanted(&["postgres/prune/"]) {
        return;
    }
    let bench = Bench::new();
    let Bench { rt, store, .. } = &bench;
    let mut group = c.benchmark_group("postgres/prune");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    group.warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(4));
    bench.run(POPULATE);
    let mut after = None;
    group.bench_function("chunk_of_1000_aggregates", |b| {
        b.iter_custom(|iterations| {
            let (mut spent, mut chunks) = (Duration::ZERO, 0);
            while chunks < iterations {
                let began = Instant::now();
                let progress = rt.block_on(store.prune_chunk(after.as_ref(), 2, 1_000)).unwrap();
                let took = began.elapsed();
                after = progress.next;
                if progress.aggregates == 0 {
                    bench.run(POPULATE);
                    continue;
                }
                assert_eq!(progress.deleted.snapshots, 3_000);
                (spent, chunks) = (spent + took, chunks + 1);
            }
            spent
        });
    });
    group.bench_function("all_in_one_statement", |b| {
        b.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            // One run stands for all: filling the table takes longer than emptying it.
            bench.run(POPULATE);
            let began = Instant::now();
            let deleted = rt.block_on(store.prune_all(2)).unwrap();
            spent += began.elapsed();
            assert_eq!(deleted.snapshots, 600_000);
            spent.mul_f64(iterations as f64)
        });
    });
    group.finish();
}

fn history_pages(c: &mut Criterion) {
    if is_wanted(&["history_page/"]) {
        let Bench { rt, store, .. } = &Bench::new();
        history_page::pages(c, rt, "postgres", store);
    }
}

criterion_group!(benches, loads, puts, prunes, history_pages, retention_sweep::sweeps);
criterion_main!(benches);
