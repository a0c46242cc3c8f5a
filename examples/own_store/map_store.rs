use std::collections::{BTreeMap, btree_map::Entry};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{PoisonError, RwLock};

use async_trait::async_trait;
use snapfold::{
    AggregateKey, Capabilities, Cursor, Deleted, Error, ErrorKind, Found, Generation, Header,
    KeysRequest, ListRequest, Lookup, Page, PutOptions, PutOutcome, Query, Record, RecordBuilder,
    Selection, SnapshotId, SnapshotMeta, SnapshotStore, Timestamp,
};

const LOWEST: Generation = Generation { schema_version: 0, fingerprint: 0 };
const HIGHEST: Generation = Generation { schema_version: u32::MAX, fingerprint: u64::MAX };
const NEWEST: SnapshotId = SnapshotId { generation: HIGHEST, version: u64::MAX };
pub const MAX_RECORD_BYTES: u64 = 16 << 20;

/// What a snapshot is stored under. Orders by key, then version, then generation.
pub type Name = (AggregateKey, SnapshotId);

/// The name that a header gives to its snapshot.
pub fn name_of(bytes: &[u8]) -> Result<Name, Error> {
    let refused = |why| Error::new(ErrorKind::InvalidInput, "read a header", format!("{why}"));
    let header = Header::parse(bytes).map_err(refused)?;
    let key = AggregateKey::from_parts(header.tenant, header.kind, header.id)?;
    Ok((key, SnapshotId { generation: header.generation, version: header.version }))
}

/// Refuses what a put must refuse.
pub fn check(record: &Record) -> Result<Name, Error> {
    let refused = |why| Error::new(ErrorKind::InvalidInput, "put a snapshot", why);
    if record.as_bytes().len() as u64 > MAX_RECORD_BYTES {
        return Err(refused("the record is too large".to_owned()));
    }
    record.header().map_err(|reject| refused(reject.to_string()))?;
    name_of(record.as_bytes())
}

/// Snapshots in a map.
#[derive(Debug, Default)]
pub struct MapStore(RwLock<BTreeMap<Name, Record>>);

#[async_trait]
impl SnapshotStore for MapStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::new("map").atomic_batches(true).max_record_bytes(MAX_RECORD_BYTES)
    }

    async fn put(
        &self,
        records: Vec<Record>,
        options: PutOptions,
    ) -> Result<Vec<PutOutcome>, Error> {
        // All are checked before the first one is stored.
        let names = records.iter().map(check).collect::<Result<Vec<_>, _>>()?;
        let mut snapshots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let put = |(name, record): (Name, Record)| match snapshots.entry(name) {
            Entry::Occupied(place) if !options.replace => {
                PutOutcome::Existing { identical: place.get().has_payload_of(&record) }
            }
            Entry::Occupied(mut place) => {
                place.insert(record);
                PutOutcome::Replaced
            }
            Entry::Vacant(place) => {
                place.insert(record);
                PutOutcome::Stored
            }
        };
        Ok(names.into_iter().zip(records).map(put).collect())
    }

    async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let snapshots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut lookup = Lookup::Absent;
        let within = bounds(query.key, 0, SnapshotId { version: query.at_most, ..NEWEST });
        for ((_, id), record) in snapshots.range(within).rev() {
            if !record.header().is_ok_and(|header| query.admits(id.version, header.as_of)) {
                continue;
            }
            if id.generation == query.generation {
                return Ok(Lookup::Found(Found::new(id.version, record.clone())));
            }
            lookup = Lookup::OtherGeneration;
        }
        Ok(lookup)
    }

    async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        let snapshots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let top = SnapshotId { version: request.at_most, ..NEWEST };
        let top = request.after.map_or(top, |after| top.min(after));
        let mut found = snapshots
            .range(bounds(request.key, request.at_least, top))
            .rev()
            .filter(|((_, id), _)| request.admits(*id))
            .filter_map(|(_, record)| SnapshotMeta::from_header(&record.header().ok()?).ok());
        let items: Vec<_> = found.by_ref().take(request.limit.max(1)).collect();
        let next = found.next().and(items.last()).map(SnapshotMeta::id);
        Ok(Page::new(items, next))
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, Error> {
        let snapshots = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let last = |key: &AggregateKey| (key.clone(), NEWEST);
        let after = |key: &AggregateKey| {
            let mut rest = snapshots.range((Excluded(last(key)), Unbounded));
            rest.next().map(|((key, _), _)| key.clone())
        };
        let first = match request.after {
            None => snapshots.keys().next().map(|(key, _)| key.clone()),
            Some(cursor) => after(&name_of(cursor.as_bytes())?.0),
        };
        let mut found = std::iter::successors(first, after).filter(|key| request.admits(key));
        let items: Vec<_> = found.by_ref().take(request.limit.max(1)).collect();
        let next = found.next().and(items.last()).map(|key| bytes_of(&last(key))).transpose()?;
        Ok(Page::new(items, next.map(Cursor::new)))
    }

    async fn delete(&self, key: &AggregateKey, selection: Selection<'_>) -> Result<Deleted, Error> {
        let mut snapshots = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let all = snapshots.range(bounds(key, 0, NEWEST));
        let selected = all.filter(|((_, id), _)| selection.admits(*id));
        let selected: Vec<Name> = selected.map(|(name, _)| name.clone()).collect();
        let mut deleted = Deleted::default();
        for record in selected.iter().filter_map(|name| snapshots.remove(name)) {
            deleted.snapshots += 1;
            deleted.bytes += record.as_bytes().len() as u64;
        }
        Ok(deleted)
    }
}

/// The names of a key's snapshots from a version up to `top`, both inclusive.
fn bounds(key: &AggregateKey, at_least: u64, top: SnapshotId) -> std::ops::RangeInclusive<Name> {
    let bottom = SnapshotId { generation: LOWEST, version: at_least };
    (key.clone(), bottom.min(top))..=(key.clone(), top)
}

/// A name as bytes that check themselves: a record of nothing.
pub fn bytes_of((key, id): &Name) -> Result<Vec<u8>, Error> {
    let at = Timestamp::from_micros(0);
    let record = RecordBuilder::new(key.clone(), id.generation, id.version, at).build(b"")?;
    Ok(record.as_bytes().to_vec())
}
