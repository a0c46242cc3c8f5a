//! [`DeltaBase`]: choosing the snapshot that a new one is a delta of, and keeping it.

use super::core::EngineCore;
use crate::compress::Compression;
use crate::error::{Error, ErrorKind, Retry};
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{DeleteOptions, ListRequest, Lookup, Query, Selection};

/// The whole snapshot that a new one may be a delta of.
pub(super) struct DeltaBase {
    pub(super) version: u64,
    /// Its encoded state.
    pub(super) raw: Vec<u8>,
    /// The maximum size of a delta, in bytes.
    pub(super) most: usize,
    pub(super) compression: Compression,
}

impl<A: Aggregate> EngineCore<A> {
    /// Returns the snapshot that a new one at `version` may be a delta of. `None` if it must be
    /// stored whole. A failure of the store is not reported here, because the put will meet it too.
    pub(super) async fn delta_base(&self, key: &AggregateKey, version: u64) -> Option<DeltaBase> {
        let plan = self.deltas.as_ref().filter(|plan| plan.tries())?;
        let below = version.checked_sub(1)?.min(SnapshotId::MAX_VERSION);
        let wanted = usize::try_from(plan.max_deltas).unwrap_or(usize::MAX).saturating_add(1);
        let request = ListRequest::new(key).at_most(below).limit(wanted.min(1_000));
        let page = self.store.list(request).await.ok()?;
        let own = |meta: &&SnapshotMeta| {
            meta.generation == self.generation && !meta.is_retired() && meta.version <= below
        };
        let newest = page.items.iter().find(own)?;
        if !(plan.min_bytes..=plan.max_bytes).contains(&newest.raw_bytes) {
            return None;
        }
        let base = |meta: &SnapshotMeta| meta.base.map(|base| base.version);
        let at = base(newest).unwrap_or(newest.version);
        let deltas = page.items.iter().filter(own).filter(|meta| base(meta) == Some(at)).count();
        if deltas >= plan.max_deltas as usize {
            return None;
        }
        let query = Query::exact(key, self.own(at)).include_retired(false);
        let Ok(Lookup::Found(found)) = self.store.get(query).await else { return None };
        let header = found.record.header().ok()?;
        let is_whole = header.is_of(key)
            && (header.generation, header.version) == (self.generation, at)
            && header.codec == self.codec.id()
            && header.base.is_none();
        if !is_whole {
            return None;
        }
        let raw = found.record.open(&header, self.open_with(&[]), |raw| Ok(raw.to_vec()));
        let most = u64::from(header.payload_bytes) * u64::from(plan.max_percent) / 100;
        Some(DeltaBase {
            version: at,
            raw: raw.ok()?,
            most: usize::try_from(most).unwrap_or(usize::MAX),
            compression: plan.compression.clone(),
        })
    }

    /// Checks that a delta that was stored just now has its base, which may have been deleted while
    /// the delta was made. From then on, the store keeps the base. Otherwise deletes the delta and
    /// returns an error.
    pub(super) async fn confirm_delta(&self, meta: &SnapshotMeta) -> Result<(), Error> {
        let Some(base) = meta.base else { return Ok(()) };
        let lookup = self.store.get(Query::exact(&meta.key, meta.id())).await?;
        let Lookup::Found(found) = &lookup else { return Ok(()) };
        // Another process may have replaced the delta, and what it put is not to be deleted.
        let is_ours = found.record.header().is_ok_and(|header| header.base == meta.base);
        let stored = found.bases.first().and_then(|record| record.header().ok());
        if !is_ours || stored.is_some_and(|stored| stored.version == base.version) {
            return Ok(());
        }
        let ids = [meta.id()];
        self.store.delete(&meta.key, Selection::Ids(&ids), DeleteOptions::default()).await?;
        let message = format!(
            "the snapshot of {} at version {}, on which the new one is based, was deleted at the \
             same time, so nothing was stored: try again",
            meta.key, base.version
        );
        Err(Error::new(ErrorKind::Conflict, "take a snapshot", message).with_retry(Retry::Later))
    }
}
