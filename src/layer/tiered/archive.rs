//! Moves old snapshots to the cold tier.

use std::collections::BTreeSet;

use super::TieredStore;
use super::plan::MovePlan;
use super::report::ArchiveReport;
use super::transfer::Transfer;
use super::write::key_bytes;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::{KeysRequest, ListRequest, SnapshotStoreExt};
use crate::timestamp::Timestamp;

impl TieredStore {
    /// Moves the snapshots of one aggregate that were created before `older_than` (exclusive) to
    /// the cold tier, with their marks.
    ///
    /// The newest snapshot of each generation stays in the hot tier, and so does the newest one
    /// that is not retired. A base and its deltas stay if one of them stays. A damaged snapshot
    /// stays, and so does one that the cold tier cannot store because of its
    /// [limits](crate::store::Capabilities).
    ///
    /// All snapshots are copied, read back and compared before the first one is deleted. If the
    /// call fails or its future is dropped, some may be in both tiers, which changes no answer.
    /// Call it again to finish.
    ///
    /// Writes to this aggregate wait until the call has returned. Reads do not.
    ///
    /// # Errors
    /// Any error of the two stores, or [`ErrorKind::Store`](crate::ErrorKind::Store) if a copy does
    /// not equal its original. Nothing is deleted then.
    pub async fn archive(
        &self,
        key: &AggregateKey,
        older_than: Timestamp,
    ) -> Result<ArchiveReport, Error> {
        let _writes = self.locks.writes.exclusive(key).await;
        let mut report = ArchiveReport { keys: 1, ..ArchiveReport::default() };
        let limits = self.cold.capabilities();
        let hot = self.hot.list_all(ListRequest::new(key)).await?;
        if !hot.iter().any(|meta| meta.created_at < older_than) {
            return Ok(report);
        }
        let cold: BTreeSet<_> = if hot.iter().any(|meta| meta.base.is_some()) {
            let cold = self.cold.list_all(ListRequest::new(key)).await?;
            cold.iter().map(SnapshotMeta::id).collect()
        } else {
            BTreeSet::new()
        };
        let MovePlan { mut moves, kept } =
            MovePlan::new(hot, older_than, &limits, |id| cold.contains(&id));
        report.kept = kept;
        if key_bytes(key) > limits.max_key_bytes {
            report.kept = report.kept.saturating_add(moves.len() as u64);
            moves.clear();
        }
        let transfer = Transfer { key, from: &*self.hot, to: &*self.cold };
        let copied = transfer.copy(&moves).await?;
        let deleted = transfer.delete_copied(&copied).await?;
        report.moved = deleted.snapshots;
        report.moved_bytes = deleted.bytes;
        let left = (moves.len() as u64).saturating_sub(deleted.snapshots);
        report.kept = report.kept.saturating_add(left);
        Ok(report)
    }

    /// Calls [`archive`](Self::archive) for one page of aggregates, at most
    /// [`KeysRequest::limit`]. [`ArchiveReport::next`] is the cursor for the next call, also in
    /// another process.
    ///
    /// Only keys of the hot tier are listed, so the cursor belongs to this method alone. Keys of
    /// reserved kinds are archived only if the request includes them. A hot tier that finds keys by
    /// creation time leaves out those that have nothing old enough.
    ///
    /// ```
    /// # use snapfold::layer::TieredStore;
    /// # use snapfold::store::KeysRequest;
    /// # use snapfold::{MemoryStore, Timestamp};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = TieredStore::new(MemoryStore::new(), MemoryStore::new());
    /// # let last_quarter = Timestamp::from_seconds(0);
    /// let mut cursor = None;
    /// loop {
    ///     let mut request = KeysRequest::new().limit(100);
    ///     request.after = cursor.as_ref();
    ///     let report = store.archive_all(request, last_quarter).await?;
    ///     cursor = report.next;
    ///     if cursor.is_none() {
    ///         break;
    ///     }
    /// }
    /// # Ok::<(), snapfold::Error>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The same errors as [`archive`](Self::archive), of the first aggregate that fails. The page
    /// can be repeated.
    pub async fn archive_all(
        &self,
        request: KeysRequest<'_>,
        older_than: Timestamp,
    ) -> Result<ArchiveReport, Error> {
        let before = request.created_before.map_or(older_than, |time| time.min(older_than));
        let page = self.hot.keys(request.created_before(before)).await?;
        let mut report = ArchiveReport { next: page.next, ..ArchiveReport::default() };
        for key in &page.items {
            report.add(&self.archive(key, older_than).await?);
        }
        Ok(report)
    }
}
