//! [`RetentionPlan`]: the action for each snapshot, and the reason.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::succession::{Standing, Succession};
use super::{Action, Disposition, Retention, RetentionContext};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;

/// The action and the reason for each snapshot of one aggregate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetentionPlan {
    /// One entry per snapshot, highest version first.
    pub judged: Vec<Judged>,
    /// The aggregate; `None` if it has no snapshots.
    key: Option<AggregateKey>,
    /// The period after which a generation was treated as superseded.
    keep_superseded: Duration,
}

/// The action and the reason for one snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Judged {
    /// The snapshot.
    pub id: SnapshotId,
    /// The size of its record in bytes.
    pub stored_bytes: u64,
    /// The action.
    pub action: Action,
    /// The reason.
    pub reason: String,
}

impl RetentionPlan {
    /// Creates the plan for all `snapshots` of one aggregate under `policy`.
    ///
    /// Regardless of the policy, the plan keeps:
    /// - pinned snapshots, and those that the context [protects](RetentionContext::protect);
    /// - in each generation, the newest snapshot that is not retired (or the newest if all are
    ///   retired) and the newest usable one;
    /// - all snapshots of a schema version above the current one, which belong to newer code;
    /// - every base that a kept delta needs.
    ///
    /// A generation that the current one has superseded is dropped as a whole, except for pinned
    /// and protected snapshots and their bases. A generation is superseded if all its snapshots and
    /// the first one of the current generation were created at least [`Retention::keep_superseded`]
    /// ago, and if the newest usable snapshot of the current generation is at its newest version or
    /// above. Until then, the first snapshot of the current generation is kept too: it shows how
    /// long the current code has been in use.
    pub fn new(
        snapshots: &[SnapshotMeta],
        policy: &dyn Retention,
        context: &RetentionContext,
    ) -> Self {
        let generations = by_generation(snapshots);
        let succession = Succession::new(&generations, policy, context);
        let mut judged = Vec::with_capacity(generations.len());
        let mut witnesses = BTreeSet::new();
        for (generation, metas) in &generations {
            let of_it: Vec<_> = match succession.of(*generation, metas) {
                Standing::Newer => {
                    let keep = || Disposition::keep("it belongs to newer code");
                    metas.iter().map(|meta| Judged::new(meta, keep())).collect()
                }
                Standing::Superseded => {
                    let drop = || Disposition::drop_because("its generation is superseded");
                    let judge = |meta| protection(meta, context).unwrap_or_else(drop);
                    metas.iter().map(|meta| Judged::new(meta, judge(meta))).collect()
                }
                Standing::Waiting(witness) => {
                    witnesses.insert(witness);
                    by_policy(metas, policy, context)
                }
                Standing::Judged => by_policy(metas, policy, context),
            };
            judged.push((metas, of_it));
        }
        let mut plan = Self {
            judged: Vec::new(),
            key: snapshots.first().map(|meta| meta.key.clone()),
            keep_superseded: policy.keep_superseded(),
        };
        for (metas, mut judged) in judged {
            for judged in judged.iter_mut().filter(|it| !it.stays()) {
                if witnesses.contains(&judged.id) {
                    judged.keep("it shows how long its generation has been in use");
                } else if !context.may_drop(judged.id) {
                    judged.keep("the plan that is applied keeps it");
                }
            }
            keep_bases(&mut judged, metas);
            // Usually there is one generation, which is not copied.
            if plan.judged.is_empty() {
                plan.judged = judged;
            } else {
                plan.judged.append(&mut judged);
            }
        }
        plan.judged.sort_unstable_by_key(|judged| Reverse(judged.id));
        plan
    }

    /// Keeps all snapshots of a generation. Called if none was found usable, because a record may
    /// have been damaged only while it was read, and the plan could then drop the only usable one.
    pub(crate) fn keep_generation(&mut self, generation: Generation, reason: &str) {
        let of_it = |judged: &&mut Judged| judged.id.generation == generation && !judged.stays();
        for judged in self.judged.iter_mut().filter(of_it) {
            judged.keep(reason);
        }
    }

    /// Returns the aggregate that the plan is for; `None` if it has no snapshots.
    pub const fn key(&self) -> Option<&AggregateKey> {
        self.key.as_ref()
    }

    /// Returns the period after which the plan treats a generation as superseded: that of its
    /// policy.
    pub(crate) const fn keep_superseded(&self) -> Duration {
        self.keep_superseded
    }

    /// Returns the snapshots to delete, newest first.
    pub fn dropped(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|judged| judged.action == Action::Drop)
    }

    /// Returns the snapshots to keep, newest first.
    pub fn kept(&self) -> impl Iterator<Item = &Judged> {
        self.judged.iter().filter(|judged| judged.stays())
    }
}

impl Judged {
    fn new(meta: &SnapshotMeta, Disposition { action, reason }: Disposition) -> Self {
        Self { id: meta.id(), stored_bytes: meta.stored_bytes, action, reason }
    }

    fn stays(&self) -> bool {
        self.action != Action::Drop
    }

    fn keep(&mut self, reason: &str) {
        self.action = Action::Keep;
        reason.clone_into(&mut self.reason);
    }
}

/// Returns the policy's decision for each snapshot, but keeps what is protected and the newest
/// snapshot that a load can start from. If all are retired, the newest of them is kept, because a
/// retirement may be cleared.
///
/// A reason for which the plan keeps it precedes those of the policy.
fn by_policy(
    metas: &[SnapshotMeta],
    policy: &dyn Retention,
    context: &RetentionContext,
) -> Vec<Judged> {
    let mut dispositions = policy.judge(metas, context.now).into_iter();
    let newest = metas.iter().position(|meta| !meta.is_retired()).unwrap_or(0);
    let judge = |(rank, meta): (usize, &SnapshotMeta)| {
        let by_policy = dispositions.next().unwrap_or_else(Disposition::missing);
        let protection = if rank == newest {
            Some(Disposition::keep("the newest of its generation"))
        } else if context.usable.contains(&meta.id()) {
            Some(Disposition::keep("the newest usable of its generation"))
        } else {
            protection(meta, context)
        };
        let disposition = match protection {
            Some(protection) if by_policy.action == Action::Keep => {
                Disposition::keep(format!("{}; {}", protection.reason, by_policy.reason))
            }
            Some(protection) => protection,
            None => by_policy,
        };
        Judged::new(meta, disposition)
    };
    metas.iter().enumerate().map(judge).collect()
}

/// Returns why a snapshot is kept under every policy, or `None` if the policy decides.
fn protection(meta: &SnapshotMeta, context: &RetentionContext) -> Option<Disposition> {
    let id = meta.id();
    if let Some((_, reason)) = context.protected.iter().find(|(protected, _)| *protected == id) {
        return Some(Disposition::keep(reason.as_str()));
    }
    meta.is_pinned().then(|| Disposition::keep("pinned"))
}

/// Keeps the bases of all kept deltas, along whole chains. Both lists are of the same snapshots,
/// highest version first.
fn keep_bases(judged: &mut [Judged], metas: &[SnapshotMeta]) {
    let mut needed: BTreeSet<u64> = BTreeSet::new();
    // Bases have lower versions than their deltas, so one pass is enough.
    for (meta, judged) in metas.iter().zip(judged) {
        if !judged.stays() && needed.contains(&meta.version) {
            judged.keep("the base of a snapshot that is kept");
        }
        needed.extend(meta.base.filter(|_| judged.stays()).map(|base| base.version));
    }
}

/// Returns the snapshots of each generation, highest version first. Copies them only if they are in
/// another order or of several generations.
fn by_generation(snapshots: &[SnapshotMeta]) -> BTreeMap<Generation, Cow<'_, [SnapshotMeta]>> {
    let mut generations = BTreeMap::new();
    let Some(first) = snapshots.first() else { return generations };
    let is_one = snapshots.iter().all(|meta| meta.generation == first.generation);
    if is_one && snapshots.is_sorted_by_key(|meta| Reverse(meta.version)) {
        generations.insert(first.generation, Cow::Borrowed(snapshots));
        return generations;
    }
    for meta in snapshots {
        let metas = generations.entry(meta.generation).or_insert_with(|| Cow::Owned(Vec::new()));
        metas.to_mut().push(meta.clone());
    }
    for metas in generations.values_mut() {
        metas.to_mut().sort_unstable_by_key(|meta| Reverse(meta.version));
    }
    generations
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::key::AggregateKey;
    use crate::mark::{Mark, Marks};
    use crate::record::{Base, RecordBuilder};
    use crate::retention::{keep_last, keep_within};
    use crate::timestamp::Timestamp;

    fn meta(
        fingerprint: u64,
        version: u64,
        change: impl Fn(RecordBuilder) -> RecordBuilder,
    ) -> SnapshotMeta {
        let key = AggregateKey::new("account", "a").unwrap();
        let generation = Generation { schema_version: 1, fingerprint };
        let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
        let record = change(RecordBuilder::new(key, generation, version, at)).build(b"x").unwrap();
        SnapshotMeta::from_header(&record.header().unwrap()).unwrap()
    }

    fn kept(plan: &RetentionPlan) -> Vec<(u64, u64)> {
        plan.kept().map(|j| (j.id.generation.fingerprint, j.id.version)).collect()
    }

    #[test]
    fn the_newest_usable_pinned_and_based_upon_snapshots_stay_under_every_policy() {
        let pinned = Marks::new([Mark::pin("audit", Timestamp::MIN)]).unwrap();
        let metas = [
            meta(1, 10, |b| b),
            meta(1, 20, |b| b),
            meta(1, 30, |b| b.base(Base { version: 20, checksum: 0 })),
            meta(1, 40, |b| b.base(Base { version: 30, checksum: 0 })),
            meta(1, 5, |b| b).with_marks(pinned),
            meta(2, 7, |b| b),
            meta(2, 3, |b| b),
        ];
        let now = Timestamp::from_seconds(100);
        let plan = RetentionPlan::new(
            &metas,
            &keep_last(0),
            &RetentionContext::new(now).usable(metas[6].id()),
        );
        assert_eq!(kept(&plan), [(1, 40), (1, 30), (1, 20), (2, 7), (1, 5), (2, 3)]);
        assert_eq!(plan.dropped().count(), 1);
        assert_eq!(plan.dropped().next().map(|judged| judged.id.version), Some(10));
    }

    #[test]
    fn retired_snapshots_do_not_count_among_the_last() {
        let retired = Marks::new([Mark::retirement("wrong fold", Timestamp::MIN)]).unwrap();
        let pin = Mark::pin("evidence", Timestamp::MIN);
        let both = retired.merged(&Marks::new([pin]).unwrap()).unwrap();
        let mut metas: Vec<_> = [10, 20, 30, 40, 50].map(|v| meta(1, v, |b| b)).into();
        metas[4].marks = retired.clone();
        metas[2].marks = retired.clone();
        metas[0].marks = both;
        let now = Timestamp::from_seconds(60);
        let versions = |metas: &[SnapshotMeta], policy: &dyn Retention| -> Vec<u64> {
            RetentionPlan::new(metas, policy, &RetentionContext::new(now))
                .kept()
                .map(|j| j.id.version)
                .collect()
        };
        // The pin keeps version 10 even though it is retired.
        assert_eq!(versions(&metas, &keep_last(2)), [40, 20, 10]);
        assert_eq!(versions(&metas, &keep_last(0)), [40, 10]);
        assert_eq!(versions(&metas, &keep_within(Duration::from_secs(30))), [50, 40, 30, 10]);
        // If all snapshots are retired, the newest one is kept.
        for meta in &mut metas {
            meta.marks = retired.clone();
        }
        assert_eq!(versions(&metas, &keep_last(3)), [50]);
    }

    #[test]
    fn policies_count_snapshots_and_periods_and_combine() {
        let metas: Vec<_> = [10, 20, 30, 40, 50].map(|v| meta(1, v, |b| b)).into();
        let now = Timestamp::from_seconds(60);
        let versions = |policy: &dyn Retention| -> Vec<u64> {
            RetentionPlan::new(&metas, policy, &RetentionContext::new(now))
                .kept()
                .map(|j| j.id.version)
                .collect()
        };
        assert_eq!(versions(&keep_last(2)), [50, 40]);
        assert_eq!(versions(&keep_last(usize::MAX)), [50, 40, 30, 20, 10]);
        assert_eq!(versions(&keep_within(Duration::from_secs(30))), [50, 40, 30]);
        assert_eq!(versions(&keep_last(4).or(keep_within(Duration::ZERO))), [50, 40, 30, 20]);
    }

    #[test]
    fn a_policy_that_answers_too_little_deletes_nothing() {
        #[derive(Debug)]
        struct Lazy;
        impl Retention for Lazy {
            fn judge(&self, _: &[SnapshotMeta], _: Timestamp) -> Vec<Disposition> {
                Vec::new()
            }
        }
        let metas: Vec<_> = [1, 2, 3].map(|v| meta(1, v, |b| b)).into();
        let plan = RetentionPlan::new(&metas, &Lazy, &RetentionContext::new(Timestamp::MAX));
        assert_eq!(plan.dropped().count(), 0);
    }
}
