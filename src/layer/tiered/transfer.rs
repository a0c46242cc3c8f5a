//! Copies snapshots from one tier to the other, and verifies the copies.

use std::collections::BTreeMap;

use crate::error::{Error, ErrorKind};
use crate::key::AggregateKey;
use crate::mark::{MarkChange, Marks};
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::store::{
    DeleteOptions, Deleted, ListRequest, Lookup, PutBatch, PutOptions, Query, Selection,
    SnapshotStore, SnapshotStoreExt,
};

/// The maximum number of snapshots that are deleted in one call.
const BATCH: usize = 64;

/// A copy of snapshots of one aggregate to the other tier.
pub(super) struct Transfer<'a> {
    pub(super) key: &'a AggregateKey,
    pub(super) from: &'a dyn SnapshotStore,
    pub(super) to: &'a dyn SnapshotStore,
}

impl Transfer<'_> {
    /// Copies these snapshots with their marks, lowest id first, and returns the ids whose copies
    /// were read back and are equal. Existing copies in the target are replaced. A snapshot that is
    /// damaged or no longer there is not copied.
    ///
    /// After an error, nothing is lost: some may be in both tiers.
    pub(super) async fn copy(&self, metas: &[SnapshotMeta]) -> Result<Vec<SnapshotId>, Error> {
        let mut copied = Vec::with_capacity(metas.len());
        if metas.is_empty() {
            return Ok(copied);
        }
        let there = self.marks_of(metas).await?;
        let mut batch = PutBatch::new();
        for meta in metas {
            let Lookup::Found(found) = self.from.get(Query::exact(self.key, meta.id())).await?
            else {
                continue;
            };
            if found.record.verify().is_err() {
                continue;
            }
            if let Some(marks) = there.get(&meta.id()) {
                self.drop_other_marks(meta, marks).await?;
            }
            if !batch.takes(&meta.marks) {
                self.put(&mut batch, &mut copied).await?;
            }
            batch.add(meta.id(), found.record, meta.marks.clone());
        }
        self.put(&mut batch, &mut copied).await?;
        self.check_marks(metas, &copied).await?;
        Ok(copied)
    }

    /// Deletes snapshots that were copied, highest id first, so that no delta loses its base.
    pub(super) async fn delete_copied(&self, copied: &[SnapshotId]) -> Result<Deleted, Error> {
        let mut ids = copied.to_vec();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        let options = DeleteOptions::default().overrule_pins(true);
        let mut deleted = Deleted::default();
        for ids in ids.chunks(BATCH) {
            let part = self.from.delete(self.key, Selection::Ids(ids), options).await?;
            deleted = [deleted, part].into_iter().sum();
        }
        Ok(deleted)
    }

    async fn put(
        &self,
        batch: &mut PutBatch<SnapshotId>,
        copied: &mut Vec<SnapshotId>,
    ) -> Result<(), Error> {
        let Some((batch, marks)) = batch.take() else { return Ok(()) };
        let records = batch.iter().map(|(_, record)| record.clone()).collect();
        // A copy that is there already does not count, so it is replaced whatever it is.
        let options = PutOptions::default().replace(true).marks(marks);
        self.to.put(records, options).await?;
        let queries: Vec<_> = batch.iter().map(|(id, _)| Query::exact(self.key, *id)).collect();
        let answers = self.to.get_many(&queries).await?;
        for ((id, record), answer) in batch.iter().zip(answers) {
            let found = answer.into_record();
            if found.as_ref() != Some(record) || found.is_none_or(|found| found.verify().is_err()) {
                return Err(differs(*id, "the record that was put"));
            }
            copied.push(*id);
        }
        Ok(())
    }

    /// Removes the marks of an old copy that the snapshot does not have, because a replacement
    /// would keep them.
    async fn drop_other_marks(&self, meta: &SnapshotMeta, there: &Marks) -> Result<(), Error> {
        for mark in there.iter().filter(|mark| meta.marks.find(mark.kind, &mark.name).is_none()) {
            let clear = MarkChange::Clear { kind: mark.kind, name: &mark.name };
            self.to.mark(self.key, Selection::Ids(&[meta.id()]), clear).await?;
        }
        Ok(())
    }

    async fn check_marks(
        &self,
        metas: &[SnapshotMeta],
        copied: &[SnapshotId],
    ) -> Result<(), Error> {
        let there = self.marks_of(metas).await?;
        let wanted: BTreeMap<_, _> = metas.iter().map(|meta| (meta.id(), &meta.marks)).collect();
        for id in copied {
            if there.get(id) != wanted.get(id).copied() {
                return Err(differs(*id, "the snapshot with its marks"));
            }
        }
        Ok(())
    }

    /// Returns the marks of all snapshots of the target within the versions of `metas`.
    async fn marks_of(&self, metas: &[SnapshotMeta]) -> Result<BTreeMap<SnapshotId, Marks>, Error> {
        let versions = || metas.iter().map(|meta| meta.version);
        let lowest = versions().min().unwrap_or(0);
        let highest = versions().max().unwrap_or(u64::MAX);
        let request = ListRequest::new(self.key).at_least(lowest).at_most(highest);
        let there = self.to.list_all(request).await?;
        Ok(there.into_iter().map(|meta| (meta.id(), meta.marks)).collect())
    }
}

fn differs(id: SnapshotId, what: &str) -> Error {
    let message = format!(
        "the target did not return {what} for {id}: nothing was deleted; check the store with the \
         conformance kit (C-06, C-10, C-18)"
    );
    Error::new(ErrorKind::Store, "move snapshots", message)
}
