//! The built-in policies: [`KeepLast`], [`KeepWithin`], [`Either`] and [`KeepSuperseded`].

use std::time::Duration;

use super::{Disposition, Retention};
use crate::record::SnapshotMeta;
use crate::timestamp::Timestamp;

/// Keeps the newest `n` snapshots of each generation. The policy counts stored snapshots, not
/// versions, and does not count retired ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLast(usize);

/// Returns a policy that keeps the newest `snapshots` snapshots of each generation. With 0, only
/// the snapshots that are protected under every policy are kept.
pub const fn keep_last(snapshots: usize) -> KeepLast {
    KeepLast(snapshots)
}

impl Retention for KeepLast {
    fn judge(&self, snapshots: &[SnapshotMeta], _: Timestamp) -> Vec<Disposition> {
        let mut rank = 0;
        snapshots
            .iter()
            .map(|meta| {
                rank += usize::from(!meta.is_retired());
                if meta.is_retired() || rank > self.0 {
                    return Disposition::drop();
                }
                Disposition::keep(format!("number {rank} of the newest {}", self.0))
            })
            .collect()
    }
}

/// Keeps snapshots of states that were current within a period that ends now (both ends inclusive).
///
/// # What is measured
/// The period applies to the as-of time of a snapshot, because the policy determines how far back
/// point-in-time loads are fast. However, the as-of time is a running maximum. A single event that
/// was recorded by a clock running years ahead moves it into the future for the rest of the
/// history. The policy therefore uses the first of these times that is not later than now:
///
/// 1. the as-of time;
/// 2. the recorded time of the last folded event;
/// 3. the creation time of the snapshot, which also applies to [events without
///    times](crate::events::Recorded::untimed).
///
/// A snapshot with all three times in the future is not kept. The exception is a generation in
/// which every snapshot was created in the future. The clock of this machine is then probably wrong
/// (for example because it has no clock battery and has just started), so all of them are kept
/// until a snapshot is created that is not in the future.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepWithin(Duration);

/// Returns a policy that keeps snapshots of states that were current within the last `period`.
pub const fn keep_within(period: Duration) -> KeepWithin {
    KeepWithin(period)
}

impl Retention for KeepWithin {
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition> {
        let oldest = now.saturating_sub(self.0);
        let clock_is_behind = clock_is_behind(snapshots, now);
        snapshots
            .iter()
            .map(|meta| {
                if clock_is_behind {
                    return Disposition::keep(format!(
                        "all were created after the current time {now}: check the clock"
                    ));
                }
                if past(meta, now).is_none_or(|time| time < oldest) {
                    return Disposition::drop();
                }
                Disposition::keep(format!("within the last {:?}", self.0))
            })
            .collect()
    }
}

/// Returns whether all snapshots were created in the future.
pub(super) fn clock_is_behind(snapshots: &[SnapshotMeta], now: Timestamp) -> bool {
    snapshots.iter().all(|meta| meta.created_at > now)
}

/// Returns the first time of a snapshot that is not later than `now`, if there is one.
pub(super) fn past(meta: &SnapshotMeta, now: Timestamp) -> Option<Timestamp> {
    [meta.as_of, meta.last_recorded_at, meta.created_at].into_iter().find(|time| *time <= now)
}

/// Keeps the snapshots that at least one of two policies keeps. Returned by [`Retention::or`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Either<A, B>(pub(super) A, pub(super) B);

impl<A: Retention, B: Retention> Retention for Either<A, B> {
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition> {
        let mut first = self.0.judge(snapshots, now).into_iter();
        let mut second = self.1.judge(snapshots, now).into_iter();
        let mut next = || {
            let first = first.next().unwrap_or_else(Disposition::missing);
            first.or(second.next().unwrap_or_else(Disposition::missing))
        };
        snapshots.iter().map(|_| next()).collect()
    }

    /// Returns the longer of the two periods.
    fn keep_superseded(&self) -> Duration {
        self.0.keep_superseded().max(self.1.keep_superseded())
    }
}

/// A policy with a different period for superseded generations. Returned by
/// [`Retention::keep_superseded_for`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepSuperseded<P>(pub(super) P, pub(super) Duration);

impl<P: Retention> Retention for KeepSuperseded<P> {
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition> {
        self.0.judge(snapshots, now)
    }

    fn keep_superseded(&self) -> Duration {
        self.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generation::Generation;
    use crate::key::AggregateKey;
    use crate::record::RecordBuilder;
    use crate::retention::Action;

    const NOW: i64 = 1_000;

    /// A snapshot with these times, in seconds: as-of, last recorded, created.
    fn meta(times: [i64; 3]) -> SnapshotMeta {
        let [as_of, last, created] = times.map(Timestamp::from_seconds);
        let key = AggregateKey::new("account", "a").unwrap();
        let generation = Generation { schema_version: 1, fingerprint: 1 };
        let record = RecordBuilder::new(key, generation, 1, as_of);
        let record = record.last_recorded_at(last).created_at(created).build(b"x").unwrap();
        SnapshotMeta::from_header(&record.header().unwrap()).unwrap()
    }

    fn kept<const N: usize>(period: u64, times: [[i64; 3]; N]) -> [bool; N] {
        let policy = keep_within(Duration::from_secs(period));
        let metas: Vec<_> = times.into_iter().map(meta).collect();
        let dispositions = policy.judge(&metas, Timestamp::from_seconds(NOW));
        let kept = dispositions.iter().map(|disposition| disposition.action == Action::Keep);
        kept.collect::<Vec<_>>().try_into().unwrap()
    }

    #[test]
    fn a_period_is_measured_by_the_first_time_that_is_not_in_the_future() {
        let (far, none) = (NOW + 4 * 365 * 86_400, Timestamp::MAX.as_micros() / 1_000_000 + 1);
        let times = [
            // One event came from a clock that was ahead, but the last event did not.
            ([far, 990, 995], true),
            ([far, 989, 995], false),
            // The last event did as well, so the creation time counts.
            ([far, far, 990], true),
            ([far, far, 989], false),
            ([NOW + 1, NOW + 1, NOW], true),
            // Events without times.
            ([none, none, 990], true),
            ([none, none, 989], false),
            // Times in the future are not within the period.
            ([far, far, far], false),
            ([NOW + 1, NOW + 1, NOW + 1], false),
            // The as-of time takes precedence. An old state that was captured today is old, and an
            // event that was recorded late does not make a state old.
            ([989, 989, NOW], false),
            ([990, 100, NOW], true),
            ([NOW, NOW, far], true),
        ];
        assert_eq!(kept(10, times.map(|(times, _)| times)), times.map(|(_, kept)| kept));
        let policy = keep_within(Duration::MAX);
        assert_eq!(policy.judge(&[], Timestamp::MIN), []);
    }

    #[test]
    fn a_clock_that_is_behind_every_snapshot_drops_none() {
        assert_eq!(kept(10, [[NOW + 9; 3], [NOW + 5; 3], [5, 5, NOW + 1]]), [true; 3]);
        assert_eq!(kept(10, [[NOW + 9; 3], [NOW + 5; 3], [5, 5, NOW]]), [false; 3]);
    }
}
