//! [`PostgresHybrid`]: snapshot and tail in one statement.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row, ValueRef};

use super::connection::{Connections, Failure, Operation};
use super::error::Effect;
use super::event_row::{Decode, EventColumns, PgTime, push, version_of};
use super::event_table::{EventTable, Placeholders};
use super::events::PostgresEvents;
use super::key_text::KeyText;
use super::names::Names;
use super::store::PostgresStore;
use super::version;
use crate::envelope::Record;
use crate::error::{BoxError, Error};
use crate::events::{Hybrid, HybridSource, Replay, Tail};
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query, SnapshotStore};

/// The most events that come with a snapshot.
const MAX_EVENTS: u32 = 1_024;
/// Events are not kept beyond so many bytes; those that follow are read again when needed.
const MAX_BYTES: usize = 16 << 20;

/// Loads the newest usable snapshot and the events that follow it in one statement, seen at one
/// moment. Made by [`PostgresEvents::with_snapshots`]; for
/// [`EngineBuilder::hybrid`](crate::EngineBuilder::hybrid).
pub struct PostgresHybrid<E> {
    store: PostgresStore,
    connections: Connections,
    decode: Decode<E>,
    columns: EventColumns,
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
            columns: events.table.columns(),
            sql: sql(names, &events.table, false)?.into(),
            sql_by_time: sql(names, &events.table, true)?.into(),
        })
    }
}

/// Rows with the columns of an event and one more: the record, which only the row of the snapshot
/// has. A row without a version tells that only other generations are there.
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
        extra: ", NULL::bytea",
    })?;
    let nulls = |count: usize| vec!["NULL"; count].join(", ");
    let (rest, all) = (nulls(table.columns().count() - 1), nulls(table.columns().count() + 1));
    // Every parameter has a type, also where a table does not need it.
    let typed = if by_time { "AND $9::timestamptz IS NOT NULL" } else { "" };
    Ok(format!(
        "WITH s AS MATERIALIZED (\
           SELECT version, header, payload FROM {snapshots} \
           WHERE tenant = $1::text AND kind = $2::text AND id = $3::text \
             AND schema_version = $4 AND fingerprint = $5 AND version <= $6 AND as_of <= $7 \
             {typed} ORDER BY version DESC LIMIT 1) \
         ({tail} LIMIT $8) \
         UNION ALL \
         (SELECT s.version, {rest}, s.header || s.payload FROM s) \
         UNION ALL \
         (SELECT {all} WHERE NOT EXISTS (SELECT FROM s) AND EXISTS (\
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
        let record_at = self.columns.count();
        let mut fetch = Fetch { sql, key: &text, query, record_at };
        let Fetched { lookup, rows, until } = self.connections.run(&mut fetch).await?;
        let (columns, decode) = (self.columns, Arc::clone(&self.decode));
        let tail = PostgresTail { rows, columns, until, decode };
        Ok(Hybrid::new(lookup).with_tail(Box::new(tail)))
    }
}

struct Fetch<'a> {
    sql: &'a Arc<str>,
    key: &'a KeyText<'a>,
    query: Query<'a>,
    record_at: usize,
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
        let (mut sorted, mut last) = (true, 0);
        while let Some(row) = stream.try_next().await? {
            let Some(version) = row.try_get::<Option<i64>, _>(0)? else {
                lookup = Lookup::OtherGeneration;
                continue;
            };
            let (version, record) =
                (version::from_column(version), row.try_get_raw(self.record_at)?);
            if !record.is_null() {
                let record = record.as_bytes().map_err(sqlx::Error::Decode)?.to_vec();
                lookup = Lookup::Found(Found::new(version, Record::from_bytes(record)));
                continue;
            }
            events += 1;
            bytes += payload_bytes(&row)?;
            // The first one always; dropped ones leave the rest useless.
            if rows.is_empty() || bytes <= MAX_BYTES {
                sorted &= last <= version;
                last = version;
                rows.push(row);
            }
        }
        drop(stream);
        // SQL promises no order of a union.
        if !sorted {
            rows.sort_by_cached_key(|row| version_of(row).unwrap_or(0));
            last = rows.last().map_or(Ok(0), version_of)?;
        }
        let whole = events < MAX_EVENTS as usize && rows.len() == events;
        let until = if whole { u64::MAX } else { last };
        Ok(Fetched { lookup, rows, until })
    }
}

fn payload_bytes(row: &PgRow) -> Result<usize, Failure> {
    let payload = row.try_get_raw(EventColumns::PAYLOAD)?;
    if payload.is_null() {
        return Ok(0);
    }
    Ok(payload.as_bytes().map_err(sqlx::Error::Decode)?.len())
}

/// Rows of events, as they came.
struct PostgresTail<E> {
    rows: Vec<PgRow>,
    columns: EventColumns,
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
            if !push(row, self.columns, &self.decode, replay)? {
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
