//! [`SnapshotStoreExt`]: convenience methods for every store.

use super::{
    KeyPages, KeysRequest, ListPages, ListRequest, Lookup, PutBatch, PutOptions, PutOutcome, Query,
    SnapshotStore,
};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;

/// Convenience methods for any [`SnapshotStore`], including `dyn`. Implemented for all stores.
///
/// ```
/// use snapfold::store::{KeysRequest, SnapshotStoreExt};
/// use snapfold::{AggregateKey, MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let (old, new) = (MemoryStore::new(), MemoryStore::new());
/// // Copies everything to another store, including snapfold's internal documents.
/// let mut pages = old.key_pages(KeysRequest::new().reserved(true));
/// while let Some(keys) = pages.next().await? {
///     for key in keys {
///         old.copy_key(&key, &new).await?;
///     }
/// }
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
pub trait SnapshotStoreExt: SnapshotStore {
    /// Returns a pager over a list of snapshots. It starts with the page that `request` asks for.
    fn list_pages<'a>(&'a self, request: ListRequest<'a>) -> ListPages<'a, Self> {
        ListPages::new(self, request)
    }

    /// Returns a pager over the keys in the store. It starts with the page that `request` asks for.
    fn key_pages<'a>(&'a self, request: KeysRequest<'a>) -> KeyPages<'a, Self> {
        KeyPages::new(self, request)
    }

    /// Collects the items of all pages of a list, highest [`SnapshotId`](crate::SnapshotId) first.
    ///
    /// The limit of the request applies to each page. Each item takes about 500 bytes of memory, so
    /// use [`list_pages`](Self::list_pages) if there may be millions.
    ///
    /// # Errors
    /// The same errors as [`ListPages::next`].
    fn list_all(
        &self,
        request: ListRequest<'_>,
    ) -> impl Future<Output = Result<Vec<SnapshotMeta>, Error>> + Send {
        async move {
            let mut pages = self.list_pages(request);
            let mut metas = Vec::new();
            while let Some(page) = pages.next().await? {
                metas.extend(page);
            }
            Ok(metas)
        }
    }

    /// Counts the items of all pages of a list. Lists them, so the cost grows with their number, but
    /// holds only a page in memory.
    ///
    /// # Errors
    /// The same errors as [`ListPages::next`].
    fn count(&self, request: ListRequest<'_>) -> impl Future<Output = Result<u64, Error>> + Send {
        async move {
            let mut pages = self.list_pages(request);
            let mut count = 0;
            while let Some(page) = pages.next().await? {
                count += page.len() as u64;
            }
            Ok(count)
        }
    }

    /// Returns the newest snapshot of a key, whatever its generation and whether or not it is
    /// retired. Returns `None` if the key has no snapshots.
    ///
    /// # Errors
    /// The same errors as [`list`](SnapshotStore::list).
    fn newest(
        &self,
        key: &AggregateKey,
    ) -> impl Future<Output = Result<Option<SnapshotMeta>, Error>> + Send {
        async move {
            let page = self.list(ListRequest::new(key).limit(1)).await?;
            Ok(page.items.into_iter().next())
        }
    }

    /// Copies all snapshots of a key to another store, with their marks.
    ///
    /// Copies the oldest snapshots first, so that the base of a delta is stored before the delta.
    /// Snapshots that already exist in the target are kept. Snapshots whose header cannot be read,
    /// or that are deleted during the copy, are not copied.
    ///
    /// This is idempotent: after an error or a dropped future, call it again.
    ///
    /// # Errors
    /// Any error returned by either store, or
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if a snapshot has marks and `to`
    /// does not support marks.
    fn copy_key(
        &self,
        key: &AggregateKey,
        to: &dyn SnapshotStore,
    ) -> impl Future<Output = Result<Copied, Error>> + Send {
        async move {
            let mut metas = self.list_all(ListRequest::new(key)).await?;
            metas.reverse();
            let mut copied = Copied::default();
            let mut batch = PutBatch::new();
            for meta in metas {
                let lookup = self.get(Query::exact(key, meta.id())).await?;
                let Lookup::Found(found) = lookup else { continue };
                if !batch.takes(&meta.marks) {
                    copied.put(&mut batch, to).await?;
                }
                batch.add((), found.record, meta.marks);
            }
            copied.put(&mut batch, to).await?;
            Ok(copied)
        }
    }
}

impl<S: SnapshotStore + ?Sized> SnapshotStoreExt for S {}

/// The result of a copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// The number of snapshots that were stored.
    pub stored: u64,
    /// The number of snapshots that already existed in the target and were kept.
    pub existing: u64,
    /// The number of existing snapshots whose state differs from that of the source.
    pub different: u64,
}

impl Copied {
    /// Puts a batch, and counts what came of it.
    async fn put(&mut self, batch: &mut PutBatch<()>, to: &dyn SnapshotStore) -> Result<(), Error> {
        let Some((records, marks)) = batch.take() else { return Ok(()) };
        let records = records.into_iter().map(|((), record)| record).collect();
        for outcome in to.put(records, PutOptions::default().marks(marks)).await? {
            match outcome {
                PutOutcome::Existing { identical } => {
                    self.existing += 1;
                    self.different += u64::from(!identical);
                }
                PutOutcome::Replaced | PutOutcome::Stored => self.stored += 1,
            }
        }
        Ok(())
    }
}
