//! Deletes record objects that no index names.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _};

use super::bucket_store::BucketStore;
use super::error::{RequestEffect, failed};
use super::index::AggregateIndex;
use super::open::probe_name;
use super::update::IndexChange;
use crate::error::Error;
use crate::key::AggregateKey;

const SWEEP: &str = "sweep an object store";
/// The age of an object that no put can be about to name in an index: far above the longest
/// [`timeout`](super::ObjectStoreOptions::timeout).
const MIN_AGE: Duration = Duration::from_secs(3_600);
/// How many objects are deleted together.
const DELETED_AT_ONCE: usize = 1_000;

/// What [`sweep`](super::ObjectStoreSnapshots::sweep) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SweptObjects {
    /// The number of record objects that were listed.
    pub listed: u64,
    /// The number of objects that were deleted.
    pub deleted: u64,
    /// The total size of the deleted objects in bytes.
    pub bytes: u64,
    /// The number of objects that were kept because their aggregate has no index. Either their first
    /// put was interrupted, or somebody deleted the index: call
    /// [`repair`](super::ObjectStoreSnapshots::repair).
    pub without_index: u64,
}

/// The old record objects of one aggregate.
#[derive(Default)]
struct OldObjects {
    key: Option<AggregateKey>,
    objects: Vec<(u64, ObjectMeta)>,
}

impl BucketStore {
    pub(super) async fn sweep(&self) -> Result<SweptObjects, Error> {
        self.may_write(SWEEP)?;
        self.sweep_folder(&self.layout.all_records()?).await
    }

    pub(super) async fn sweep_aggregate(&self, key: &AggregateKey) -> Result<SweptObjects, Error> {
        self.sweep_folder(&self.layout.records(key)?).await
    }

    async fn sweep_folder(&self, folder: &Path) -> Result<SweptObjects, Error> {
        let now = self.within(SWEEP, RequestEffect::Write, self.just_written()).await?;
        let mut swept = SweptObjects::default();
        let mut old = OldObjects::default();
        let mut listed = self.remote.list(folder, None);
        loop {
            let next = self.within(SWEEP, RequestEffect::Read, async {
                let next = listed.try_next().await;
                next.map_err(|error| failed(SWEEP, RequestEffect::Read, &error))
            });
            let Some(object) = next.await? else { break };
            swept.listed += 1;
            let age = now.last_modified.signed_duration_since(object.last_modified).to_std();
            if age.is_ok_and(|age| age < MIN_AGE) || age.is_err() {
                continue;
            }
            let Some((key, number)) = self.layout.key_of_record(&object.location) else { continue };
            if old.key.as_ref() != Some(&key) || old.objects.len() >= DELETED_AT_ONCE {
                self.sweep_objects(std::mem::take(&mut old), &mut swept).await?;
                old.key = Some(key);
            }
            old.objects.push((number, object));
        }
        self.sweep_objects(old, &mut swept).await?;
        Ok(swept)
    }

    async fn sweep_objects(&self, old: OldObjects, swept: &mut SweptObjects) -> Result<(), Error> {
        let OldObjects { key: Some(key), objects } = old else { return Ok(()) };
        let unnamed = self.unnamed(&key, &objects);
        let Some(unnamed) = self.within(SWEEP, RequestEffect::Write, unnamed).await? else {
            swept.without_index += objects.len() as u64;
            return Ok(());
        };
        let garbage = objects.iter().filter(|(number, _)| unnamed.contains(number));
        let paths: Vec<_> = garbage.clone().map(|(_, object)| object.location.clone()).collect();
        swept.deleted += paths.len() as u64;
        swept.bytes += garbage.map(|(_, object)| object.size).sum::<u64>();
        let delete = async {
            let deleted = self.remote.delete(paths).await;
            deleted.map_err(|error| failed(SWEEP, RequestEffect::Write, &error))
        };
        self.within(SWEEP, RequestEffect::Write, delete).await
    }

    /// Returns the numbers of the objects that no snapshot has and none will have, or `None` if the
    /// aggregate has no index.
    ///
    /// The index is written again, without a change. A put that began before and is still on its way
    /// to the server then fails its condition, however late it arrives; the put gives up, because its
    /// time limit is far below the age of these objects.
    async fn unnamed(
        &self,
        key: &AggregateKey,
        objects: &[(u64, ObjectMeta)],
    ) -> Result<Option<HashSet<u64>>, Error> {
        let unnamed = |index: &AggregateIndex| {
            let named: HashSet<_> = index.snapshots().iter().map(|it| it.object).collect();
            let numbers = objects.iter().map(|(number, _)| *number);
            numbers.filter(|number| !named.contains(number)).collect::<HashSet<_>>()
        };
        let _lock = self.locks.exclusive(key).await;
        let known = self.read_index(key).await?;
        if known.version.is_none() {
            return Ok(None);
        }
        if unnamed(&known.index).is_empty() {
            return Ok(Some(HashSet::new()));
        }
        let fence = |index: &AggregateIndex| {
            Ok(IndexChange::Write(Box::new(index.clone()), unnamed(index)))
        };
        self.update(key, Some(known), fence).await.map(Some)
    }

    /// Returns an object that was just written, for the time by the clock of the server.
    async fn just_written(&self) -> Result<ObjectMeta, Error> {
        let path = self.layout.other(&format!("probe/{}", probe_name()?))?;
        let store = &self.remote.store;
        let written = store.put(&path, Bytes::from_static(b"clock").into()).await;
        written.map_err(|error| failed(SWEEP, RequestEffect::Write, &error))?;
        let head = store.head(&path).await;
        drop(self.remote.delete(vec![path]).await);
        head.map_err(|error| failed(SWEEP, RequestEffect::Read, &error))
    }
}
