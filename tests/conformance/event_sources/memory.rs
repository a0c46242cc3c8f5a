//! `MemoryEvents` under the kit.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use snapfold::conformance::{self, EventSite, Kept, NewEvent, event_sites};
use snapfold::{AggregateKey, BoxError, EventSource, MemoryEvents};

use super::account::Account;

struct Memory(MemoryEvents<u64>);

#[async_trait]
impl EventSite<Account> for Memory {
    fn source(&self) -> Arc<dyn EventSource<Account>> {
        Arc::new(self.0.clone())
    }

    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError> {
        for event in events {
            match event.recorded_at {
                Some(at) => self.0.append_anchored(key, at, &event.anchor, event.number),
                None => self.0.append_untimed(key, event.number),
            };
        }
        Ok(())
    }

    fn number(&self, event: &u64) -> Option<u64> {
        Some(*event)
    }

    fn keeps(&self) -> Kept {
        Kept::default().untimed(true)
    }

    fn takes(&self, _: &AggregateKey) -> bool {
        true
    }

    async fn truncate(&self, key: &AggregateKey, version: u64) -> Result<bool, BoxError> {
        self.0.truncate_below(key, version);
        Ok(true)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_source_keeps_every_obligation() {
    let sites = event_sites(|| Memory(MemoryEvents::new()));
    let card = conformance::event_source(&sites).await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    let missing: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    // Its untimed events have no anchors, it cannot fail, and no hybrid is built on it.
    assert_eq!(missing, BTreeSet::from(["EventSite::fail", "EventSite::hybrid", "Kept::anchors"]));
}
