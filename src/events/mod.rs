//! Where events come from: [`EventSource`].

mod hybrid;
mod recorded;
mod replay;
#[cfg(test)]
mod tests;

use async_trait::async_trait;

use crate::error::BoxError;
use crate::key::AggregateKey;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;

pub use hybrid::{Hybrid, HybridSource, Tail};
pub use recorded::Recorded;
pub use replay::Replay;
pub(crate) use replay::{Done, Ended, Limits, Position, Progress};

/// Reads the events of the application's event store. Implemented by the application, or by the
/// author of an event store.
///
/// Only [`read`](Self::read) is required. `head` and `floor` have honest defaults.
///
/// ```
/// use async_trait::async_trait;
/// use snapfold::{Aggregate, AggregateKey, BoxError, EventRange, EventSource, Recorded, Replay};
/// use snapfold::Timestamp;
///
/// struct Rows<E>(Vec<(i64, E)>);
///
/// #[async_trait]
/// impl<A: Aggregate> EventSource<A> for Rows<A::Event> {
///     async fn read(
///         &self,
///         _key: &AggregateKey,
///         range: EventRange,
///         replay: &mut Replay<'_, A>,
///     ) -> Result<(), BoxError> {
///         for (version, (seconds, event)) in (1_u64..).zip(&self.0) {
///             if range.contains(version) {
///                 let at = Timestamp::from_seconds(*seconds);
///                 if replay.push(Recorded::new(version, at, event)).is_break() {
///                     break;
///                 }
///             }
///         }
///         Ok(())
///     }
/// }
/// ```
#[async_trait]
pub trait EventSource<A: Aggregate>: Send + Sync {
    /// Pushes the committed events of `key` within `range` into `replay`, in version order.
    ///
    /// # Obligations
    /// - **E-01** Committed events only, each with the version it has for ever: 1, 2, 3 and so on
    ///   without gaps. The replay checks contiguity and fails the load if it is broken (R5).
    /// - **E-02** The same event always comes with the same version, recorded time and anchor.
    /// - **E-03** All events of the range that were committed before the call began. An aggregate
    ///   without events pushes nothing.
    /// - **E-04** When [`Replay::push`] returns `Break`, stop and return `Ok`; what is pushed
    ///   after that is ignored.
    /// - **E-05** Nothing may be left out of the middle, by recorded time for example.
    /// - **E-06** Times are those of the event store. An event whose time it does not know is
    ///   pushed as [`Recorded::untimed`], never with a time that is made up.
    ///
    /// # Errors
    /// Any error: the load fails with [`ErrorKind::EventSource`](crate::ErrorKind::EventSource)
    /// and this as its source. Events pushed before are forgotten.
    ///
    /// # Cancellation
    /// The future may be dropped at any await point.
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, A>,
    ) -> Result<(), BoxError>;

    /// The version of the newest event of `key` (0 if it has none, or if all are truncated), or
    /// `None` if the source cannot tell more cheaply than by reading. `None` by default.
    ///
    /// Asked for statistics, and when a read came to an end that looks like a mistake: no event
    /// at all, or as many as pages have (multiples of 50 and powers of two from 100 on, and all
    /// from 1,000 on). If events that this head counts do not come with a second read either, the
    /// load fails with [`ErrorKind::BrokenHistory`](crate::ErrorKind::BrokenHistory) rather than
    /// with a state of the past.
    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        let _ = key;
        Ok(None)
    }

    /// The replay floor of `key`: the lowest version from which events can still be read. All
    /// events with a higher version are there; those at or below it may be gone. 0 by default:
    /// everything is there. Asked only when the events that a load needs are missing.
    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        let _ = key;
        Ok(0)
    }
}

/// Which events to read: those after one version, up to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventRange {
    /// Read events with a version above this one (exclusive).
    pub after: u64,
    /// Read events up to this version (inclusive). Never above
    /// [`SnapshotId::MAX_VERSION`], which is `i64::MAX` and stands for no bound: `until as i64`
    /// is a valid bound in SQL.
    pub until: u64,
}

impl EventRange {
    /// The events after `after` (exclusive) up to `until` (inclusive). What is above
    /// [`SnapshotId::MAX_VERSION`] is lowered to it: no event has such a version.
    pub const fn new(after: u64, until: u64) -> Self {
        Self { after: at_most_highest(after), until: at_most_highest(until) }
    }

    /// Whether the event with this version is to be read.
    pub const fn contains(self, version: u64) -> bool {
        self.after < version && version <= self.until
    }
}

const fn at_most_highest(version: u64) -> u64 {
    if version > SnapshotId::MAX_VERSION { SnapshotId::MAX_VERSION } else { version }
}
