//! `ObjectStoreSnapshots` under the kit, over the object store in memory that comes with the crate
//! `object_store`. Real servers are in `tests/s3`.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::memory::InMemory;
use object_store::path::Path;
use snapfold::BoxError;
use snapfold::conformance::{Conformance, Site, StoreFactory};
use snapfold::object_store::ObjectStoreOptions;

use crate::bucket_site::BucketSite;

/// Buckets in memory.
struct Buckets {
    options: ObjectStoreOptions,
}

#[async_trait]
impl StoreFactory for Buckets {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let (objects, path) = (Arc::new(InMemory::new()), Path::from("kit"));
        Ok(Box::new(BucketSite { objects, path, options: self.options.clone() }))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_object_store_keeps_every_promise() {
    for inline_limit in [64 << 10, 0] {
        let options = ObjectStoreOptions::new().inline_limit(inline_limit);
        let card = Conformance::of(&Buckets { options }).scale(2_000).run().await;
        println!("{card:#}");
        let card = card.into_result().unwrap();
        assert_eq!(card.store_name(), "object store");
        let missing: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
        let mut explained = BTreeSet::from([
            "Capabilities::ordered_deletes",
            "Site::fail_writes",
            "a limit on versions",
        ]);
        if inline_limit > 0 {
            explained.extend(["Site::damage", "Site::damage_header"]);
        }
        assert_eq!(missing, explained);
    }
}
