//! Retention: plans and applies a policy, and checks that what stays is usable.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cache::Outdates;
use super::core::{EngineCore, check_kind};
use super::head::floor;
use super::load::resume;
use super::planning::{Planning, RetentionCandidate};
use super::search::position;
use super::spans::{Spanned, in_span};
use super::stopwatch::Stopwatch;
use crate::error::{Error, ErrorKind};
use crate::events::{Limits, Progress};
use crate::key::AggregateKey;
use crate::manager::{Point, Retained};
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionContext, RetentionPlan, keep_last};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query};

impl<A: Aggregate> EngineCore<A> {
    /// Plans what `policy` does to the snapshots of `key`. Snapshots are read only if their
    /// contents affect the plan. `saved` is the id of a snapshot that has just been stored and is
    /// therefore usable.
    pub(super) async fn plan(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        saved: Option<SnapshotId>,
    ) -> Result<RetentionPlan, Error> {
        self.plan_in(key, policy, RetentionContext::new(self.clock.now()), saved).await
    }

    async fn plan_in(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        context: RetentionContext,
        saved: Option<SnapshotId>,
    ) -> Result<RetentionPlan, Error> {
        let metas = self.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        let mut planning = Planning::new(metas, policy, context, self.generation, saved);
        if planning.drops() {
            planning.begin(floor(&*self.source, key).await?);
            while let Some(RetentionCandidate { id, .. }) = planning.wanted() {
                let lookup = self.store.get(Query::exact(key, id)).await?;
                planning.judged(match self.opened(key, id, lookup) {
                    Some(progress) => self.agrees_with_history(key, progress).await?,
                    None => false,
                });
            }
        }
        Ok(planning.finish())
    }

    pub(super) fn planning<'p>(
        &self,
        metas: Vec<SnapshotMeta>,
        policy: &'p dyn Retention,
        saved: Option<SnapshotId>,
    ) -> Planning<'p> {
        let context = RetentionContext::new(self.clock.now());
        Planning::new(metas, policy, context, self.generation, saved)
    }

    pub(super) async fn apply(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<Retained, Error> {
        let _outdates = Outdates { cache: &self.cache, key };
        self.retain(key, policy, None).await
    }

    /// Drops what `plan` drops, where every policy would allow it now.
    pub(super) async fn apply_plan(
        &self,
        key: &AggregateKey,
        plan: &RetentionPlan,
    ) -> Result<Retained, Error> {
        check_kind::<A>(key)?;
        if let Some(of) = plan.key().filter(|of| *of != key) {
            let message =
                format!("the plan is for {of}, not for {key}: make one for each aggregate");
            return Err(Error::new(ErrorKind::InvalidInput, "apply a retention plan", message));
        }
        let _outdates = Outdates { cache: &self.cache, key };
        let wanted: BTreeSet<_> = plan.dropped().map(|judged| judged.id).collect();
        // Under a policy that keeps nothing, only what is protected now is kept.
        let policy = keep_last(0).keep_superseded_for(plan.keep_superseded());
        let context = RetentionContext::new(self.clock.now()).only(wanted.iter().copied());
        let retained = self.retain_in(key, &policy, context, None).await?;
        let kept = retained.plan.kept().filter(|judged| wanted.contains(&judged.id));
        let refused = kept.cloned().collect();
        Ok(retained.refused(refused))
    }

    /// Applies the engine's own policy after a background snapshot.
    pub(super) async fn retain_saved(
        &self,
        key: &AggregateKey,
        saved: SnapshotId,
    ) -> Result<Retained, Error> {
        match &self.retention {
            Some(policy) => self.retain(key, &**policy, Some(saved)).await,
            None => Ok(Retained::default()),
        }
    }

    /// Applies `policy`. Cached states are kept, because the deleted snapshots are not wrong.
    pub(super) async fn retain(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        saved: Option<SnapshotId>,
    ) -> Result<Retained, Error> {
        self.retain_in(key, policy, RetentionContext::new(self.clock.now()), saved).await
    }

    async fn retain_in(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
        context: RetentionContext,
        saved: Option<SnapshotId>,
    ) -> Result<Retained, Error> {
        let retain = async {
            let plan = self.plan_in(key, policy, context, saved).await?;
            let dropped: Vec<_> = plan.dropped().map(|judged| judged.id).collect();
            let deleted = self.delete_ids(key, &dropped).await?;
            Ok(Retained::new(plan, deleted))
        };
        in_span(Spanned::Retention(key), retain).await
    }

    /// Returns what a load could resume from if the history agrees. A snapshot that only other code
    /// can decode is checked by its checksums, and only its header is compared with the history.
    pub(super) fn opened(
        &self,
        key: &AggregateKey,
        id: SnapshotId,
        lookup: Lookup,
    ) -> Option<Progress<A>> {
        let Lookup::Found(found) = lookup else { return None };
        let header = found.record.header().ok()?;
        if found.version != id.version {
            return None;
        }
        let readable = self.readers.iter().any(|reader| reader.knows(id.generation));
        let state = match self.open_stored(key, &found) {
            Ok(snapshot) => snapshot.state,
            // No event is folded into this state.
            Err(_) if !readable && self.is_whole(key, &found) => Arc::new(A::initial(key)),
            Err(_) => return None,
        };
        Some(Progress { state, position: position(&header) })
    }

    /// Returns whether a load could resume from a snapshot (R6): it is not ahead of the events, has
    /// not diverged from them, and is not below the floor.
    pub(super) async fn agrees_with_history(
        &self,
        key: &AggregateKey,
        mut progress: Progress<A>,
    ) -> Result<bool, Error> {
        let limits = Limits::from(Point::Version(progress.position.version));
        let mut watch = Stopwatch::start(&*self.clock);
        let resumed = resume(&*self.source, key, None, &mut progress, limits, &mut watch).await?;
        Ok(resumed.is_ok())
    }

    /// Returns whether the record is undamaged and is the snapshot that the store returned it as.
    fn is_whole(&self, key: &AggregateKey, found: &Found) -> bool {
        found.record.verify().is_ok_and(|header| {
            header.is_of(key)
                && header.version == found.version
                && self.openers.check_signature(found.record.as_bytes(), &header).is_ok()
        })
    }
}
