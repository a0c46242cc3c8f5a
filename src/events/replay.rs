//! [`Replay`]: the fold that an event source pushes events into.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::EventRange;
use super::recorded::Recorded;
use crate::clock::Clock;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// A fold in progress. An [`EventSource`](super::EventSource) pushes events into it; it checks
/// that they are contiguous and belong to the snapshot it started from, and applies them.
pub struct Replay<'a, A: Aggregate> {
    state: State<A>,
    position: Position,
    limits: Limits,
    /// The event at the starting version is still to be compared with `position`.
    overlap: bool,
    status: Status,
    applied: u64,
    clock: &'a dyn Clock,
    first_applied_at: Option<Duration>,
}

/// The state, which is copied only if there is an event to apply.
enum State<A> {
    Shared(Arc<A>),
    Owned(A),
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

/// What a fold starts from.
pub(crate) enum Basis<A> {
    Owned(A, Position),
    Shared(Arc<A>, Position),
}

/// Where a fold ends; both bounds are inclusive.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) until: u64,
    pub(crate) until_time: Option<Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Running,
    /// An event was seen or applied beyond which nothing is wanted.
    Complete,
    Diverged,
    /// Another version than the next one came.
    Broken {
        found: u64,
    },
}

/// How a fold ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Contiguous, and in agreement with the snapshot it started from.
    Whole,
    /// The event at the starting version was not among those pushed; nothing was.
    Nothing,
    /// The event at the starting version is another one.
    Diverged,
    /// `found` came where `expected` should have come.
    Broken { expected: u64, found: u64 },
}

/// The result of a fold.
pub(crate) struct Finished<A> {
    pub(crate) state: Arc<A>,
    pub(crate) position: Position,
    pub(crate) applied: u64,
    pub(crate) ended: Ended,
    pub(crate) first_applied_at: Option<Duration>,
}

impl Position {
    pub(crate) const fn start() -> Self {
        Self { version: 0, as_of: Timestamp::MIN, last_recorded_at: Timestamp::MIN, anchor: None }
    }
}

impl<'a, A: Aggregate> Replay<'a, A> {
    /// A fold that goes on from `basis`. Unless that is the empty state, the first event to come
    /// must be the one at its version, for comparison: see [`range`](Self::range).
    pub(crate) fn new(basis: Basis<A>, limits: Limits, clock: &'a dyn Clock) -> Self {
        let (state, position) = match basis {
            Basis::Owned(state, position) => (State::Owned(state), position),
            Basis::Shared(state, position) => (State::Shared(state), position),
        };
        let overlap = position.version > 0;
        Self {
            state,
            position,
            limits,
            overlap,
            status: Status::Running,
            applied: 0,
            clock,
            first_applied_at: None,
        }
    }

    /// Gives up the comparison: the event at the starting version is known to be truncated.
    pub(crate) fn without_overlap(mut self) -> Self {
        self.overlap = false;
        self
    }

    /// How many events are folded so far.
    pub(crate) fn version(&self) -> u64 {
        self.position.version
    }

    /// Whether further events are wanted.
    pub(crate) fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// The events that this fold needs.
    pub(crate) fn range(&self) -> EventRange {
        let after = self.position.version - u64::from(self.overlap);
        EventRange::new(after, self.limits.until)
    }

    /// Takes the next event. `Break` means that no further event is wanted; what is pushed after
    /// that is ignored.
    #[inline]
    pub fn push(&mut self, recorded: Recorded<'_, A::Event>) -> ControlFlow<()> {
        if self.status != Status::Running {
            return ControlFlow::Break(());
        }
        if self.overlap {
            return self.compare(&recorded);
        }
        if self.position.version.checked_add(1) != Some(recorded.version) {
            return self.end(Status::Broken { found: recorded.version });
        }
        if recorded.version > self.limits.until
            || self.limits.until_time.is_some_and(|bound| recorded.recorded_at > bound)
        {
            return self.end(Status::Complete);
        }
        self.apply(&recorded);
        if recorded.version == self.limits.until {
            return self.end(Status::Complete);
        }
        ControlFlow::Continue(())
    }

    /// Pushes each event of an iterator until no further one is wanted.
    pub fn push_all<'e>(
        &mut self,
        events: impl IntoIterator<Item = Recorded<'e, A::Event>>,
    ) -> ControlFlow<()> {
        events.into_iter().try_for_each(|event| self.push(event))
    }

    #[inline]
    fn apply(&mut self, recorded: &Recorded<'_, A::Event>) {
        if self.applied == 0 {
            self.first_applied_at = Some(self.clock.monotonic());
            if let State::Shared(shared) = &self.state {
                self.state = State::Owned(A::clone(shared));
            }
        }
        if let State::Owned(state) = &mut self.state {
            state.apply(recorded.event);
        }
        let position = &mut self.position;
        position.version = recorded.version;
        position.as_of = position.as_of.max(recorded.recorded_at);
        position.last_recorded_at = recorded.recorded_at;
        match (&mut position.anchor, recorded.anchor) {
            (Some(kept), Some(anchor)) => {
                kept.clear();
                kept.extend_from_slice(anchor);
            }
            (kept, anchor) => *kept = anchor.map(<[u8]>::to_vec),
        }
        self.applied += 1;
    }

    /// The first event pushed must be the last one that the basis has folded.
    fn compare(&mut self, found: &Recorded<'_, A::Event>) -> ControlFlow<()> {
        let expected = &self.position;
        if found.version != expected.version {
            return self.end(Status::Broken { found: found.version });
        }
        let same_anchor = match (&expected.anchor, found.anchor) {
            (Some(expected), Some(found)) => expected == found,
            _ => true,
        };
        if !same_anchor || expected.last_recorded_at != found.recorded_at {
            return self.end(Status::Diverged);
        }
        self.overlap = false;
        if self.position.version >= self.limits.until {
            return self.end(Status::Complete);
        }
        ControlFlow::Continue(())
    }

    fn end(&mut self, status: Status) -> ControlFlow<()> {
        self.status = status;
        ControlFlow::Break(())
    }

    pub(crate) fn finish(self) -> Finished<A> {
        let ended = match self.status {
            Status::Diverged => Ended::Diverged,
            Status::Broken { found } => {
                Ended::Broken { expected: self.range().after.saturating_add(1), found }
            }
            Status::Running | Status::Complete if self.overlap => Ended::Nothing,
            Status::Running if self.position.version == 0 => Ended::Nothing,
            Status::Running | Status::Complete => Ended::Whole,
        };
        let state = match self.state {
            State::Shared(state) => state,
            State::Owned(state) => Arc::new(state),
        };
        Finished {
            state,
            position: self.position,
            applied: self.applied,
            ended,
            first_applied_at: self.first_applied_at,
        }
    }
}

impl<A: Aggregate> fmt::Debug for Replay<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replay")
            .field("position", &self.position)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}
