use std::time::{Duration, Instant};

use async_trait::async_trait;
use snapfold::engine::ReplayLoader;
use snapfold::manager::CreateOptions;
use snapfold::trigger::every_events;
use snapfold::{Aggregate, Loader, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

use crate::account::{Account, Event, Subject};
use crate::peer::Peer;

/// Snapshots in memory, encoded as in every other store.
pub struct SnapfoldInMemory {
    events: MemoryEvents<Event>,
    engine: SnapshotEngine<Account>,
    replay: ReplayLoader<Account>,
}

impl SnapfoldInMemory {
    pub fn new() -> Self {
        let events = MemoryEvents::new();
        let engine =
            SnapshotEngine::builder(events.clone(), MemoryStore::new()).trigger(every_events(10));
        Self { engine: engine.build().unwrap(), replay: ReplayLoader::new(events.clone()), events }
    }
}

#[async_trait]
impl Peer for SnapfoldInMemory {
    async fn fill(&mut self, subject: &Subject) {
        let key = Account::key(&subject.id).unwrap();
        for event in subject.events(1..=subject.len()) {
            self.events.append(&key, Timestamp::from_seconds(1), event);
        }
        self.engine.create_with(&key, CreateOptions::new().at_version(subject.at)).await.unwrap();
    }

    async fn replay(&mut self, id: &str) -> Account {
        (*self.replay.load(&Account::key(id).unwrap()).await.unwrap().state).clone()
    }

    async fn load(&mut self, id: &str) -> Account {
        let loaded = self.engine.load(&Account::key(id).unwrap()).await.unwrap();
        assert!(loaded.provenance.snapshot.is_some());
        (*loaded.state).clone()
    }

    async fn command(&mut self, id: &str, event: Event) -> (Duration, bool) {
        let key = Account::key(id).unwrap();
        let began = Instant::now();
        let loaded = self.engine.load(&key).await.unwrap();
        let version = self.events.append(&key, Timestamp::from_seconds(1), event);
        let decision = self.engine.committed(&loaded, version);
        (began.elapsed(), decision.is_queued())
    }

    fn size_query(&self) -> &'static str {
        ""
    }
}
