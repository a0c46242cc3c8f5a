//! [`SnapshotStoreExt`]: what callers need of every store, over its few methods.

use super::{
    KeyPages, KeysRequest, ListPages, ListRequest, Lookup, PutOptions, PutOutcome, Query,
    SnapshotStore,
};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::mark::Marks;
use crate::record::SnapshotMeta;

/// A batch of a copy is put when its records reach this size.
const BATCH_BYTES: usize = 8 << 20;
/// The limit of records in one batch of a copy.
const BATCH: usize = 256;

/// Conveniences over any [`SnapshotStore`], also a `dyn` one. Implemented for all of them.
///
/// ```
/// use snapfold::store::{KeysRequest, SnapshotStoreExt};
/// use snapfold::{AggregateKey, MemoryStore};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let (old, new) = (MemoryStore::new(), MemoryStore::new());
/// // Moves to another store: documents of snapfold itself included.
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
    /// The pages of a list, from that of `request` to the end.
    fn list_pages<'a>(&'a self, request: ListRequest<'a>) -> ListPages<'a, Self> {
        ListPages::new(self, request)
    }

    /// The pages of keys, from that of `request` to the end.
    fn key_pages<'a>(&'a self, request: KeysRequest<'a>) -> KeyPages<'a, Self> {
        KeyPages::new(self, request)
    }

    /// All that a list request leads to, highest [`SnapshotId`](crate::SnapshotId) first. The limit
    /// of the request is that of one page. About 300 bytes each are held in memory; use
    /// [`list_pages`](Self::list_pages) where there may be millions.
    ///
    /// # Errors
    /// As [`ListPages::next`].
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

    /// The newest snapshot of a key, of any generation, retired or not; `None` if it has none.
    ///
    /// # Errors
    /// Those of [`list`](SnapshotStore::list).
    fn newest(
        &self,
        key: &AggregateKey,
    ) -> impl Future<Output = Result<Option<SnapshotMeta>, Error>> + Send {
        async move {
            let page = self.list(ListRequest::new(key).limit(1)).await?;
            Ok(page.items.into_iter().next())
        }
    }

    /// Copies all snapshots of a key to another store, with their marks, oldest first, so that the
    /// base of a delta is there before the delta. What is stored there already stays. A snapshot
    /// whose header cannot be read is not copied; one that was deleted meanwhile neither.
    ///
    /// Idempotent: after an error or a dropped future, call it again.
    ///
    /// # Errors
    /// Those of the two stores. [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if a
    /// snapshot has marks and `to` keeps none.
    fn copy_key(
        &self,
        key: &AggregateKey,
        to: &dyn SnapshotStore,
    ) -> impl Future<Output = Result<Copied, Error>> + Send {
        async move {
            let mut metas = self.list_all(ListRequest::new(key)).await?;
            metas.reverse();
            let mut copied = Copied::default();
            let mut batch = Batch::default();
            for meta in metas {
                let lookup = self.get(Query::exact(key, meta.id())).await?;
                let Lookup::Found(found) = lookup else { continue };
                // The marks of a put are those of all its records.
                if !batch.takes(&meta.marks) {
                    batch.put(to, &mut copied).await?;
                }
                batch.bytes += found.record.as_bytes().len();
                batch.marks = meta.marks;
                batch.records.push(found.record);
            }
            batch.put(to, &mut copied).await?;
            Ok(copied)
        }
    }
}

impl<S: SnapshotStore + ?Sized> SnapshotStoreExt for S {}

/// What a copy did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// How many snapshots were stored.
    pub stored: u64,
    /// How many were stored there before; they stay.
    pub existing: u64,
    /// Of those, how many do not hold the same state.
    pub different: u64,
}

/// Records on their way to another store, with the marks of each.
#[derive(Default)]
struct Batch {
    records: Vec<crate::record::Record>,
    marks: Marks,
    bytes: usize,
}

impl Batch {
    fn takes(&self, marks: &Marks) -> bool {
        self.records.is_empty()
            || (self.marks == *marks && self.records.len() < BATCH && self.bytes < BATCH_BYTES)
    }

    async fn put(&mut self, to: &dyn SnapshotStore, copied: &mut Copied) -> Result<(), Error> {
        let Self { records, marks, .. } = std::mem::take(self);
        if records.is_empty() {
            return Ok(());
        }
        for outcome in to.put(records, PutOptions::default().marks(marks)).await? {
            match outcome {
                PutOutcome::Existing { identical } => {
                    copied.existing += 1;
                    copied.different += u64::from(!identical);
                }
                PutOutcome::Replaced | PutOutcome::Stored => copied.stored += 1,
            }
        }
        Ok(())
    }
}
