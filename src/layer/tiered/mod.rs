//! [`TieredStore`]: a store over two stores.

mod archive;
mod keys;
mod lists;
mod plan;
mod read;
mod report;
mod restore;
mod store;
mod transfer;
mod write;

use std::fmt;
use std::sync::Arc;

use crate::error::Error;
use crate::key::AggregateKey;
use crate::key_locks::KeyLocks;
use crate::snapshot_id::SnapshotId;
use crate::store::{Capabilities, Lookup, Query, SnapshotStore};

pub use report::{ArchiveReport, RestoreReport};

/// One store made of two: `hot` gets every new snapshot, and [`archive`](Self::archive) moves old
/// ones to `cold`, which may be slower and cheaper.
///
/// Everything works as with one store: loads at any version or time, lists, marks, deletes and
/// retention. [`restore`](Self::restore) brings snapshots back to `hot`. `cold` holds only
/// snapshots that were moved, so it needs no data of its own at the start.
///
/// ```
/// use snapfold::layer::TieredStore;
/// use snapfold::store::{PutOptions, Query, Selection, SnapshotStoreExt};
/// # use snapfold::record::{Generation, RecordBuilder};
/// use snapfold::{AggregateKey, MemoryStore, SnapshotStore, Timestamp};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let (hot, cold) = (MemoryStore::new(), MemoryStore::new());
/// let store = TieredStore::new(hot.clone(), cold.clone());
/// # let key = AggregateKey::new("account", "a-1")?;
/// # let generation = Generation { schema_version: 1, fingerprint: 7 };
/// # for version in [10, 20, 30] {
/// #     let day = Timestamp::from_seconds(86_400 * version as i64);
/// #     let record = RecordBuilder::new(key.clone(), generation, version, day).created_at(day);
/// #     store.put(vec![record.build(b"state")?], PutOptions::default()).await?;
/// # }
/// // The aggregate has snapshots of versions 10, 20 and 30, created on the days 10, 20 and 30.
/// let report = store.archive(&key, Timestamp::from_seconds(86_400 * 25)).await?;
/// assert_eq!(report.moved, 2);
/// assert_eq!(hot.newest(&key).await?.unwrap().version, 30);
/// assert_eq!(cold.newest(&key).await?.unwrap().version, 20);
///
/// // Older versions are found as before.
/// let found = store.get(Query::latest(&key, generation).at_most(15)).await?;
/// assert!(found.into_record().is_some());
///
/// store.restore(&key, Selection::All).await?;
/// assert!(cold.newest(&key).await?.is_none());
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
///
/// # Which copy counts
/// A move stores a snapshot in the other tier, reads it back and verifies it, and only then deletes
/// it. If the process dies in between, both tiers have a copy. **The copy in `hot` counts**: its
/// record and its marks are returned, and the copy in `cold` is ignored. The reason is that the
/// copy in `hot` is always the current one: a put, a mark or a replacement changes `hot` if the
/// snapshot is there, and `cold` only if it is not. The next delete or mark of the aggregate, or
/// the next move of the snapshot, removes the spare copy.
///
/// # What a call costs
/// - A `get` asks `hot`, and then `cold` for newer snapshots than `hot` found. `cold` usually has
///   none, so it answers without a record. It is always asked, because `hot` cannot know: after the
///   newest snapshot was deleted or retired, the next one may be in `cold`. Only a query for one
///   exact version that is in `hot` does not ask `cold`.
/// - A `get` that finds a snapshot in `cold` asks `hot` once more whether it has a copy that counts.
///   A delta whose base is in the other tier costs one or two more calls for each base.
/// - A `put` asks `cold` whether it has one of the snapshots. If so, `cold` keeps or replaces it.
/// - A `delete` or a `mark` lists all snapshots of the aggregate in both tiers.
/// - A page of a list is a page of each tier. [`keys`](SnapshotStore::keys) lists the keys of `hot`,
///   and then reads all keys of `cold` to find those that `hot` does not have. Bounds on the
///   creation time select among the keys of `cold` only.
/// - If one tier fails, the calls that ask it fail, so that an outage is never taken for a missing
///   snapshot.
///
/// # Lists during moves
/// A list of snapshots contains each snapshot once, even if it is moved while pages are read. For
/// lists of keys, obligation C-40 holds during archiving, which leaves a snapshot of each key in
/// `hot`. A key that gets its first snapshot in `hot` by a restore, or loses its last one by a
/// delete, counts as put or deleted during the list if it has snapshots in `cold` too: it may be
/// listed once, twice or not at all.
///
/// # Bases
/// With [`Capabilities::returns_bases`] of both tiers, a delta and its base may be in different
/// tiers: they are found together, and no delete removes the base. Archiving moves a base and its
/// deltas together. There is one restriction: if a delete has to keep a base in one tier because of
/// a delta in the other, snapshots with an unreadable header are not deleted by that call.
///
/// # Use one handle
/// Clones share locks that keep moves, deletes, marks and replacements of one aggregate apart. All
/// changes must therefore go through this value and its clones. If several processes use the same
/// two stores, none of them may delete, mark or replace snapshots of an aggregate while another one
/// moves them, because that change could be lost. Loads and puts of new snapshots are safe, except
/// that a load may miss a snapshot that another process restores at the same moment.
///
/// # Capabilities
/// Each capability is the weaker one of the two tiers. Puts are not atomic
/// ([`Capabilities::atomic_batches`]), because a batch may replace snapshots in both tiers.
///
/// # Cancellation
/// A dropped call leaves each snapshot in at least one tier. Repeat a dropped move to finish it.
#[derive(Clone)]
pub struct TieredStore {
    hot: Arc<dyn SnapshotStore>,
    cold: Arc<dyn SnapshotStore>,
    capabilities: Capabilities,
    locks: Arc<TierLocks>,
}

/// The locks of each aggregate.
#[derive(Default)]
struct TierLocks {
    /// Shared by puts. Exclusive for everything that has to know what is in which tier while it
    /// works: moves, deletes and marks.
    writes: KeyLocks,
    /// Shared by reads of both tiers. A restore waits for them before it deletes from `cold`.
    reads: KeyLocks,
}

impl TieredStore {
    /// Creates a store over two stores. Clones of an `Arc` can be passed.
    pub fn new(hot: impl SnapshotStore + 'static, cold: impl SnapshotStore + 'static) -> Self {
        let capabilities = weaker(hot.capabilities(), cold.capabilities());
        Self {
            hot: Arc::new(hot),
            cold: Arc::new(cold),
            capabilities,
            locks: Arc::new(TierLocks::default()),
        }
    }

    /// Returns whether `hot` has a copy of this snapshot, which then counts.
    async fn is_hot(&self, key: &AggregateKey, id: SnapshotId) -> Result<bool, Error> {
        Ok(matches!(self.hot.get(Query::exact(key, id)).await?, Lookup::Found(_)))
    }

    /// Returns those of these snapshots that are in `hot` and intact, so that their copies in `cold`
    /// can be deleted.
    async fn intact_in_hot(
        &self,
        key: &AggregateKey,
        ids: &[SnapshotId],
    ) -> Result<Vec<SnapshotId>, Error> {
        let mut intact = Vec::new();
        for id in ids {
            let record = self.hot.get(Query::exact(key, *id)).await?.into_record();
            if record.is_some_and(|record| record.verify().is_ok()) {
                intact.push(*id);
            }
        }
        Ok(intact)
    }
}

/// Returns what both tiers support.
fn weaker(hot: Capabilities, cold: Capabilities) -> Capabilities {
    Capabilities::new("tiered")
        .durable(hot.durable && cold.durable)
        .ordered_deletes(hot.ordered_deletes && cold.ordered_deletes)
        .marks(hot.marks && cold.marks)
        .returns_bases(hot.returns_bases && cold.returns_bases)
        .rewrites(hot.rewrites && cold.rewrites)
        .max_record_bytes(hot.max_record_bytes.min(cold.max_record_bytes))
        .max_key_bytes(hot.max_key_bytes.min(cold.max_key_bytes))
        .max_version(hot.max_version.min(cold.max_version))
}

impl fmt::Debug for TieredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TieredStore")
            .field("hot", &self.hot)
            .field("cold", &self.cold)
            .finish_non_exhaustive()
    }
}
