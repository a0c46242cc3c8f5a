//! Events in a table of the application and snapshots, both in PostgreSQL: one statement for a load.
//!
//! ```sh
//! DATABASE_URL=postgres://localhost/test cargo run --features postgres --example postgres
//! ```
//!
//! It makes the schema `snapfold_example`, and removes it at the end.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use snapfold::postgres::{EventTable, PostgresEvents, PostgresOptions, PostgresStore};
use snapfold::{Aggregate, AggregateKey, BoxError, SnapshotEngine};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

#[derive(Serialize, Deserialize)]
enum AccountEvent {
    Deposited { cents: i64 },
    Withdrawn { cents: i64 },
}

#[derive(Clone, Serialize, Deserialize)]
struct Account {
    cents: i64,
}

impl Aggregate for Account {
    type Event = AccountEvent;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Account { cents: 0 }
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Deposited { cents } => self.cents += cents,
            AccountEvent::Withdrawn { cents } => self.cents -= cents,
        }
    }
}

/// The table of an application, as it may have it.
async fn create_events(pool: &PgPool) -> Result<(), BoxError> {
    for sql in [
        "DROP SCHEMA IF EXISTS snapfold_example CASCADE",
        "CREATE SCHEMA snapfold_example",
        "CREATE TABLE snapfold_example.events (
             aggregate_type text NOT NULL,
             aggregate_id text NOT NULL,
             version bigint NOT NULL,
             recorded_at timestamptz NOT NULL,
             payload jsonb NOT NULL,
             PRIMARY KEY (aggregate_type, aggregate_id, version)
         )",
        "INSERT INTO snapfold_example.events
         SELECT 'account', 'alice', n, '2026-01-01'::timestamptz + n * interval '1 second',
                jsonb_build_object('Deposited', jsonb_build_object('cents', n % 100))
         FROM generate_series(1, 20000) n",
        "ANALYZE snapfold_example.events",
    ] {
        sqlx::query(sql).execute(pool).await?;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Ok(url) = std::env::var("DATABASE_URL") else {
        eprintln!("set DATABASE_URL to a database in which you may create a schema");
        std::process::exit(2);
    };
    // The store finds out about broken connections by itself, so the pool need not test them.
    let pool = PgPoolOptions::new().test_before_acquire(false).connect(&url).await?;
    create_events(&pool).await?;

    let options = PostgresOptions::new().schema("snapfold_example");
    let store = PostgresStore::with_options(pool.clone(), &options)?;
    store.migrations().run().await?;
    let table =
        EventTable::new("snapfold_example.events").kind("aggregate_type").id("aggregate_id");
    let events = PostgresEvents::new(pool.clone(), table, |row| {
        Ok(serde_json::from_slice::<AccountEvent>(row.payload)?)
    })?;
    let engine = SnapshotEngine::<Account>::builder(events.clone(), store.clone())
        .hybrid(events.with_snapshots(&store)?)
        .build()?;

    let alice = Account::key("alice")?;
    let replayed = timed("all events", &engine, &alice).await?;
    engine.create(&alice).await?;
    let sql = "INSERT INTO snapfold_example.events \
               VALUES ('account', 'alice', 20001, now(), $1::jsonb)";
    let event = serde_json::to_string(&AccountEvent::Withdrawn { cents: 100 })?;
    sqlx::query(sql).bind(event).execute(&pool).await?;
    let loaded = timed("snapshot and tail", &engine, &alice).await?;
    assert_eq!(loaded, replayed - 100);
    let past = engine.at_time(&alice, "2026-01-01T01:00:00Z".parse()?).await?;
    println!("at one o'clock: {} cents after {} events", past.state.cents, past.version);

    engine.flush(Duration::from_secs(10)).await?;
    sqlx::query("DROP SCHEMA snapfold_example CASCADE").execute(&pool).await?;
    Ok(())
}

async fn timed(
    what: &str,
    engine: &SnapshotEngine<Account>,
    key: &AggregateKey,
) -> Result<i64, BoxError> {
    for _ in 0..3 {
        engine.load(key).await?; // The first ones prepare statements.
    }
    let start = Instant::now();
    let loaded = engine.load(key).await?;
    println!("{what}: {:?}, {}", start.elapsed(), loaded.provenance);
    Ok(loaded.state.cents)
}
