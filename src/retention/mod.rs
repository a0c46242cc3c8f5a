//! Deciding which snapshots to keep: [`Retention`] policies and the resulting [`RetentionPlan`].
//!
//! A policy judges each snapshot. The plan adds the protections that hold under every policy (R14),
//! and lists the action and the reason for each snapshot. This module deletes nothing. To apply a
//! policy, call [`SnapshotAdmin::apply_retention`](crate::SnapshotAdmin::apply_retention).

mod disposition;
mod keep;
mod plan;

use std::fmt;

use crate::record::SnapshotMeta;
use crate::timestamp::Timestamp;

pub use disposition::{Action, Disposition};
pub use keep::{Either, KeepLast, KeepWithin, keep_last, keep_within};
pub use plan::{Judged, RetentionPlan};

/// A retention policy: decides which snapshots of an aggregate are kept.
///
/// # Obligations
/// [`judge`](Self::judge) must be a pure function of its arguments: no clock, no I/O.
pub trait Retention: fmt::Debug + Send + Sync {
    /// Returns one disposition for each of `snapshots`.
    ///
    /// `snapshots` are the snapshots of one aggregate and one generation, highest version first. If
    /// the result is too short, the remaining snapshots are kept, so that a faulty policy does not
    /// delete snapshots by accident.
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition>;

    /// Returns a policy that keeps the snapshots that this policy or `other` keeps.
    fn or<R: Retention>(self, other: R) -> Either<Self, R>
    where
        Self: Sized,
    {
        Either(self, other)
    }
}
