//! When to take a snapshot: [`Trigger`]s, pure and composable.
//!
//! A trigger looks at values and answers with a [`Verdict`]; it does nothing else. The engine
//! asks after a commit ([`SnapshotEngine::committed`](crate::SnapshotEngine::committed)) and
//! acts in the background.
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

mod combine;
mod context;
mod cost;
mod every;

use std::fmt;
use std::sync::Arc;

pub use combine::{All, Any, all, any};
pub use context::{LastSnapshot, TriggerContext};
pub use cost::{GrownBy, LargerThan, SlowerThan, grown_by, larger_than, slower_than};
pub use every::{EveryEvents, EveryInterval, every_events, every_interval};

/// Decides when a snapshot is worth taking.
///
/// # Obligations
/// A pure function of the observation: no clock, no I/O, no state of its own. It is called on the
/// application's command path and must be cheap.
pub trait Trigger: fmt::Debug + Send + Sync + 'static {
    /// Whether to take a snapshot now, and why.
    fn decide(&self, seen: &TriggerContext) -> Verdict;

    /// Whether [`TriggerContext::state_bytes`] matters to this trigger. False by default.
    ///
    /// If so, and the trigger says no, it is asked as if the state had no bytes at all and as if
    /// it had `u64::MAX`. Only if one of these answers is yes, and the size that is known is older
    /// than the state at hand, the state is encoded to learn its size: in the background, and the
    /// trigger is asked again there. So a size that another part decides over costs nothing, and
    /// [`decide`](Self::decide) has to be pure.
    fn needs_state_bytes(&self) -> bool {
        false
    }

    /// Takes a snapshot when this trigger or `other` does.
    fn or(self, other: impl Trigger) -> Any
    where
        Self: Sized,
    {
        any(vec![Box::new(self), Box::new(other)])
    }

    /// Takes a snapshot when both this trigger and `other` do.
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
    /// An answer with its reason.
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
        Verdict::new(false, "snapshots are taken by hand only")
    }
}
