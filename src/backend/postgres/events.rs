//! [`PostgresEvents`]: reads the application's event table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;

use super::connection::Connections;
use super::event_keys::EventKeys;
use super::event_reads::{self, Bounds, Read, ReadMany, ReadPage, ReadTimes};
use super::event_row::{Decode, EventRow};
use super::event_table::{EventTable, Placeholders};
use super::hybrid::PostgresHybrid;
use super::statement::{Statement, typed};
use super::store::PostgresStore;
use super::version;
use crate::error::{BoxError, Error};
use crate::events::{EventRange, EventSource, EventTime, KeyedReplay, Replay};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::{Cursor, KeysRequest, Page};

/// How many events one statement reads; a longer history takes several. A fold that ends early
/// leaves at most so many rows unread on the connection.
pub(super) const PAGE: u64 = 10_000;

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
    pub(super) tail: Statement,
    pub(super) many: Statement,
    pub(super) times: Statement,
    pub(super) range: Statement,
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
        let many = event_reads::many_statement(&table)?;
        let times = Statement::try_new(|guard| {
            let tail = table.tail_sql(&at)?;
            let rows = format!(
                "(SELECT {guard}, NULL) UNION ALL \
                 (SELECT t.version, t.at FROM ({tail} LIMIT $6) AS t (version, at))"
            );
            let rows = typed(guard, 2, &rows, false);
            Ok::<_, Error>(format!("{rows} WHERE {parameters} ORDER BY u.c0"))
        })?;
        Ok(Self {
            connections: Connections::new(pool, Duration::from_secs(30), false),
            table,
            decode: Arc::new(decode),
            tail,
            many,
            times,
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
        while self.connections.run(&mut read).await? == ReadPage::Full {}
        Ok(())
    }

    /// In one statement, up to 10,000 events of each; those that have more are read on one by one.
    async fn read_many(&self, reads: &mut [KeyedReplay<'_, '_, A>]) -> Result<(), BoxError> {
        for read in &*reads {
            self.table.check_key(read.key)?;
        }
        let mut many = ReadMany::new(self, reads);
        if many.is_empty() {
            return Ok(());
        }
        self.connections.run(&mut many).await?;
        for (place, last) in many.unfinished() {
            if let Some(read) = reads.get_mut(place) {
                let range = EventRange::new(last, read.range.until);
                self.read(read.key, range, &mut read.replay).await?;
            }
        }
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.bounds(key).await?.map_or(0, |(_, highest)| highest)))
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        Ok(self.bounds(key).await?.map_or(0, |(lowest, _)| lowest.saturating_sub(1)))
    }

    /// In the order of the columns. Each key is found by a search in the index on them.
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for [`EventTable::query`], which does not say where
    /// its keys are.
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        let Some(mut keys) = EventKeys::new(&self.table, request, A::KIND)? else {
            return Ok(Page::new(Vec::new(), None));
        };
        Ok(self.connections.run(&mut keys).await?)
    }

    /// In one statement that reads no payloads. At most 10,000 at a time.
    async fn times(
        &self,
        key: &AggregateKey,
        range: EventRange,
        limit: usize,
    ) -> Result<Vec<EventTime>, BoxError> {
        self.table.check_key(key)?;
        if has_nul(key) || range.after >= version::MAX {
            return Ok(Vec::new());
        }
        let mut times = ReadTimes { events: self, key, range, limit };
        Ok(self.connections.run(&mut times).await?)
    }
}

impl<E> Clone for PostgresEvents<E> {
    fn clone(&self) -> Self {
        Self {
            connections: self.connections.clone(),
            table: self.table.clone(),
            decode: Arc::clone(&self.decode),
            tail: self.tail.clone(),
            many: self.many.clone(),
            times: self.times.clone(),
            range: self.range.clone(),
        }
    }
}

impl<E> fmt::Debug for PostgresEvents<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresEvents").field("table", &self.table).finish_non_exhaustive()
    }
}
