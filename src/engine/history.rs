//! The states of an aggregate at several versions.

use std::sync::Arc;

use super::core::EngineCore;
use super::fold_walk::FoldWalk;
use super::load::{LATEST_KNOWN, reached};
use super::reconstructed::{Purpose, Reconstructed};
use crate::error::Error;
use crate::events::Progress;
use crate::key::AggregateKey;
use crate::manager::{Loaded, Origin, Point, Provenance, ascending};
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;

/// A snapshot is used to get from one version to the next if it saves at least this many events.
const MIN_SAVED: u64 = 1_000;

impl<A: Aggregate> EngineCore<A> {
    /// Returns the states at `versions`, which must ascend strictly.
    pub(super) async fn history(
        &self,
        key: &AggregateKey,
        versions: &[u64],
    ) -> Result<Vec<Loaded<A>>, Error> {
        ascending(versions)?;
        let (Some(first), Some(last)) = (versions.first(), versions.last()) else {
            return Ok(Vec::new());
        };
        let stored = if last - first > MIN_SAVED {
            let metas = self.list(key, *first..=(*last).min(SnapshotId::MAX_VERSION)).await?;
            let usable = metas
                .iter()
                .filter(|meta| meta.generation == self.generation && !meta.is_retired());
            usable.map(|meta: &SnapshotMeta| meta.version).collect()
        } else {
            Vec::new()
        };
        let mut loaded: Vec<Loaded<A>> = Vec::with_capacity(versions.len());
        let mut walk = None;
        for version in versions {
            let nearest = stored.iter().find(|stored| *stored <= version).copied().unwrap_or(0);
            let saves = |walk: &FoldWalk<'_, A>| {
                nearest.saturating_sub(walk.position().version) >= MIN_SAVED
            };
            let reconstructed = if let Some(walked) = walk.take().filter(|walk| !saves(walk)) {
                self.walked(walk.insert(walked), key, *version).await?
            } else {
                let point = Point::Version(*version);
                let found: Reconstructed<A> = self.reconstruct(key, point, Purpose::Answer).await?;
                let Progress { state, position } = &found.progress;
                let progress = Progress { state: Arc::clone(state), position: position.clone() };
                walk = Some(FoldWalk::new(self, key, progress));
                found
            };
            loaded.push(reached(reconstructed, *version, LATEST_KNOWN)?.into());
        }
        Ok(loaded)
    }

    async fn walked(
        &self,
        walk: &mut FoldWalk<'_, A>,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Reconstructed<A>, Error> {
        let step = walk.advance(version).await?;
        let mut provenance = Provenance::new(Origin::Replay);
        provenance.events_replayed = step.events;
        provenance.timings = step.timings;
        let progress =
            Progress { state: Arc::clone(walk.state()), position: walk.position().clone() };
        Ok(Reconstructed { key: key.clone(), progress, provenance, weight: None })
    }
}
