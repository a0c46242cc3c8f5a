//! A node that stalls between reading and writing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use snapfold::record::{Record, SnapshotMeta};
use snapfold::service::webhook::{ClaimedWebhook, StoreOutbox, WebhookOutbox, WebhookVerdict};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, MemoryStore, SnapshotId, SnapshotStore};
use tokio::sync::Notify;

use crate::support::{at, endpoint, message};

/// A handle of a store, whose next put waits.
#[derive(Clone, Debug)]
struct Stalling {
    store: MemoryStore,
    stalls: Arc<AtomicBool>,
    go_on: Arc<Notify>,
}

#[async_trait]
impl SnapshotStore for Stalling {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        if self.stalls.swap(false, Ordering::SeqCst) {
            self.go_on.notified().await;
        }
        self.store.put(records, options).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.store.get(query).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.store.list(request).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.store.keys(request).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        self.store.delete(key, selection, options).await
    }
}

async fn deliver_all(outbox: &StoreOutbox) -> Vec<String> {
    let mut got = Vec::new();
    while let ClaimedWebhook::Next(delivery) = outbox.claim("a", at(0), at(60)).await.unwrap() {
        assert!(outbox.settle(&delivery, &WebhookVerdict::Delivered).await.unwrap());
        got.push(delivery.message.id);
    }
    got
}

#[tokio::test]
async fn a_message_of_a_node_that_stalled_is_delivered_although_its_number_was_used() {
    let store = MemoryStore::new();
    let fast = StoreOutbox::new(store.clone());
    fast.put_endpoint(&endpoint("a")).await.unwrap();
    let stalls = Arc::new(AtomicBool::new(true));
    let stalling = Stalling { store, stalls: Arc::clone(&stalls), go_on: Arc::default() };
    let go_on = Arc::clone(&stalling.go_on);
    let slow = StoreOutbox::new(stalling);
    let stalled = tokio::spawn(async move { slow.enqueue(&message("late")).await });
    while stalls.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    // Others use its number, deliver and delete.
    for id in ["m1", "m2"] {
        assert_eq!(fast.enqueue(&message(id)).await.unwrap(), 1);
    }
    assert_eq!(deliver_all(&fast).await, ["m1", "m2"]);
    go_on.notify_one();
    assert_eq!(stalled.await.unwrap().unwrap(), 1);
    assert_eq!(deliver_all(&fast).await, ["late"]);
    assert_eq!(fast.claim("a", at(0), at(60)).await.unwrap(), ClaimedWebhook::Nothing);
}
