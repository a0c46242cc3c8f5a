//! [`PostgresHybrid`]: loads a snapshot and its tail in one statement.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::Row as _;

use super::connection::{CallFailure, Connections, Operation, Session};
use super::error::StatementEffect;
use super::event_row::{Decode, PgTime};
use super::event_table::EventTable;
use super::event_trouble::explain;
use super::events::PostgresEvents;
use super::fetched::{FetchedRows, MAX_EVENTS, USED};
use super::hybrid_many::{self, FetchMany};
use super::key_text::KeyText;
use super::lookup::{OTHERS_AT_TIME, newest_at_time_sql, newest_sql};
use super::names::Names;
use super::placeholders::Placeholders;
use super::statement::{Statement, typed};
use super::store::PostgresStore;
use super::tail::{Events, PostgresTail};
use super::version;
use crate::error::{Error, ErrorKind};
use crate::events::{Hybrid, HybridSource};
use crate::state::Aggregate;
use crate::store::{Lookup, Query, SnapshotStore};

/// Loads the newest usable snapshot and the events after it in one statement, at one point in time.
/// Created by [`PostgresEvents::with_snapshots`]. Pass it to
/// [`EngineBuilder::hybrid`](crate::engine::EngineBuilder::hybrid).
pub struct PostgresHybrid<E> {
    store: PostgresStore,
    connections: Connections,
    decode: Decode<E>,
    table: EventTable,
    now: Statement,
    by_version: Statement,
    by_time: Statement,
    many: Statement,
}

impl<E> PostgresEvents<E> {
    /// Returns a source that loads the snapshots of `store` and these events in one statement. Pass
    /// it to [`EngineBuilder::hybrid`](crate::engine::EngineBuilder::hybrid). Both must be in the
    /// same database, and the engine must use this store and this event source. The result works
    /// behind a transaction pooler if the store or this source is set up for one. It is bound to a
    /// tenant if the store is ([`for_tenant`](PostgresStore::for_tenant)).
    ///
    /// # Errors
    /// The same errors as [`new`](Self::new).
    pub fn with_snapshots(&self, store: &PostgresStore) -> Result<PostgresHybrid<E>, Error> {
        PostgresHybrid::new(self, store)
    }
}

impl<E> PostgresHybrid<E> {
    pub(super) fn new(events: &PostgresEvents<E>, store: &PostgresStore) -> Result<Self, Error> {
        let (names, table) = (store.names(), &events.table);
        let mut connections = events.connections.clone();
        connections.transaction_pooler |= store.connections().transaction_pooler;
        connections.tenant.clone_from(&store.connections().tenant);
        Ok(Self {
            store: store.clone(),
            connections,
            decode: Arc::clone(&events.decode),
            table: table.clone(),
            now: statement(names, table, HybridBounds::None)?,
            by_version: statement(names, table, HybridBounds::Version)?,
            by_time: statement(names, table, HybridBounds::VersionAndTime)?,
            many: hybrid_many::statement(names, table)?,
        })
    }
}

/// The bounds of a load. Each has a separate statement, because PostgreSQL evaluates a condition
/// for every row even if it always holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum HybridBounds {
    None,
    /// `$6`.
    Version,
    /// `$6`; the time is `$7` in microseconds and `$8` as a `timestamptz`.
    VersionAndTime,
}

impl HybridBounds {
    fn of(query: &Query<'_>) -> Self {
        match query.as_of {
            Some(_) => Self::VersionAndTime,
            None if query.at_most >= version::MAX => Self::None,
            None => Self::Version,
        }
    }
}

/// Selects rows with the columns of an event, and one more column for the record, which only the
/// row of the snapshot has. A row without a version means that only other generations exist. The
/// row with the guard has the types of the columns in place of the record, and nothing else.
fn statement(names: &Names, table: &EventTable, bounds: HybridBounds) -> Result<Statement, Error> {
    let Names { snapshots, .. } = names;
    // Start at the event at the snapshot's version, for the comparison.
    let after = format!("coalesce(nullif((SELECT s.version FROM s) - 1, 0), {})", table.start());
    let tail = table.tail_sql(&Placeholders {
        tenant: "$1",
        kind: "$2",
        id: "$3",
        after: &after,
        until: (bounds != HybridBounds::None).then_some("$6"),
        until_time: (bounds == HybridBounds::VersionAndTime).then_some(("$7", "$8")),
        extra: ", NULL::bytea",
    })?;
    let nulls = |count: usize| vec!["NULL"; count].join(", ");
    let count = table.columns().count();
    let (rest, all) = (nulls(count - 1), nulls(count + 1));
    let any = |within: &str| {
        format!(
            "EXISTS (SELECT FROM {snapshots} WHERE tenant = $1 AND kind = $2 AND id = $3{within})"
        )
    };
    let (newest, others) = match bounds {
        HybridBounds::None => (format!("WITH {}", newest_sql(names, USED)), any(USED)),
        HybridBounds::Version => {
            let within = format!(" AND version <= $6{USED}");
            (format!("WITH {}", newest_sql(names, &within)), any(&within))
        }
        // Give every parameter a type, including those that the table does not use.
        HybridBounds::VersionAndTime => (
            format!("WITH RECURSIVE {}", newest_at_time_sql(names, None, USED)),
            format!("{OTHERS_AT_TIME} AND $8::timestamptz IS NOT NULL"),
        ),
    };
    Ok(Statement::new(|guard| {
        let rows = format!(
            "(SELECT {guard}, {rest}, NULL::bytea) \
             UNION ALL \
             ({tail} LIMIT {MAX_EVENTS}) \
             UNION ALL \
             (SELECT s.version, {rest}, s.header || s.payload FROM s) \
             UNION ALL \
             (SELECT {all} WHERE NOT EXISTS (SELECT FROM s) AND {others})"
        );
        format!("{newest} {}", typed(guard, count, &rows, true))
    }))
}

#[async_trait]
impl<A, E> HybridSource<A> for PostgresHybrid<E>
where
    A: Aggregate<Event = E>,
    E: Send + Sync + 'static,
{
    async fn fetch(&self, query: Query<'_>) -> Result<Hybrid<A>, Error> {
        let key = query.key;
        self.table.check_key(key)?;
        let text = own_text(&query);
        let Some(text) = text else { return Ok(Hybrid::new(self.store.get(query).await?)) };
        let statement = match HybridBounds::of(&query) {
            HybridBounds::None => &self.now,
            HybridBounds::Version => &self.by_version,
            HybridBounds::VersionAndTime => &self.by_time,
        };
        let mut fetch = Fetch { statement, table: &self.table, key: &text, query };
        let fetched = self.connections.run(&mut fetch).await?;
        self.answer(query, fetched, MAX_EVENTS).await
    }

    /// Uses one statement, except for queries with a time and queries that loads do not make, which
    /// use one statement each. The queries share the bounds on a tail.
    async fn fetch_many(&self, queries: &[Query<'_>]) -> Result<Vec<Hybrid<A>>, Error> {
        let mut answers: Vec<Option<Hybrid<A>>> = Vec::with_capacity(queries.len());
        let mut places = Vec::new();
        let mut asked = Vec::new();
        for (place, query) in queries.iter().enumerate() {
            self.table.check_key(query.key)?;
            match own_text(query).filter(|_| query.as_of.is_none()) {
                Some(text) => {
                    places.push(place);
                    asked.push((text, *query));
                    answers.push(None);
                }
                None => answers.push(Some(self.fetch(*query).await?)),
            }
        }
        for (places, asked) in
            places.chunks(hybrid_many::MAX_QUERIES).zip(asked.chunks(hybrid_many::MAX_QUERIES))
        {
            let most = hybrid_many::events_of_each(asked.len());
            let mut fetch = FetchMany { statement: &self.many, table: &self.table, asked, most };
            let fetched = self.connections.run(&mut fetch).await?;
            for ((place, (_, query)), fetched) in places.iter().zip(asked).zip(fetched) {
                if let Some(answer) = answers.get_mut(*place) {
                    *answer = Some(self.answer(*query, fetched, most).await?);
                }
            }
        }
        let missing = || Error::new(ErrorKind::Store, "fetch", "the result of a query is missing");
        answers.into_iter().map(|answer| answer.ok_or_else(missing)).collect()
    }
}

/// Returns the key as it is stored, if one statement can answer the query: the events store the key
/// in the same form, and the query has only the bounds that loads use.
fn own_text<'a>(query: &Query<'a>) -> Option<KeyText<'a>> {
    let key = query.key;
    let is_own = |text: &KeyText<'_>| {
        (&*text.tenant, &*text.kind, &*text.id) == (key.tenant(), key.kind(), key.id())
    };
    KeyText::of(key).filter(is_own).filter(|_| query.at_least == 0 && !query.include_retired)
}

impl<E> PostgresHybrid<E> {
    /// Returns the answer to a query whose tail was limited to `most` events. The bases of a delta
    /// require a second call, but few snapshots are deltas. If that call finds another snapshot,
    /// the tail is dropped, because it belongs to the first one.
    async fn answer<A>(
        &self,
        query: Query<'_>,
        fetched: FetchedRows,
        most: usize,
    ) -> Result<Hybrid<A>, Error>
    where
        A: Aggregate<Event = E>,
        E: Send + Sync + 'static,
    {
        let FetchedRows { mut lookup, events } = fetched;
        if let Lookup::Found(delta) = &lookup
            && delta.record.header().is_ok_and(|header| header.base.is_some())
        {
            let record = delta.record.clone();
            lookup = self.store.get(query).await?;
            if !matches!(&lookup, Lookup::Found(found) if found.record == record) {
                return Ok(Hybrid::new(lookup));
            }
        }
        if !matches!(lookup, Lookup::Found(_)) && self.table.check_first(events.first()).is_err() {
            // The event source reports the error.
            return Ok(Hybrid::new(lookup));
        }
        let whole = events.seen < most && events.are_whole();
        let until = if whole { u64::MAX } else { events.last() };
        let tail = PostgresTail { events, until, decode: Arc::clone(&self.decode) };
        Ok(Hybrid::new(lookup).with_tail(Box::new(tail)))
    }
}

struct Fetch<'a> {
    statement: &'a Statement,
    table: &'a EventTable,
    key: &'a KeyText<'a>,
    query: Query<'a>,
}

impl Operation for Fetch<'_> {
    type Output = FetchedRows;
    const NAME: &'static str = "get a snapshot and its tail";
    const EFFECT: StatementEffect = StatementEffect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, self.table.named(), self.statement.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<FetchedRows, CallFailure> {
        let query = &self.query;
        let bounds = HybridBounds::of(query);
        let mut bound = self
            .statement
            .query(session)
            .bind(&*self.key.tenant)
            .bind(&*self.key.kind)
            .bind(&*self.key.id)
            .bind(i64::from(query.generation.schema_version))
            .bind(version::fingerprint_column(query.generation.fingerprint));
        if bounds != HybridBounds::None {
            bound = bound.bind(version::at_most(query.at_most));
        }
        if let Some(time) = query.as_of {
            bound = bound.bind(time.as_micros()).bind(PgTime(time));
        }
        let mut rows = bound.fetch(&mut *session.connection);
        let mut fetched = FetchedRows { lookup: Lookup::Absent, events: Events::default() };
        // SQL does not guarantee the order of a union: keep rows that arrive before the guard.
        let (mut is_own, mut early) = (false, Vec::new());
        while let Some(row) = rows.try_next().await? {
            if is_own {
                fetched.take(self.table, &row)?;
            } else if self.statement.check(&row).is_ok() {
                is_own = true;
                Statement::check_types(&row, self.table.columns().count())?;
                self.table.check_types(row.columns())?;
                for row in early.drain(..) {
                    fetched.take(self.table, &row)?;
                }
            } else if early.len() <= MAX_EVENTS {
                early.push(row);
            } else {
                return Err(CallFailure::Foreign);
            }
        }
        if !is_own {
            return Err(CallFailure::Foreign);
        }
        fetched.events.sort();
        Ok(fetched)
    }
}

impl<E> fmt::Debug for PostgresHybrid<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresHybrid").field("store", &self.store).finish_non_exhaustive()
    }
}
