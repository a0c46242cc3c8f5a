//! Deletes and marks.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use object_store::Error as ObjectError;
use object_store::path::Path;

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed};
use super::in_flight::make_grouped;
use super::index::Indexed;
use super::update::IndexChange;
use crate::error::{Error, Retry};
use crate::key::AggregateKey;
use crate::mark::{MarkChange, Marks};
use crate::snapshot_id::SnapshotId;
use crate::store::{DeleteOptions, DeletePlan, Deleted, Erased, Remains, Selection};

impl BucketStore {
    pub(super) async fn delete(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<Deleted, Error> {
        let (deleted, removed) = self.remove(key, selection, options).await?;
        self.discard(self.record_paths(key, &removed)?).await;
        Ok(deleted)
    }

    pub(super) async fn delete_many(
        &self,
        selected: &[(&AggregateKey, &[SnapshotId])],
        options: DeleteOptions,
    ) -> Result<Vec<Deleted>, Error> {
        let mut groups: BTreeMap<&AggregateKey, Vec<usize>> = BTreeMap::new();
        for (position, (key, _)) in selected.iter().enumerate() {
            groups.entry(key).or_default().push(position);
        }
        // The elements of one key one after the other, as the contract says.
        let deletes = groups.into_iter().map(|(key, positions)| {
            async move {
                let mut deleted = Vec::with_capacity(positions.len());
                for position in positions {
                    let ids = selected.get(position).map_or::<&[_], _>(&[], |(_, ids)| ids);
                    let selection = Selection::Ids(ids);
                    deleted.push((position, self.delete(key, selection, options).await?));
                }
                Ok(deleted)
            }
            .boxed()
        });
        let none = vec![Deleted::default(); selected.len()];
        make_grouped(self.options.in_flight, deletes.collect(), none).await
    }

    pub(super) async fn erase(&self, key: &AggregateKey) -> Result<Erased, Error> {
        let options = DeleteOptions::default().overrule_pins(true);
        let (deleted, removed) = self.remove(key, Selection::All, options).await?;
        if self.layout.index(key).is_ok() {
            let gone = self.delete_objects(self.record_paths(key, &removed)?).await;
            gone.map_err(|error| {
                let error = failed("erase an aggregate", RequestEffect::Write, &error);
                // The index has changed.
                error.with_retry(Retry::Unknown)
            })?;
            // What an earlier call could not delete.
            let swept = Box::pin(self.sweep_aggregate(key)).await;
            swept.map_err(|error| error.with_retry(Retry::Unknown))?;
        }
        Ok(Erased::new(deleted, [Remains::ObjectVersions]))
    }

    /// The names of the records of snapshots.
    pub(super) fn record_paths(
        &self,
        key: &AggregateKey,
        snapshots: &[Indexed],
    ) -> Result<Vec<Path>, Error> {
        snapshots.iter().map(|it| self.layout.record(key, it.id, it.object)).collect()
    }

    /// Deletes objects, also from the memory.
    pub(super) async fn delete_objects(&self, paths: Vec<Path>) -> Result<(), ObjectError> {
        if paths.is_empty() {
            return Ok(());
        }
        for path in &paths {
            self.memory.forget(path);
        }
        self.remote.delete(paths).await
    }

    /// Removes snapshots from the index, and returns them.
    async fn remove(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        options: DeleteOptions,
    ) -> Result<(Deleted, Vec<Indexed>), Error> {
        if self.layout.index(key).is_err() {
            // No put accepts such a key.
            return Ok((Deleted::default(), Vec::new()));
        }
        let _lock = self.locks.exclusive(key).await;
        let start = self.remembered(key)?;
        let removal = self.update(key, start, |index| {
            let stored: Vec<_> = index.snapshots().iter().map(Indexed::deletable).collect();
            let plan = DeletePlan::new(selection, options, &stored);
            let mut index = index.clone();
            let removed = index.remove(|indexed| plan.removes(indexed.id));
            Ok(if removed.is_empty() {
                IndexChange::Keep((plan.deleted, removed))
            } else {
                IndexChange::Write(Box::new(index), (plan.deleted, removed))
            })
        });
        removal.await
    }

    pub(super) async fn mark(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
        change: MarkChange<'_>,
    ) -> Result<u64, Error> {
        if self.layout.index(key).is_err() {
            return Ok(0);
        }
        let _lock = self.locks.exclusive(key).await;
        let start = self.remembered(key)?;
        let marking = self.update(key, start, |index| {
            let selected = index.snapshots().iter().filter(|it| selection.admits(it.id));
            let changed: Vec<(SnapshotId, Marks)> = selected
                .filter_map(|it| Some(it.marks.changed(change).transpose()?.map(|to| (it.id, to))))
                .collect::<Result<_, _>>()?;
            let mut index = index.clone();
            let count = changed.len() as u64;
            for (id, marks) in changed {
                if let Some(indexed) = index.find_mut(id) {
                    indexed.marks = marks;
                }
            }
            Ok(if count == 0 {
                IndexChange::Keep(0)
            } else {
                IndexChange::Write(Box::new(index), count)
            })
        });
        marking.await
    }
}
