//! Deciding which snapshots to keep: [`Retention`] policies and the resulting [`RetentionPlan`].
//!
//! [`Policy`] is the policy for most uses: rules such as `last 4, daily 7, monthly 12`, built in code
//! or read from a configuration. [`keep_last`] and [`keep_within`] are its two simplest rules as
//! types of their own.
//!
//! A policy judges each snapshot. The plan adds the protections that hold under every policy (see
//! [`RetentionPlan::new`]), and lists the action and the reason for each snapshot. This module
//! deletes nothing. To apply a policy, call
//! [`SnapshotAdmin::apply_retention`](crate::SnapshotAdmin::apply_retention).

mod context;
mod disposition;
mod keep;
mod plan;
mod rules;
mod succession;
mod table;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::record::SnapshotMeta;
use crate::timestamp::Timestamp;

pub use crate::policy::{Policy, PolicyBuilder};
pub use context::RetentionContext;
pub use disposition::{Action, Disposition};
pub use keep::{Either, KeepLast, KeepSuperseded, KeepWithin, keep_last, keep_within};
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

    /// Returns how long the newest snapshots of a superseded generation are kept, because nodes
    /// with older code may still be running. 7 days by default; `Duration::MAX` keeps them forever.
    ///
    /// [`RetentionPlan::new`] explains when a generation is superseded.
    fn keep_superseded(&self) -> Duration {
        Duration::from_secs(7 * 86_400)
    }

    /// Sets how long the newest snapshots of a superseded generation are kept: see
    /// [`keep_superseded`](Self::keep_superseded).
    fn keep_superseded_for(self, period: Duration) -> KeepSuperseded<Self>
    where
        Self: Sized,
    {
        KeepSuperseded(self, period)
    }

    /// Returns a policy that keeps the snapshots that this policy or `other` keeps.
    fn or<R: Retention>(self, other: R) -> Either<Self, R>
    where
        Self: Sized,
    {
        Either(self, other)
    }
}

impl<T: Retention + ?Sized> Retention for Arc<T> {
    fn judge(&self, snapshots: &[SnapshotMeta], now: Timestamp) -> Vec<Disposition> {
        (**self).judge(snapshots, now)
    }

    fn keep_superseded(&self) -> Duration {
        (**self).keep_superseded()
    }
}
