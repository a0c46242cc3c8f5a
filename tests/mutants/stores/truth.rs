//! [`Truth`]: a store that keeps every promise, for mutants to depart from.

use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use snapfold::record::{Record, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, Deletable, DeleteOptions, DeletePlan, Deleted, Found, KeysRequest,
    ListRequest, Lookup, MarkChange, Marks, Page, PutOptions, PutOutcome, Query, Rewrite,
    Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, SnapshotId};

use super::disk::{Disk, Incoming, Row, Rows};

/// Every answer of the trait, right, and without an await: each call is one step.
pub(crate) struct Truth {
    disk: Arc<Mutex<Disk>>,
    place: fn(&AggregateKey) -> AggregateKey,
}

impl Truth {
    pub(crate) fn new(disk: Arc<Mutex<Disk>>, place: fn(&AggregateKey) -> AggregateKey) -> Self {
        Self { disk, place }
    }

    /// Limits that are small enough to be tried.
    pub(crate) fn capabilities() -> Capabilities {
        Capabilities::new("map")
            .durable(true)
            .atomic_batches(true)
            .marks(true)
            .returns_bases(true)
            .max_record_bytes(1 << 20)
            .max_key_bytes(4096)
            .max_version(i64::MAX as u64)
    }

    /// A mutant that panics does so between two changes.
    pub(crate) fn disk(&self) -> MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn place(&self, key: &AggregateKey) -> AggregateKey {
        (self.place)(key)
    }

    /// What is kept of a key, as it is now.
    pub(crate) fn rows(&self, key: &AggregateKey) -> Option<Rows> {
        self.disk().written.get(&self.place(key)).cloned()
    }

    /// What is stored now, for ever.
    pub(crate) fn frozen(&self) -> Self {
        let written = self.disk().written.clone();
        let disk = Disk { written, ..Disk::default() };
        Self { disk: Arc::new(Mutex::new(disk)), place: self.place }
    }

    pub(crate) fn put(
        &self,
        records: Vec<Record>,
        options: &PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.put_within(Self::capabilities(), records, options)
    }

    /// A put under other limits than the store tells of.
    pub(crate) fn put_within(
        &self,
        limits: Capabilities,
        records: Vec<Record>,
        options: &PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        self.admit_within(limits, &records)?;
        self.fits(&records, options)?;
        let outcomes = self.write(records, options);
        self.disk().sync();
        Ok(outcomes)
    }

    /// Refuses a replacement with more marks than a snapshot can have.
    pub(crate) fn fits(&self, records: &[Record], options: &PutOptions) -> Result<(), Error> {
        for record in records.iter().filter(|_| options.replace) {
            let Incoming { key, id, .. } = self.incoming(record.clone());
            let there = self.rows(&key).and_then(|rows| rows.by_id.get(&id).cloned());
            let there = there.filter(|row| options.replaces(&row.marks));
            there.map_or(Ok(Marks::NONE), |row| row.marks.merged(&options.marks))?;
        }
        Ok(())
    }

    /// Refuses what cannot be put: it is not valid, or there is no room for it.
    pub(crate) fn admit(&self, records: &[Record]) -> Result<(), Error> {
        self.admit_within(Self::capabilities(), records)
    }

    fn admit_within(&self, limits: Capabilities, records: &[Record]) -> Result<(), Error> {
        check(limits, records)?;
        if self.disk().failing && records.len() > 1 {
            let full = Error::new(ErrorKind::OutOfSpace, "put snapshots", "the disk is full");
            return Err(full.with_retry(Retry::Later));
        }
        Ok(())
    }

    /// A put of records that were admitted, not synced.
    pub(crate) fn write(&self, records: Vec<Record>, options: &PutOptions) -> Vec<PutOutcome> {
        let incoming: Vec<_> = records.into_iter().map(|record| self.incoming(record)).collect();
        let mut disk = self.disk();
        incoming.into_iter().map(|incoming| disk.insert(incoming, options)).collect()
    }

    /// What a record that was admitted says that it is.
    pub(crate) fn incoming(&self, record: Record) -> Incoming {
        let header = record.header().unwrap();
        let key = AggregateKey::from_stored(header.tenant, header.kind, header.id).unwrap();
        let id = SnapshotId { generation: header.generation, version: header.version };
        let as_of = header.as_of;
        let row = Row { record, as_of, marks: Marks::NONE };
        Incoming { place: self.place(&key), key, id, row }
    }

    pub(crate) fn get(&self, query: Query<'_>) -> Lookup {
        self.newest(query).map_or_else(|| self.miss(query), Lookup::Found)
    }

    /// The snapshot that the query asks for.
    pub(crate) fn newest(&self, query: Query<'_>) -> Option<Found> {
        let disk = self.disk();
        let rows = disk.written.get(&self.place(query.key))?;
        let mut rows = rows.by_id.iter().rev();
        let (id, row) =
            rows.find(|(id, row)| id.generation == query.generation && admits(&query, **id, row))?;
        let found = Found::new(id.version, row.record.clone());
        let rows = disk.written.get(&self.place(query.key))?;
        Some(found.with_bases(bases(rows, *id)))
    }

    /// The answer if there is no such snapshot.
    pub(crate) fn miss(&self, query: Query<'_>) -> Lookup {
        let within = |rows: &Rows| rows.by_id.iter().any(|(id, row)| admits(&query, *id, row));
        let any = self.disk().written.get(&self.place(query.key)).is_some_and(within);
        if any { Lookup::OtherGeneration } else { Lookup::Absent }
    }

    pub(crate) fn list(&self, request: ListRequest<'_>) -> Page<SnapshotMeta, SnapshotId> {
        let disk = self.disk();
        let Some(rows) = disk.written.get(&self.place(request.key)) else {
            return Page::new(Vec::new(), None);
        };
        let below = request.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = rows
            .by_id
            .range((Bound::Unbounded, below))
            .rev()
            .filter(|(id, _)| request.admits(**id))
            .filter_map(|(_, row)| Some((row.record.header().ok()?, &row.marks)))
            .map(|(header, marks)| {
                SnapshotMeta::from_header(&header).unwrap().with_marks(marks.clone())
            });
        let items: Vec<_> = rest.by_ref().take(request.limit.max(1)).collect();
        let next = items.last().map(SnapshotMeta::id).filter(|_| rest.next().is_some());
        Page::new(items, next)
    }

    pub(crate) fn keys(
        &self,
        request: KeysRequest<'_>,
    ) -> Result<Page<AggregateKey, Cursor>, Error> {
        let after = request.after.map(place_of).transpose()?;
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let disk = self.disk();
        let mut rest = disk
            .written
            .range((after, Bound::Unbounded))
            .filter(|(_, rows)| request.admits(&rows.key));
        let (places, items): (Vec<_>, Vec<_>) = rest
            .by_ref()
            .take(request.limit.max(1))
            .map(|(place, rows)| (place, rows.key.clone()))
            .unzip();
        let next = places.last().filter(|_| rest.next().is_some());
        Ok(Page::new(items, next.map(|place| cursor_at(place))))
    }

    pub(crate) fn delete(&self, key: &AggregateKey, selection: Selection<'_>) -> Deleted {
        let deleted = self.erase(key, |id| selection.admits(id));
        self.disk().sync();
        deleted
    }

    /// What a delete has to remove, and how much of what is selected stays.
    pub(crate) fn doomed(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> (Vec<SnapshotId>, Deleted) {
        let rows = self.rows(key).map(|rows| rows.by_id).unwrap_or_default();
        let stored: Vec<_> = rows
            .iter()
            .map(|(id, row)| {
                let bytes = row.record.as_bytes().len() as u64;
                Deletable::new(*id, bytes).pinned(row.marks.is_pinned()).base(base(row))
            })
            .collect();
        let plan = DeletePlan::new(selection, options, &stored);
        let ids = rows.into_keys().filter(|id| plan.removes(*id)).collect();
        (ids, plan.deleted)
    }

    pub(crate) fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        let changed = self.note(key, |id| selection.admits(id), change);
        self.disk().sync();
        changed
    }

    pub(crate) fn rewrite(&self, rewrites: &[Rewrite]) -> Result<Vec<bool>, Error> {
        let rewritten = self.rewrite_unsynced(rewrites);
        self.disk().sync();
        rewritten
    }

    pub(crate) fn rewrite_unsynced(&self, rewrites: &[Rewrite]) -> Result<Vec<bool>, Error> {
        Rewrite::check_all(rewrites)?;
        let records: Vec<_> = rewrites.iter().map(|rewrite| rewrite.record.clone()).collect();
        self.admit(&records)?;
        let incoming: Vec<_> = records.into_iter().map(|record| self.incoming(record)).collect();
        let mut disk = self.disk();
        let mut rewritten = Vec::new();
        for (rewrite, Incoming { place, id, row, .. }) in rewrites.iter().zip(incoming) {
            let rows = disk.written.get_mut(&place);
            let there = rows.and_then(|rows| rows.by_id.get_mut(&id));
            let there = there.filter(|there| rewrite.replaces(&there.record));
            rewritten.push(there.is_some());
            if let Some(there) = there {
                there.record = row.record;
                disk.dirty.insert(place);
            }
        }
        Ok(rewritten)
    }

    /// A change of the marks of what `selected` says, not synced.
    pub(crate) fn note(
        &self,
        key: &AggregateKey,
        selected: impl Fn(SnapshotId) -> bool,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        change.check()?;
        let place = self.place(key);
        let mut disk = self.disk();
        let Some(rows) = disk.written.get_mut(&place) else { return Ok(0) };
        let mut changed = Vec::new();
        for (id, row) in rows.by_id.iter().filter(|(id, _)| selected(**id)) {
            if let Some(marks) = row.marks.changed(change)? {
                changed.push((*id, marks));
            }
        }
        let count = changed.len() as u64;
        for (id, marks) in changed {
            rows.by_id.get_mut(&id).unwrap().marks = marks;
        }
        disk.dirty.insert(place);
        Ok(count)
    }

    /// A delete of what `selected` says, not synced.
    pub(crate) fn erase(
        &self,
        key: &AggregateKey,
        selected: impl Fn(SnapshotId) -> bool,
    ) -> Deleted {
        let place = self.place(key);
        let mut disk = self.disk();
        let Some(rows) = disk.written.get(&place) else { return Deleted::default() };
        let ids: Vec<_> = rows.by_id.keys().copied().filter(|id| selected(*id)).collect();
        let removed = ids.into_iter().filter_map(|id| disk.remove(&place, id));
        removed.map(|row| Deleted::new(1, row.record.as_bytes().len() as u64)).sum()
    }
}

fn admits(query: &Query<'_>, id: SnapshotId, row: &Row) -> bool {
    query.admits(id.version, row.as_of) && (query.include_retired || !row.marks.is_retired())
}

/// The version of the base of a delta.
fn base(row: &Row) -> Option<u64> {
    row.record.header().ok()?.base.map(|base| base.version)
}

/// The bases of a snapshot, nearest first.
pub(crate) fn bases(rows: &Rows, id: SnapshotId) -> Vec<Record> {
    let next = |above: &SnapshotId| {
        let version = base(rows.by_id.get(above)?).filter(|base| *base < above.version)?;
        Some(SnapshotId { version, ..*above })
    };
    let chain = std::iter::successors(next(&id), next).map_while(|id| rows.by_id.get(&id));
    chain.take(Found::MAX_BASES).map(|row| row.record.clone()).collect()
}

/// Refuses records that cannot be put.
pub(crate) fn check(limits: Capabilities, records: &[Record]) -> Result<(), Error> {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidInput, "put a snapshot", what);
    for record in records {
        let header = record.header().map_err(|reject| invalid(&reject.to_string()))?;
        let key_bytes = header.tenant.len() + header.kind.len() + header.id.len();
        if record.as_bytes().len() as u64 > limits.max_record_bytes {
            return Err(invalid("the record is too long"));
        }
        if key_bytes as u64 > limits.max_key_bytes {
            return Err(invalid("the key is too long"));
        }
        if header.version > limits.max_version {
            return Err(invalid("the version is too high"));
        }
    }
    Ok(())
}

/// The lengths of tenant and kind, then the three parts.
pub(crate) fn cursor_at(place: &AggregateKey) -> Cursor {
    let mut bytes = Vec::new();
    for part in [place.tenant(), place.kind()] {
        bytes.extend_from_slice(&u16::try_from(part.len()).unwrap().to_le_bytes());
    }
    for part in [place.tenant(), place.kind(), place.id()] {
        bytes.extend_from_slice(part.as_bytes());
    }
    Cursor::new(bytes)
}

pub(crate) fn place_of(cursor: &Cursor) -> Result<AggregateKey, Error> {
    fn parts(bytes: &[u8]) -> Option<AggregateKey> {
        let (tenant, rest) = bytes.split_first_chunk::<2>()?;
        let (kind, rest) = rest.split_first_chunk::<2>()?;
        let text = std::str::from_utf8(rest).ok()?;
        let (tenant, text) = text.split_at_checked(u16::from_le_bytes(*tenant).into())?;
        let (kind, id) = text.split_at_checked(u16::from_le_bytes(*kind).into())?;
        AggregateKey::from_stored(tenant, kind, id).ok()
    }
    let invalid = || Error::new(ErrorKind::InvalidInput, "list aggregates", "a foreign cursor");
    parts(cursor.as_bytes()).ok_or_else(invalid)
}
