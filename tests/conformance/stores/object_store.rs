//! `ObjectStoreSnapshots` under the kit, over the object store in memory that comes with the crate
//! `object_store`. Real servers are in `tests/s3`.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::conformance::{Conformance, Site, StoreFactory};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::Header;
use snapfold::{AggregateKey, BoxError, SnapshotId, SnapshotStore};

/// Buckets in memory.
struct Buckets {
    options: ObjectStoreOptions,
}

struct Bucket {
    objects: Arc<InMemory>,
    options: ObjectStoreOptions,
}

#[async_trait]
impl StoreFactory for Buckets {
    async fn site(&self) -> Result<Box<dyn Site>, BoxError> {
        let options = self.options.clone();
        Ok(Box::new(Bucket { objects: Arc::new(InMemory::new()), options }))
    }
}

#[async_trait]
impl Site for Bucket {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        let objects = Arc::clone(&self.objects);
        let options = self.options.clone();
        Ok(Arc::new(ObjectStoreSnapshots::open_with(objects, "kit", options).await?))
    }

    /// All that a handle has is in memory, and it is gone with it.
    async fn crash(&mut self) -> Result<bool, BoxError> {
        Ok(true)
    }

    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        self.flip(key, id, |header| header.header_bytes() + header.payload_bytes as usize / 2).await
    }

    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        self.flip(key, id, |_| 18).await
    }
}

impl Bucket {
    /// Flips a bit of each record of the snapshot. With copies in the index, that is not enough.
    async fn flip(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        place: impl Fn(&Header<'_>) -> usize,
    ) -> Result<bool, BoxError> {
        if self.options.inline_limit > 0 {
            return Ok(false);
        }
        let listed: Vec<_> = self.objects.list(Some(&Path::from("kit/r"))).try_collect().await?;
        let mut flipped = false;
        for object in listed {
            let mut bytes = self.objects.get(&object.location).await?.bytes().await?.to_vec();
            let header = Header::parse(&bytes)?;
            let found = SnapshotId { generation: header.generation, version: header.version };
            if header.is_of(key) && found == id {
                let (place, end) = (place(&header), header.header_bytes());
                let before = bytes[..end].to_vec();
                bytes[place] ^= 1;
                if place < end {
                    self.flip_in_indexes(&before, &bytes[..end]).await?;
                }
                self.objects.put(&object.location, bytes.into()).await?;
                flipped = true;
            }
        }
        Ok(flipped)
    }

    /// Changes the copy of a header that the index has, which has a checksum of its own.
    async fn flip_in_indexes(&self, before: &[u8], after: &[u8]) -> Result<(), BoxError> {
        let listed: Vec<_> = self.objects.list(Some(&Path::from("kit/x"))).try_collect().await?;
        for object in listed {
            let mut bytes = self.objects.get(&object.location).await?.bytes().await?.to_vec();
            if let Some(at) = bytes.windows(before.len()).position(|found| found == before) {
                bytes[at..at + after.len()].copy_from_slice(after);
                let checksum = crc32fast::hash(&bytes[8..]).to_le_bytes();
                bytes[4..8].copy_from_slice(&checksum);
                self.objects.put(&object.location, bytes.into()).await?;
            }
        }
        Ok(())
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
