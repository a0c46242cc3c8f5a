//! [`MemoryStore`]: a snapshot store in memory.

use std::collections::{BTreeSet, HashMap, hash_map};
use std::fmt;
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use async_trait::async_trait;

use crate::error::{Error, ErrorKind};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::mark::{MarkChange, Marks};
use crate::record::{Header, Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{
    Capabilities, Cursor, Deletable, DeleteOptions, DeletePlan, Deleted, Erased, Found,
    KeysRequest, ListRequest, Lookup, Page, PutOptions, PutOutcome, Query, Rewrite, Selection,
    SnapshotStore,
};
use crate::timeline::{Entry, Key, Timeline, Wanted};
use crate::timestamp::Timestamp;

/// A snapshot store in memory: the reference implementation of [`SnapshotStore`].
///
/// The store contains encoded records, not live states, so stored snapshots cannot change. They are
/// lost when the last handle is dropped. Clones share the same snapshots.
#[derive(Clone, Default)]
pub struct MemoryStore {
    aggregates: Arc<RwLock<Aggregates>>,
}

#[derive(Default)]
struct Aggregates {
    snapshots: HashMap<AggregateKey, Snapshots>,
    /// The keys of `snapshots` in ascending order, for lists.
    keys: BTreeSet<AggregateKey>,
}

/// One timeline per generation, of which there are few, ordered by version. No timeline is empty.
type Snapshots = Vec<(Generation, Timeline<StoredRecord>)>;

#[derive(Clone)]
struct StoredRecord {
    version: u64,
    record: Record,
    as_of: Timestamp,
    /// The version of the base if the record is a delta.
    base: Option<u64>,
    marks: Marks,
}

impl Entry for StoredRecord {
    fn key(&self) -> Key {
        key(self.version)
    }

    fn as_of(&self) -> Timestamp {
        self.as_of
    }
}

impl StoredRecord {
    fn deletable(&self, generation: Generation) -> Deletable {
        let id = SnapshotId { generation, version: self.version };
        Deletable::new(id, self.record.as_bytes().len() as u64)
            .pinned(self.marks.is_pinned())
            .base(self.base)
    }
}

/// The highest key in a timeline.
const LAST: Key = (u64::MAX, u32::MAX);

/// Returns the key of a version. A timeline has one snapshot per version.
const fn key(version: u64) -> Key {
    (version, 0)
}

impl MemoryStore {
    /// Creates an empty store.
    pub fn new() -> Self {
        Self::default()
    }

    // A panic cannot leave the maps half changed, because each change is one insertion or removal
    // per map.
    fn read(&self) -> RwLockReadGuard<'_, Aggregates> {
        self.aggregates.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Aggregates> {
        self.aggregates.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SnapshotStore for MemoryStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("memory")
            .atomic_batches(true)
            .marks(true)
            .returns_bases(true)
            .rewrites(true)
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        let max_bytes = self.capabilities().max_record_bytes;
        let identified = records
            .into_iter()
            .map(|record| identify(record, max_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let mut aggregates = self.write();
        if options.replace && !options.marks.is_empty() {
            for (key, id, _) in &identified {
                let there = aggregates.find(key, *id).map(|stored| &stored.marks);
                let there = there.filter(|there| options.replaces(there));
                there.map_or(Ok(Marks::NONE), |marks| marks.merged(&options.marks))?;
            }
        }
        Ok(identified
            .into_iter()
            .map(|(key, id, stored)| {
                if !aggregates.snapshots.contains_key(&key) {
                    aggregates.keys.insert(key.clone());
                }
                insert(aggregates.snapshots.entry(key).or_default(), id, stored, &options)
            })
            .collect())
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let aggregates = self.read();
        let Some(snapshots) = aggregates.snapshots.get(query.key) else {
            return Ok(Lookup::Absent);
        };
        let own = snapshots.iter().find(|(generation, _)| *generation == query.generation);
        if let Some((_, versions)) = own
            && let Some(stored) = newest(versions, &query)
        {
            let found = Found::new(stored.version, stored.record.clone());
            return Ok(Lookup::Found(found.with_bases(bases(versions, stored))));
        }
        let others = snapshots.iter().any(|(_, versions)| newest(versions, &query).is_some());
        Ok(if others { Lookup::OtherGeneration } else { Lookup::Absent })
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        self.read().list(&request)
    }

    async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        let aggregates = self.read();
        requests.iter().map(|request| aggregates.list(request)).collect()
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        let after = request.after.map(Cursor::to_key).transpose()?;
        let lower = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let aggregates = self.read();
        let mut admitted = aggregates
            .keys
            .range::<AggregateKey, _>((lower, Bound::Unbounded))
            .filter(|key| request.admits(key));
        let items: Vec<_> = admitted.by_ref().take(request.limit.max(1)).cloned().collect();
        let more = admitted.next().is_some();
        let next = items.last().filter(|_| more).map(Cursor::of_key);
        Ok(Page::new(items, next))
    }

    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        Ok(self.write().delete(key, selection, options))
    }

    async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let mut aggregates = self.write();
        let delete = |(key, ids): &(&AggregateKey, &[SnapshotId])| {
            aggregates.delete(key, Selection::Ids(ids), options)
        };
        Ok(selected.iter().map(delete).collect())
    }

    async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        change.check()?;
        let mut aggregates = self.write();
        let Some(snapshots) = aggregates.snapshots.get_mut(key) else { return Ok(0) };
        // All marks are checked before any are changed: if one snapshot is full, the call fails.
        let mut changed = Vec::new();
        for (generation, versions) in &*snapshots {
            for stored in versions.descending(LAST) {
                let id = SnapshotId { generation: *generation, version: stored.version };
                if selection.admits(id)
                    && let Some(marks) = stored.marks.changed(change)?
                {
                    changed.push((id, StoredRecord { marks, ..stored.clone() }));
                }
            }
        }
        let count = changed.len() as u64;
        for (id, stored) in changed {
            let own = snapshots.iter_mut().find(|(generation, _)| *generation == id.generation);
            own.and_then(|(_, versions)| versions.insert(stored));
        }
        Ok(count)
    }

    async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        let options = DeleteOptions::default().overrule_pins(true);
        Ok(Erased::new(self.delete(key, Selection::All, options).await?, []))
    }

    async fn rewrite(&self, rewrites: Vec<Rewrite>) -> Result<Vec<bool>, Error> {
        Rewrite::check_all(&rewrites)?;
        let max_bytes = self.capabilities().max_record_bytes;
        let identified = rewrites
            .iter()
            .map(|rewrite| identify(rewrite.record.clone(), max_bytes))
            .collect::<Result<Vec<_>, _>>()?;
        let mut aggregates = self.write();
        let rewritten = rewrites.iter().zip(identified);
        Ok(rewritten.map(|(rewrite, new)| aggregates.rewrite(rewrite, new)).collect())
    }
}

impl Aggregates {
    fn list(&self, request: &ListRequest<'_>) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let Some(snapshots) = self.snapshots.get(request.key) else {
            return Ok(Page::new(Vec::new(), None));
        };
        let limit = request.limit.max(1);
        let newest =
            request.after.map_or(request.at_most, |after| after.version.min(request.at_most));
        let mut selected = Vec::new();
        for (generation, versions) in snapshots {
            let admitted = versions
                .descending(key(newest))
                .take_while(|stored| stored.version >= request.at_least)
                .map(|stored| {
                    (SnapshotId { generation: *generation, version: stored.version }, stored)
                })
                .filter(|(id, _)| request.admits(*id));
            // One more than requested, to find out whether there are more.
            selected.extend(admitted.take(limit.saturating_add(1)));
        }
        selected.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let more = selected.len() > limit;
        selected.truncate(limit);
        let next = selected.last().map(|(id, _)| *id).filter(|_| more);
        let items = selected
            .iter()
            .filter_map(|(_, stored)| Some((stored.record.header().ok()?, &stored.marks)))
            .map(
                |(header, marks)| Ok(SnapshotMeta::from_header(&header)?.with_marks(marks.clone())),
            )
            .collect::<Result<_, Error>>()?;
        Ok(Page::new(items, next))
    }

    fn delete(
        &mut self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Deleted {
        let hash_map::Entry::Occupied(mut entry) = self.snapshots.entry(key.clone()) else {
            return Deleted::default();
        };
        let mut stored = Vec::new();
        for (generation, versions) in entry.get() {
            stored.extend(versions.descending(LAST).map(|stored| stored.deletable(*generation)));
        }
        let plan = DeletePlan::new(selection, options, &stored);
        entry.get_mut().retain_mut(|(generation, versions)| {
            versions.retain(|stored| {
                let id = SnapshotId { generation: *generation, version: stored.version };
                !plan.removes(id)
            });
            !versions.is_empty()
        });
        if entry.get().is_empty() {
            entry.remove();
            self.keys.remove(key);
        }
        plan.deleted
    }

    /// Replaces a record if it is the expected one.
    fn rewrite(&mut self, rewrite: &Rewrite, (key, id, mut stored): Identified) -> bool {
        let Some(snapshots) = self.snapshots.get_mut(&key) else { return false };
        let own = snapshots.iter_mut().find(|(generation, _)| *generation == id.generation);
        let Some((_, versions)) = own else { return false };
        let there = versions.get(stored.key()).filter(|there| rewrite.replaces(&there.record));
        let Some(there) = there else { return false };
        stored.marks = there.marks.clone();
        versions.insert(stored);
        true
    }

    fn find(&self, key: &AggregateKey, id: SnapshotId) -> Option<&StoredRecord> {
        let snapshots = self.snapshots.get(key)?;
        let (_, versions) =
            snapshots.iter().find(|(generation, _)| *generation == id.generation)?;
        versions.get((id.version, 0))
    }
}

/// Returns the newest snapshot of a generation that matches `query`.
fn newest<'s>(versions: &'s Timeline<StoredRecord>, query: &Query<'_>) -> Option<&'s StoredRecord> {
    let as_of = query.as_of.unwrap_or(Timestamp::MAX);
    let mut wanted = Wanted { at_most: key(query.at_most), as_of, kind: None };
    loop {
        let stored = versions.find(wanted).filter(|stored| stored.version >= query.at_least)?;
        if query.include_retired || !stored.marks.is_retired() {
            return Some(stored);
        }
        wanted.at_most = key(stored.version.checked_sub(1)?);
    }
}

/// Returns the bases of a delta, nearest first.
fn bases(versions: &Timeline<StoredRecord>, delta: &StoredRecord) -> Vec<Record> {
    let next = |above: &&StoredRecord| {
        let base = above.base.filter(|base| *base < above.version)?;
        versions.get(key(base))
    };
    let chain = std::iter::successors(next(&delta), next);
    chain.take(Found::MAX_BASES).map(|base| base.record.clone()).collect()
}

type Identified = (AggregateKey, SnapshotId, StoredRecord);

fn identify(record: Record, max_bytes: u64) -> Result<Identified, Error> {
    let invalid = |message: String| Error::new(ErrorKind::InvalidInput, "put a snapshot", message);
    let bytes = record.as_bytes().len() as u64;
    if bytes > max_bytes {
        return Err(invalid(format!(
            "the record is {bytes} bytes long, but the limit is {max_bytes}: shrink the state"
        )));
    }
    let header = record.header().map_err(|reject| {
        invalid(format!("the record is invalid: {reject}")).with_source(reject)
    })?;
    let Header { version, generation, as_of, .. } = header;
    let base = header.base.map(|base| base.version);
    let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
    let stored = StoredRecord { version, record, as_of, base, marks: Marks::NONE };
    Ok((key, SnapshotId { generation, version }, stored))
}

fn insert(
    snapshots: &mut Snapshots,
    id: SnapshotId,
    mut stored: StoredRecord,
    options: &PutOptions,
) -> PutOutcome {
    if !snapshots.iter().any(|(generation, _)| *generation == id.generation) {
        snapshots.push((id.generation, Timeline::new()));
    }
    let own = snapshots.iter_mut().find(|(generation, _)| *generation == id.generation);
    // The generation was just pushed, because it did not exist.
    let Some((_, versions)) = own else { return PutOutcome::Stored };
    match versions.get(stored.key()) {
        Some(there) if !options.replaces(&there.marks) => {
            PutOutcome::Existing { identical: there.record.has_state_of(&stored.record) }
        }
        there => {
            let outcome = if there.is_some() { PutOutcome::Replaced } else { PutOutcome::Stored };
            let before = there.map_or(Marks::NONE, |there| there.marks.clone());
            // This was checked before anything was stored.
            stored.marks = before.merged(&options.marks).unwrap_or(before);
            versions.insert(stored);
            outcome
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("aggregates", &self.read().keys.len()).finish()
    }
}
