//! [`Succession`]: which generations of an aggregate the current one has superseded.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use super::{Retention, RetentionContext};
use crate::generation::Generation;
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::timestamp::Timestamp;

/// How a generation stands to the current one.
pub(super) enum Standing {
    /// The policy judges it.
    Judged,
    /// The policy judges it. It may be superseded when the given snapshot is old enough: the first
    /// one of the current generation that was created after all its own. That one is kept until
    /// then.
    Waiting(SnapshotId),
    /// Of a higher schema version: it belongs to newer code.
    Newer,
    /// No code has used it for the period of the policy.
    Superseded,
}

pub(super) struct Succession<'a> {
    current: Option<Generation>,
    /// The snapshots of the current generation that loads can start from.
    own: Vec<&'a SnapshotMeta>,
    /// The version of the newest usable one.
    usable: Option<u64>,
    /// The time before which (inclusive) the snapshots of a superseded generation were created, and
    /// one of the current generation after them. `None` if none is ever superseded.
    before: Option<Timestamp>,
}

impl<'a> Succession<'a> {
    pub(super) fn new(
        generations: &'a BTreeMap<Generation, Cow<'_, [SnapshotMeta]>>,
        policy: &dyn Retention,
        context: &RetentionContext,
    ) -> Self {
        let current = context.current;
        let own = current.and_then(|current| generations.get(&current));
        let own = own.into_iter().flat_map(|own| own.iter());
        let usable = context.usable.iter().find(|id| Some(id.generation) == current);
        let period = Some(policy.keep_superseded()).filter(|period| *period < Duration::MAX);
        Self {
            current,
            own: own.filter(|meta| !meta.is_retired()).collect(),
            usable: usable.map(|id| id.version),
            before: period.map(|period| context.now.saturating_sub(period)),
        }
    }

    /// Returns how the generation of these snapshots stands.
    pub(super) fn of(&self, generation: Generation, metas: &[SnapshotMeta]) -> Standing {
        let Some(current) = self.current.filter(|current| *current != generation) else {
            return Standing::Judged;
        };
        if generation.schema_version > current.schema_version {
            return Standing::Newer;
        }
        let last = metas.iter().map(|meta| meta.created_at).max();
        // A canary that was rolled back, or a clock that was behind, created one before: it does
        // not count.
        let since = self.own.iter().filter(|meta| Some(meta.created_at) >= last);
        let first = since.min_by_key(|meta| (meta.created_at, meta.version));
        let (Some(first), Some(before)) = (first, self.before) else { return Standing::Judged };
        let is_ahead = metas.iter().any(|meta| self.usable.is_none_or(|own| meta.version > own));
        if first.created_at <= before && !is_ahead {
            Standing::Superseded
        } else {
            Standing::Waiting(first.id())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::AggregateKey;
    use crate::mark::{Mark, Marks};
    use crate::record::RecordBuilder;
    use crate::retention::{RetentionPlan, keep_last};

    const DAY: i64 = 86_400;
    const OLD: Generation = Generation { schema_version: 1, fingerprint: 9 };
    const NOW: Generation = Generation { schema_version: 1, fingerprint: 2 };
    const NEWER: Generation = Generation { schema_version: 2, fingerprint: 1 };

    /// A snapshot that was created on this day.
    fn meta(generation: Generation, version: u64, day: i64) -> SnapshotMeta {
        let key = AggregateKey::new("account", "a").unwrap();
        let at = Timestamp::from_seconds(day * DAY);
        let record = RecordBuilder::new(key, generation, version, at).created_at(at);
        SnapshotMeta::from_header(&record.build(b"x").unwrap().header().unwrap()).unwrap()
    }

    fn id(generation: Generation, version: u64) -> SnapshotId {
        SnapshotId { generation, version }
    }

    fn dropped(
        metas: &[SnapshotMeta],
        policy: &dyn Retention,
        today: i64,
        usable: u64,
    ) -> Vec<SnapshotId> {
        let context = RetentionContext::new(Timestamp::from_seconds(today * DAY))
            .current(NOW)
            .usable(id(NOW, usable))
            .usable(id(OLD, 200));
        RetentionPlan::new(metas, policy, &context).dropped().map(|judged| judged.id).collect()
    }

    #[test]
    fn an_old_generation_goes_when_the_new_one_has_been_in_use_for_the_period() {
        let metas = [
            meta(OLD, 100, 1),
            meta(OLD, 200, 2),
            meta(NOW, 300, 10),
            meta(NOW, 400, 11),
            meta(NOW, 500, 12),
        ];
        let policy = keep_last(2);
        // The first of the new generation would go, and then nothing would show since when.
        assert_eq!(dropped(&metas, &policy, 16, 500), []);
        let all = [id(NOW, 300), id(OLD, 200), id(OLD, 100)];
        assert_eq!(dropped(&metas, &policy, 17, 500), all);
        assert_eq!(dropped(&metas, &keep_last(1), 16, 500), [id(NOW, 400), id(OLD, 100)]);
        let policy =
            keep_last(2).or(keep_last(1).keep_superseded_for(Duration::from_secs(8 * 86_400)));
        assert_eq!(dropped(&metas, &policy, 17, 500), []);
        assert_eq!(dropped(&metas, &policy, 18, 500), all);
        // Then nothing waits for it either.
        let policy = keep_last(2).keep_superseded_for(Duration::MAX);
        assert_eq!(dropped(&metas, &policy, 1_000_000, 500), [id(NOW, 300)]);
    }

    #[test]
    fn a_generation_that_is_still_written_or_ahead_or_newer_is_not_superseded() {
        let first = meta(NOW, 300, 10);
        for (what, other, today, usable) in [
            ("written yesterday", meta(OLD, 200, 29), 30, 300),
            ("created by a clock that was ahead", meta(OLD, 200, 400), 30, 300),
            ("ahead of the usable one", meta(OLD, 301, 2), 30, 300),
            ("newer code", meta(NEWER, 200, 2), 3_000, 300),
        ] {
            assert_eq!(
                dropped(&[first.clone(), other], &keep_last(9), today, usable),
                [],
                "{what}"
            );
        }
        let alone = [meta(OLD, 200, 2), meta(OLD, 100, 1)];
        assert_eq!(dropped(&alone, &keep_last(0), 30, 300), [id(OLD, 100)]);
        let newer = [meta(NEWER, 200, 2), meta(NEWER, 100, 1), first.clone()];
        assert_eq!(dropped(&newer, &keep_last(0), 30, 300), []);
        let unusable = RetentionContext::new(Timestamp::MAX).current(NOW);
        let metas = [first, meta(OLD, 200, 2)];
        assert_eq!(RetentionPlan::new(&metas, &keep_last(0), &unusable).dropped().count(), 0);
    }

    #[test]
    fn pinned_and_protected_snapshots_of_a_superseded_generation_stay() {
        let pin = Marks::new([Mark::pin("audit", Timestamp::MIN)]).unwrap();
        let metas = [
            meta(OLD, 100, 1).with_marks(pin),
            meta(OLD, 150, 1),
            meta(OLD, 200, 2),
            meta(NOW, 300, 10),
        ];
        assert_eq!(dropped(&metas, &keep_last(4), 30, 300), [id(OLD, 200), id(OLD, 150)]);
        let context = RetentionContext::new(Timestamp::from_seconds(30 * DAY))
            .current(NOW)
            .usable(id(NOW, 300))
            .protect(id(OLD, 150), "the replay floor needs it");
        let plan = RetentionPlan::new(&metas, &keep_last(4), &context);
        assert_eq!(plan.dropped().map(|judged| judged.id).collect::<Vec<_>>(), [id(OLD, 200)]);
        assert!(plan.to_string().contains("the replay floor needs it"), "{plan}");
    }
}
