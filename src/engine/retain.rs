//! Retention: plans and applies a policy, and checks that what stays is usable.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::cache::Outdates;
use super::core::EngineCore;
use super::head::floor;
use super::load::resume;
use super::search::{MAX_TRIES, position};
use super::spans::{Spanned, in_span};
use super::stopwatch::Stopwatch;
use crate::error::Error;
use crate::events::{Limits, Progress};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::manager::{Point, Retained};
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionContext, RetentionPlan};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{Found, Lookup, Query};

/// If at least this many of the newest snapshots of a generation are kept, a load never needs an
/// older one: it tries fewer before it replays all events (R2).
const ENOUGH: usize = MAX_TRIES as usize + 1;

/// The snapshots of one aggregate, and the most that a policy would drop.
struct Draft {
    /// Highest version first.
    metas: Vec<SnapshotMeta>,
    /// Made as if the newest snapshot of each generation were usable.
    plan: RetentionPlan,
    /// What the plan drops.
    dropped: BTreeSet<SnapshotId>,
}

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
        let metas = self.list(key, 0..=SnapshotId::MAX_VERSION).await?;
        let context = RetentionContext::new(self.clock.now()).current(self.generation);
        let draft = Draft::new(metas, policy, context.clone());
        if draft.dropped.is_empty() {
            return Ok(draft.plan);
        }
        let floor = floor(&*self.source, key).await?;
        let mut context = context;
        let mut doubtful = Vec::new();
        // The current generation comes first, because its usable snapshot decides whether others
        // are superseded.
        let touched: BTreeSet<_> = draft.dropped.iter().map(|id| id.generation).collect();
        let others = touched.iter().copied().filter(|of| *of != self.generation);
        for generation in std::iter::once(self.generation).chain(others) {
            let is_current = generation == self.generation;
            let supersedes = is_current && touched.iter().any(|of| *of != generation);
            let is_superseded = !is_current
                && draft.keeps_none(generation)
                && context.usable.first().copied() == draft.newest(self.generation);
            // Above what was stored just now are snapshots of a history that was rewound.
            let is_rewound = is_current && saved.is_some() && saved != draft.newest(generation);
            let is_safe = floor == 0 && draft.keeps_enough(generation) && !is_rewound;
            if is_superseded || (is_safe && !supersedes) {
                continue;
            }
            let usable = match saved.filter(|_| saved == draft.newest(generation)) {
                Some(saved) => Some(saved),
                None => self.first_usable(key, draft.of(generation)).await?,
            };
            match usable {
                Some(id) => context = context.usable(id),
                None => doubtful.push(generation),
            }
        }
        if let Some(saved) = saved {
            context = context.protect(saved, "it was stored just now");
        }
        // In each generation: what this code cannot read may be all that other code has.
        for generation in touched.iter().filter(|_| floor > 0) {
            let above = draft.of(*generation).collect::<Vec<_>>().into_iter().rev();
            let above = above.filter(|meta| meta.version >= floor);
            if let Some(id) = self.first_usable(key, above).await? {
                context = context.protect(id, "the lowest usable one at or above the replay floor");
            }
        }
        let mut plan = RetentionPlan::new(&draft.metas, policy, &context);
        for generation in doubtful {
            plan.keep_generation(generation, "no snapshot of its generation was found usable");
        }
        Ok(plan)
    }

    pub(super) async fn apply(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<Retained, Error> {
        let _outdates = Outdates { cache: &self.cache, key };
        self.retain(key, policy, None).await
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
        let retain = async {
            let plan = self.plan(key, policy, saved).await?;
            let dropped: Vec<_> = plan.dropped().map(|judged| judged.id).collect();
            let deleted = self.delete_ids(key, &dropped).await?;
            Ok(Retained { plan, deleted })
        };
        in_span(Spanned::Retention(key), retain).await
    }

    /// Returns the first of `metas` that passes all checks possible here. A snapshot that only
    /// other code can decode is checked by its checksums, and its header is compared with the
    /// history.
    async fn first_usable(
        &self,
        key: &AggregateKey,
        metas: impl Iterator<Item = &SnapshotMeta>,
    ) -> Result<Option<SnapshotId>, Error> {
        for meta in metas {
            let query = Query::exact(key, meta.id());
            let Lookup::Found(found) = self.store.get(query).await? else { continue };
            let readable = self.readers.iter().any(|reader| reader.knows(meta.generation));
            let state = match self.open_stored(key, &found) {
                Ok(snapshot) => Some(snapshot.state),
                // Only the header is compared, so no event is folded into this state.
                Err(_) if !readable && is_whole(key, &found) => Some(Arc::new(A::initial(key))),
                Err(_) => None,
            };
            let usable = match state {
                Some(state) => self.agrees_with_history(key, &found, state).await?,
                None => false,
            };
            if usable && found.version == meta.version {
                return Ok(Some(meta.id()));
            }
        }
        Ok(None)
    }

    /// Returns whether a load could resume from a snapshot (R6): it is not ahead of the events, has
    /// not diverged from them, and is not below the floor.
    async fn agrees_with_history(
        &self,
        key: &AggregateKey,
        found: &Found,
        state: Arc<A>,
    ) -> Result<bool, Error> {
        let Ok(header) = found.record.header() else { return Ok(false) };
        let mut progress = Progress { state, position: position(&header) };
        let limits = Limits::from(Point::Version(header.version));
        let mut watch = Stopwatch::start(&*self.clock);
        let resumed = resume(&*self.source, key, None, &mut progress, limits, &mut watch).await?;
        Ok(resumed.is_ok())
    }
}

impl Draft {
    fn new(metas: Vec<SnapshotMeta>, policy: &dyn Retention, context: RetentionContext) -> Self {
        let mut seen = BTreeSet::new();
        let newest = metas.iter().filter(|m| !m.is_retired() && seen.insert(m.generation));
        let context = newest.map(SnapshotMeta::id).fold(context, RetentionContext::usable);
        let plan = RetentionPlan::new(&metas, policy, &context);
        let dropped = plan.dropped().map(|judged| judged.id).collect();
        Self { metas, plan, dropped }
    }

    /// Returns the snapshots of a generation that a load can start from, newest first.
    fn of(&self, generation: Generation) -> impl Iterator<Item = &SnapshotMeta> {
        self.metas.iter().filter(move |meta| meta.generation == generation && !meta.is_retired())
    }

    fn newest(&self, generation: Generation) -> Option<SnapshotId> {
        self.of(generation).next().map(SnapshotMeta::id)
    }

    /// Returns whether the newest snapshot of a generation would be dropped, as it is if the
    /// generation is superseded.
    fn keeps_none(&self, generation: Generation) -> bool {
        self.newest(generation).is_some_and(|newest| self.dropped.contains(&newest))
    }

    /// Returns whether a load needs none of the snapshots of a generation that would be dropped.
    fn keeps_enough(&self, generation: Generation) -> bool {
        let kept = self.of(generation).take_while(|meta| !self.dropped.contains(&meta.id()));
        kept.count() >= ENOUGH || self.dropped.iter().all(|id| id.generation != generation)
    }
}

/// Returns whether the record is undamaged and is the snapshot that the store returned it as.
fn is_whole(key: &AggregateKey, found: &Found) -> bool {
    let header = found.record.verify();
    header.is_ok_and(|header| header.is_of(key) && header.version == found.version)
}
