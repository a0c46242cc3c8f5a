//! Moves snapshots back to the hot tier.

use std::collections::BTreeSet;

use super::TieredStore;
use super::plan::base_of;
use super::report::RestoreReport;
use super::transfer::Transfer;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::store::{
    Deletable, DeleteOptions, DeletePlan, ListRequest, Selection, SnapshotStoreExt,
};

impl TieredStore {
    /// Moves the selected snapshots of one aggregate from the cold tier to the hot tier, with their
    /// marks and the bases that they need.
    ///
    /// A base that deltas in the cold tier still need is copied, but also stays there. A damaged
    /// snapshot stays in the cold tier. The next [`archive`](Self::archive) moves the snapshots
    /// back if they are old enough.
    ///
    /// All snapshots are copied, read back and compared before the first one is deleted. If the
    /// call fails or its future is dropped, some may be in both tiers, which changes no answer.
    /// Call it again to finish.
    ///
    /// Writes to this aggregate wait until the call has returned. Reads do not, except those that
    /// begin while the call waits for earlier reads to end.
    ///
    /// # Errors
    /// The same errors as [`archive`](Self::archive).
    pub async fn restore(
        &self,
        key: &AggregateKey,
        selection: Selection<'_>,
    ) -> Result<RestoreReport, Error> {
        let _writes = self.locks.writes.exclusive(key).await;
        let cold = self.cold.list_all(ListRequest::new(key)).await?;
        let mut wanted: BTreeSet<_> =
            cold.iter().map(SnapshotMeta::id).filter(|id| selection.admits(*id)).collect();
        // The highest id comes first, so one pass follows whole chains of bases.
        for meta in &cold {
            if wanted.contains(&meta.id()) {
                wanted.extend(base_of(meta));
            }
        }
        if wanted.is_empty() {
            return Ok(RestoreReport::default());
        }
        let hot = self.hot.list_all(ListRequest::new(key)).await?;
        let hot: BTreeSet<_> = hot.iter().map(SnapshotMeta::id).collect();
        let wanted = cold.iter().rev().filter(|meta| wanted.contains(&meta.id()));
        let (there, rest): (Vec<_>, Vec<_>) =
            wanted.cloned().partition(|meta| hot.contains(&meta.id()));
        // What an earlier call copied counts already.
        let there: Vec<_> = there.iter().map(SnapshotMeta::id).collect();
        let mut restored = self.intact_in_hot(key, &there).await?;
        let transfer = Transfer { key, from: &*self.cold, to: &*self.hot };
        let copied = transfer.copy(&rest).await?;
        restored.extend(&copied);
        // A read that asked `hot` before the copies were there may still look for them in `cold`.
        drop(self.locks.reads.exclusive(key).await);
        let stored: Vec<_> = cold
            .iter()
            .map(|meta| {
                let base = meta.base.map(|base| base.version);
                Deletable::new(meta.id(), meta.stored_bytes).base(base)
            })
            .collect();
        let plan = DeletePlan::new(Selection::Ids(&restored), DeleteOptions::default(), &stored);
        restored.retain(|id| plan.removes(*id));
        let deleted = transfer.delete_copied(&restored).await?;
        Ok(RestoreReport {
            copied: copied.len() as u64,
            deleted: deleted.snapshots,
            deleted_bytes: deleted.bytes,
        })
    }
}
