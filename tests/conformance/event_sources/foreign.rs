//! The schemas of public event stores, and sources over them as people write them first. Each is
//! right, or the kit (or `EventTable` itself) says what is wrong. From the documentation and the
//! bug reports of message-db, Marten, `EventStore` of Commanded and `KurrentDB`.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::conformance::{
    EventSite, EventSourceFactory, Kept, Level, NewEvent, SourceConformance,
};
use snapfold::postgres::{EventTable, PostgresEvents};
use snapfold::{Aggregate, AggregateKey, BoxError, Error, EventSource, Timestamp};
use sqlx::AssertSqlSafe;

use super::account::Account;
use crate::postgres_support::TestDb;

/// An event store: its tables, how it appends, and which keys it takes.
#[derive(Clone, Copy)]
struct Store {
    tables: &'static str,
    /// `$1` tenant, `$2` kind, `$3` id, then arrays: `$4` versions, `$5` microseconds, `$6`
    /// anchors, `$7` numbers.
    append: &'static str,
    /// `$1` id, `$2` the version up to which events go.
    truncate: Option<&'static str>,
    tenants: bool,
}

/// Positions count from 0 within a stream named by category and id; times have no zone.
const MESSAGE_DB: Store = Store {
    tables: "CREATE TABLE {schema}.messages (global_position bigserial PRIMARY KEY, \
       position bigint NOT NULL, id uuid NOT NULL DEFAULT gen_random_uuid(), \
       time timestamp NOT NULL DEFAULT (now() AT TIME ZONE 'utc'), stream_name text NOT NULL, \
       type text NOT NULL, data jsonb, metadata jsonb); \
       CREATE UNIQUE INDEX ON {schema}.messages (stream_name, position)",
    append: "INSERT INTO {schema}.messages (position, id, time, stream_name, type, data, metadata) \
       SELECT v - 1, encode(a, 'hex')::uuid, to_timestamp(at / 1e6) AT TIME ZONE 'utc', \
         $2 || '-' || $3, 'Deposited', to_jsonb(n), '{}' \
       FROM unnest($4::int8[], $5::int8[], $6::bytea[], $7::int8[]) AS u (v, at, a, n) \
       WHERE $1::text IS NOT NULL",
    truncate: Some(
        "DELETE FROM {schema}.messages WHERE stream_name = 'account-' || $1 AND position < $2",
    ),
    tenants: false,
};

/// Versions count from 1 within a stream; one table for all tenants, and a default one by name.
const MARTEN: Store = Store {
    tables: "CREATE TABLE {schema}.mt_events (seq_id bigserial PRIMARY KEY, id uuid NOT NULL, \
       stream_id varchar NOT NULL, version bigint NOT NULL, data jsonb NOT NULL, \
       type varchar(500) NOT NULL, timestamp timestamptz NOT NULL DEFAULT now(), \
       tenant_id varchar DEFAULT '*DEFAULT*', mt_dotnet_type varchar, headers jsonb, \
       is_archived bool DEFAULT FALSE); \
       CREATE UNIQUE INDEX ON {schema}.mt_events (tenant_id, stream_id, version)",
    append: "INSERT INTO {schema}.mt_events (id, stream_id, version, data, type, timestamp, \
         tenant_id, headers) \
       SELECT encode(a, 'hex')::uuid, $3, v, to_jsonb(n), 'deposited', to_timestamp(at / 1e6), \
         coalesce(nullif($1::text, ''), '*DEFAULT*'), '{}' \
       FROM unnest($4::int8[], $5::int8[], $6::bytea[], $7::int8[]) AS u (v, at, a, n) \
       WHERE $2::text IS NOT NULL",
    truncate: Some(
        "UPDATE {schema}.mt_events SET is_archived = true WHERE stream_id = $1 AND version <= $2",
    ),
    tenants: true,
};

/// Streams, events and their links: each event is linked to its own stream and to `$all`.
const COMMANDED: Store = Store {
    tables: "CREATE TABLE {schema}.streams (stream_id bigserial PRIMARY KEY, \
       stream_uuid text NOT NULL UNIQUE, stream_version bigint DEFAULT 0 NOT NULL); \
       INSERT INTO {schema}.streams (stream_id, stream_uuid) VALUES (0, '$all'); \
       CREATE TABLE {schema}.events (event_id uuid PRIMARY KEY, event_type text NOT NULL, \
       data bytea NOT NULL, metadata bytea, created_at timestamptz DEFAULT now() NOT NULL); \
       CREATE TABLE {schema}.stream_events (event_id uuid NOT NULL REFERENCES {schema}.events, \
       stream_id bigint NOT NULL, stream_version bigint NOT NULL, \
       original_stream_id bigint NOT NULL, original_stream_version bigint NOT NULL, \
       PRIMARY KEY (event_id, stream_id)); \
       CREATE UNIQUE INDEX ON {schema}.stream_events (stream_id, stream_version)",
    append: "WITH u AS (SELECT *, encode(a, 'hex')::uuid AS event_id \
         FROM unnest($4::int8[], $5::int8[], $6::bytea[], $7::int8[]) AS u (v, at, a, n)), \
       s AS (INSERT INTO {schema}.streams (stream_uuid) VALUES ($3) ON CONFLICT (stream_uuid) \
         DO UPDATE SET stream_version = streams.stream_version RETURNING stream_id), \
       all_events AS (UPDATE {schema}.streams \
         SET stream_version = stream_version + cardinality($4::int8[]) WHERE stream_id = 0 \
         RETURNING stream_version - cardinality($4::int8[]) AS was), \
       e AS (INSERT INTO {schema}.events (event_id, event_type, data, created_at) \
         SELECT event_id, 'Deposited', convert_to(n::text, 'UTF8'), to_timestamp(at / 1e6) FROM u) \
       INSERT INTO {schema}.stream_events \
         SELECT u.event_id, s.stream_id, v, s.stream_id, v FROM u, s WHERE $1 || $2 IS NOT NULL \
         UNION ALL \
         SELECT u.event_id, 0, was + row_number() OVER (ORDER BY v), s.stream_id, v \
         FROM u, s, all_events",
    truncate: None,
    tenants: false,
};

struct Sites {
    store: Store,
    /// Given the schema.
    table: fn(&str) -> EventTable,
}

struct Site {
    db: TestDb,
    store: Store,
    events: PostgresEvents<u64>,
}

#[async_trait]
impl EventSourceFactory<Account> for Sites {
    async fn site(&self) -> Result<Box<dyn EventSite<Account>>, BoxError> {
        let db = TestDb::new().await;
        db.run(self.store.tables).await;
        let table = (self.table)(&db.schema);
        let events = PostgresEvents::new(db.pool.clone(), table, |row| {
            Ok(serde_json::from_slice(row.payload)?)
        })?;
        Ok(Box::new(Site { db, store: self.store, events }))
    }
}

#[async_trait]
impl EventSite<Account> for Site {
    fn source(&self) -> Arc<dyn EventSource<Account>> {
        Arc::new(self.events.clone())
    }

    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError> {
        let micros = |e: &NewEvent| e.recorded_at.map_or(0, Timestamp::as_micros);
        let sql = self.store.append.replace("{schema}", &self.db.schema);
        sqlx::query(AssertSqlSafe(sql))
            .bind(key.tenant())
            .bind(key.kind())
            .bind(key.id())
            .bind(events.iter().map(|e| i64::try_from(e.version).unwrap()).collect::<Vec<_>>())
            .bind(events.iter().map(micros).collect::<Vec<_>>())
            .bind(events.iter().map(|e| e.anchor.to_vec()).collect::<Vec<_>>())
            .bind(events.iter().map(|e| i64::try_from(e.number).unwrap()).collect::<Vec<_>>())
            .execute(&self.db.pool)
            .await?;
        Ok(())
    }

    fn number(&self, event: &u64) -> Option<u64> {
        Some(*event)
    }

    fn keeps(&self) -> Kept {
        Kept::default()
    }

    fn key(&self, n: u64) -> Result<AggregateKey, Error> {
        Account::key(&format!("k{n}"))
    }

    fn takes(&self, key: &AggregateKey) -> bool {
        let has_nul = [key.tenant(), key.kind(), key.id()].iter().any(|part| part.contains('\0'));
        let kind = key.kind() == Account::KIND;
        !has_nul && kind && (self.store.tenants || key.tenant().is_empty())
    }

    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError> {
        let Some(sql) = self.store.truncate else { return Ok(false) };
        sqlx::query(AssertSqlSafe(sql.replace("{schema}", &self.db.schema)))
            .bind(key.id())
            .bind(i64::try_from(version)?)
            .execute(&self.db.pool)
            .await?;
        Ok(true)
    }
}

/// What the kit says about a source that `table` makes.
async fn broken(store: Store, table: fn(&str) -> EventTable) -> BTreeSet<&'static str> {
    let sites = Sites { store, table };
    let card = SourceConformance::of(&sites).without(Level::Hybrid).run().await;
    println!("{card}");
    assert!(card.failures().all(|(_, failure)| !failure.broken.is_empty()), "{card}");
    card.broken_promises()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_over_message_db() {
    let right: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT position + 1, time AT TIME ZONE 'utc', id, type, data FROM {schema}.messages \
             WHERE stream_name = {{kind}} || '-' || {{id}} \
             AND position >= {{after}} AND position < {{until}}"
        ))
    };
    assert_eq!(broken(MESSAGE_DB, right).await, BTreeSet::new());
    // Positions taken for versions: the first event has version 0, and each load is refused.
    let positions: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT position, time AT TIME ZONE 'utc', id, type, data FROM {schema}.messages \
             WHERE stream_name = {{kind}} || '-' || {{id}} \
             AND position > {{after}} AND position <= {{until}}"
        ))
    };
    assert!(!broken(MESSAGE_DB, positions).await.is_empty());
    // The batch size of its functions by default.
    let batch: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT position + 1, time AT TIME ZONE 'utc', id, type, data FROM {schema}.messages \
             WHERE stream_name = {{kind}} || '-' || {{id}} \
             AND position >= {{after}} ORDER BY position LIMIT 1000"
        ))
    };
    assert_eq!(broken(MESSAGE_DB, batch).await, BTreeSet::from(["E-03", "E-08", "E-20"]));
    // A category instead of a stream.
    let category: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT position + 1, time AT TIME ZONE 'utc', id, type, data FROM {schema}.messages \
             WHERE stream_name LIKE {{kind}} || '-' || {{id}} || '%' \
             AND position >= {{after}} AND position < {{until}}"
        ))
    };
    assert!(broken(MESSAGE_DB, category).await.contains("E-07"));
    // Its time has no zone, which `EventTable` refuses: every read fails.
    let no_zone: fn(&str) -> EventTable = |schema| {
        let table = EventTable::new(format!("{schema}.messages")).id("stream_name");
        table.version("position", 0).recorded_at("time").payload("data")
    };
    assert!(broken(MESSAGE_DB, no_zone).await.contains("E-03"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_over_marten() {
    let right: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT version, timestamp, id, type, data, headers FROM {schema}.mt_events \
             WHERE tenant_id = coalesce(nullif({{tenant}}, ''), '*DEFAULT*') \
             AND stream_id = {{id}} AND version > {{after}} AND version <= {{until}} \
             AND NOT is_archived"
        ))
        .metadata("headers")
    };
    assert_eq!(broken(MARTEN, right).await, BTreeSet::new());
    // Without the tenant: two streams of one id.
    let no_tenant: fn(&str) -> EventTable = |schema| {
        let table = EventTable::new(format!("{schema}.mt_events")).id("stream_id");
        table.recorded_at("timestamp").payload("data").anchor("id").event_type("type")
    };
    assert!(broken(MARTEN, no_tenant).await.contains("E-07"));
    // The default tenant is no empty text there: nothing is found.
    let own_tenant: fn(&str) -> EventTable = |schema| {
        let table = EventTable::new(format!("{schema}.mt_events")).id("stream_id");
        table.tenant("tenant_id").recorded_at("timestamp").payload("data")
    };
    assert!(broken(MARTEN, own_tenant).await.contains("E-03"));
    // The global sequence taken for the version.
    let sequence: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT seq_id, timestamp, id, type, data FROM {schema}.mt_events \
             WHERE tenant_id = coalesce(nullif({{tenant}}, ''), '*DEFAULT*') \
             AND stream_id = {{id}} AND seq_id > {{after}} AND seq_id <= {{until}}"
        ))
    };
    assert!(broken(MARTEN, sequence).await.contains("E-01"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_over_commanded() {
    let right: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT l.stream_version, e.created_at, e.event_id, e.event_type, e.data \
             FROM {schema}.streams s JOIN {schema}.stream_events l USING (stream_id) \
             JOIN {schema}.events e USING (event_id) \
             WHERE s.stream_uuid = {{id}} \
             AND l.stream_version > {{after}} AND l.stream_version <= {{until}}"
        ))
    };
    assert_eq!(broken(COMMANDED, right).await, BTreeSet::new());
    // By the original stream: each event comes a second time, by its link in `$all`.
    let original: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT l.stream_version, e.created_at, e.event_id, e.event_type, e.data \
             FROM {schema}.streams s JOIN {schema}.stream_events l \
               ON l.original_stream_id = s.stream_id \
             JOIN {schema}.events e USING (event_id) \
             WHERE s.stream_uuid = {{id}} \
             AND l.stream_version > {{after}} AND l.stream_version <= {{until}}"
        ))
    };
    assert!(broken(COMMANDED, original).await.contains("E-01"));
    // Its function reads from a version on, inclusive.
    let from: fn(&str) -> EventTable = |schema| {
        EventTable::query(format!(
            "SELECT l.stream_version, e.created_at, e.event_id, e.event_type, e.data \
             FROM {schema}.streams s JOIN {schema}.stream_events l USING (stream_id) \
             JOIN {schema}.events e USING (event_id) \
             WHERE s.stream_uuid = {{id}} \
             AND l.stream_version >= {{after}} AND l.stream_version <= {{until}}"
        ))
    };
    assert!(broken(COMMANDED, from).await.contains("E-08"));
}
