//! When to take a snapshot: [`Trigger`]s, pure and composable.
//!
//! A trigger is a pure function from a [`TriggerContext`] to a [`Verdict`]. The engine asks it
//! after a commit ([`SnapshotEngine::committed`](crate::SnapshotEngine::committed)) and acts in the
//! background.
//!
//! ```
//! use snapfold::trigger::{Trigger, every_events, larger_than, slower_than};
//! use std::time::Duration;
//!
//! // Every 100 events, or as soon as replaying takes long; large states every 20 events.
//! let trigger = every_events(100)
//!     .or(slower_than(Duration::from_millis(5)))
//!     .or(every_events(20).and(larger_than(64 * 1024)));
//! assert!(trigger.needs_state_bytes());
//! ```
//!
//! [`Adaptive`] needs no such numbers: the engine measures what snapshots and replays cost, and the
//! trigger computes the interval that costs least.

mod adaptive;
mod combine;
mod context;
mod cost;
mod every;

use std::fmt;
use std::sync::Arc;

pub use adaptive::Adaptive;
pub use combine::{All, Any, all, any};
pub use context::{Costs, LastSnapshot, TriggerContext};
pub use cost::{GrownBy, LargerThan, SlowerThan, grown_by, larger_than, slower_than};
pub use every::{EveryEvents, EveryInterval, every_events, every_interval};

/// Decides when a snapshot is worth taking.
///
/// # Obligations
/// A pure function of the context: no clock, no I/O, no state of its own. It runs on the
/// application's command path and must be cheap.
pub trait Trigger: fmt::Debug + Send + Sync + 'static {
    /// Decides whether to take a snapshot now, and says why.
    fn decide(&self, seen: &TriggerContext) -> Verdict;

    /// Whether [`TriggerContext::state_bytes`] matters to this trigger. False by default.
    ///
    /// If true, and the trigger decides against a snapshot, the engine also asks it with a size of
    /// 0 and with a size of `u64::MAX`. Only if one of these verdicts is yes, and the known size is
    /// older than the state, the engine encodes the state in the background to learn its size, and
    /// then asks again. So a size that does not matter costs nothing, and [`decide`](Self::decide)
    /// must be pure.
    fn needs_state_bytes(&self) -> bool {
        false
    }

    /// Whether [`TriggerContext::costs`] matters to this trigger. False by default.
    ///
    /// The engine calls this once, when it is built. If true, it counts loads and times snapshots.
    /// The first snapshot of an aggregate is encoded and decoded before it is stored. Then the
    /// trigger is asked again, with the [time for restoring](Costs::restore) just
    /// measured, and the snapshot is stored only if the answer is still yes.
    fn needs_costs(&self) -> bool {
        false
    }

    /// Combines two triggers: takes a snapshot when this one or `other` does.
    fn or(self, other: impl Trigger) -> Any
    where
        Self: Sized,
    {
        any(vec![Box::new(self), Box::new(other)])
    }

    /// Combines two triggers: takes a snapshot when this one and `other` do.
    fn and(self, other: impl Trigger) -> All
    where
        Self: Sized,
    {
        all(vec![Box::new(self), Box::new(other)])
    }
}

impl<T: Trigger + ?Sized> Trigger for Arc<T> {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        (**self).decide(seen)
    }

    fn needs_state_bytes(&self) -> bool {
        (**self).needs_state_bytes()
    }

    fn needs_costs(&self) -> bool {
        (**self).needs_costs()
    }
}

/// The decision of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// Whether to take a snapshot.
    pub take: bool,
    /// Why, in words: "100 of 100 events since the snapshot at version 300".
    pub reason: String,
}

impl Verdict {
    /// Creates a verdict with its reason.
    pub fn new(take: bool, reason: impl Into<String>) -> Self {
        Self { take, reason: reason.into() }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", if self.take { "take" } else { "wait" }, self.reason)
    }
}

/// A trigger that never fires: snapshots are taken manually only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Manual;

/// Returns a trigger that never fires: snapshots are taken manually only.
pub const fn manual() -> Manual {
    Manual
}

impl Trigger for Manual {
    fn decide(&self, _: &TriggerContext) -> Verdict {
        Verdict::new(false, "snapshots are taken manually only")
    }
}
