//! Keeping the records that are replaced: see
//! [`EngineBuilder::evidence`](super::EngineBuilder::evidence).

use super::core::EngineCore;
use crate::error::Error;
use crate::key::AggregateKey;
use crate::manager::REPLACED;
use crate::mark::{Mark, Marks};
use crate::record::Record;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Erased, Lookup, PutOptions, Query, SnapshotStore};

impl<A: Aggregate> EngineCore<A> {
    /// Stores the record at `id` in the store for evidence, unless `replacement` has the same state.
    pub(super) async fn keep_evidence(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        replacement: &Record,
    ) -> Result<(), Error> {
        let Some(evidence) = &self.evidence else { return Ok(()) };
        let Lookup::Found(found) = self.store.get(Query::exact(key, id)).await? else {
            return Ok(());
        };
        // A lower version is found in place of a record that the store cannot read.
        if found.version != id.version || found.record.has_state_of(replacement) {
            return Ok(());
        }
        let mut records = vec![found.record];
        records.extend(found.bases);
        // No store accepts damaged records.
        if records.iter().any(|record| record.verify().is_err()) {
            return Ok(());
        }
        let mut options = PutOptions::default();
        if evidence.capabilities().marks {
            options = options.marks(Marks::new([Mark::pin(REPLACED, self.clock.now())])?);
        }
        evidence.put(records, options).await.map(drop)
    }

    /// Erases the evidence of an aggregate. `None` if there is no store for it.
    pub(super) async fn erase_evidence(&self, key: &AggregateKey) -> Result<Option<Erased>, Error> {
        match &self.evidence {
            Some(evidence) => evidence.erase(key).await.map(Some),
            None => Ok(None),
        }
    }
}
