//! The position, the limits and the result of a fold.

use std::sync::Arc;
use std::time::Duration;

use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// The state of a fold, and how far it has come. It is not moved while a [`Replay`] works on it,
/// because the state may be large.
pub(crate) struct Progress<A> {
    pub(crate) state: Arc<A>,
    pub(crate) position: Position,
}

/// The position of a fold: everything about it except the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) version: u64,
    /// The running maximum of the recorded times; [`Timestamp::MIN`] before the first event.
    pub(crate) as_of: Timestamp,
    pub(crate) last_recorded_at: Timestamp,
    pub(crate) anchor: Option<Vec<u8>>,
}

/// The end of a fold. Both bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) until: u64,
    pub(crate) until_time: Option<Timestamp>,
}

/// How a fold ended, and what it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) ended: Ended,
    pub(crate) applied: u64,
    /// The reading of the monotonic clock.
    pub(crate) first_applied_at: Option<Duration>,
    /// Whether the event at the starting version was compared. The empty state has no such event.
    pub(crate) is_compared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The events were contiguous, and matched the snapshot that the fold started from.
    Whole,
    /// Nothing was pushed, not even the event at the starting version.
    Nothing,
    /// The event at the starting version does not match the snapshot.
    Diverged,
    /// The next event has no time, so it is unknown whether it belongs to the result.
    Untimed,
    /// Some events were truncated during the replay, up to `floor` (inclusive).
    Truncated { floor: u64 },
    /// Version `found` was pushed where `expected` was due.
    Broken { expected: u64, found: u64 },
}

impl<A: Aggregate> Progress<A> {
    /// Creates the position of the empty state: version 0.
    pub(crate) fn start(key: &AggregateKey) -> Self {
        Self { state: Arc::new(A::initial(key)), position: Position::at(0) }
    }
}

impl Position {
    /// Creates a position at `version`, before any later event.
    pub(crate) const fn at(version: u64) -> Self {
        Self { version, as_of: Timestamp::MIN, last_recorded_at: Timestamp::MIN, anchor: None }
    }

    pub(super) fn set_anchor(&mut self, anchor: Option<&[u8]>) {
        match (&mut self.anchor, anchor) {
            (Some(kept), Some(anchor)) => {
                kept.clear();
                kept.extend_from_slice(anchor);
            }
            (kept, anchor) => *kept = anchor.map(<[u8]>::to_vec),
        }
    }
}
