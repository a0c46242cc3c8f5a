//! [`PostgresEvents`]: reads the application's event table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::TryStreamExt;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, PgPool, Row};

use super::connection::{Connections, Failure, Operation};
use super::error::Effect;
use super::event_row::{Decode, EventRow, RawEvent, version_of};
use super::event_table::{EventTable, Placeholders};
use super::hybrid::PostgresHybrid;
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
    tail: Arc<str>,
    range: Arc<str>,
}

impl<E> PostgresEvents<E> {
    /// The events in `table`, which `decode` turns into the application's type. Does not connect.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a name is not possible or
    /// a query lacks a placeholder.
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
        let typed = "num_nulls($1::text, $2::text, $3::text, $4::int8, $5::int8) < 6";
        let tail = format!(
            "SELECT t.* FROM ({} LIMIT $6) AS t (version) \
             WHERE {typed} ORDER BY t.version",
            table.tail_sql(&at)?
        );
        let range = format!(
            "SELECT t.* FROM ({}) AS t (lowest, highest) WHERE {typed}",
            table.range_sql(&at)?
        );
        Ok(Self {
            connections: Connections { pool, timeout: Duration::from_secs(30) },
            table,
            decode: Arc::new(decode),
            tail: tail.into(),
            range: range.into(),
        })
    }

    /// The same with another bound on how long one call may take; 30 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.connections.timeout = timeout;
        self
    }

    /// Loads the snapshots of `store` and these events in one statement: for
    /// [`EngineBuilder::hybrid`](crate::EngineBuilder::hybrid). Both must be in one database, and
    /// the engine's store and event source must be these.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_snapshots(&self, store: &PostgresStore) -> Result<PostgresHybrid<E>, Error> {
        PostgresHybrid::new(self, store)
    }

    async fn bounds(&self, key: &AggregateKey) -> Result<Option<(u64, u64)>, Error> {
        if has_nul(key) {
            return Ok(None);
        }
        self.connections.run(&mut Bounds { sql: &self.range, key }).await
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

    fn is_repeatable(&self) -> bool {
        self.pushed == 0
    }

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Page, Failure> {
        let mut rows = sqlx::query(AssertSqlSafe(Arc::clone(&self.events.tail)))
            .bind(self.key.tenant())
            .bind(self.key.kind())
            .bind(self.key.id())
            .bind(version::at_most(self.range.after))
            .bind(version::at_most(self.range.until))
            .bind(version::at_most(PAGE))
            .fetch(connection);
        let columns = self.events.table.columns();
        let mut count = 0;
        while let Some(row) = rows.try_next().await? {
            count += 1;
            self.pushed += 1;
            let version = version_of(&row)?
                .ok_or_else(|| sqlx::Error::Decode("the version of an event is NULL".into()))?;
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

struct Bounds<'a> {
    sql: &'a Arc<str>,
    key: &'a AggregateKey,
}

impl Operation for Bounds<'_> {
    type Output = Option<(u64, u64)>;
    const NAME: &'static str = "ask for the bounds of a stream";
    const EFFECT: Effect = Effect::Read;

    async fn run(&mut self, connection: &mut PgConnection) -> Result<Self::Output, Failure> {
        let row = sqlx::query(AssertSqlSafe(Arc::clone(self.sql)))
            .bind(self.key.tenant())
            .bind(self.key.kind())
            .bind(self.key.id())
            .bind(0_i64)
            .bind(i64::MAX)
            .fetch_one(connection)
            .await?;
        let (lowest, highest): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
        Ok(lowest
            .zip(highest)
            .map(|(lowest, highest)| (version::from_column(lowest), version::from_column(highest))))
    }
}

impl<E> Clone for PostgresEvents<E> {
    fn clone(&self) -> Self {
        Self {
            connections: self.connections.clone(),
            table: self.table.clone(),
            decode: Arc::clone(&self.decode),
            tail: Arc::clone(&self.tail),
            range: Arc::clone(&self.range),
        }
    }
}

impl<E> fmt::Debug for PostgresEvents<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresEvents").field("table", &self.table).finish_non_exhaustive()
    }
}
