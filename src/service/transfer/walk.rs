//! [`StoreWalk`]: reads the selected snapshots of a store, each base before its deltas.

use std::collections::{HashSet, VecDeque};

use super::TransferFilter;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::mark::Marks;
use crate::record::{Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{KeyPages, ListRequest, Lookup, Query, SnapshotStore, SnapshotStoreExt};

/// The maximum number of records that are read together.
const BATCH: usize = 32;
/// Records are read together until they reach this size.
const BATCH_BYTES: u64 = 8 << 20;

/// A snapshot on its way from one store to another.
pub(super) struct MovedSnapshot {
    pub(super) key: AggregateKey,
    pub(super) record: Record,
    pub(super) marks: Marks,
}

pub(super) struct StoreWalk<'a> {
    store: &'a dyn SnapshotStore,
    filter: &'a TransferFilter,
    pages: KeyPages<'a, dyn SnapshotStore + 'a>,
    keys: VecDeque<AggregateKey>,
    /// The snapshots of the first of `keys` that are still to be read, oldest first.
    metas: VecDeque<SnapshotMeta>,
    /// The number of records that are damaged and were left out.
    pub(super) damaged: u64,
}

impl<'a> StoreWalk<'a> {
    pub(super) fn new(store: &'a dyn SnapshotStore, filter: &'a TransferFilter) -> Self {
        let pages = store.key_pages(filter.keys());
        let (keys, metas) = (VecDeque::new(), VecDeque::new());
        Self { store, filter, pages, keys, metas, damaged: 0 }
    }

    /// Returns the next snapshots, which are of one aggregate. `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<MovedSnapshot>>, Error> {
        loop {
            if self.metas.is_empty() && !self.begin_key().await? {
                return Ok(None);
            }
            let moved = self.read().await?;
            if !moved.is_empty() {
                return Ok(Some(moved));
            }
        }
    }

    /// Lists the snapshots of the next aggregate. Returns `false` if there is none.
    async fn begin_key(&mut self) -> Result<bool, Error> {
        loop {
            let Some(key) = self.keys.pop_front() else {
                let Some(page) = self.pages.next().await? else { return Ok(false) };
                self.keys.extend(page.into_iter().filter(|key| self.filter.admits_key(key)));
                continue;
            };
            let request = ListRequest::new(&key).at_most(SnapshotId::MAX_VERSION);
            let mut metas = self.store.list_all(request).await?;
            if self.filter.is_timed() {
                self.select(&mut metas);
            }
            self.metas = metas.into_iter().rev().collect();
            if !self.metas.is_empty() {
                return Ok(true);
            }
        }
    }

    /// Removes the snapshots outside the times of the filter, except bases that are needed.
    fn select(&self, metas: &mut Vec<SnapshotMeta>) {
        let admitted = metas.iter().filter(|meta| self.filter.admits_time(meta));
        let bases: HashSet<_> = admitted
            .filter_map(|meta| {
                meta.base.map(|base| SnapshotId { version: base.version, ..meta.id() })
            })
            .collect();
        metas.retain(|meta| self.filter.admits_time(meta) || bases.contains(&meta.id()));
    }

    /// Reads the next records of the aggregate.
    async fn read(&mut self) -> Result<Vec<MovedSnapshot>, Error> {
        let (mut metas, mut bytes) = (Vec::new(), 0);
        while let Some(meta) = self.metas.front()
            && metas.len() < BATCH
            && (metas.is_empty() || bytes + meta.stored_bytes <= BATCH_BYTES)
        {
            bytes += meta.stored_bytes;
            metas.extend(self.metas.pop_front());
        }
        let queries: Vec<_> = metas.iter().map(|meta| Query::exact(&meta.key, meta.id())).collect();
        let lookups = self.store.get_many(&queries).await?;
        let mut moved = Vec::with_capacity(metas.len());
        for (SnapshotMeta { key, marks, .. }, lookup) in metas.into_iter().zip(lookups) {
            // It may have been deleted since it was listed.
            let Lookup::Found(found) = lookup else { continue };
            if found.record.verify().is_ok_and(|header| header.is_of(&key)) {
                moved.push(MovedSnapshot { key, record: found.record, marks });
            } else {
                self.damaged += 1;
            }
        }
        Ok(moved)
    }
}
