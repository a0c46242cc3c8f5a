//! Looking after what is stored: fetch, list, delete, plan, compact.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::search::decode;
use super::{Core, check_kind};
use crate::envelope::{Reject, SnapshotMeta};
use crate::error::Error;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::manager::{AggregateStats, Compaction, Fetched, Rejected, Snapshot};
use crate::retention::{Retention, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Deleted, Found, ListRequest, Lookup, Query, Selection};

/// How many snapshots one delete names at most.
const DELETE_BATCH: usize = 256;

impl<A: Aggregate> Core<A> {
    /// The stored snapshot of today's generation at just `version`, or the newest one.
    pub(super) async fn fetch(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
    ) -> Result<Fetched<A>, Error> {
        check_kind::<A>(key)?;
        let query = Query::latest(key, self.generation).at_most(version.unwrap_or(u64::MAX));
        let Lookup::Found(found) = self.store.get(query).await? else {
            return Ok(Fetched::Absent);
        };
        if version.is_some_and(|wanted| wanted != found.version) {
            return Ok(Fetched::Absent);
        }
        Ok(match self.open_stored(key, &found) {
            Ok(snapshot) => Fetched::Usable(snapshot),
            Err(reject) => Fetched::Rejected(Rejected { version: Some(found.version), reject }),
        })
    }

    fn open_stored(&self, key: &AggregateKey, found: &Found) -> Result<Snapshot<A>, Reject> {
        let header = found.record.header()?;
        if !header.is_of(key) {
            return Err(Reject::WrongAggregate);
        }
        if header.version != found.version {
            return Err(Reject::WrongVersion(header.version));
        }
        let state = decode(found, &header, &self.readers, self.max_state_bytes)?;
        let meta = SnapshotMeta::from_header(&header).map_err(|_| Reject::WrongAggregate)?;
        Ok(Snapshot { meta, state })
    }

    pub(super) async fn list(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        check_kind::<A>(key)?;
        let mut request =
            ListRequest::new(key).at_least(*versions.start()).at_most(*versions.end());
        let mut metas = Vec::new();
        loop {
            let page = self.store.list(request).await?;
            metas.extend(page.items);
            match page.next {
                // A store that does not advance would be asked for ever.
                Some(next) if request.after.is_none_or(|after| next < after) => {
                    request = request.after(next);
                }
                _ => return Ok(metas),
            }
        }
    }

    pub(super) async fn delete(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error> {
        let metas = self.list(key, version..=version).await?;
        let ids: Vec<_> = metas.iter().map(SnapshotMeta::id).collect();
        self.delete_ids(key, &ids).await
    }

    pub(super) async fn delete_before(
        &self,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Deleted, Error> {
        check_kind::<A>(key)?;
        let deleted = self.store.delete(key, Selection::Below(version)).await;
        self.cache.invalidate(key).await;
        deleted
    }

    async fn delete_ids(&self, key: &AggregateKey, ids: &[SnapshotId]) -> Result<Deleted, Error> {
        let mut parts = Vec::new();
        for batch in ids.chunks(DELETE_BATCH) {
            let deleted = self.store.delete(key, Selection::Ids(batch)).await;
            self.cache.invalidate(key).await;
            parts.push(deleted?);
        }
        Ok(parts.into_iter().sum())
    }

    pub(super) async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        let metas = self.list(key, 0..=u64::MAX).await?;
        let head =
            self.source.head(key).await.map_err(|e| Error::event_source("ask for the head", e))?;
        let generations: BTreeSet<_> = metas.iter().map(|meta| meta.generation).collect();
        Ok(AggregateStats {
            snapshots: metas.len() as u64,
            generations: generations.len() as u64,
            stored_bytes: metas.iter().map(|meta| meta.stored_bytes).sum(),
            raw_bytes: metas.iter().map(|meta| meta.raw_bytes).sum(),
            newest: metas.first().map(SnapshotMeta::id),
            oldest: metas.last().map(SnapshotMeta::id),
            head,
        })
    }

    pub(super) async fn plan(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        let metas = self.list(key, 0..=u64::MAX).await?;
        let mut usable = Vec::new();
        let generations: BTreeSet<_> = metas.iter().map(|meta| meta.generation).collect();
        for generation in generations {
            usable.extend(self.newest_usable(key, generation, &metas).await?);
        }
        Ok(RetentionPlan::new(&metas, &usable, policy, self.clock.now()))
    }

    /// The newest snapshot of a generation that passes every check that can be made here. For a
    /// generation that only other code can decode, that is its checksums.
    async fn newest_usable(
        &self,
        key: &AggregateKey,
        generation: Generation,
        metas: &[SnapshotMeta],
    ) -> Result<Option<SnapshotId>, Error> {
        let readable = self.readers.iter().any(|reader| reader.knows(generation));
        for meta in metas.iter().filter(|meta| meta.generation == generation) {
            let query = Query::latest(key, generation).at_most(meta.version);
            let Lookup::Found(found) = self.store.get(query).await? else { return Ok(None) };
            let opened = match self.open_stored(key, &found) {
                Ok(_) => true,
                Err(_) => !readable && found.record.verify().is_ok(),
            };
            if opened && found.version == meta.version {
                return Ok(Some(meta.id()));
            }
        }
        Ok(None)
    }

    pub(super) async fn compact(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<Compaction, Error> {
        let plan = self.plan(key, policy).await?;
        let dropped: Vec<_> = plan.dropped().map(|judged| judged.id).collect();
        let deleted = self.delete_ids(key, &dropped).await?;
        Ok(Compaction { plan, deleted })
    }
}
