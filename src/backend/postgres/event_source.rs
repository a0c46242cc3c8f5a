//! [`EventSource`] over a table.

use async_trait::async_trait;

use super::event_keys::EventKeys;
use super::event_reads::{
    Bounds, EventRead, LowestMany, ReadMany, ReadPage, ReadTimes, TableCheck,
};
use super::events::{PostgresEvents, has_nul};
use super::version;
use crate::error::{BoxError, Error};
use crate::events::{EventRange, EventSource, EventTime, KeyedReplay, Replay};
use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::store::{Cursor, KeysRequest, Page};

impl<E> PostgresEvents<E> {
    /// Compares the description of the table with the table of the server, without reading events.
    /// Call it when the application starts: otherwise the first load finds what is wrong.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if there is no such table, or a column is
    /// missing or has another type. The message names the column and says what to use instead.
    /// [`EventSource`](crate::ErrorKind::EventSource) or a more specific kind if the server cannot
    /// be asked.
    pub async fn check(&self) -> Result<(), Error> {
        self.connections.run(&mut TableCheck(self)).await
    }

    async fn bounds(&self, key: &AggregateKey) -> Result<Option<(u64, u64)>, Error> {
        self.table.check_key(key)?;
        if has_nul(key) {
            return Ok(None);
        }
        self.connections.run(&mut Bounds { events: self, key }).await
    }
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
        let mut read = EventRead { events: self, key, range, replay, pushed: 0 };
        while self.connections.run(&mut read).await? == ReadPage::Full {}
        Ok(())
    }

    /// Uses one statement for up to 10,000 events of each aggregate. Aggregates with more events
    /// are continued one by one.
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

    /// Uses one statement.
    async fn floor_many(&self, keys: &[&AggregateKey]) -> Result<Vec<u64>, BoxError> {
        for key in keys {
            self.table.check_key(key)?;
        }
        let (mut floors, mut asked) = (vec![0; keys.len()], Vec::with_capacity(keys.len()));
        let mut slots = Vec::with_capacity(keys.len());
        for (key, floor) in keys.iter().zip(&mut floors) {
            if !has_nul(key) {
                asked.push(*key);
                slots.push(floor);
            }
        }
        if asked.is_empty() {
            return Ok(floors);
        }
        let lowest = self.connections.run(&mut LowestMany { events: self, keys: &asked }).await?;
        for (floor, lowest) in slots.into_iter().zip(lowest) {
            *floor = lowest.saturating_sub(1);
        }
        Ok(floors)
    }

    /// Returns keys in the order of their columns. Each key is found by a search in the index on
    /// these columns. Fails with [`Unsupported`](crate::ErrorKind::Unsupported) for
    /// [`EventTable::query`](super::EventTable::query), which does not define where the keys are.
    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        let Some(mut keys) = EventKeys::new(&self.table, request, A::KIND)? else {
            return Ok(Page::new(Vec::new(), None));
        };
        Ok(self.connections.run(&mut keys).await?)
    }

    /// Uses one statement that reads no payloads. Returns at most 10,000 times.
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
