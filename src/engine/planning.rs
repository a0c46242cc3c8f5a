//! [`Planning`]: the retention plan of one aggregate, as far as it is known.

use std::collections::{BTreeSet, VecDeque};

use super::search::MAX_TRIES;
use crate::generation::Generation;
use crate::record::SnapshotMeta;
use crate::retention::{Retention, RetentionContext, RetentionPlan};
use crate::snapshot_id::SnapshotId;

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

/// The plan of one aggregate in the making. It performs no I/O, so that one aggregate and many are
/// planned alike: the caller answers its questions, one after the other.
///
/// 1. If [`drops`](Self::drops), call [`begin`](Self::begin) with the replay floor.
/// 2. For each snapshot that is [`wanted`](Self::wanted), call [`judged`](Self::judged).
/// 3. Call [`finish`](Self::finish).
pub(super) struct Planning<'p> {
    policy: &'p dyn Retention,
    /// The generation that the engine writes.
    current: Generation,
    /// A snapshot that has just been stored and is therefore usable.
    saved: Option<SnapshotId>,
    draft: Draft,
    context: RetentionContext,
    floor: u64,
    /// The generations of which the draft drops snapshots.
    touched: BTreeSet<Generation>,
    /// What is still to be found.
    sought: VecDeque<UsableSought>,
    /// The candidates for the first of `sought` that were not judged yet.
    candidates: Option<VecDeque<RetentionCandidate>>,
    /// The generations without a usable snapshot.
    doubtful: Vec<Generation>,
}

/// A snapshot that affects the plan if it is the first usable one.
#[derive(Clone, Copy)]
enum UsableSought {
    Newest(Generation),
    LowestAboveFloor(Generation),
}

/// A snapshot to be checked: whether a load can use it.
#[derive(Clone, Copy)]
pub(super) struct RetentionCandidate {
    pub(super) id: SnapshotId,
    pub(super) stored_bytes: u64,
}

impl<'p> Planning<'p> {
    /// Begins the plan for the snapshots in `metas`, which are all of one aggregate, highest version
    /// first.
    pub(super) fn new(
        metas: Vec<SnapshotMeta>,
        policy: &'p dyn Retention,
        context: RetentionContext,
        current: Generation,
        saved: Option<SnapshotId>,
    ) -> Self {
        let context = context.current(current);
        let draft = Draft::new(metas, policy, context.clone());
        Self {
            policy,
            current,
            saved,
            touched: draft.dropped.iter().map(|id| id.generation).collect(),
            draft,
            context,
            floor: 0,
            sought: VecDeque::new(),
            candidates: None,
            doubtful: Vec::new(),
        }
    }

    /// Returns whether a snapshot may be dropped. If not, nothing needs to be known.
    pub(super) fn drops(&self) -> bool {
        !self.draft.dropped.is_empty()
    }

    /// Sets the replay floor.
    pub(super) fn begin(&mut self, floor: u64) {
        self.floor = floor;
        // The current generation comes first, because its usable snapshot decides whether others
        // are superseded.
        let others = self.touched.iter().copied().filter(|of| *of != self.current);
        self.sought.extend(std::iter::once(self.current).chain(others).map(UsableSought::Newest));
        // In each generation: what this code cannot read may be all that other code has.
        let touched = self.touched.iter().filter(|_| floor > 0);
        self.sought.extend(touched.map(|of| UsableSought::LowestAboveFloor(*of)));
        if let Some(saved) = self.saved {
            self.context = self.context.clone().protect(saved, "it was stored just now");
        }
    }

    /// Returns the next snapshot to be judged, or `None` if the plan is complete.
    pub(super) fn wanted(&mut self) -> Option<RetentionCandidate> {
        loop {
            let sought = *self.sought.front()?;
            if self.candidates.is_none() {
                if !self.matters(sought) {
                    self.sought.pop_front();
                    continue;
                }
                if let Some(saved) = self.saved_as(sought) {
                    self.found(Some(saved));
                    continue;
                }
                self.candidates = Some(self.draft.candidates(sought, self.floor));
            }
            match self.candidates.as_ref().and_then(VecDeque::front) {
                Some(candidate) => return Some(*candidate),
                None => self.found(None),
            }
        }
    }

    /// Sets whether the snapshot that is [`wanted`](Self::wanted) is usable.
    pub(super) fn judged(&mut self, is_usable: bool) {
        let candidate = self.candidates.as_mut().and_then(VecDeque::pop_front);
        if let Some(candidate) = candidate.filter(|_| is_usable) {
            self.found(Some(candidate.id));
        }
    }

    pub(super) fn finish(self) -> RetentionPlan {
        if !self.drops() {
            return self.draft.plan;
        }
        let mut plan = RetentionPlan::new(&self.draft.metas, self.policy, &self.context);
        for generation in self.doubtful {
            plan.keep_generation(generation, "no snapshot of its generation was found usable");
        }
        plan
    }

    /// Returns whether the usable snapshot affects the plan.
    fn matters(&self, sought: UsableSought) -> bool {
        let UsableSought::Newest(generation) = sought else { return true };
        let is_current = generation == self.current;
        let supersedes = is_current && self.touched.iter().any(|of| *of != generation);
        let is_superseded = !is_current
            && self.draft.keeps_none(generation)
            && self.context.usable.first().copied() == self.draft.newest(self.current);
        // Above what was stored just now are snapshots of a history that was rewound.
        let is_rewound =
            is_current && self.saved.is_some() && self.saved != self.draft.newest(generation);
        let is_safe = self.floor == 0 && self.draft.keeps_enough(generation) && !is_rewound;
        !is_superseded && (!is_safe || supersedes)
    }

    /// Returns the snapshot that has just been stored if it is the one sought.
    fn saved_as(&self, sought: UsableSought) -> Option<SnapshotId> {
        let UsableSought::Newest(generation) = sought else { return None };
        self.saved.filter(|_| self.saved == self.draft.newest(generation))
    }

    fn found(&mut self, usable: Option<SnapshotId>) {
        self.candidates = None;
        let context = self.context.clone();
        match (self.sought.pop_front(), usable) {
            (Some(UsableSought::Newest(_)), Some(id)) => self.context = context.usable(id),
            (Some(UsableSought::Newest(generation)), None) => self.doubtful.push(generation),
            (Some(UsableSought::LowestAboveFloor(_)), Some(id)) => {
                let reason = "the lowest usable one at or above the replay floor";
                self.context = context.protect(id, reason);
            }
            (Some(UsableSought::LowestAboveFloor(_)) | None, _) => {}
        }
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

    /// Returns the snapshots to be checked, in this order.
    fn candidates(&self, sought: UsableSought, floor: u64) -> VecDeque<RetentionCandidate> {
        let candidate = |meta: &SnapshotMeta| RetentionCandidate {
            id: meta.id(),
            stored_bytes: meta.stored_bytes,
        };
        match sought {
            UsableSought::Newest(generation) => self.of(generation).map(candidate).collect(),
            UsableSought::LowestAboveFloor(generation) => {
                let above = self.of(generation).filter(|meta| meta.version >= floor);
                let mut above: VecDeque<_> = above.map(candidate).collect();
                above.make_contiguous().reverse();
                above
            }
        }
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
