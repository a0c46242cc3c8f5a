//! The basic policies: [`KeepLast`], [`KeepWithin`], and [`Either`] of two.

use std::time::Duration;

use super::Retention;
use crate::envelope::SnapshotMeta;
use crate::timestamp::Timestamp;

/// Keeps the newest so many snapshots of each generation. It counts snapshots that exist, not
/// versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLast(usize);

/// The newest `snapshots` of each generation. With 0, only what is protected under every policy
/// stays.
pub const fn keep_last(snapshots: usize) -> KeepLast {
    KeepLast(snapshots)
}

impl Retention for KeepLast {
    fn reasons_to_keep(&self, snapshots: &[SnapshotMeta], _: Timestamp) -> Vec<Option<String>> {
        (1..=snapshots.len())
            .map(|rank| (rank <= self.0).then(|| format!("{rank} of the newest {}", self.0)))
            .collect()
    }
}

/// Keeps snapshots whose as-of time lies within a period before now (inclusive). The as-of time is
/// that of the history, so the policy guards how far back point-in-time loads are fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepWithin(Duration);

/// Snapshots of states that were current within the last `period`.
pub const fn keep_within(period: Duration) -> KeepWithin {
    KeepWithin(period)
}

impl Retention for KeepWithin {
    fn reasons_to_keep(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Option<String>> {
        let oldest = now.saturating_sub(self.0);
        snapshots
            .iter()
            .map(|meta| (meta.as_of >= oldest).then(|| format!("within the last {:?}", self.0)))
            .collect()
    }
}

/// Keeps what at least one of two policies keeps. Made by [`Retention::or`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Either<A, B>(pub(super) A, pub(super) B);

impl<A: Retention, B: Retention> Retention for Either<A, B> {
    fn reasons_to_keep(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Option<String>> {
        let mut first = self.0.reasons_to_keep(snapshots, now).into_iter();
        let mut second = self.1.reasons_to_keep(snapshots, now).into_iter();
        let missing = || Some("the policy did not judge it".to_owned());
        snapshots
            .iter()
            .map(|_| first.next().unwrap_or_else(missing).or(second.next().unwrap_or_else(missing)))
            .collect()
    }
}
