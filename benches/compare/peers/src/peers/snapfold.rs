use std::time::{Duration, Instant};

use async_trait::async_trait;
use snapfold::codec::Compression;
use snapfold::engine::ReplayLoader;
use snapfold::manager::CreateOptions;
use snapfold::postgres::{EventTable, PostgresEvents, PostgresOptions, PostgresStore};
use snapfold::trigger::every_events;
use snapfold::{Aggregate, AggregateKey, Loader, SnapshotEngine};
use sqlx::postgres::PgPoolOptions;
use sqlx::{PgPool, raw_sql};

use crate::account::{Account, Event, Subject};
use crate::peer::Peer;

impl Aggregate for Account {
    type Event = Event;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self::default()
    }

    fn apply(&mut self, event: &Event) {
        Account::apply(self, event);
    }
}

/// The crate as its guide sets it up: an event table of the application, read in one statement
/// with the snapshot.
pub struct Snapfold {
    pool: PgPool,
    events: PostgresEvents<Event>,
    engine: SnapshotEngine<Account>,
    replay: ReplayLoader<Account>,
}

impl Snapfold {
    /// `is_tested`: whether the pool tests each connection before each use, as it does by default.
    /// The guide switches this off.
    pub async fn connect(url: &str, is_tested: bool) -> Self {
        let pool = PgPoolOptions::new().test_before_acquire(is_tested).connect(url).await.unwrap();
        let table = "CREATE TABLE IF NOT EXISTS events (kind text NOT NULL, id text NOT NULL, \
                     version bigint NOT NULL, recorded_at timestamptz NOT NULL, \
                     payload json NOT NULL, PRIMARY KEY (kind, id, version))";
        raw_sql(table).execute(&pool).await.unwrap();
        let store = PostgresStore::new(pool.clone()).unwrap();
        store.migrations().run().await.unwrap();
        let events =
            PostgresEvents::new(pool.clone(), EventTable::new("events").kind("kind"), |row| {
                Ok(serde_json::from_slice(row.payload)?)
            });
        let events = events.unwrap();
        let engine = SnapshotEngine::builder(events.clone(), store.clone())
            .hybrid(events.with_snapshots(&store).unwrap())
            .trigger(every_events(10))
            .build()
            .unwrap();
        Self { pool, engine, replay: ReplayLoader::new(events.clone()), events }
    }

    /// The bytes of a snapshot that is compressed with Zstandard: of its payload, and of its row.
    pub async fn size_with_zstd(&self, subject: &Subject) -> (i64, i64) {
        let options = PostgresOptions::new().table("zstd_snapshots");
        let store = PostgresStore::with_options(self.pool.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        let engine = SnapshotEngine::<Account>::builder(self.events.clone(), store)
            .compression(Compression::zstd())
            .build()
            .unwrap();
        let key = Account::key(&subject.id).unwrap();
        engine.create_with(&key, CreateOptions::new().at_version(subject.at)).await.unwrap();
        let sql = "SELECT octet_length(payload)::bigint, pg_column_size(s.*)::bigint \
                   FROM zstd_snapshots s WHERE id = $1";
        sqlx::query_as(sql).bind(&subject.id).fetch_one(&self.pool).await.unwrap()
    }

    async fn append(&self, id: &str, first: u64, events: &[Event]) {
        let versions: Vec<_> = (first as i64..).take(events.len()).collect();
        let payloads: Vec<_> = events.iter().map(|it| serde_json::to_string(it).unwrap()).collect();
        let sql = "INSERT INTO events SELECT 'account', $1, version, now(), payload::json \
                   FROM unnest($2::bigint[], $3::text[]) AS new (version, payload)";
        sqlx::query(sql).bind(id).bind(versions).bind(payloads).execute(&self.pool).await.unwrap();
    }
}

#[async_trait]
impl Peer for Snapfold {
    async fn fill(&mut self, subject: &Subject) {
        let events = subject.events(1..=subject.len());
        for (chunk, events) in events.chunks(10_000).enumerate() {
            self.append(&subject.id, chunk as u64 * 10_000 + 1, events).await;
        }
        let key = Account::key(&subject.id).unwrap();
        self.engine.create_with(&key, CreateOptions::new().at_version(subject.at)).await.unwrap();
    }

    async fn replay(&mut self, id: &str) -> Account {
        (*self.replay.load(&Account::key(id).unwrap()).await.unwrap().state).clone()
    }

    async fn load(&mut self, id: &str) -> Account {
        let loaded = self.engine.load(&Account::key(id).unwrap()).await.unwrap();
        assert!(loaded.provenance.snapshot.is_some());
        (*loaded.state).clone()
    }

    async fn load_many(&mut self, ids: &[String]) -> Vec<Account> {
        let keys: Vec<_> = ids.iter().map(|id| Account::key(id).unwrap()).collect();
        let loaded = self.engine.load_many(&keys).await;
        loaded.into_iter().map(|loaded| (*loaded.unwrap().state).clone()).collect()
    }

    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
        let key = Account::key(id).unwrap();
        let began = Instant::now();
        let loaded = self.engine.load(&key).await.unwrap();
        let payload = serde_json::to_string(&event).unwrap();
        let version = loaded.version + 1;
        sqlx::query("INSERT INTO events VALUES ('account', $1, $2, now(), $3::text::json)")
            .bind(id)
            .bind(version as i64)
            .bind(payload)
            .execute(&self.pool)
            .await
            .unwrap();
        let decision = self.engine.committed(&loaded, version);
        (began.elapsed(), decision.is_queued())
    }

    fn size_query(&self) -> &'static str {
        "SELECT octet_length(payload)::bigint, pg_column_size(s.*)::bigint \
         FROM snapfold_snapshots s WHERE id = $1"
    }
}
