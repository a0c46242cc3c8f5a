//! `MemoryStore` under the kit.

use std::collections::BTreeSet;
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
    let missing: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    let explained = [
        "Capabilities::durable",
        // Nothing of it can be reached but through its methods.
        "Site::damage",
        "Site::damage_header",
        "Site::fail_writes",
        // It has none of these.
        "a limit on the length of keys",
        "a limit on versions",
        "a record limit of at most 64 MiB",
    ];
    assert_eq!(missing, BTreeSet::from(explained));
}
