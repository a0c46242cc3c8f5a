//! Implements [`SnapshotStore`] for [`FileStore`]. Nothing here blocks the thread of a task.

use std::sync::Arc;

use async_trait::async_trait;

use super::USE;
use super::file_store::FileStore;
use crate::backend::file::config::Durability;
use crate::backend::file::core::Core;
use crate::backend::file::format::MAX_BODY_BYTES;
use crate::backend::file::read::{Patience, Unread};
use crate::backend::file::write::encode::MAX_PART_BYTES;
use crate::backend::file::write::work::Answer;
use crate::blocking::blocking;
use crate::error::Error;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::MarkChange;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Erased, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Rewrite, Selection, SnapshotStore,
};
use crate::timestamp::Timestamp;

/// Records of up to this size are read on the calling thread if they are in memory.
const INLINE_READ_BYTES: u32 = 256 << 10;
/// Pages of up to this many items are read on the calling thread if they are in memory.
const INLINE_PAGE_ITEMS: usize = 64;
/// Puts with more bytes than this are encoded on a thread that may block.
const INLINE_PUT_BYTES: usize = 1 << 20;

#[async_trait]
impl SnapshotStore for FileStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("file")
            .durable(self.0.core.config.durability == Durability::Sync)
            .atomic_batches(true)
            .marks(true)
            .returns_bases(true)
            .rewrites(!self.is_read_only())
            .max_record_bytes(MAX_BODY_BYTES)
            .max_key_bytes(MAX_PART_BYTES as u64)
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let bytes: usize = records.iter().map(|record| record.as_bytes().len()).sum();
        let work = if bytes <= INLINE_PUT_BYTES {
            self.0.core.put_work(records, &options)?
        } else {
            let core = Arc::clone(&self.0.core);
            blocking(USE, move || core.put_work(records, &options)).await?
        };
        self.0.submit(work).await.map(Answer::outcomes)
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let core = &self.0.core;
        match core.get(Patience::None(INLINE_READ_BYTES), &query) {
            Ok(lookup) => return Ok(lookup),
            Err(Unread::Failed(error)) => return Err(error),
            Err(Unread::WouldWait) => {}
        }
        let (key, query) = (query.key.clone(), Owned::from(&query));
        self.read(None, move |core, patience| core.get(patience, &query.of(&key))).await
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let list = OwnedList::from(&request);
        let at_once = inline_page(request.limit);
        self.read(at_once, move |core, patience| core.list(patience, &list.of())).await
    }

    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        let lists: Vec<_> = requests.iter().map(OwnedList::from).collect();
        let limits = requests.iter().map(|request| request.limit);
        let at_once = inline_page(limits.fold(0, usize::saturating_add));
        let list = move |core: &Core, patience| {
            lists.iter().map(|list| core.list(patience, &list.of())).collect::<Result<Vec<_>, _>>()
        };
        self.read(at_once, list).await
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        // A filter may skip any number of aggregates before a page is full.
        let filtered = request.tenant.is_some() || request.kind.is_some();
        let at_once = if filtered { None } else { inline_page(request.limit) };
        let (tenant, kind) = (request.tenant.map(str::to_owned), request.kind.map(str::to_owned));
        let (after, limit, reserved) = (request.after.cloned(), request.limit, request.reserved);
        let (created_from, created_before) = (request.created_from, request.created_before);
        self.read(at_once, move |core, patience| {
            let request = KeysRequest {
                tenant: tenant.as_deref(),
                kind: kind.as_deref(),
                reserved,
                created_from,
                created_before,
                after: after.as_ref(),
                limit,
            };
            core.keys(patience, &request)
        })
        .await
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        match self.0.core.delete_work(key, selection, options)? {
            Some(work) => self.0.submit(work).await.map(Answer::deleted),
            None => Ok(Deleted::default()),
        }
    }

    /// Queues all deletes, so that they are written and synced in few groups.
    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let mut submitted = Vec::with_capacity(selected.len());
        for (key, ids) in selected {
            let work = self.0.core.delete_work(key, Selection::Ids(ids), options)?;
            submitted.push(work.map(|work| self.0.submit(work)));
        }
        let mut deleted = Vec::with_capacity(selected.len());
        for submitted in submitted {
            deleted.push(match submitted {
                Some(submitted) => submitted.await?.deleted(),
                None => Deleted::default(),
            });
        }
        Ok(deleted)
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        match self.0.core.mark_work(key, selection, change)? {
            Some(work) => self.0.submit(work).await.map(Answer::marked),
            None => Ok(0),
        }
    }

    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        let (store, key) = (self.clone(), key.clone());
        blocking(USE, move || store.erase_blocking(&key)).await
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        if rewrites.is_empty() {
            return Ok(Vec::new());
        }
        let core = Arc::clone(&self.0.core);
        let work = blocking(USE, move || core.rewrite_work(rewrites)).await?;
        self.0.submit(work).await.map(Answer::replaced)
    }
}

impl FileStore {
    async fn read<T: Send + 'static>(
        &self,
        at_once: Option<Patience>,
        read: impl Fn(&Core, Patience) -> Result<T, Unread> + Send + 'static,
    ) -> Result<T, Error> {
        if let Some(patience) = at_once {
            match read(&self.0.core, patience) {
                Ok(value) => return Ok(value),
                Err(Unread::Failed(error)) => return Err(error),
                Err(Unread::WouldWait) => {}
            }
        }
        let core = Arc::clone(&self.0.core);
        blocking(USE, move || read(&core, Patience::Unlimited).map_err(Unread::into_error)).await
    }
}

/// A list request with its own key.
struct OwnedList {
    key: AggregateKey,
    at_most: u64,
    at_least: u64,
    after: Option<SnapshotId>,
    limit: usize,
}

impl From<&ListRequest<'_>> for OwnedList {
    fn from(request: &ListRequest<'_>) -> Self {
        let ListRequest { key, at_most, at_least, after, limit } = *request;
        Self { key: key.clone(), at_most, at_least, after, limit }
    }
}

impl OwnedList {
    fn of(&self) -> ListRequest<'_> {
        let Self { ref key, at_most, at_least, after, limit } = *self;
        ListRequest { key, at_most, at_least, after, limit }
    }
}

/// A query without its key.
struct Owned {
    generation: Generation,
    at_most: u64,
    at_least: u64,
    as_of: Option<Timestamp>,
    include_retired: bool,
}

impl From<&Query<'_>> for Owned {
    fn from(query: &Query<'_>) -> Self {
        let Query { generation, at_most, at_least, as_of, include_retired, .. } = *query;
        Self { generation, at_most, at_least, as_of, include_retired }
    }
}

impl Owned {
    fn of<'a>(&self, key: &'a AggregateKey) -> Query<'a> {
        let query =
            Query::latest(key, self.generation).at_most(self.at_most).at_least(self.at_least);
        let query = query.include_retired(self.include_retired);
        match self.as_of {
            Some(time) => query.as_of(time),
            None => query,
        }
    }
}

fn inline_page(limit: usize) -> Option<Patience> {
    (limit <= INLINE_PAGE_ITEMS).then_some(Patience::None(INLINE_READ_BYTES))
}
