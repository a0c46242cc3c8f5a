//! [`PostgresEventsWithin`]: events on a connection of the caller.

use std::fmt;

use async_trait::async_trait;
use sqlx::postgres::PgConnection;
use tokio::sync::Mutex;

use super::event_reads::{Bounds, EventRead, ReadPage};
use super::events::{PostgresEvents, has_nul};
use super::version;
use crate::error::{BoxError, Error};
use crate::events::{EventRange, EventSource, Replay};
use crate::key::AggregateKey;
use crate::state::Aggregate;

/// Reads events on one connection of the caller, in its transaction if there is one: also those
/// that the transaction has appended and not committed. Created by [`PostgresEvents::within`].
///
/// It is for [`SnapshotEngine::capture_through`](crate::SnapshotEngine::capture_through). A load
/// must not use events that are not committed.
///
/// Calls wait for each other. After a call that was dropped or timed out, close the connection.
pub struct PostgresEventsWithin<'c, E> {
    events: &'c PostgresEvents<E>,
    connection: Mutex<&'c mut PgConnection>,
}

impl<E> PostgresEvents<E> {
    /// Returns a source of the same events that reads on the caller's connection, or in its
    /// transaction.
    ///
    /// ```no_run
    /// # use snapfold::postgres::{PostgresEvents, PostgresStore};
    /// # use snapfold::store::PutOptions;
    /// # use snapfold::{Aggregate, AggregateKey, BoxError, SnapshotEngine};
    /// # use sqlx::{PgConnection, PgPool};
    /// # async fn append<E>(_: &mut PgConnection, _: E) -> Result<(), BoxError> { Ok(()) }
    /// # async fn run<A: Aggregate>(
    /// #     pool: &PgPool, events: &PostgresEvents<A::Event>, store: &PostgresStore,
    /// #     engine: &SnapshotEngine<A>, key: &AggregateKey, event: A::Event,
    /// # ) -> Result<(), BoxError> {
    /// let mut transaction = pool.begin().await?;
    /// append(&mut transaction, event).await?;
    /// let record = engine.capture_through(key, &events.within(&mut transaction)).await?;
    /// store.put_in(&mut transaction, record.into_iter().collect(), PutOptions::default()).await?;
    /// transaction.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn within<'c>(&'c self, connection: &'c mut PgConnection) -> PostgresEventsWithin<'c, E> {
        PostgresEventsWithin { events: self, connection: Mutex::new(connection) }
    }
}

impl<E> PostgresEventsWithin<'_, E> {
    async fn bounds(&self, key: &AggregateKey) -> Result<Option<(u64, u64)>, Error> {
        self.events.table.check_key(key)?;
        if has_nul(key) {
            return Ok(None);
        }
        let mut connection = self.connection.lock().await;
        let mut bounds = Bounds { events: self.events, key };
        self.events.connections.run_on(&mut connection, &mut bounds).await
    }
}

#[async_trait]
impl<A, E> EventSource<A> for PostgresEventsWithin<'_, E>
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
        self.events.table.check_key(key)?;
        if has_nul(key) || range.after >= version::MAX {
            return Ok(());
        }
        let mut connection = self.connection.lock().await;
        let mut read = EventRead { events: self.events, key, range, replay, pushed: 0 };
        let connections = &self.events.connections;
        while connections.run_on(&mut connection, &mut read).await? == ReadPage::Full {}
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.bounds(key).await?.map_or(0, |(_, highest)| highest)))
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        Ok(self.bounds(key).await?.map_or(0, |(lowest, _)| lowest.saturating_sub(1)))
    }
}

impl<E> fmt::Debug for PostgresEventsWithin<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresEventsWithin").field("events", self.events).finish_non_exhaustive()
    }
}
