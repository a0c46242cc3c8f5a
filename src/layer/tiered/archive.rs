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
use crate::store::{KeysRequest, ListRequest, Selection, SnapshotStoreExt};
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
        self.move_to_cold(key, |meta| meta.created_at < older_than).await
    }

    /// Moves the selected snapshots of one aggregate to the cold tier, as
    /// [`archive`](Self::archive) does with old ones. The same snapshots stay.
    /// [`ArchiveReport::kept`] counts those that are selected, but stay.
    ///
    /// # Errors
    /// The same errors as [`archive`](Self::archive).
    pub async fn archive_selected(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
    ) -> Result<ArchiveReport, Error> {
        self.move_to_cold(key, |meta| selection.admits(meta.id())).await
    }

    /// Returns the report that [`archive_selected`](Self::archive_selected) would return now, and
    /// moves nothing. No payload is read, so damaged snapshots, which stay, count as moved.
    ///
    /// # Errors
    /// Any error of the two stores.
    pub async fn plan_archive(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
    ) -> Result<ArchiveReport, Error> {
        let plan = self.plan_moves(key, |meta| selection.admits(meta.id())).await?;
        let mut report = ArchiveReport { keys: 1, kept: plan.kept, ..ArchiveReport::default() };
        report.moved = plan.moves.len() as u64;
        let bytes = plan.moves.iter().map(|meta| meta.stored_bytes);
        report.moved_bytes = bytes.fold(0, u64::saturating_add);
        Ok(report)
    }

    async fn move_to_cold(
        &self,
        key: &AggregateKey,
        is_wanted: impl Fn(&SnapshotMeta) -> bool + Send,
    ) -> Result<ArchiveReport, Error> {
        let _writes = self.locks.writes.exclusive(key).await;
        let MovePlan { moves, kept } = self.plan_moves(key, is_wanted).await?;
        let mut report = ArchiveReport { keys: 1, kept, ..ArchiveReport::default() };
        let transfer = Transfer { key, from: &*self.hot, to: &*self.cold };
        let copied = transfer.copy(&moves).await?;
        let deleted = transfer.delete_copied(&copied).await?;
        report.moved = deleted.snapshots;
        report.moved_bytes = deleted.bytes;
        let left = (moves.len() as u64).saturating_sub(deleted.snapshots);
        report.kept = report.kept.saturating_add(left);
        Ok(report)
    }

    async fn plan_moves(
        &self,
        key: &AggregateKey,
        is_wanted: impl Fn(&SnapshotMeta) -> bool + Send,
    ) -> Result<MovePlan, Error> {
        let limits = self.cold.capabilities();
        let hot = self.hot.list_all(ListRequest::new(key)).await?;
        if !hot.iter().any(&is_wanted) {
            return Ok(MovePlan { moves: Vec::new(), kept: 0 });
        }
        let cold: BTreeSet<_> = if hot.iter().any(|meta| meta.base.is_some()) {
            let cold = self.cold.list_all(ListRequest::new(key)).await?;
            cold.iter().map(SnapshotMeta::id).collect()
        } else {
            BTreeSet::new()
        };
        let mut plan = MovePlan::new(hot, is_wanted, &limits, |id| cold.contains(&id));
        if key_bytes(key) > limits.max_key_bytes {
            plan.kept = plan.kept.saturating_add(plan.moves.len() as u64);
            plan.moves.clear();
        }
        Ok(plan)
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
