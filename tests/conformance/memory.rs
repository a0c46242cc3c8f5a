//! `MemoryStore` under the kit.

use std::sync::Arc;

use snapfold::MemoryStore;
use snapfold::conformance::{self, Conformance};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_keeps_every_promise() {
    let factory = conformance::in_memory(|| Arc::new(MemoryStore::new()));
    let card = Conformance::of(&factory).scale(20_000).run().await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    assert_eq!(card.store_name(), "memory");
}
