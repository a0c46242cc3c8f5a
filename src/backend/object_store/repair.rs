//! Makes indexes again from records.

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use futures_util::{FutureExt as _, TryStreamExt as _};
use object_store::{
    Error as ObjectError, GetOptions, GetRange, ObjectMeta, ObjectStoreExt as _, UpdateVersion,
};

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed};
use super::in_flight::make_all;
use super::index::{
    AggregateIndex, BadIndex, EMPTY_BYTES, Indexed, MAX_INDEX_BYTES, encode_index, parse_index,
};
use super::remote::ObjectAnswer;
use super::update::IndexChange;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::mark::Marks;
use crate::random::random_number;
use crate::record::{Header, Record};
use crate::snapshot_id::SnapshotId;

const REPAIR: &str = "repair an object store";
/// How much of a record is read for its header, in bytes. The longest header has 458,844.
const START_BYTES: u64 = 512 << 10;

/// What [`repair`](super::ObjectStoreSnapshots::repair) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairedObjects {
    /// The number of aggregates that were examined.
    pub aggregates: u64,
    /// The number of aggregates that got a new index.
    pub rebuilt: u64,
    /// The number of snapshots in the new indexes, and of records that were written again from the
    /// copy in their index.
    pub restored: u64,
    /// The number of snapshots that were removed from indexes because their records are missing.
    pub removed: u64,
    /// The number of record objects that are no records of their aggregate and were left alone.
    pub unreadable: u64,
}

/// The state of an index object.
enum IndexState {
    Good(Box<AggregateIndex>),
    /// Missing or damaged, with the version to replace.
    Bad(Option<UpdateVersion>),
}

impl BucketStore {
    pub(super) async fn repair(&self) -> Result<RepairedObjects, Error> {
        self.may_write(REPAIR)?;
        let mut repaired = RepairedObjects::default();
        let mut seen = HashSet::new();
        for folder in [self.layout.all_records()?, self.layout.indexes(None, None)?] {
            let mut listed = self.remote.list(&folder, None);
            loop {
                let next = self.within(REPAIR, RequestEffect::Read, async {
                    let next = listed.try_next().await;
                    next.map_err(unread)
                });
                let Some(object) = next.await? else { break };
                let of_record = self.layout.key_of_record(&object.location).map(|(key, _)| key);
                let key = of_record.or_else(|| self.layout.key_of_index(&object.location));
                let Some(key) = key.filter(|_| object.size != EMPTY_BYTES) else { continue };
                if seen.insert(key.clone()) {
                    repaired.aggregates += 1;
                    self.repair_aggregate(&key, &mut repaired).await?;
                }
            }
        }
        Ok(repaired)
    }

    async fn repair_aggregate(
        &self,
        key: &AggregateKey,
        repaired: &mut RepairedObjects,
    ) -> Result<(), Error> {
        let state = self.within(REPAIR, RequestEffect::Read, self.state(key)).await?;
        match state {
            IndexState::Good(index) => {
                let missing = self.missing(key, &index);
                let mut missing = self.within(REPAIR, RequestEffect::Read, missing).await?;
                let copies = self.write_copies(key, &index, &mut missing);
                repaired.restored += self.within(REPAIR, RequestEffect::Write, copies).await?;
                if !missing.is_empty() {
                    let remove = self.remove_missing(key, &missing);
                    repaired.removed += self.within(REPAIR, RequestEffect::Write, remove).await?;
                }
            }
            IndexState::Bad(version) => {
                let rebuild = self.rebuild(key, version);
                let (restored, unreadable) =
                    self.within(REPAIR, RequestEffect::Write, rebuild).await?;
                repaired.rebuilt += 1;
                repaired.restored += restored;
                repaired.unreadable += unreadable;
            }
        }
        Ok(())
    }

    async fn state(&self, key: &AggregateKey) -> Result<IndexState, Error> {
        let path = self.layout.index(key)?;
        let answer = self.remote.read(&path, None, MAX_INDEX_BYTES).await;
        match answer.map_err(unread)? {
            ObjectAnswer::Object(bytes, version) => Ok(match parse_index(&bytes, key) {
                Ok(index) => IndexState::Good(Box::new(index)),
                Err(BadIndex::Newer) => {
                    let message = "a newer release of snapfold wrote an index: update snapfold";
                    return Err(Error::new(ErrorKind::Unsupported, REPAIR, message));
                }
                Err(_) => IndexState::Bad(Some(version)),
            }),
            ObjectAnswer::TooLong | ObjectAnswer::Unchanged => {
                let head = self.remote.store.head(&path).await;
                let head = head.map_err(unread)?;
                let version = UpdateVersion { e_tag: head.e_tag, version: head.version };
                Ok(IndexState::Bad(Some(version)))
            }
            ObjectAnswer::Missing => Ok(IndexState::Bad(None)),
        }
    }

    /// Returns the numbers of the record objects that an index names and that are missing.
    async fn missing(
        &self,
        key: &AggregateKey,
        index: &AggregateIndex,
    ) -> Result<HashSet<u64>, Error> {
        let mut there = HashSet::new();
        let mut listed = self.remote.list(&self.layout.records(key)?, None);
        while let Some(object) = listed.try_next().await.map_err(unread)? {
            there.extend(self.layout.key_of_record(&object.location).map(|(_, number)| number));
        }
        let named = index.snapshots().iter().map(|it| it.object);
        Ok(named.filter(|number| !there.contains(number)).collect())
    }

    /// Writes those of the missing records again of which the index has a copy. Returns how many.
    async fn write_copies(
        &self,
        key: &AggregateKey,
        index: &AggregateIndex,
        missing: &mut HashSet<u64>,
    ) -> Result<u64, Error> {
        let mut written = 0;
        for indexed in index.snapshots() {
            let copy = indexed.copy().filter(|_| missing.contains(&indexed.object));
            let Some(copy) = copy else { continue };
            let path = self.layout.record(key, indexed.id, indexed.object)?;
            let write = self.remote.write_new(&path, copy.into_bytes()).await;
            write.map_err(|error| failed(REPAIR, RequestEffect::Write, &error))?;
            missing.remove(&indexed.object);
            written += 1;
        }
        Ok(written)
    }

    async fn remove_missing(
        &self,
        key: &AggregateKey,
        missing: &HashSet<u64>,
    ) -> Result<u64, Error> {
        let _lock = self.locks.exclusive(key).await;
        let removal = self.update(key, None, |index| {
            let mut index = index.clone();
            // The number of an object is never used again.
            let removed = index.remove(|it| missing.contains(&it.object)).len() as u64;
            Ok(if removed == 0 {
                IndexChange::Keep(0)
            } else {
                IndexChange::Write(Box::new(index), removed)
            })
        });
        removal.await
    }

    /// Writes an index of all records of an aggregate. Returns how many snapshots it has, and how
    /// many objects are no records of the aggregate.
    async fn rebuild(
        &self,
        key: &AggregateKey,
        version: Option<UpdateVersion>,
    ) -> Result<(u64, u64), Error> {
        let _lock = self.locks.exclusive(key).await;
        let path = self.layout.index(key)?;
        let listed = self.remote.list(&self.layout.records(key)?, None);
        let objects: Vec<_> = listed.try_collect().await.map_err(unread)?;
        let reads = objects.into_iter().map(|object| {
            async move {
                let indexed = self.read_start(key, &object).await.map_err(unread)?;
                Ok((object, indexed))
            }
            .boxed()
        });
        let read = make_all(self.options.in_flight, reads.collect()).await?;
        // Of several records of one snapshot, the one that was written last.
        let mut newest: BTreeMap<SnapshotId, (ObjectMeta, Indexed)> = BTreeMap::new();
        let mut unreadable = 0;
        for (object, indexed) in read {
            let Some(indexed) = indexed else {
                unreadable += 1;
                continue;
            };
            let order = |it: &ObjectMeta| (it.last_modified, it.location.clone());
            let there = newest.get(&indexed.id);
            if there.is_none_or(|(there, _)| order(there) < order(&object)) {
                newest.insert(indexed.id, (object, indexed));
            }
        }
        let mut index = AggregateIndex::EMPTY.changed(random_number(REPAIR)?);
        let restored = newest.len() as u64;
        for (_, indexed) in newest.into_values() {
            index.insert(indexed);
        }
        let bytes = Bytes::from(encode_index(&index, self.options.inline_limit)?);
        self.memory.forget(&path);
        self.remote.write_if(&path, bytes, version).await.map_err(|error| {
            failed(REPAIR, RequestEffect::Write, &error).with_retry(Retry::Later)
        })?;
        Ok((restored, unreadable))
    }

    /// Reads the start of a record object, or all of a short one. `None` if it is no record of this
    /// aggregate.
    async fn read_start(
        &self,
        key: &AggregateKey,
        object: &ObjectMeta,
    ) -> Result<Option<Indexed>, ObjectError> {
        let Some((_, number)) = self.layout.key_of_record(&object.location) else {
            return Ok(None);
        };
        if object.size == 0 {
            return Ok(None);
        }
        let range = Some(GetRange::Bounded(0..START_BYTES.min(object.size)));
        let options = GetOptions { range, ..GetOptions::default() };
        let bytes = self.remote.store.get_opts(&object.location, options).await?.bytes().await?;
        let record = Record::from_bytes(bytes);
        let Ok(header) = Header::parse(record.as_bytes()) else { return Ok(None) };
        if !header.is_of(key) || header.record_bytes() != object.size {
            return Ok(None);
        }
        Ok(Some(Indexed::new(&record, &header, number, Marks::NONE)))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the form that `map_err` takes")]
fn unread(error: ObjectError) -> Error {
    failed(REPAIR, RequestEffect::Read, &error)
}
