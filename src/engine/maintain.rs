//! Maintaining stored snapshots: fetch, list, delete, mark, count.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use super::cache::Outdates;
use super::core::{EngineCore, check_kind};
use super::head::head;
use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::ledger::cut;
use crate::manager::{
    AdminContext, AggregateStats, Fetched, FoldComparison, REFOLD, ROLLBACK, Rejected, Snapshot,
};
use crate::mark::{Mark, MarkChange, MarkKind};
use crate::record::{Record, RejectReason, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{
    DeleteOptions, Deleted, Erased, Found, ListRequest, Lookup, Query, Remains, Selection,
    SnapshotStoreExt,
};

/// The maximum number of snapshots in one delete or change of marks.
const BATCH: usize = 256;
/// The number of items in a page that is only counted.
const COUNT_PAGE: usize = 1_024;

impl<A: Aggregate> EngineCore<A> {
    /// Fetches the snapshot at exactly `version`, or the newest one. Falls back to other
    /// generations if the current one has none.
    pub(super) async fn fetch(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
    ) -> Result<Fetched<A>, Error> {
        check_kind::<A>(key)?;
        if version.is_some_and(|version| version > SnapshotId::MAX_VERSION) {
            return Ok(Fetched::Absent);
        }
        let highest = version.unwrap_or(SnapshotId::MAX_VERSION);
        let wanted = |found: &Found| version.is_none_or(|version| version == found.version);
        let query = Query::latest(key, self.generation)
            .at_most(highest)
            // A retired snapshot is not used, but can be looked at.
            .include_retired(version.is_some());
        match self.store.get(query).await? {
            Lookup::Found(found) if wanted(&found) => self.fetched(key, &found).await,
            Lookup::Absent => Ok(Fetched::Absent),
            _ => self.fetch_other(key, version).await,
        }
    }

    /// Fetches the newest readable snapshot of another generation. If none is readable, fetches the
    /// newest, which is then rejected as stale.
    async fn fetch_other(
        &self,
        key: &AggregateKey,
        version: Option<u64>,
    ) -> Result<Fetched<A>, Error> {
        let (lowest, highest) = (version.unwrap_or(0), version.unwrap_or(SnapshotId::MAX_VERSION));
        let request = ListRequest::new(key).at_least(lowest).at_most(highest);
        let readable = |id: &SnapshotId| self.readers.iter().any(|r| r.knows(id.generation));
        let (mut found, mut newest) = (None, None);
        let mut pages = self.store.list_pages(request);
        while let Some(page) = pages.next().await? {
            let stored = page
                .iter()
                .filter(|meta| version.is_some() || !meta.is_retired())
                .map(SnapshotMeta::id);
            let mut others = stored.filter(|id| id.generation != self.generation).peekable();
            newest = newest.or_else(|| others.peek().copied());
            found = others.find(readable);
            if found.is_some() {
                break;
            }
        }
        let Some(id) = found.or(newest) else { return Ok(Fetched::Absent) };
        match self.store.get(Query::exact(key, id)).await? {
            Lookup::Found(found) if found.version == id.version => self.fetched(key, &found).await,
            _ => Ok(Fetched::Absent),
        }
    }

    async fn fetched(&self, key: &AggregateKey, found: &Found) -> Result<Fetched<A>, Error> {
        let mut snapshot = match self.open_stored(key, found) {
            Ok(snapshot) => snapshot,
            Err(reject) => {
                let version = Some(found.version);
                return Ok(Fetched::Rejected(Rejected { version, reason: reject }));
            }
        };
        if self.store.capabilities().marks {
            // Marks are stored outside the record, so only a list returns them.
            let stored = self.stored(key, snapshot.meta.id()).await?;
            snapshot.meta.marks = stored.map(|stored| stored.marks).unwrap_or_default();
        }
        Ok(Fetched::Usable(snapshot))
    }

    pub(super) fn open_stored(
        &self,
        key: &AggregateKey,
        found: &Found,
    ) -> Result<Snapshot<A>, RejectReason> {
        let header = found.record.header()?;
        if !header.is_of(key) {
            return Err(RejectReason::WrongAggregate);
        }
        if header.version != found.version {
            return Err(RejectReason::WrongVersion(header.version));
        }
        let (state, _) = self.decode(found, &header, false)?;
        let meta = SnapshotMeta::from_header(&header).map_err(|_| RejectReason::WrongAggregate)?;
        Ok(Snapshot { meta, state })
    }

    /// Reads the record of one snapshot, and verifies that it is undamaged and is that snapshot.
    pub(super) async fn stored_record(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
    ) -> Result<Option<Record>, Error> {
        check_kind::<A>(key)?;
        let Lookup::Found(found) = self.store.get(Query::exact(key, id)).await? else {
            return Ok(None);
        };
        let checked = found.record.verify().and_then(|header| {
            if !header.is_of(key) {
                Err(RejectReason::WrongAggregate)
            } else if header.version != id.version {
                Err(RejectReason::WrongVersion(header.version))
            } else if header.generation != id.generation {
                Err(RejectReason::Stale(header.generation))
            } else {
                Ok(())
            }
        });
        match checked {
            Ok(()) => Ok(Some(found.record)),
            Err(reject) => {
                let message = format!("the record of {key} at version {} is damaged", id.version);
                Err(Error::new(ErrorKind::Store, "read a record", message).with_source(reject))
            }
        }
    }

    pub(super) async fn list(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        check_kind::<A>(key)?;
        match within(key, versions) {
            Some(request) => self.store.list_all(request).await,
            None => Ok(Vec::new()),
        }
    }

    pub(super) async fn count(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        check_kind::<A>(key)?;
        match within(key, versions) {
            Some(request) => self.store.count(request.limit(COUNT_PAGE)).await,
            None => Ok(0),
        }
    }

    pub(super) async fn delete(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error> {
        check_kind::<A>(key)?;
        if version > SnapshotId::MAX_VERSION {
            return Ok(Deleted::default());
        }
        let metas = self.list(key, version..=version).await?;
        let mut ids: Vec<_> = metas.iter().map(SnapshotMeta::id).collect();
        // A snapshot whose header cannot be read is not listed, but is deleted as well.
        let own = SnapshotId { generation: self.generation, version };
        if !ids.contains(&own) {
            ids.push(own);
        }
        let _outdates = Outdates { cache: &self.cache, key };
        self.delete_ids(key, &ids).await
    }

    pub(super) async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        check_kind::<A>(key)?;
        let _outdates = Outdates { cache: &self.cache, key };
        let mut erased = self.store.erase(key).await?;
        if let Some(evidence) = self.erase_evidence(key).await? {
            erased = erased.and(evidence);
        }
        let ledger = self.recorder.as_ref().map(|_| Remains::Ledger);
        Ok(erased.with_remains(ledger.into_iter().chain([Remains::Events])))
    }

    pub(super) async fn delete_before(
        &self,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Deleted, Error> {
        check_kind::<A>(key)?;
        let _outdates = Outdates { cache: &self.cache, key };
        let selection = bounded(Selection::Below(version));
        self.store.delete(key, selection, DeleteOptions::default()).await
    }

    pub(super) async fn delete_ids(
        &self,
        key: &AggregateKey,
        ids: &[SnapshotId],
    ) -> Result<Deleted, Error> {
        if ids.is_empty() {
            return Ok(Deleted::default());
        }
        let mut parts = Vec::new();
        for batch in ids.chunks(BATCH) {
            let options = DeleteOptions::default();
            parts.push(self.store.delete(key, Selection::Ids(batch), options).await?);
        }
        Ok(parts.into_iter().sum())
    }

    pub(super) async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        // A cached state may have been built from a snapshot that this call retires.
        let retires = change.kind() == MarkKind::Retirement;
        let _outdates = retires.then(|| Outdates { cache: &self.cache, key });
        self.store.mark(key, bounded(selection), change).await
    }

    /// Returns the retirement that the actor of `context` sets now. A long note is truncated.
    pub(super) fn retirement(&self, name: &str, context: &AdminContext, note: &str) -> Mark {
        let note = cut(note.to_owned(), Mark::MAX_NOTE_BYTES);
        Mark::retirement(name, self.clock.now()).actor(context.actor.as_str()).note(note)
    }

    /// Retires the snapshots above `version`.
    pub(super) async fn rollback(
        &self,
        key: &AggregateKey,
        version: u64,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let stored = self.list(key, version..=SnapshotId::MAX_VERSION).await?;
        let mut usable = stored.iter().filter(|meta| !meta.is_retired());
        if !usable.clone().any(|meta| meta.version == version) {
            let message = format!(
                "there is no snapshot of {key} at version {version}, or it is retired: list the \
                 snapshots for the versions to choose from"
            );
            return Err(Error::new(ErrorKind::InvalidInput, "roll back snapshots", message));
        }
        let retirement = self.retirement(ROLLBACK, context, &context.reason);
        let above: Vec<_> =
            usable.by_ref().filter(|meta| meta.version > version).map(SnapshotMeta::id).collect();
        let mut retired = 0;
        // Highest version first, so that a rollback that is interrupted can be repeated.
        for ids in above.chunks(BATCH) {
            let set = MarkChange::Set(&retirement);
            retired += self.mark(key, Selection::Ids(ids), set).await?;
        }
        Ok(retired)
    }

    /// Retires the snapshots that differ from the events.
    pub(super) async fn retire_different(
        &self,
        key: &AggregateKey,
        comparison: &FoldComparison,
        context: &AdminContext,
    ) -> Result<u64, Error> {
        let mut retired = 0;
        for different in &comparison.different {
            let retirement = self.retirement(REFOLD, context, &different.to_string());
            let (ids, set) = ([different.id], MarkChange::Set(&retirement));
            retired += self.mark(key, Selection::Ids(&ids), set).await?;
        }
        Ok(retired)
    }

    pub(super) async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        let metas = self.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        let head = head(&*self.source, key).await?;
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
}

/// Returns the request for these versions, or `None` if there are none.
fn within(key: &AggregateKey, versions: RangeInclusive<u64>) -> Option<ListRequest<'_>> {
    let (lowest, highest) = (*versions.start(), (*versions.end()).min(SnapshotId::MAX_VERSION));
    (lowest <= highest).then(|| ListRequest::new(key).at_least(lowest).at_most(highest))
}

/// Replaces a bound above all versions with [`Selection::All`].
fn bounded(selection: Selection<'_>) -> Selection<'_> {
    match selection {
        Selection::Below(version) if version > SnapshotId::MAX_VERSION => Selection::All,
        selection => selection,
    }
}
