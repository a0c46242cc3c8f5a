//! [`Connections`]: runs each call on one connection.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection, Executor, PgPool, Postgres};

use super::error::{
    StatementEffect, classify, foreign, is_broken, is_outside_transaction, is_stale,
    is_worth_another,
};
use super::names::literal;
use crate::error::{Error, ErrorKind, Retry};

/// An operation on one connection.
pub(super) trait Operation: Send {
    type Output: Send;

    /// A verb phrase for errors.
    const NAME: &'static str;
    const EFFECT: StatementEffect;
    /// Whether a repetition has a further effect.
    const ADDS_UP: bool = false;

    /// Returns whether no result was handed out yet, so that the operation may be restarted.
    fn is_untouched(&self) -> bool {
        true
    }

    /// Translates `error` if it is about tables of the application.
    fn explain(&self, _error: &sqlx::Error) -> Option<Error> {
        None
    }

    fn run(
        &mut self,
        session: &mut Session<'_>,
    ) -> impl Future<Output = Result<Self::Output, CallFailure>> + Send;
}

/// A connection during one call.
pub(super) struct Session<'c> {
    pub(super) connection: &'c mut PgConnection,
    /// Whether statements are prepared under names and kept for later calls.
    pub(super) prepared: bool,
}

/// How an operation failed.
pub(super) enum CallFailure {
    Sqlx(sqlx::Error),
    Other(Error),
    /// The result belongs to another statement.
    Foreign,
    /// The type of a column has changed since the statement was prepared. Without a pooler the
    /// server refuses such a statement; a pooler that prepares statements for its clients hides the
    /// change.
    Retyped,
}

impl From<sqlx::Error> for CallFailure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl From<Error> for CallFailure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

impl CallFailure {
    /// Returns whether the server, or the types that it returned, show that a prepared statement is
    /// out of date.
    fn is_stale(&self) -> bool {
        matches!(self, Self::Retyped) || self.is(is_stale)
    }

    fn is(&self, of: impl Fn(&sqlx::Error) -> bool) -> bool {
        matches!(self, Self::Sqlx(error) if of(error))
    }
}

/// A pool, and how calls use its connections.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) pool: PgPool,
    /// The time limit of a call.
    pub(super) timeout: Duration,
    /// Whether each transaction may run on another server connection.
    pub(super) transaction_pooler: bool,
    /// The tenant that each call is bound to, in its stored form.
    pub(super) tenant: Option<Arc<str>>,
}

impl Connections {
    pub(super) fn new(pool: PgPool, timeout: Duration, transaction_pooler: bool) -> Self {
        Self { pool, timeout, transaction_pooler, tenant: None }
    }

    /// Runs `operation` on a connection of the pool. Runs it a second time if the first connection
    /// is broken or its prepared statements are out of date.
    pub(super) async fn run<O: Operation>(&self, operation: &mut O) -> Result<O::Output, Error> {
        let mut sent = false;
        match tokio::time::timeout(self.timeout, self.attempts(operation, &mut sent)).await {
            Ok(result) => result,
            Err(_) => Err(timed_out::<O>(self.timeout, sent)),
        }
    }

    /// Runs `operation` on the caller's connection.
    pub(super) async fn run_on<O: Operation>(
        &self,
        connection: &mut PgConnection,
        operation: &mut O,
    ) -> Result<O::Output, Error> {
        match tokio::time::timeout(self.timeout, self.on_callers(connection, operation)).await {
            Ok(result) => result.map_err(|failure| failed(operation, failure)),
            Err(_) => Err(timed_out::<O>(self.timeout, true)),
        }
    }

    async fn attempts<O: Operation>(
        &self,
        operation: &mut O,
        sent: &mut bool,
    ) -> Result<O::Output, Error> {
        let mut lease = ConnectionLease(Some(self.pool.acquire().await.map_err(unconnected::<O>)?));
        *sent = true;
        let mut result = lease.run(self, operation, false).await;
        if let Err(failure) = &result
            && operation.is_untouched()
        {
            if failure.is_stale() {
                // The server refused the statement before it had an effect. The other connections
                // of the pool are also out of date, so this connection is repaired.
                result = lease.run(self, operation, true).await;
            } else if failure.is(is_worth_another) && !O::ADDS_UP {
                drop(lease);
                lease = self.working().await.map_err(unconnected_again::<O>)?;
                result = lease.run(self, operation, false).await;
            }
        }
        lease.settle(&result);
        result.map_err(|failure| failed(operation, failure))
    }

    /// Returns a connection that has just responded. After a restart of the server every idle
    /// connection of a pool is broken, so trying one other is not enough.
    async fn working(&self) -> Result<ConnectionLease, sqlx::Error> {
        loop {
            let mut lease = ConnectionLease(Some(self.pool.acquire().await?));
            let Some(connection) = lease.0.as_deref_mut() else { continue };
            match connection.ping().await {
                Ok(()) => return Ok(lease),
                // The connection is dropped, so that the pool opens a new one.
                Err(error) if is_broken(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Runs `operation` on a connection that is in no transaction. Without `prepared` statements,
    /// or if the call is bound to a tenant, it runs in a new transaction. This prevents a pooler
    /// from changing the connection between the parts of a statement, and ends the binding with the
    /// call, whatever its outcome.
    async fn on<O: Operation>(
        &self,
        connection: &mut PgConnection,
        operation: &mut O,
        prepared: bool,
    ) -> Result<O::Output, CallFailure> {
        let begin = match &self.tenant {
            Some(tenant) => format!("BEGIN; SET LOCAL snapfold.tenant = {}", literal(tenant)),
            None if prepared => {
                return operation.run(&mut Session { connection, prepared }).await;
            }
            None => "BEGIN".to_owned(),
        };
        let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
        let result = operation.run(&mut Session { connection: &mut transaction, prepared }).await;
        match result {
            Ok(output) => {
                transaction.commit().await?;
                Ok(output)
            }
            Err(failure) => {
                // If the rollback fails, the connection is broken, and that error is more useful.
                transaction.rollback().await?;
                Err(failure)
            }
        }
    }

    /// Runs `operation` on the caller's connection, in the caller's transaction and tenant binding,
    /// if there are any.
    async fn on_callers<O: Operation>(
        &self,
        connection: &mut PgConnection,
        operation: &mut O,
    ) -> Result<O::Output, CallFailure> {
        let prepared = !self.transaction_pooler;
        if prepared || connection.is_in_transaction() {
            let session = &mut Session { connection: &mut *connection, prepared };
            let result = operation.run(session).await;
            if result.as_ref().is_err_and(CallFailure::is_stale) {
                // This helps the caller's next attempt, because this transaction is lost.
                connection.clear_cached_statements().await?;
            }
            return result;
        }
        // Only the server knows whether the caller started a transaction with plain SQL.
        match connection.execute(sqlx::raw_sql("SAVEPOINT snapfold")).await {
            Ok(_) => {
                let session = &mut Session { connection: &mut *connection, prepared };
                let output = operation.run(session).await?;
                connection.execute(sqlx::raw_sql("RELEASE SAVEPOINT snapfold")).await?;
                Ok(output)
            }
            Err(error) if is_outside_transaction(&error) => {
                let unbound = Self { tenant: None, ..self.clone() };
                unbound.on(connection, operation, prepared).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A connection of the pool that is returned only after a call has finished. If it is dropped
/// during a call (cancelled, timed out), it is closed, so that nothing of that call reaches the
/// next.
struct ConnectionLease(Option<PoolConnection<Postgres>>);

impl ConnectionLease {
    /// Runs `operation`. If `anew`, it neither uses nor leaves prepared statements. (A pooler that
    /// prepares statements itself would find the same statement again.)
    async fn run<O: Operation>(
        &mut self,
        connections: &Connections,
        operation: &mut O,
        anew: bool,
    ) -> Result<O::Output, CallFailure> {
        let Some(connection) = self.0.as_deref_mut() else {
            return Err(CallFailure::Sqlx(sqlx::Error::PoolClosed));
        };
        if anew {
            connection.clear_cached_statements().await?;
        }
        connections.on(connection, operation, !anew && !connections.transaction_pooler).await
    }

    /// Returns the connection to the pool, unless `result` shows that it is unusable.
    fn settle<T>(mut self, result: &Result<T, CallFailure>) {
        if !matches!(result, Err(failure) if failure.is(is_broken)) {
            drop(self.0.take());
        }
    }
}

impl Drop for ConnectionLease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// Creates the error for having no connection: nothing was sent. Takes the error by value for
/// `map_err`.
#[expect(clippy::needless_pass_by_value, reason = "see above")]
fn unconnected<O: Operation>(error: sqlx::Error) -> Error {
    classify(O::NAME, StatementEffect::Read, &error)
}

/// Creates the error for having no connection after a first attempt whose outcome is unknown.
fn unconnected_again<O: Operation>(error: sqlx::Error) -> Error {
    let error = unconnected::<O>(error);
    if O::EFFECT == StatementEffect::Write { error.with_retry(Retry::Unknown) } else { error }
}

fn failed<O: Operation>(operation: &O, failure: CallFailure) -> Error {
    match failure {
        CallFailure::Sqlx(error) => {
            operation.explain(&error).unwrap_or_else(|| classify(O::NAME, O::EFFECT, &error))
        }
        CallFailure::Other(error) => error,
        CallFailure::Foreign | CallFailure::Retyped => foreign(O::NAME),
    }
}

fn timed_out<O: Operation>(timeout: Duration, sent: bool) -> Error {
    let retry =
        if sent && O::EFFECT == StatementEffect::Write { Retry::Unknown } else { Retry::Later };
    let message = format!("PostgreSQL did not answer within {timeout:?}");
    Error::new(ErrorKind::Timeout, O::NAME, message).with_retry(retry)
}
