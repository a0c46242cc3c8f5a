//! The table of postgres-es, with the connection of postgres-es for writing and one of snapfold for
//! reading. `scripts/with-postgres` starts a server.

use std::collections::HashMap;
use std::time::Duration;

use cqrs_es::persist::{PersistedEventStore, SemanticVersionEventUpcaster};
use cqrs_es::{CqrsFramework, EventStore};
use postgres_es::PostgresEventRepository;
use serde_json::json;
use snapfold::SnapshotEngine;
use snapfold::postgres::{PostgresOptions, PostgresStore};
use snapfold::trigger::every_events;
use snapfold_cqrs_es::doc::{Account, AccountCommand, AccountEvent};
use snapfold_cqrs_es::{RepositoryEvents, SnapfoldEventStore, State, postgres};

/// As the documentation of postgres-es says.
const TABLE: &str = "(aggregate_type text NOT NULL, aggregate_id text NOT NULL, \
    sequence bigint CHECK (sequence >= 0) NOT NULL, event_type text NOT NULL, \
    event_version text NOT NULL, payload json NOT NULL, metadata json NOT NULL, \
    PRIMARY KEY (aggregate_type, aggregate_id, sequence))";

/// A schema of its own, and both pools.
struct Database {
    schema: String,
    theirs: sqlx08::PgPool,
    ours: sqlx::PgPool,
}

impl Database {
    async fn new(name: &str) -> Self {
        let url = std::env::var("TEST_DATABASE_URL").expect("scripts/with-postgres sets it");
        let schema = format!("cqrs_es_{name}_{}", std::process::id());
        let theirs = sqlx08::PgPool::connect(&url).await.unwrap();
        let sql = format!("CREATE SCHEMA {schema}; CREATE TABLE {schema}.events {TABLE}");
        sqlx08::raw_sql(&sql).execute(&theirs).await.unwrap();
        Self { schema, theirs, ours: sqlx::PgPool::connect(&url).await.unwrap() }
    }

    fn repository(&self) -> PostgresEventRepository {
        let table = format!("{}.events", self.schema);
        PostgresEventRepository::new(self.theirs.clone()).with_tables(&table, "no_table")
    }

    fn upcasters() -> Vec<Box<dyn cqrs_es::persist::EventUpcaster>> {
        let upcaster = SemanticVersionEventUpcaster::new(
            "Deposited",
            "2.0",
            Box::new(
                |event| json!({ "Deposited": { "cents": event["Deposited"]["euros"].as_i64().unwrap() * 100 } }),
            ),
        );
        vec![Box::new(upcaster)]
    }

    async fn engine(&self) -> SnapshotEngine<State<Account>> {
        let options = PostgresOptions::new().schema(&self.schema);
        let store = PostgresStore::with_options(self.ours.clone(), &options).unwrap();
        store.migrations().run().await.unwrap();
        let table = postgres::event_table(format!("{}.events", self.schema));
        let events =
            postgres::events::<Account>(self.ours.clone(), table, Self::upcasters()).unwrap();
        events.check().await.unwrap();
        SnapshotEngine::builder(events.clone(), store.clone())
            .hybrid(events.with_snapshots(&store).unwrap())
            .trigger(every_events(10))
            .build()
            .unwrap()
    }

    async fn close(self) {
        let sql = format!("DROP SCHEMA {} CASCADE", self.schema);
        sqlx08::raw_sql(&sql).execute(&self.theirs).await.unwrap();
    }
}

#[tokio::test]
async fn commands_give_the_fold_and_loads_use_one_statement_with_snapshots() {
    let db = Database::new("fold").await;
    let engine = db.engine().await;
    let events = RepositoryEvents::new(db.repository()).upcasters(Database::upcasters());
    let cqrs = CqrsFramework::new(SnapfoldEventStore::new(events, engine.clone()), vec![], ());
    for cents in 1..=64 {
        cqrs.execute("a", AccountCommand::Deposit { cents }).await.unwrap();
        engine.flush(Duration::from_secs(10)).await.unwrap();
    }
    let key = State::<Account>::aggregate_key("a").unwrap();
    let loaded = engine.load(&key).await.unwrap();
    assert_eq!(loaded.provenance.snapshot.as_ref().map(|used| used.id.version), Some(60));
    assert_eq!(loaded.provenance.events_replayed, 4);
    let theirs = PersistedEventStore::<_, Account>::new_event_store(db.repository());
    assert_eq!(loaded.state.0, theirs.load_aggregate("a").await.unwrap().aggregate);
    assert_eq!(engine.at_version(&key, 33).await.unwrap().state.0.entries.len(), 33);
    db.close().await;
}

#[tokio::test]
async fn events_of_former_releases_are_upcast_in_the_fused_load_too() {
    let db = Database::new("upcast").await;
    let sql = format!(
        "INSERT INTO {}.events SELECT 'account', 'a', n, 'Deposited', '1.0', \
         json_build_object('Deposited', json_build_object('euros', n)), '{{}}' \
         FROM generate_series(1, 25) n",
        db.schema
    );
    sqlx08::raw_sql(&sql).execute(&db.theirs).await.unwrap();
    let engine = db.engine().await;
    let key = State::<Account>::aggregate_key("a").unwrap();
    engine.create_with(&key, snapfold::manager::CreateOptions::new().at_version(20)).await.unwrap();
    let events = RepositoryEvents::new(db.repository()).upcasters(Database::upcasters());
    let store = SnapfoldEventStore::<_, Account>::new(events, engine);
    let context = store.load_aggregate("a").await.unwrap();
    assert_eq!((context.current_sequence, context.current_snapshot), (25, Some(20)));
    assert_eq!(context.aggregate.cents, (1..=25).sum::<i64>() * 100);
    let deposit = vec![AccountEvent::Deposited { cents: 1 }];
    store.commit(deposit, context, HashMap::new()).await.unwrap();
    assert_eq!(store.load_aggregate("a").await.unwrap().aggregate.entries.len(), 26);
    db.close().await;
}
