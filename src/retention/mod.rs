//! Which snapshots to keep: [`Retention`] policies and the [`RetentionPlan`] they lead to.
//!
//! A policy judges each snapshot; the plan adds the protections that hold under every policy (R14)
//! and says of each snapshot what is done with it, and why. Nothing here deletes anything:
//! [`SnapshotAdmin::apply_retention`](crate::SnapshotAdmin::apply_retention) does.

mod disposition;
mod keep;
mod plan;

use std::fmt;

use crate::record::SnapshotMeta;
use crate::timestamp::Timestamp;

pub use disposition::{Action, Disposition};
pub use keep::{Either, KeepLast, KeepWithin, keep_last, keep_within};
pub use plan::{Judged, RetentionPlan};

/// A policy: what is done with the snapshots of an aggregate.
///
/// # Obligations
/// A pure function of its arguments: no clock, no I/O.
pub trait Retention: fmt::Debug + Send + Sync {
    /// One disposition for each of `snapshots`.
    ///
    /// `snapshots` are those of one aggregate and one generation, highest version first. A result
    /// that is too short keeps the rest, so a faulty policy deletes nothing by accident.
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition>;

    /// Keeps what this policy or `other` keeps.
    fn or<R: Retention>(self, other: R) -> Either<Self, R>
    where
        Self: Sized,
    {
        Either(self, other)
    }
}
