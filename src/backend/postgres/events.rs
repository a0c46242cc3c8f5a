//! [`PostgresEvents`]: reads the application's event table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::{PgPool, Row};

use super::connection::{Connections, Failure, Operation, Session};
use super::error::Effect;
use super::event_row::{Decode, EventRow, RawEvent, version_of};
use super::event_table::{EventTable, Placeholders};
use super::event_trouble::explain;
use super::hybrid::PostgresHybrid;
use super::statement::{Statement, typed};
use super::store::PostgresStore;
use super::version;
use crate::error::{BoxError, Error};
use crate::events::{EventRange, EventSource, Replay};
use crate::key::AggregateKey;
use crate::state::Aggregate;

/// How many events one statement reads; a longer history takes several. A fold that ends early
/// leaves at most so many rows unread on the connection.
const PAGE: u64 = 10_000;

/// Reads the events of the application from PostgreSQL.
///
/// With [`with_snapshots`](Self::with_snapshots), a load takes one statement.
///
/// # The replay floor
/// [`floor`](EventSource::floor) is the version before the lowest one that the table holds, and 0
/// for an aggregate without rows. An application that deletes *all* events of an aggregate has to
/// wrap this source and tell the floor itself.
pub struct PostgresEvents<E> {
    pub(super) connections: Connections,
    pub(super) table: EventTable,
    pub(super) decode: Decode<E>,
    tail: Statement,
    range: Statement,
}

impl<E> PostgresEvents<E> {
    /// The events in `table`, which `decode` turns into the application's type. Does not connect.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a name is not possible or
    /// a query is no single statement, lacks a placeholder or has one within quotes. What only
    /// the server knows (a column that is missing or of another type) fails the first load, with
    /// the same kind and the name of the column.
    pub fn new(
        pool: PgPool,
        table: EventTable,
        decode: impl Fn(EventRow<'_>) -> Result<E, BoxError> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let at = Placeholders {
            tenant: "$1",
            kind: "$2",
            id: "$3",
            after: "$4",
            until: Some("$5"),
            until_time: None,
            extra: "",
        };
        // Every parameter has a type, also where a table does not need it.
        let parameters = "num_nulls($1::text, $2::text, $3::text, $4::int8, $5::int8) < 6";
        table.check()?;
        let count = table.columns().count();
        let nulls = vec!["NULL"; count - 1].join(", ");
        let tail = Statement::try_new(|guard| {
            let tail = table.tail_sql(&at)?;
            let rows = format!("(SELECT {guard}, {nulls}) UNION ALL ({tail} LIMIT $6)");
            let rows = typed(guard, count, &rows, false);
            Ok::<_, Error>(format!("{rows} WHERE {parameters} ORDER BY u.c0"))
        })?;
        let range = Statement::try_new(|guard| {
            Ok::<_, Error>(format!(
                "SELECT {guard}, t.* FROM ({}) AS t (lowest, highest) WHERE {parameters}",
                table.range_sql(&at)?
            ))
        })?;
        Ok(Self {
            connections: Connections::new(pool, Duration::from_secs(30), false),
            table,
            decode: Arc::new(decode),
            tail,
            range,
        })
    }

    /// The same with another bound on how long one call may take; 30 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.connections.timeout = timeout;
        self
    }

    /// Sets whether a connection pooler in transaction mode is between this client and the server;
    /// `false` by default. See
    /// [`PostgresOptions::transaction_pooler`](super::PostgresOptions::transaction_pooler).
    pub fn transaction_pooler(mut self, yes: bool) -> Self {
        self.connections.transaction_pooler = yes;
        self
    }

    /// Loads the snapshots of `store` and these events in one statement: for
    /// [`EngineBuilder::hybrid`](crate::EngineBuilder::hybrid). Both must be in one database, and
    /// the engine's store and event source must be these. Behind a transaction pooler if the store
    /// or these are; bound to a tenant if the store is
    /// ([`for_tenant`](PostgresStore::for_tenant)).
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_snapshots(&self, store: &PostgresStore) -> Result<PostgresHybrid<E>, Error> {
        PostgresHybrid::new(self, store)
    }

    async fn bounds(&self, key: &AggregateKey) -> Result<Option<(u64, u64)>, Error> {
        self.table.check_key(key)?;
        if has_nul(key) {
            return Ok(None);
        }
        self.connections.run(&mut Bounds { events: self, key }).await
    }
}

/// PostgreSQL text holds no NUL: no event can have such a key.
pub(super) fn has_nul(key: &AggregateKey) -> bool {
    [key.tenant(), key.kind(), key.id()].iter().any(|part| part.contains('\0'))
}

#[async_trait]
impl<A, E> EventSource<A> for PostgresEvents<E>
where
    A: Aggregate<Event = E>,
    E: Send + Sync + 'static,
{
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        self.table.check_key(key)?;
        if has_nul(key) || range.after >= version::MAX {
            return Ok(());
        }
        let mut read = Read { events: self, key, range, replay, pushed: 0 };
        while self.connections.run(&mut read).await? == Page::Full {}
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.bounds(key).await?.map_or(0, |(_, highest)| highest)))
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        Ok(self.bounds(key).await?.map_or(0, |(lowest, _)| lowest.saturating_sub(1)))
    }
}

/// Whether there may be more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Page {
    Full,
    Last,
}

struct Read<'a, 'r, A: Aggregate> {
    events: &'a PostgresEvents<A::Event>,
    key: &'a AggregateKey,
    range: EventRange,
    replay: &'a mut Replay<'r, A>,
    pushed: u64,
}

impl<A: Aggregate> Operation for Read<'_, '_, A> {
    type Output = Page;
    const NAME: &'static str = "read events";
    const EFFECT: Effect = Effect::Read;

    fn is_untouched(&self) -> bool {
        self.pushed == 0
    }

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, &self.events.table, self.events.tail.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Page, Failure> {
        let (statement, table) = (&self.events.tail, &self.events.table);
        let is_start = self.range.after == 0;
        let after = if is_start { table.start() } else { version::at_most(self.range.after) };
        let mut rows = statement
            .query(session)
            .bind(self.key.tenant())
            .bind(self.key.kind())
            .bind(self.key.id())
            .bind(after)
            .bind(version::at_most(self.range.until))
            .bind(version::at_most(PAGE))
            .fetch(&mut *session.connection);
        // The guard is the lowest number, so it comes first.
        let first = rows.try_next().await?.ok_or(Failure::Foreign)?;
        statement.check(&first)?;
        Statement::check_types(&first, table.columns().count())?;
        table.check_types(&first)?;
        let columns = table.columns();
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            let version = table.version_in(version_of(&row)?)?;
            if is_start && count == 0 && self.replay.is_from_start() {
                table.check_first(version)?;
            }
            count += 1;
            self.pushed += 1;
            self.range.after = version;
            let wanted = RawEvent::of(&row, columns, version)
                .and_then(|event| event.push(&self.events.decode, self.replay))
                .map_err(|e| Error::event_source("decode an event", e))?;
            if !wanted {
                return Ok(Page::Last);
            }
        }
        Ok(if count < PAGE { Page::Last } else { Page::Full })
    }
}

struct Bounds<'a, E> {
    events: &'a PostgresEvents<E>,
    key: &'a AggregateKey,
}

impl<E> Operation for Bounds<'_, E> {
    type Output = Option<(u64, u64)>;
    const NAME: &'static str = "ask for the bounds of a stream";
    const EFFECT: Effect = Effect::Read;

    fn explain(&self, error: &sqlx::Error) -> Option<Error> {
        explain(Self::NAME, &self.events.table, self.events.range.sql(), error)
    }

    async fn run(&mut self, session: &mut Session<'_>) -> Result<Self::Output, Failure> {
        let (statement, table) = (&self.events.range, &self.events.table);
        let query = statement
            .query(session)
            .bind(self.key.tenant())
            .bind(self.key.kind())
            .bind(self.key.id())
            .bind(table.start())
            .bind(i64::MAX);
        let row = statement.one(query, session).await?;
        let (lowest, highest): (Option<i64>, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        match (lowest, highest) {
            (None, None) => Ok(None),
            bounds => Ok(Some((table.version_in(bounds.0)?, table.version_in(bounds.1)?))),
        }
    }
}

impl<E> Clone for PostgresEvents<E> {
    fn clone(&self) -> Self {
        Self {
            connections: self.connections.clone(),
            table: self.table.clone(),
            decode: Arc::clone(&self.decode),
            tail: self.tail.clone(),
            range: self.range.clone(),
        }
    }
}

impl<E> fmt::Debug for PostgresEvents<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresEvents").field("table", &self.table).finish_non_exhaustive()
    }
}
