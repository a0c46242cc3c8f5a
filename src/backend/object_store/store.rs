//! [`ObjectStoreSnapshots`]: a snapshot store in object storage.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use object_store::ObjectStore;

use super::bucket_store::{BucketStore, within};
use super::error::RequestEffect;
use super::known::Memory;
use super::layout::Layout;
use super::open_lists::OpenLists;
use super::options::ObjectStoreOptions;
use super::remote::Remote;
use super::repair::RepairedObjects;
use super::sweep::SweptObjects;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::key_locks::KeyLocks;
use crate::mark::MarkChange;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Erased, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Rewrite, Selection, SnapshotStore,
};

/// A [`SnapshotStore`] in an object store: Amazon S3, Google Cloud Storage, Azure Blob Storage, and
/// servers that speak their protocols. The application chooses the cloud: it creates an
/// [`ObjectStore`] of the crate `object_store`, which is the public dependency of this feature.
///
/// Any number of processes may use the same root at the same time. Each aggregate has one index
/// object, which is only ever written on the condition that nobody else has changed it, and which has
/// a copy of the newest record:
///
/// | call | requests |
/// |---|---|
/// | load of the newest snapshot | 1 up to [`inline_limit`](ObjectStoreOptions::inline_limit), 2 above it or for a delta |
/// | load at a version or time | 2, or 3 for a delta |
/// | put | 2 if this handle has used the aggregate before, otherwise 3 |
/// | list | 1 |
/// | keys | 1 for each 1,000, whatever the size of the pages |
/// | delete, mark | 1 write of the index (and a read if it is not in memory); the deletes are free |
///
/// `docs/object-store.md` has the clouds and servers that it was run with, prices, policies and
/// lifecycle rules. An aggregate can have 4,096 snapshots: keep fewer with a retention policy.
///
/// Cloning is cheap, and clones share what is in memory.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// use std::sync::Arc;
/// use object_store::memory::InMemory;
/// use snapfold::object_store::ObjectStoreSnapshots;
///
/// // An application would take `object_store::aws::AmazonS3Builder` and its like.
/// let objects = Arc::new(InMemory::new());
/// let store = ObjectStoreSnapshots::open(objects, "app/snapshots").await?;
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct ObjectStoreSnapshots(Arc<BucketStore>);

impl ObjectStoreSnapshots {
    /// Opens the store below `root`, with the default options: see
    /// [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    pub async fn open(objects: Arc<dyn ObjectStore>, root: &str) -> Result<Self, Error> {
        Self::open_with(objects, root, ObjectStoreOptions::new()).await
    }

    /// Opens the store below `root`, which is a path like `app/snapshots`, or empty for the whole
    /// bucket. Nothing else may use names below it.
    ///
    /// First, it is tested with five requests whether the server honours conditions on writes, because
    /// snapshots would be lost on one that ignores them. With
    /// [`read_only`](ObjectStoreOptions::read_only), nothing is tested and nothing is written.
    ///
    /// # Errors
    /// - [`InvalidInput`](crate::ErrorKind::InvalidInput) if the root is invalid, or if something else uses
    ///   it,
    /// - [`Unsupported`](crate::ErrorKind::Unsupported) if the server ignores or refuses conditions, or if a
    ///   newer release wrote the store,
    /// - [`Store`](crate::ErrorKind::Store) if the server fails or does not allow this, or if the store does
    ///   not exist and is opened read-only,
    /// - [`Timeout`](crate::ErrorKind::Timeout).
    pub async fn open_with(
        objects: Arc<dyn ObjectStore>,
        root: &str,
        options: ObjectStoreOptions,
    ) -> Result<Self, Error> {
        let layout = Layout::new(root)?;
        let options = options.bounded();
        let mut remote = Remote { store: objects, bare_tags: false };
        let opened = super::open::open(&mut remote, &layout, &options);
        within(&options, "open an object store", RequestEffect::Write, opened).await?;
        let memory = Memory::new(options.cache_bytes);
        let (locks, lists) = (KeyLocks::default(), OpenLists::default());
        Ok(Self(Arc::new(BucketStore { remote, layout, options, memory, locks, lists })))
    }

    /// Deletes record objects that no index names and that are at least an hour old. They are what
    /// puts and deletes leave behind that were interrupted. Run it daily or so; several processes may
    /// do so at the same time.
    ///
    /// It lists all records, 1,000 for each request, and reads the index of each aggregate that has
    /// objects of that age: on S3, 5.40 dollars for a million aggregates with one snapshot each. The
    /// time limit applies to each request, not to the call. If the future is dropped, what was
    /// deleted stays deleted.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) or [`Timeout`](crate::ErrorKind::Timeout) if a request fails, and
    /// [`CorruptStore`](crate::ErrorKind::CorruptStore) if an index is damaged: [`repair`](Self::repair) it
    /// first.
    pub async fn sweep(&self) -> Result<SweptObjects, Error> {
        self.0.sweep().await
    }

    /// Makes a new index of each aggregate whose index is missing or damaged, from its records. A
    /// missing record is written again if its index has a copy, and otherwise its snapshot is removed
    /// from the index. Indexes in order stay as they are.
    ///
    /// A new index has no marks: pins and retirements are lost. It also has what a delete or a
    /// replacement that was interrupted had not yet removed. Lists and reads all indexes and the
    /// headers of those records. The time limit applies to each request, not to the call.
    ///
    /// # Errors
    /// [`Store`](crate::ErrorKind::Store) or [`Timeout`](crate::ErrorKind::Timeout) if a request fails. What was
    /// repaired stays so.
    pub async fn repair(&self) -> Result<RepairedObjects, Error> {
        self.0.repair().await
    }
}

#[async_trait]
impl SnapshotStore for ObjectStoreSnapshots {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("object store")
            .durable(true)
            // The server completes a request whose future was dropped.
            .ordered_deletes(false)
            .marks(true)
            .returns_bases(true)
            .rewrites(true)
            .max_record_bytes(self.0.options.max_record_bytes)
            .max_key_bytes(self.0.layout.max_key_bytes())
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let put = self.0.put(records, &options);
        self.0.within("put snapshots", RequestEffect::Write, put).await
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        self.0.within("get a snapshot", RequestEffect::Read, self.0.get(query)).await
    }

    async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        self.0.within("get snapshots", RequestEffect::Read, self.0.get_many(queries)).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.0.within("list snapshots", RequestEffect::Read, self.0.list(request)).await
    }

    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        self.0.within("list snapshots", RequestEffect::Read, self.0.list_many(requests)).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        self.0.within("list aggregates", RequestEffect::Read, self.0.keys(request)).await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let delete = self.0.delete(key, selection, options);
        self.0.within("delete snapshots", RequestEffect::Write, delete).await
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let delete = self.0.delete_many(selected, options);
        self.0.within("delete snapshots", RequestEffect::Write, delete).await
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        change.check()?;
        let mark = self.0.mark(key, selection, change);
        self.0.within("mark snapshots", RequestEffect::Write, mark).await
    }

    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        self.0.within("erase an aggregate", RequestEffect::Write, self.0.erase(key)).await
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        let rewrite = self.0.rewrite(rewrites);
        self.0.within("rewrite snapshots", RequestEffect::Write, rewrite).await
    }
}

impl fmt::Debug for ObjectStoreSnapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BucketStore { remote, layout, options, .. } = &*self.0;
        // Not `Debug`, which is the client's own and may have more.
        f.debug_struct("ObjectStoreSnapshots")
            .field("objects", &remote.store.to_string())
            .field("layout", layout)
            .field("options", options)
            .finish_non_exhaustive()
    }
}
