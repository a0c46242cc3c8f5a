//! An event log as real event stores are: it holds encoded events, and decodes them when they are
//! read. The loads of the crate and those written by hand read the same one.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::{Arc, RwLock};

use async_trait::async_trait;
use serde::Serialize;
use serde::de::DeserializeOwned;
use snapfold::events::Recorded;
use snapfold::{Aggregate, AggregateKey, BoxError, EventRange, EventSource, Replay, Timestamp};

/// Streams of encoded events by aggregate id. Clones share them.
pub struct EventLog<E> {
    streams: Arc<RwLock<HashMap<String, Arc<[Row]>>>>,
    of: PhantomData<fn() -> E>,
}

/// One event, as a row of a table.
pub struct Row {
    pub recorded_at: Timestamp,
    pub encoded: Box<[u8]>,
}

impl<E: Serialize + DeserializeOwned> EventLog<E> {
    pub fn new() -> Self {
        Self { streams: Arc::default(), of: PhantomData }
    }

    /// Makes `events` the stream of `id`, one recorded each second.
    pub fn write(&self, id: &str, events: impl Iterator<Item = E>) {
        let rows = (1..).zip(events).map(|(second, event)| Row {
            recorded_at: Timestamp::from_seconds(second),
            encoded: postcard::to_stdvec(&event).unwrap().into(),
        });
        self.streams.write().unwrap().insert(id.to_owned(), rows.collect());
    }

    /// The stream of `id`; holds no lock.
    pub fn rows(&self, id: &str) -> Arc<[Row]> {
        self.streams.read().unwrap().get(id).cloned().unwrap_or_default()
    }

    /// Never inlined, so that all who read the log pay the same for it.
    #[inline(never)]
    pub fn decode(row: &Row) -> Result<E, postcard::Error> {
        postcard::from_bytes(&row.encoded)
    }
}

#[async_trait]
impl<A> EventSource<A> for EventLog<A::Event>
where
    A: Aggregate<Event: Serialize + DeserializeOwned>,
{
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError> {
        let rows = self.rows(key.id());
        let wanted = rows.get(range.after as usize..).unwrap_or_default();
        let recorded = wanted
            .iter()
            .zip(range.after + 1..)
            .map(|(row, version)| Recorded::new(version, row.recorded_at, row));
        let _ = replay.push_all_encoded(recorded, Self::decode)?;
        Ok(())
    }
}

impl<E> Clone for EventLog<E> {
    fn clone(&self) -> Self {
        Self { streams: Arc::clone(&self.streams), of: PhantomData }
    }
}
