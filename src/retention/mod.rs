//! Which snapshots to keep: [`Retention`] policies and the [`RetentionPlan`] they lead to.
//!
//! A policy judges each snapshot. The plan adds the protections that hold under every policy (R14),
//! and lists for each snapshot what is done with it, and why. Nothing in this module deletes
//! anything; [`SnapshotAdmin::apply_retention`](crate::SnapshotAdmin::apply_retention) does.

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
/// A pure function of its arguments: no clock, no I/O.
pub trait Retention: fmt::Debug + Send + Sync {
    /// Returns one disposition for each of `snapshots`.
    ///
    /// `snapshots` are those of one aggregate and one generation, highest version first. If the
    /// result is too short, the rest is kept, so that a faulty policy does not delete snapshots by
    /// accident.
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition>;

    /// Keeps what this policy or `other` keeps.
    fn or<R: Retention>(self, other: R) -> Either<Self, R>
    where
        Self: Sized,
    {
        Either(self, other)
    }
}
