//! Reads of snapshots.

use std::sync::Arc;

use futures_util::{FutureExt as _, future};

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed};
use super::in_flight::make_all;
use super::index::Indexed;
use super::known::KnownIndex;
use super::remote::ObjectAnswer;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::{Header, Record, SnapshotMeta};
use crate::snapshot_id::SnapshotId;
use crate::store::{Found, ListRequest, Lookup, Page, Query};

const READ: &str = "read a record";

impl BucketStore {
    pub(super) async fn get(&self, query: Query<'_>) -> Result<Lookup, Error> {
        let Ok(path) = self.layout.index(query.key) else {
            // No put accepts such a key.
            return Ok(Lookup::Absent);
        };
        let mut known = self.read_index(query.key).await?;
        loop {
            let Some(found) = known.index.newest(&query) else {
                let others = known.index.admits_any(&query);
                return Ok(if others { Lookup::OtherGeneration } else { Lookup::Absent });
            };
            let chain = bases(&known, found);
            let reads = std::iter::once(found).chain(chain);
            let reads = reads.map(|indexed| self.record(query.key, indexed));
            let mut records = future::try_join_all(reads).await?;
            if records.iter().any(Option::is_none) {
                // A delete or a replacement may have come in between. If the index still has the
                // snapshot, its record is lost.
                self.memory.forget(&path);
                let again = self.read_index(query.key).await?;
                if again.version != known.version {
                    known = again;
                    continue;
                }
            }
            let record = records.first_mut().and_then(Option::take);
            let record = record.unwrap_or_else(|| found.remnant());
            let bases = records.into_iter().skip(1).map_while(|base| base).collect();
            return Ok(Lookup::Found(Found::new(found.id.version, record).with_bases(bases)));
        }
    }

    pub(super) async fn get_many(&self, queries: &[Query<'_>]) -> Result<Vec<Lookup>, Error> {
        let reads = queries.iter().map(|query| self.get(*query).boxed()).collect();
        make_all(self.options.in_flight, reads).await
    }

    pub(super) async fn list(
        &self,
        request: ListRequest<'_>,
    ) -> Result<Page<SnapshotMeta, SnapshotId>, Error> {
        if self.layout.index(request.key).is_err() {
            return Ok(Page::new(Vec::new(), None));
        }
        let known = self.read_index(request.key).await?;
        let admitted = known.index.snapshots().iter().filter(|it| request.admits(it.id));
        // A header that a newer release wrote is not listed.
        let mut readable = admitted.filter_map(|indexed| {
            let header = Header::parse(indexed.header()).ok()?;
            Some(SnapshotMeta::from_header(&header).map(|it| it.with_marks(indexed.marks.clone())))
        });
        let items: Vec<_> =
            readable.by_ref().take(request.limit.max(1)).collect::<Result<_, Error>>()?;
        let next = items.last().map(SnapshotMeta::id).filter(|_| readable.next().is_some());
        Ok(Page::new(items, next))
    }

    pub(super) async fn list_many(
        &self,
        requests: &[ListRequest<'_>],
    ) -> Result<Vec<Page<SnapshotMeta, SnapshotId>>, Error> {
        let reads = requests.iter().map(|request| self.list(*request).boxed()).collect();
        make_all(self.options.in_flight, reads).await
    }

    /// Returns a record, or `None` if its object is missing or is not the one that was put.
    pub(super) async fn record(
        &self,
        key: &AggregateKey,
        indexed: &Indexed,
    ) -> Result<Option<Record>, Error> {
        if let Some(record) = indexed.copy() {
            return Ok(Some(record));
        }
        let path = self.layout.record(key, indexed.id, indexed.object)?;
        if let Some(bytes) = self.memory.record(&path) {
            return Ok(Some(Record::from_bytes(bytes)));
        }
        let answer = self.remote.read(&path, None, indexed.record_bytes).await;
        let answer = answer.map_err(|error| failed(READ, RequestEffect::Read, &error))?;
        let ObjectAnswer::Object(bytes, _) = answer else { return Ok(None) };
        // Whether the payload is right, the load finds out.
        if bytes.len() as u64 != indexed.record_bytes || !bytes.starts_with(indexed.header()) {
            return Ok(None);
        }
        self.memory.set_record(&path, &bytes);
        Ok(Some(Record::from_bytes(bytes)))
    }
}

/// Returns the bases of a delta, nearest first.
fn bases<'i>(known: &'i Arc<KnownIndex>, delta: &'i Indexed) -> impl Iterator<Item = &'i Indexed> {
    let next = |above: &&'i Indexed| {
        let version = above.base.filter(|base| *base < above.id.version)?;
        known.index.find(SnapshotId { generation: above.id.generation, version })
    };
    std::iter::successors(next(&delta), next).take(Found::MAX_BASES)
}
