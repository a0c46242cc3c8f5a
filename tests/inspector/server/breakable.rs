//! A store and events that can be made unavailable, and a store that returns a damaged record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection, SnapshotStore,
};
use snapfold::{
    AggregateKey, BoxError, Error, ErrorKind, EventRange, EventSource, MemoryEvents, MemoryStore,
    Replay, Retry, SnapshotId,
};

use crate::thing::{Change, Thing};

#[derive(Debug)]
pub(crate) struct BreakableStore {
    inner: MemoryStore,
    is_down: Arc<AtomicBool>,
}

impl BreakableStore {
    pub(crate) fn new(inner: MemoryStore, is_down: Arc<AtomicBool>) -> Self {
        Self { inner, is_down }
    }

    fn check(&self) -> Result<(), Error> {
        let down = || Error::new(ErrorKind::Store, "ask the store", "it is down");
        if self.is_down.load(Ordering::SeqCst) {
            Err(down().with_retry(Retry::Later))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl SnapshotStore for BreakableStore {
    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.check()?;
        self.inner.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.check()?;
        let is_damaged = query.key.id() == "damaged";
        let mut lookup = self.inner.get(query).await?;
        if let (Lookup::Found(found), true) = (&mut lookup, is_damaged) {
            let mut bytes = found.record.as_bytes().to_vec();
            if let Some(last) = bytes.last_mut() {
                *last ^= 1;
            }
            found.record = Record::from_bytes(bytes);
        }
        Ok(lookup)
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.check()?;
        self.inner.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.check()?;
        self.inner.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.check()?;
        self.inner.delete(key, selection, options).await
    }
}

pub(crate) struct BreakableEvents {
    inner: MemoryEvents<Change>,
    is_down: Arc<AtomicBool>,
}

impl BreakableEvents {
    pub(crate) fn new(inner: MemoryEvents<Change>, is_down: Arc<AtomicBool>) -> Self {
        Self { inner, is_down }
    }

    fn check(&self) -> Result<(), BoxError> {
        let down = || Error::new(ErrorKind::EventSource, "ask for events", "it is down");
        if self.is_down.load(Ordering::SeqCst) {
            Err(down().with_retry(Retry::Later).into())
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl EventSource<Thing> for BreakableEvents {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Thing>,
    ) -> Result<(), BoxError> {
        self.check()?;
        EventSource::<Thing>::read(&self.inner, key, range, replay).await
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.check()?;
        EventSource::<Thing>::head(&self.inner, key).await
    }
}
