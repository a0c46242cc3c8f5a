//! [`PostgresHybrid`]: snapshot and tail in one statement.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row, ValueRef};

use super::connection::{Connections, Failure, Operation};
use super::error::Effect;
use super::event_row::{Decode, EventColumns, PgTime, RawEvent, version_of};
use super::event_table::{EventTable, Placeholders};
use super::events::PostgresEvents;
use super::key_text::KeyText;
use super::names::Names;
use super::store::PostgresStore;
use super::tail::{Events, PostgresTail};
use super::version;
use crate::envelope::Record;
use crate::error::Error;
use crate::events::{Hybrid, HybridSource};
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query, SnapshotStore};

/// The most events that come with a snapshot.
const MAX_EVENTS: usize = 1_024;

/// Loads the newest usable snapshot and the events that follow it in one statement, seen at one
/// moment. Made by [`PostgresEvents::with_snapshots`]; for
/// [`EngineBuilder::hybrid`](crate::EngineBuilder::hybrid).
pub struct PostgresHybrid<E> {
    store: PostgresStore,
    connections: Connections,
    decode: Decode<E>,
    columns: EventColumns,
    now: Arc<str>,
    by_version: Arc<str>,
    by_time: Arc<str>,
}

impl<E> PostgresHybrid<E> {
    pub(super) fn new(events: &PostgresEvents<E>, store: &PostgresStore) -> Result<Self, Error> {
        let (names, table) = (store.names(), &events.table);
        Ok(Self {
            store: store.clone(),
            connections: events.connections.clone(),
            decode: Arc::clone(&events.decode),
            columns: table.columns(),
            now: sql(names, table, Bounds::None)?.into(),
            by_version: sql(names, table, Bounds::Version)?.into(),
            by_time: sql(names, table, Bounds::VersionAndTime)?.into(),
        })
    }
}

/// What a load is bounded by. Each has its own text, for a condition that holds for every row is
/// tested for every row all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bounds {
    None,
    /// `$6`.
    Version,
    /// `$6`; the time is `$7` in microseconds and `$8` as a `timestamptz`.
    VersionAndTime,
}

impl Bounds {
    fn of(query: &Query<'_>) -> Self {
        match query.as_of {
            Some(_) => Self::VersionAndTime,
            None if query.at_most >= version::MAX => Self::None,
            None => Self::Version,
        }
    }
}

/// Rows with the columns of an event and one more: the record, which only the row of the snapshot
/// has. A row without a version tells that only other generations are there.
fn sql(names: &Names, table: &EventTable, bounds: Bounds) -> Result<String, Error> {
    let Names { snapshots, .. } = names;
    let tail = table.tail_sql(&Placeholders {
        tenant: "$1",
        kind: "$2",
        id: "$3",
        // From the event at the snapshot's version on, for comparison.
        after: "coalesce((SELECT s.version FROM s) - 1, 0)",
        until: (bounds != Bounds::None).then_some("$6"),
        until_time: (bounds == Bounds::VersionAndTime).then_some(("$7", "$8")),
        extra: ", NULL::bytea",
    })?;
    let nulls = |count: usize| vec!["NULL"; count].join(", ");
    let (rest, all) = (nulls(table.columns().count() - 1), nulls(table.columns().count() + 1));
    let (within, typed) = match bounds {
        Bounds::None => ("", ""),
        Bounds::Version => (" AND version <= $6", ""),
        // Every parameter has a type, also where a table does not need it.
        Bounds::VersionAndTime => {
            (" AND version <= $6 AND as_of <= $7", " AND $8::timestamptz IS NOT NULL")
        }
    };
    Ok(format!(
        "WITH s AS MATERIALIZED (\
           SELECT version, header, payload FROM {snapshots} \
           WHERE tenant = $1::text AND kind = $2::text AND id = $3::text \
             AND schema_version = $4 AND fingerprint = $5{within}{typed} \
           ORDER BY version DESC LIMIT 1) \
         ({tail} LIMIT {MAX_EVENTS}) \
         UNION ALL \
         (SELECT s.version, {rest}, s.header || s.payload FROM s) \
         UNION ALL \
         (SELECT {all} WHERE NOT EXISTS (SELECT FROM s) AND EXISTS (\
             SELECT FROM {snapshots} WHERE tenant = $1 AND kind = $2 AND id = $3{within}))"
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
        let sql = match Bounds::of(&query) {
            Bounds::None => &self.now,
            Bounds::Version => &self.by_version,
            Bounds::VersionAndTime => &self.by_time,
        };
        let mut fetch = Fetch { sql, key: &text, query, columns: self.columns };
        let Fetched { lookup, events } = self.connections.run(&mut fetch).await?;
        let whole = events.seen < MAX_EVENTS && events.are_whole();
        let until = if whole { u64::MAX } else { events.last() };
        let tail = PostgresTail { events, until, decode: Arc::clone(&self.decode) };
        Ok(Hybrid::new(lookup).with_tail(Box::new(tail)))
    }
}

struct Fetch<'a> {
    sql: &'a Arc<str>,
    key: &'a KeyText<'a>,
    query: Query<'a>,
    columns: EventColumns,
}

struct Fetched {
    lookup: Lookup,
    events: Events,
}

impl Operation for Fetch<'_> {
    type Output = Fetched;
    const NAME: &'static str = "get a snapshot and its tail";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Fetched, Failure> {
        let query = &self.query;
        let bounds = Bounds::of(query);
        let mut statement = sqlx::query(AssertSqlSafe(Arc::clone(self.sql)))
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id)
            .bind(i64::from(query.generation.schema_version))
            .bind(version::fingerprint_column(query.generation.fingerprint));
        if bounds != Bounds::None {
            statement = statement.bind(version::at_most(query.at_most));
        }
        if let Some(time) = query.as_of {
            statement = statement.bind(time.as_micros()).bind(PgTime(time));
        }
        let mut rows = statement.fetch(connection);
        let mut lookup = Lookup::Absent;
        let mut events = Events::default();
        while let Some(row) = rows.try_next().await? {
            let Some(version) = version_of(&row)? else {
                lookup = Lookup::OtherGeneration;
                continue;
            };
            let record = row.try_get_raw(self.columns.count())?;
            if record.is_null() {
                events.add(RawEvent::of(&row, self.columns, version));
            } else {
                let record = record.as_bytes().map_err(sqlx::Error::Decode)?.to_vec();
                lookup = Lookup::Found(Found::new(version, Record::from_bytes(record)));
            }
        }
        events.sort();
        Ok(Fetched { lookup, events })
    }
}

impl<E> fmt::Debug for PostgresHybrid<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHybrid").field("store", &self.store).finish_non_exhaustive()
    }
}
