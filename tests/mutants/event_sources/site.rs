//! A map of events as a site of the kit.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use snapfold::conformance::{EventSite, HybridPair, Kept, NewEvent};
use snapfold::{Aggregate, AggregateKey, BoxError, EventSource, MemoryStore};

use super::Lie;
use super::hybrid::Hybrids;
use super::source::Source;

#[derive(Clone)]
pub(crate) struct Numbers;

impl Aggregate for Numbers {
    type Event = u64;
    const KIND: &'static str = "numbers";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self
    }

    fn apply(&mut self, _: &u64) {}
}

#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) streams: BTreeMap<AggregateKey, Vec<NewEvent>>,
    pub(crate) failing: bool,
    /// What a source remembers, if it does.
    pub(crate) remembered: BTreeMap<AggregateKey, Vec<NewEvent>>,
    pub(crate) key: Option<AggregateKey>,
    pub(crate) is_lost: bool,
    pub(crate) reads: u8,
}

#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<Disk>>);

impl Shared {
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn working(&self) -> Result<MutexGuard<'_, Disk>, BoxError> {
        let disk = self.disk();
        if disk.failing { Err("the disk is gone".into()) } else { Ok(disk) }
    }
}

pub(crate) struct Map {
    pub(crate) lie: Lie,
    shared: Shared,
    store: Arc<MemoryStore>,
}

impl Map {
    pub(crate) fn new(lie: Lie) -> Self {
        let shared = Shared(Arc::default());
        Self { lie, shared, store: Arc::new(MemoryStore::new()) }
    }
}

#[async_trait]
impl EventSite<Numbers> for Map {
    fn source(&self) -> Arc<dyn EventSource<Numbers>> {
        Arc::new(Source { lie: self.lie, shared: self.shared.clone() })
    }

    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError> {
        tokio::task::yield_now().await;
        self.shared.disk().streams.entry(key.clone()).or_default().extend_from_slice(events);
        Ok(())
    }

    fn number(&self, event: &u64) -> Option<u64> {
        (*event != 0).then_some(*event)
    }

    fn keeps(&self) -> Kept {
        Kept::default().untimed(true).anchors(true)
    }

    fn takes(&self, key: &AggregateKey) -> bool {
        self.lie != Lie::KnowsNoTenant || key.tenant().is_empty()
    }

    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError> {
        let mut disk = self.shared.disk();
        disk.streams.entry(key.clone()).or_default().retain(|event| event.version > version);
        Ok(true)
    }

    async fn fail(&self, failing: bool) -> Result<bool, BoxError> {
        self.shared.disk().failing = failing;
        Ok(true)
    }

    fn hybrid(&self) -> Option<HybridPair<Numbers>> {
        let store = Arc::clone(&self.store);
        let (lie, shared) = (self.lie, self.shared.clone());
        let hybrid = Hybrids { lie, shared, store: Arc::clone(&store) };
        Some(HybridPair::new(store, Arc::new(hybrid)))
    }
}
