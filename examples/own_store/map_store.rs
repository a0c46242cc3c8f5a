use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use snapfold::record::{Generation, Record, RecordBuilder, SnapshotMeta};
use snapfold::store::{
    Capabilities, Cursor, DeleteOptions, Deleted, Found, KeysRequest, ListRequest, Lookup, Page,
    PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId, SnapshotStore, Timestamp};

pub type Result<T> = std::result::Result<T, Error>;
pub type Name = (AggregateKey, SnapshotId);
pub const MAX_RECORD_BYTES: u64 = 16 << 20;
const LAST: Generation = Generation { schema_version: u32::MAX, fingerprint: u64::MAX };

/// Returns the key and the id of a record. Refuses records that a store must not accept.
pub fn name_of(record: &Record) -> Result<Name> {
    let refused = |why: String| Error::new(ErrorKind::InvalidInput, "read a record", why);
    if record.as_bytes().len() as u64 > MAX_RECORD_BYTES {
        return Err(refused("the record is larger than the store accepts".to_owned()));
    }
    let header = record.header().map_err(|reject| refused(reject.to_string()))?;
    let key = AggregateKey::from_stored(header.tenant, header.kind, header.id)?;
    Ok((key, SnapshotId { generation: header.generation, version: header.version }))
}

/// Creates a record without a state, which encodes a name together with a checksum.
pub fn blank(key: &AggregateKey, id: SnapshotId) -> Result<Record> {
    let at = Timestamp::from_micros(0);
    RecordBuilder::new(key.clone(), id.generation, id.version, at).build(b"")
}

/// Snapshots in a map: by aggregate, then ordered by version. No aggregate is empty.
#[derive(Debug, Default)]
pub struct MapStore(Mutex<BTreeMap<AggregateKey, BTreeMap<SnapshotId, Record>>>);

impl MapStore {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<AggregateKey, BTreeMap<SnapshotId, Record>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl SnapshotStore for MapStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("map").atomic_batches(true).max_record_bytes(MAX_RECORD_BYTES)
    }

    async fn put(&self, records: Vec<Record>, options: PutOptions) -> Result<Vec<PutOutcome>> {
        options.refuse_marks()?;
        // Check all records before the first one is stored.
        let names = records.iter().map(name_of).collect::<Result<Vec<_>>>()?;
        let mut aggregates = self.lock();
        let put = |((key, id), record): (Name, Record)| {
            let snapshots = aggregates.entry(key).or_default();
            let outcome = match snapshots.get(&id) {
                None => PutOutcome::Stored,
                Some(_) if options.replace => PutOutcome::Replaced,
                Some(old) => {
                    return PutOutcome::Existing { identical: old.has_state_of(&record) };
                }
            };
            snapshots.insert(id, record);
            outcome
        };
        Ok(names.into_iter().zip(records).map(put).collect())
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup> {
        let aggregates = self.lock();
        let Some(snapshots) = aggregates.get(query.key) else { return Ok(Lookup::Absent) };
        let top = SnapshotId { generation: LAST, version: query.at_most };
        let mut answer = Lookup::Absent;
        for (id, record) in snapshots.range(..=top).rev() {
            if !record.header().is_ok_and(|header| query.admits(id.version, header.as_of)) {
                continue;
            }
            if id.generation == query.generation {
                return Ok(Lookup::Found(Found::new(id.version, record.clone())));
            }
            answer = Lookup::OtherGeneration;
        }
        Ok(answer)
    }

    async fn list(&self, request: ListRequest<'_>) -> Result<Page<SnapshotMeta, SnapshotId>> {
        let aggregates = self.lock();
        let snapshots = aggregates.get(request.key).into_iter();
        let top = SnapshotId { generation: LAST, version: request.at_most };
        let top = request.after.map_or(top, |after| after.min(top));
        let snapshots = snapshots.flat_map(|snapshots| snapshots.range(..=top).rev());
        let admitted = snapshots.filter(|(id, _)| request.admits(**id));
        let mut metas = admitted
            .filter_map(|(_, record)| SnapshotMeta::from_header(&record.header().ok()?).ok());
        let items: Vec<_> = metas.by_ref().take(request.limit.max(1)).collect();
        let next = metas.next().and(items.last()).map(SnapshotMeta::id);
        Ok(Page::new(items, next))
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>> {
        let after = request.after.map(|cursor| Record::from_bytes(cursor.as_bytes().to_vec()));
        let after = after.map(|record| name_of(&record)).transpose()?;
        let after = after.as_ref().map_or(Unbounded, |(key, _)| Excluded(key));
        let aggregates = self.lock();
        let keys = aggregates.range::<AggregateKey, _>((after, Unbounded)).map(|(key, _)| key);
        let mut keys = keys.filter(|key| request.admits(key)).cloned();
        let items: Vec<_> = keys.by_ref().take(request.limit.max(1)).collect();
        let last = SnapshotId { generation: LAST, version: u64::MAX };
        let next = keys.next().and(items.last()).map(|key| blank(key, last)).transpose()?;
        Ok(Page::new(items, next.map(|record| Cursor::new(record.as_bytes()))))
    }

    // This store has no pins, so the options have no effect.
    async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        _: DeleteOptions,
    ) -> Result<Deleted> {
        let mut aggregates = self.lock();
        let mut deleted = Deleted::default();
        let Some(snapshots) = aggregates.get_mut(key) else { return Ok(deleted) };
        snapshots.retain(|id, record| {
            let goes = selection.admits(*id);
            deleted.snapshots += u64::from(goes);
            deleted.bytes += if goes { record.as_bytes().len() as u64 } else { 0 };
            !goes
        });
        if snapshots.is_empty() {
            aggregates.remove(key);
        }
        Ok(deleted)
    }
}
