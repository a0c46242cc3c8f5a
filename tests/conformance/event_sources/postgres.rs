//! `PostgresEvents` and `PostgresHybrid` under the kit, over tables of several shapes.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::conformance::{
    EventSite, EventSourceFactory, HybridPair, Kept, NewEvent, SourceConformance,
};
use snapfold::postgres::{EventTable, KeyType, PostgresEvents, PostgresOptions, PostgresStore};
use snapfold::{Aggregate, AggregateKey, BoxError, Error, EventSource};
use sqlx::AssertSqlSafe;

use super::account::Account;
use crate::postgres_support::TestDb;

/// The shape of an event table.
#[derive(Clone, Copy)]
struct Shape {
    id: &'static str,
    /// Whether there are columns for tenant and kind.
    parts: bool,
    first: i32,
    is_micros: bool,
    is_query: bool,
}

const PLAIN: Shape = Shape { id: "text", parts: true, first: 1, is_micros: false, is_query: false };

struct Tables(Shape);

#[async_trait]
impl EventSourceFactory<Account> for Tables {
    async fn site(&self) -> Result<Box<dyn EventSite<Account>>, BoxError> {
        let (shape, db) = (self.0, TestDb::new().await);
        let parts = if shape.parts { "tenant text, kind {schema}.kinds, " } else { "" };
        let kinds = if shape.id == "text" { "text" } else { "varchar(40)" };
        let at = if shape.is_micros { "int8" } else { "timestamptz" };
        db.run(&format!(
            "CREATE DOMAIN {{schema}}.kinds AS {kinds}; CREATE TABLE {{schema}}.events ({parts}id {}, \
             version int8, at {at}, anchor bytea, payload jsonb, meta text)",
            shape.id
        ))
        .await;
        let columns = if shape.parts { "tenant, kind, id" } else { "id" };
        db.run(&format!("CREATE UNIQUE INDEX ON {{schema}}.events ({columns}, version)")).await;
        let options = PostgresOptions::new().schema(&db.schema);
        let store = PostgresStore::with_options(db.pool.clone(), &options)?;
        store.migrations().run().await?;
        let events = PostgresEvents::new(db.pool.clone(), table(&db, shape), |row| {
            let number: u64 = serde_json::from_slice(row.payload)?;
            let meta = row.metadata.map(std::str::from_utf8).transpose()?;
            let expected = format!("{number} at {}", row.recorded_at.as_micros());
            if meta != Some(&*expected) {
                return Err(format!("the metadata is {meta:?}, not {expected:?}").into());
            }
            Ok(number)
        })?;
        Ok(Box::new(Table { db, shape, store, events }))
    }
}

fn table(db: &TestDb, shape: Shape) -> EventTable {
    let name = format!("{}.events", db.schema);
    if shape.is_query {
        return EventTable::query(format!(
            "SELECT version - {}, at, anchor, NULL, payload, meta FROM {name} \
             WHERE tenant = {{tenant}} AND kind = {{kind}} AND id = {{id}} \
             AND version - {} > {{after}} AND version - {} <= {{until}};",
            shape.first - 1,
            shape.first - 1,
            shape.first - 1
        ))
        .metadata("");
    }
    let id = match shape.id {
        "uuid" => KeyType::Uuid,
        "int8" => KeyType::Bigint,
        _ => KeyType::Text,
    };
    let table = EventTable::new(name).id_as("id", id).version("version", shape.first);
    let table = table.anchor("anchor").metadata("meta");
    let table = if shape.parts { table.tenant("tenant").kind("kind") } else { table };
    if shape.is_micros { table.recorded_at_micros("at") } else { table.recorded_at("at") }
}

struct Table {
    db: TestDb,
    shape: Shape,
    store: PostgresStore,
    events: PostgresEvents<u64>,
}

#[async_trait]
impl EventSite<Account> for Table {
    fn source(&self) -> Arc<dyn EventSource<Account>> {
        Arc::new(self.events.clone())
    }

    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError> {
        let micros = |event: &NewEvent| event.recorded_at.unwrap().as_micros();
        let (parts, values) =
            if self.shape.parts { ("tenant, kind, ", "$6, $7, ") } else { ("", "") };
        let at = if self.shape.is_micros { "at" } else { "to_timestamp(at / 1e6)" };
        let sql = format!(
            "INSERT INTO {}.events ({parts}id, version, at, anchor, payload, meta) \
             SELECT {values}$1::text::{}, version + {}, {at}, anchor, to_jsonb(number), \
               number || ' at ' || at \
             FROM unnest($2::int8[], $3::int8[], $4::bytea[], $5::int8[]) \
               AS u (version, at, anchor, number) \
             WHERE num_nulls($6::text, $7::text) < 3",
            self.db.schema,
            self.shape.id,
            self.shape.first - 1,
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(key.id())
            .bind(events.iter().map(|e| i64::try_from(e.version).unwrap()).collect::<Vec<_>>())
            .bind(events.iter().map(micros).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.anchor.to_vec()).collect::<Vec<_>>())
            .bind(events.iter().map(|e| i64::try_from(e.number).unwrap()).collect::<Vec<_>>())
            .bind(key.tenant())
            .bind(key.kind())
            .execute(&self.db.pool)
            .await?;
        Ok(())
    }

    fn number(&self, event: &u64) -> Option<u64> {
        Some(*event)
    }

    fn keeps(&self) -> Kept {
        Kept::default().anchors(true)
    }

    fn key(&self, n: u64) -> Result<AggregateKey, Error> {
        match self.shape.id {
            "uuid" => Account::key(&format!("00000000-0000-4000-8000-{n:012}")),
            "int8" => Account::key(&format!("{}", n + 1_000)),
            _ => Account::key(&format!("k{n}")),
        }
    }

    fn takes(&self, key: &AggregateKey) -> bool {
        if self.shape.parts {
            return ![key.tenant(), key.kind(), key.id()].iter().any(|part| part.contains('\0'));
        }
        let is_plain = key.kind() == Account::KIND && key.tenant().is_empty();
        is_plain
            && match self.shape.id {
                "int8" => key.id().parse::<i64>().is_ok_and(|id| id.to_string() == key.id()),
                _ => key.id().starts_with("0000"),
            }
    }

    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError> {
        let sql = format!(
            "DELETE FROM {}.events WHERE id::text = $1 AND version - {} <= $2",
            self.db.schema,
            self.shape.first - 1
        );
        sqlx::query(AssertSqlSafe(sql))
            .bind(key.id())
            .bind(i64::try_from(version)?)
            .execute(&self.db.pool)
            .await?;
        // A table that counts from 0 and lost its first event only: the source takes it for one
        // that counts from 1, and says so.
        Ok(!(self.shape.first == 0 && version == 1))
    }

    async fn fail(&self, failing: bool) -> Result<bool, BoxError> {
        let (from, to) = if failing { ("events", "gone") } else { ("gone", "events") };
        self.db.run(&format!("ALTER TABLE {{schema}}.{from} RENAME TO {to}")).await;
        Ok(true)
    }

    fn hybrid(&self) -> Option<HybridPair<Account>> {
        let hybrid = self.events.with_snapshots(&self.store).unwrap();
        Some(HybridPair::new(Arc::new(self.store.clone()), Arc::new(hybrid)))
    }

    fn name(&self) -> &'static str {
        "postgres events"
    }
}

async fn prove(shape: Shape, missing: &[&str]) {
    let card = SourceConformance::of(&Tables(shape)).run().await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    let skipped: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    // A time that is NULL is an error: no event is untimed.
    let mut expected = BTreeSet::from(["Kept::untimed"]);
    expected.extend(missing);
    assert_eq!(skipped, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_texts() {
    prove(PLAIN, &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query() {
    let shape = Shape { is_query: true, is_micros: true, first: 0, ..PLAIN };
    prove(shape, &["EventSite::truncate", "EventSource::keys"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_numbers_that_counts_from_zero() {
    let shape = Shape { id: "int8", parts: false, first: 0, ..PLAIN };
    prove(shape, &["EventSite::truncate"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_with_uuids() {
    let shape = Shape { id: "uuid", parts: false, first: 1, is_micros: true, ..PLAIN };
    prove(shape, &[]).await;
}
