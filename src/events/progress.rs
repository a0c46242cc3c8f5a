//! How far a fold has come, where it ends, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use crate::key::AggregateKey;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// What is folded, and how far the fold has come. It stays where it is while a [`Replay`] works
/// on it, so that a large state is never moved.
pub(crate) struct Progress<A> {
    pub(crate) state: Arc<A>,
    pub(crate) position: Position,
}

/// How far a fold has come: everything about it but the state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) version: u64,
    /// Running maximum of the recorded times; [`Timestamp::MIN`] before the first event.
    pub(crate) as_of: Timestamp,
    pub(crate) last_recorded_at: Timestamp,
    pub(crate) anchor: Option<Vec<u8>>,
}

/// Where a fold ends; both bounds are inclusive.
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
    /// By the monotonic clock.
    pub(crate) first_applied_at: Option<Duration>,
    /// The event at the starting version was compared, unless that was the empty state.
    pub(crate) is_compared: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Contiguous, and in agreement with the snapshot it started from.
    Whole,
    /// The event at the starting version was not among those pushed; nothing was.
    Nothing,
    /// The event at the starting version is another one.
    Diverged,
    /// The event after the last one applied has no time, so whether it belongs to the answer is not
    /// known.
    Untimed,
    /// `found` came where `expected` should have come.
    Broken { expected: u64, found: u64 },
}

impl<A: Aggregate> Progress<A> {
    /// The empty state: version 0.
    pub(crate) fn start(key: &AggregateKey) -> Self {
        Self { state: Arc::new(A::initial(key)), position: Position::at(0) }
    }
}

impl Position {
    /// Before any event that comes after `version`.
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
