//! [`PostgresEvents`]: reads the application's event table.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use super::connection::Connections;
use super::event_row::{Decode, EventRow};
use super::event_table::EventTable;
use super::placeholders::Placeholders;
use super::statement::{Statement, select, typed};
use crate::error::{BoxError, Error};
use crate::key::AggregateKey;

/// The number of events that one statement reads; a longer history takes several. A fold that ends
/// early leaves at most this many rows unread on the connection.
pub(super) const PAGE: u64 = 10_000;

/// An event source that reads the application's events from PostgreSQL.
///
/// With [`with_snapshots`](Self::with_snapshots), a load takes one statement.
///
/// # The replay floor
/// [`floor`](crate::EventSource::floor) is the version before the lowest one in the table, and 0
/// for an aggregate without rows. An application that deletes *all* events of an aggregate must
/// wrap this source and return the floor itself.
pub struct PostgresEvents<E> {
    pub(super) connections: Connections,
    pub(super) table: EventTable,
    pub(super) decode: Decode<E>,
    pub(super) tail: Statement,
    pub(super) many: Statement,
    pub(super) times: Statement,
    pub(super) range: Statement,
    pub(super) ranges: Statement,
}

impl<E> PostgresEvents<E> {
    /// Creates a source that reads the events in `table`. `decode` converts a row to the
    /// application's event type. Does not connect.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if a name is invalid, or if a
    /// query is not a single statement, lacks a placeholder or has one within quotes. Problems that
    /// only the server can detect (such as a missing column or a column of the wrong type) make the
    /// first load fail with an error of the same kind, which names the column.
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
        // Give every parameter a type, including those that the table does not use.
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
        let (many, ranges) = (many_statement(&table)?, ranges_statement(&table)?);
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
            ranges,
        })
    }

    /// Sets the time limit for one call; 30 seconds by default.
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
}

/// Returns whether the key contains NUL. PostgreSQL text cannot, so no event has such a key.
pub(super) fn has_nul(key: &AggregateKey) -> bool {
    [key.tenant(), key.kind(), key.id()].iter().any(|part| part.contains('\0'))
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
            ranges: self.ranges.clone(),
        }
    }
}

impl<E> fmt::Debug for PostgresEvents<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresEvents").field("table", &self.table).finish_non_exhaustive()
    }
}

/// The key and the bounds in the rows of [`ARRAYS`].
const IN_ARRAYS: Placeholders<'_> = Placeholders {
    tenant: "snapfold_r.tenant",
    kind: "snapfold_r.kind",
    id: "snapfold_r.id",
    after: "snapfold_r.after",
    until: Some("snapfold_r.until"),
    until_time: None,
    extra: "",
};

/// One row for each aggregate in the parameters, which are arrays; `n` is its position, from 1.
const ARRAYS: &str = "unnest($1::text[], $2::text[], $3::text[], $4::int8[], $5::int8[]) \
     WITH ORDINALITY AS snapfold_r (tenant, kind, id, after, until, n)";

/// Reads the events of several aggregates. `$1` to `$5` are arrays of keys and bounds, `$6` is the
/// maximum number of events of each. The last column is the position of the aggregate, from 1.
fn many_statement(table: &EventTable) -> Result<Statement, Error> {
    let tail = table.tail_sql(&IN_ARRAYS)?;
    let count = table.columns().count();
    let nulls = vec!["NULL"; count - 1].join(", ");
    Ok(Statement::new(|guard| {
        let rows = format!(
            "(SELECT {guard}, {nulls}, NULL::bytea) UNION ALL \
             (SELECT t.*, int8send(snapfold_r.n) \
              FROM {ARRAYS} CROSS JOIN LATERAL ({tail} LIMIT $6) AS t)"
        );
        format!("{} ORDER BY u.c0", typed(guard, count, &rows, true))
    }))
}

/// Returns the lowest version of each of several aggregates, NULL for one without events.
fn ranges_statement(table: &EventTable) -> Result<Statement, Error> {
    let range = table.range_sql(&IN_ARRAYS)?;
    let rows = format!(
        "SELECT snapfold_r.n, t.lowest FROM {ARRAYS} \
         CROSS JOIN LATERAL ({range}) AS t (lowest, highest)"
    );
    Ok(Statement::new(|guard| select(guard, &rows, "ORDER BY q.n")))
}
