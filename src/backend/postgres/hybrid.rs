//! [`PostgresHybrid`]: snapshot and tail in one statement.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row, ValueRef};

use super::connection::{Connections, Failure, Operation};
use super::error::Effect;
use super::event_row::{Decode, PgTime, push, version_of};
use super::event_table::{EventTable, Placeholders};
use super::events::PostgresEvents;
use super::key_text::KeyText;
use super::lookup::record;
use super::names::Names;
use super::store::PostgresStore;
use super::version;
use crate::error::{BoxError, Error};
use crate::events::{Hybrid, HybridSource, Replay, Tail};
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query, SnapshotStore};

/// The most events that come with a snapshot.
const MAX_EVENTS: u32 = 1_024;
/// Events are not kept beyond so many bytes; those that follow are read again when needed.
const MAX_BYTES: usize = 16 << 20;

/// The kinds of rows of the statement, in its first column.
const SNAPSHOT: i16 = 0;
const EVENT: i16 = 1;
const OTHER_GENERATION: i16 = 2;

/// Where the columns of an event begin.
const EVENT_AT: usize = 3;

/// Loads the newest usable snapshot and the events that follow it in one statement, seen at one
/// moment. Made by [`PostgresEvents::with_snapshots`]; for
/// [`EngineBuilder::hybrid`](crate::EngineBuilder::hybrid).
pub struct PostgresHybrid<E> {
    store: PostgresStore,
    connections: Connections,
    decode: Decode<E>,
    sql: Arc<str>,
    sql_by_time: Arc<str>,
}

impl<E> PostgresHybrid<E> {
    pub(super) fn new(events: &PostgresEvents<E>, store: &PostgresStore) -> Result<Self, Error> {
        let names = store.names();
        Ok(Self {
            store: store.clone(),
            connections: events.connections.clone(),
            decode: Arc::clone(&events.decode),
            sql: sql(names, &events.table, false)?.into(),
            sql_by_time: sql(names, &events.table, true)?.into(),
        })
    }
}

fn sql(names: &Names, table: &EventTable, by_time: bool) -> Result<String, Error> {
    let Names { snapshots, .. } = names;
    let tail = table.tail_sql(&Placeholders {
        tenant: "$1",
        kind: "$2",
        id: "$3",
        // From the event at the snapshot's version on, for comparison.
        after: "coalesce((SELECT s.version FROM s) - 1, 0)",
        until: "$6",
        until_time: by_time.then_some(("$7", "$9")),
    })?;
    let typed = if by_time { "$9::timestamptz IS NOT NULL" } else { "true" };
    Ok(format!(
        "WITH s AS MATERIALIZED (\
           SELECT version, header, payload FROM {snapshots} \
           WHERE tenant = $1::text AND kind = $2::text AND id = $3::text \
             AND schema_version = $4 AND fingerprint = $5 AND version <= $6 AND as_of <= $7 \
           ORDER BY version DESC LIMIT 1) \
         (SELECT {EVENT}::int2, NULL::bytea, NULL::bytea, t.* FROM ({tail} LIMIT $8) AS t \
           WHERE {typed}) \
         UNION ALL \
         (SELECT {SNAPSHOT}::int2, s.header, s.payload, s.version, NULL, NULL, NULL, NULL FROM s) \
         UNION ALL \
         (SELECT {OTHER_GENERATION}::int2, NULL, NULL, NULL, NULL, NULL, NULL, NULL \
           WHERE NOT EXISTS (SELECT FROM s) AND EXISTS (\
             SELECT FROM {snapshots} WHERE tenant = $1 AND kind = $2 AND id = $3 \
               AND version <= $6 AND as_of <= $7))"
    ))
}

#[async_trait]
impl<A, E> HybridSource<A> for PostgresHybrid<E>
where
    A: Aggregate<Event = E>,
    E: Send + Sync + 'static,
{
    async fn fetch(&self, query: Query<'_>) -> Result<Hybrid<A>, Error> {
        let key = query.key;
        let text = KeyText::of(key).filter(|text| {
            (&*text.tenant, &*text.kind, &*text.id) == (key.tenant(), key.kind(), key.id())
        });
        // A key that is stored in another form than the events have it takes two statements.
        let Some(text) = text else { return Ok(Hybrid::new(self.store.get(query).await?)) };
        let sql = if query.as_of.is_some() { &self.sql_by_time } else { &self.sql };
        let mut fetch = Fetch { sql, key: &text, query };
        let Fetched { lookup, rows, until } = self.connections.run(&mut fetch).await?;
        let tail = PostgresTail { rows, until, decode: Arc::clone(&self.decode) };
        Ok(Hybrid::new(lookup).with_tail(Box::new(tail)))
    }
}

struct Fetch<'a> {
    sql: &'a Arc<str>,
    key: &'a KeyText<'a>,
    query: Query<'a>,
}

struct Fetched {
    lookup: Lookup,
    rows: Vec<PgRow>,
    until: u64,
}

impl Operation for Fetch<'_> {
    type Output = Fetched;
    const NAME: &'static str = "get a snapshot and its tail";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Fetched, Failure> {
        let query = &self.query;
        let mut statement = sqlx::query(AssertSqlSafe(Arc::clone(self.sql)))
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id)
            .bind(i64::from(query.generation.schema_version))
            .bind(version::fingerprint_column(query.generation.fingerprint))
            .bind(version::at_most(query.at_most))
            .bind(query.as_of.map_or(i64::MAX, crate::timestamp::Timestamp::as_micros))
            .bind(i64::from(MAX_EVENTS));
        if let Some(time) = query.as_of {
            statement = statement.bind(PgTime(time));
        }
        let mut stream = statement.fetch(connection);
        let mut lookup = Lookup::Absent;
        let mut rows = Vec::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(row) = stream.try_next().await? {
            match row.try_get::<i16, _>(0)? {
                SNAPSHOT => {
                    let found = version_of(&row, EVENT_AT)?;
                    lookup = Lookup::Found(Found::new(found, record(&row, 1)?));
                }
                EVENT => {
                    events += 1;
                    bytes += payload_bytes(&row)?;
                    // The first one always; dropped ones leave the rest useless.
                    if rows.is_empty() || bytes <= MAX_BYTES {
                        rows.push(row);
                    }
                }
                _ => lookup = Lookup::OtherGeneration,
            }
        }
        drop(stream);
        // SQL promises no order of a union.
        let mut versions =
            rows.iter().map(|row| version_of(row, EVENT_AT)).collect::<Result<Vec<_>, _>>()?;
        if !versions.is_sorted() {
            rows.sort_by_cached_key(|row| version_of(row, EVENT_AT).unwrap_or(0));
            versions.sort_unstable();
        }
        let whole = events < MAX_EVENTS as usize && rows.len() == events;
        let until = if whole { u64::MAX } else { versions.last().copied().unwrap_or(0) };
        Ok(Fetched { lookup, rows, until })
    }
}

fn payload_bytes(row: &PgRow) -> Result<usize, Failure> {
    let payload = row.try_get_raw(EVENT_AT + 4)?;
    if payload.is_null() {
        return Ok(0);
    }
    Ok(payload.as_bytes().map_err(sqlx::Error::Decode)?.len())
}

/// Rows of events, as they came.
struct PostgresTail<E> {
    rows: Vec<PgRow>,
    until: u64,
    decode: Decode<E>,
}

impl<A, E> Tail<A> for PostgresTail<E>
where
    A: Aggregate<Event = E>,
    E: Send + Sync + 'static,
{
    fn until(&self) -> u64 {
        self.until
    }

    fn replay(self: Box<Self>, replay: &mut Replay<'_, A>) -> Result<(), BoxError> {
        for row in &self.rows {
            if !push(row, EVENT_AT, &self.decode, replay)? {
                break;
            }
        }
        Ok(())
    }
}

impl<E> fmt::Debug for PostgresTail<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresTail({} events)", self.rows.len())
    }
}

impl<E> fmt::Debug for PostgresHybrid<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHybrid").field("store", &self.store).finish_non_exhaustive()
    }
}
