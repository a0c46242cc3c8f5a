//! Surveying many aggregates: which have snapshots, which have new events, and which snapshots are
//! intact.

use std::collections::HashSet;
use std::sync::Arc;

use super::core::{EngineCore, check_kind};
use super::head::head;
use super::reader::{self, Reader};
use super::verify::{Judge, Turns};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::{Proof, Rejected, Verified};
use crate::record::{Header, RejectReason, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{
    Cursor, Found, KeysRequest, ListRequest, Lookup, Page, Query, SnapshotStoreExt,
};

impl<A: Aggregate> EngineCore<A> {
    pub(super) async fn keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let mut request = KeysRequest::new().tenant(tenant).kind(A::KIND).limit(limit);
        request.after = after;
        self.store.keys(request).await
    }

    pub(super) async fn event_keys(
        &self,
        tenant: &str,
        after: Option<&Cursor>,
        limit: usize,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let mut request = KeysRequest::new().tenant(tenant).kind(A::KIND).limit(limit);
        request.after = after;
        let keys = self.source.keys(request).await;
        keys.map_err(|source| Error::event_source("list aggregates with events", source))
    }

    /// Returns the head's version if loads can use a stored snapshot of it. Reads only metadata.
    /// Returns `None` if there is no such snapshot, or if the event source does not know its head
    /// without reading events.
    pub(super) async fn snapshot_of_head(&self, key: &AggregateKey) -> Result<Option<u64>, Error> {
        check_kind::<A>(key)?;
        let Some(head) = head(&*self.source, key).await? else { return Ok(None) };
        if head == 0 || head > SnapshotId::MAX_VERSION {
            return Ok(None);
        }
        let request = ListRequest::new(key).at_least(head).at_most(head);
        Ok(self.lists_usable(request).await?.then_some(head))
    }

    pub(super) async fn is_covered(&self, key: &AggregateKey) -> Result<bool, Error> {
        check_kind::<A>(key)?;
        self.lists_usable(ListRequest::new(key).at_most(SnapshotId::MAX_VERSION)).await
    }

    /// Returns whether one of the listed snapshots is of the current generation and can be used by
    /// loads, as far as its metadata shows.
    async fn lists_usable(&self, request: ListRequest<'_>) -> Result<bool, Error> {
        let is_usable = |meta: &SnapshotMeta| {
            let mut readers = self.readers.iter();
            meta.generation == self.generation
                && !meta.is_retired()
                && self.openers.may_open(meta)
                && readers.any(|reader| reader.reads(meta.generation, meta.codec))
        };
        let mut pages = self.store.list_pages(request);
        while let Some(page) = pages.next().await? {
            if page.iter().any(is_usable) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) async fn verify(&self, key: &AggregateKey) -> Result<Verified, Error> {
        check_kind::<A>(key)?;
        let mut verified = Verified::default();
        let mut add = |found: &Found| match self.examine(key, found) {
            Ok(Proof::Verified) => verified.proved += 1,
            Ok(_) => verified.unproved += 1,
            Err(reason) => {
                verified.rejected.push(Rejected { version: Some(found.version), reason });
            }
        };
        // One at a time, so that only one record is in memory.
        let mut at_most = SnapshotId::MAX_VERSION;
        while let Some(found) = self.own_at_most(key, at_most).await? {
            add(&found);
            at_most = found.version.saturating_sub(1);
        }
        let mut pages =
            self.store.list_pages(ListRequest::new(key).at_most(SnapshotId::MAX_VERSION));
        while let Some(page) = pages.next().await? {
            let ids = page.iter().map(SnapshotMeta::id);
            for id in ids.filter(|id| id.generation != self.generation) {
                if let Lookup::Found(found) = self.store.get(Query::exact(key, id)).await?
                    && found.version == id.version
                {
                    add(&found);
                }
            }
        }
        verified.rejected.sort_by_key(|rejected| std::cmp::Reverse(rejected.version));
        Ok(verified)
    }

    /// Returns why the snapshots of the current generation that are not in `listed` cannot be used,
    /// highest version first. A store does not list a record whose header is damaged.
    pub(super) async fn unlisted(
        &self,
        key: &AggregateKey,
        listed: &[SnapshotMeta],
    ) -> Result<Vec<Rejected>, Error> {
        let listed: HashSet<_> = listed.iter().map(SnapshotMeta::id).collect();
        let (mut unlisted, mut at_most) = (Vec::new(), SnapshotId::MAX_VERSION);
        while let Some(found) = self.own_at_most(key, at_most).await? {
            if !listed.contains(&self.own(found.version))
                && let Err(reason) = self.examine(key, &found)
            {
                unlisted.push(Rejected { version: Some(found.version), reason });
            }
            at_most = found.version.saturating_sub(1);
        }
        Ok(unlisted)
    }

    /// Returns the newest stored snapshot of the current generation at or below `at_most`, whatever
    /// its marks are.
    async fn own_at_most(&self, key: &AggregateKey, at_most: u64) -> Result<Option<Found>, Error> {
        if at_most == 0 {
            return Ok(None);
        }
        let query = Query::latest(key, self.generation).at_most(at_most).include_retired(true);
        let found = match self.store.get(query).await? {
            Lookup::Found(found) => Some(found),
            Lookup::Absent | Lookup::OtherGeneration => None,
        };
        // A store that returns something else would be asked without end.
        Ok(found.filter(|found| (1..=at_most).contains(&found.version)))
    }

    /// Checks a stored snapshot completely.
    fn examine(&self, key: &AggregateKey, found: &Found) -> Result<Proof, RejectReason> {
        let header = whole_header(key, found)?;
        self.openers.check_signature(found.record.as_bytes(), &header)?;
        let reader = match reader::choose(&self.readers, &header) {
            Ok(reader) => reader,
            // Other code can read the snapshot.
            Err(
                RejectReason::Stale(_) | RejectReason::FeatureDisabled(_) | RejectReason::Codec(_),
            ) => return Ok(Proof::Absent),
            Err(reject) => return Err(reject),
        };
        self.decode_whole(found, &header, reader).map(|(_, proof)| proof)
    }

    /// Decodes a snapshot and verifies its state, even if not every load is verified.
    pub(super) fn decode_whole(
        &self,
        found: &Found,
        header: &Header<'_>,
        reader: &Reader<A>,
    ) -> Result<(Arc<A>, Proof), RejectReason> {
        let judge = Judge { header, turns: &Turns::default(), is_lenient: false };
        found.record.open(header, self.open_with(&found.bases), |raw| reader.decode(raw, &judge))
    }
}

/// Verifies the checksums and the identity of a stored record.
pub(super) fn whole_header<'f>(
    key: &AggregateKey,
    found: &'f Found,
) -> Result<Header<'f>, RejectReason> {
    let header = found.record.verify()?;
    if !header.is_of(key) {
        return Err(RejectReason::WrongAggregate);
    }
    if header.version != found.version {
        return Err(RejectReason::WrongVersion(header.version));
    }
    Ok(header)
}
