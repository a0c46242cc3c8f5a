//! One connection for one call: [`Connections`].

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, PgPool, Postgres};

use super::error::{Effect, classify, is_broken, is_worth_another};
use crate::error::{Error, ErrorKind, Retry};

/// Something done on one connection.
pub(super) trait Operation: Send {
    type Output: Send;

    /// A verb phrase for errors.
    const NAME: &'static str;
    const EFFECT: Effect;

    /// Whether nothing has been handed out yet, so that another connection may be tried.
    fn is_repeatable(&self) -> bool {
        true
    }

    fn run(
        &mut self,
        connection: &mut PgConnection,
    ) -> impl Future<Output = Result<Self::Output, Failure>> + Send;
}

/// How an operation failed.
pub(super) enum Failure {
    Sqlx(sqlx::Error),
    Other(Error),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Sqlx(error)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// A pool, and how long a call may take.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) pool: PgPool,
    pub(super) timeout: Duration,
}

impl Connections {
    /// Runs `operation` on a connection of the pool, a second time if the first one turns out to
    /// be broken.
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
        match tokio::time::timeout(self.timeout, operation.run(connection)).await {
            Ok(result) => result.map_err(|failure| failed::<O>(failure)),
            Err(_) => Err(timed_out::<O>(self.timeout, true)),
        }
    }

    async fn attempts<O: Operation>(
        &self,
        operation: &mut O,
        sent: &mut bool,
    ) -> Result<O::Output, Error> {
        let mut lease = Lease(Some(self.pool.acquire().await.map_err(unconnected::<O>)?));
        *sent = true;
        match lease.run(operation).await {
            Err(Failure::Sqlx(error)) if is_worth_another(&error) && operation.is_repeatable() => {
                drop(lease);
                let mut lease = self.working().await.map_err(unconnected_again::<O>)?;
                lease.run(operation).await.map_err(|failure| failed::<O>(failure))
            }
            result => result.map_err(|failure| failed::<O>(failure)),
        }
    }

    /// A connection that has just answered. After a restart of the server every idle connection of
    /// a pool is broken, so one other is not enough.
    async fn working(&self) -> Result<Lease, sqlx::Error> {
        loop {
            let mut lease = Lease(Some(self.pool.acquire().await?));
            let Some(connection) = lease.0.as_deref_mut() else { continue };
            match connection.ping().await {
                Ok(()) => return Ok(lease),
                // Dropped, so that the pool opens a new one in its place.
                Err(error) if is_broken(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A connection of the pool that goes back only after a call was answered. One that is dropped in
/// the middle of a call (cancelled, out of time) is closed: nothing of that call can reach the
/// next.
struct Lease(Option<PoolConnection<Postgres>>);

impl Lease {
    async fn run<O: Operation>(&mut self, operation: &mut O) -> Result<O::Output, Failure> {
        let Some(connection) = self.0.as_deref_mut() else {
            return Err(Failure::Sqlx(sqlx::Error::PoolClosed));
        };
        let result = operation.run(connection).await;
        let broken = matches!(&result, Err(Failure::Sqlx(error)) if is_broken(error));
        if !broken {
            drop(self.0.take());
        }
        result
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

/// A connection could not be had: nothing was sent yet.
fn unconnected<O: Operation>(error: sqlx::Error) -> Error {
    failed_with::<O>(Effect::Read, error.into())
}

/// The same after a first attempt, of which nobody knows how it ended.
fn unconnected_again<O: Operation>(error: sqlx::Error) -> Error {
    let error = unconnected::<O>(error);
    if O::EFFECT == Effect::Write { error.with_retry(Retry::Unknown) } else { error }
}

fn failed<O: Operation>(failure: Failure) -> Error {
    failed_with::<O>(O::EFFECT, failure)
}

fn failed_with<O: Operation>(effect: Effect, failure: Failure) -> Error {
    match failure {
        Failure::Sqlx(error) => classify(O::NAME, effect, &error),
        Failure::Other(error) => error,
    }
}

fn timed_out<O: Operation>(timeout: Duration, sent: bool) -> Error {
    let retry = if sent && O::EFFECT == Effect::Write { Retry::Unknown } else { Retry::Later };
    let message = format!("PostgreSQL did not answer within {timeout:?}");
    Error::new(ErrorKind::Timeout, O::NAME, message).with_retry(retry)
}
