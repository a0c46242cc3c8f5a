//! The site of a store in object storage for the conformance kit: a root in a bucket, which it
//! damages by hand.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use snapfold::conformance::Site;
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::Header;
use snapfold::{AggregateKey, BoxError, SnapshotId, SnapshotStore};

pub(crate) struct BucketSite {
    pub(crate) objects: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) options: ObjectStoreOptions,
}

#[async_trait]
impl Site for BucketSite {
    async fn open(&mut self) -> Result<Arc<dyn SnapshotStore>, BoxError> {
        let (objects, options) = (Arc::clone(&self.objects), self.options.clone());
        let store = ObjectStoreSnapshots::open_with(objects, self.path.as_ref(), options).await?;
        Ok(Arc::new(store))
    }

    /// All that a handle has is in memory, and it is gone with it.
    async fn crash(&mut self) -> Result<bool, BoxError> {
        Ok(true)
    }

    async fn damage(&mut self, key: &AggregateKey, id: SnapshotId) -> Result<bool, BoxError> {
        let middle = |header: &Header<'_>| {
            header.header_bytes() + usize::try_from(header.payload_bytes).unwrap_or(0) / 2
        };
        self.flip(key, id, middle).await
    }

    async fn damage_header(
        &mut self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<bool, BoxError> {
        self.flip(key, id, |_| 18).await
    }
}

impl BucketSite {
    async fn objects_in(&self, folder: &str) -> Result<Vec<(Path, Vec<u8>)>, BoxError> {
        let folder = Path::parse(format!("{}/{folder}", self.path))?;
        let listed: Vec<_> = self.objects.list(Some(&folder)).try_collect().await?;
        let mut objects = Vec::with_capacity(listed.len());
        for object in listed {
            let bytes = self.objects.get(&object.location).await?.bytes().await?.to_vec();
            objects.push((object.location, bytes));
        }
        Ok(objects)
    }

    /// Flips a bit of the record, by hand. With copies in the index, that is not enough.
    async fn flip(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        place: impl Fn(&Header<'_>) -> usize,
    ) -> Result<bool, BoxError> {
        if self.options.inline_limit > 0 {
            return Ok(false);
        }
        let mut flipped = false;
        for (path, mut bytes) in self.objects_in("r").await? {
            let header = Header::parse(&bytes)?;
            let found = SnapshotId { generation: header.generation, version: header.version };
            if header.is_of(key) && found == id {
                let (place, end) = (place(&header), header.header_bytes());
                let before = bytes[..end].to_vec();
                bytes[place] ^= 1;
                if place < end {
                    self.flip_in_indexes(&before, &bytes[..end]).await?;
                }
                self.objects.put(&path, bytes.into()).await?;
                flipped = true;
            }
        }
        Ok(flipped)
    }

    /// Changes the copy of a header that the index has, which has a checksum of its own.
    async fn flip_in_indexes(&self, before: &[u8], after: &[u8]) -> Result<(), BoxError> {
        for (path, mut bytes) in self.objects_in("x").await? {
            if let Some(at) = bytes.windows(before.len()).position(|found| found == before) {
                bytes[at..at + after.len()].copy_from_slice(after);
                let checksum = crc32fast::hash(&bytes[8..]).to_le_bytes();
                bytes[4..8].copy_from_slice(&checksum);
                self.objects.put(&path, bytes.into()).await?;
            }
        }
        Ok(())
    }
}
