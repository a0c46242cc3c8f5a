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
    state: State<'a, A>,
    position: &'a mut Position,
    limits: Limits,
    /// The event at the starting version is still to be compared with `position`.
    overlap: bool,
    status: Status,
    applied: u64,
    clock: &'a dyn Clock,
    first_applied_at: Option<Duration>,
}

/// What is folded, and how far the fold has come. It stays where it is while a [`Replay`] works
/// on it, so that a large state is never moved.
pub(crate) struct Progress<A> {
    pub(crate) state: Arc<A>,
    pub(crate) position: Position,
}

/// The state, which is copied only if it is shared and there is an event to apply.
enum State<'a, A> {
    Untouched(&'a mut Arc<A>),
    Own(&'a mut A),
    /// Only while one of the above turns into the other.
    Taken,
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

/// How a fold ended, and what it did.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) ended: Ended,
    pub(crate) applied: u64,
    /// By the monotonic clock.
    pub(crate) first_applied_at: Option<Duration>,
}

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

impl<A: Aggregate> Progress<A> {
    /// The empty state: version 0.
    pub(crate) fn start(key: &crate::key::AggregateKey) -> Self {
        let position = Position {
            version: 0,
            as_of: Timestamp::MIN,
            last_recorded_at: Timestamp::MIN,
            anchor: None,
        };
        Self { state: Arc::new(A::initial(key)), position }
    }
}

impl<'a, A: Aggregate> Replay<'a, A> {
    /// A fold that goes on from where `progress` is. Unless that is the empty state, the first
    /// event to come must be the one at its version, for comparison: see [`range`](Self::range).
    pub(crate) fn new(progress: &'a mut Progress<A>, limits: Limits, clock: &'a dyn Clock) -> Self {
        Self {
            overlap: progress.position.version > 0,
            state: State::Untouched(&mut progress.state),
            position: &mut progress.position,
            limits,
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
        match self.admit(&recorded) {
            ControlFlow::Continue(()) => self.apply(&recorded, recorded.event),
            ControlFlow::Break(flow) => flow,
        }
    }

    /// The same for an event in the form in which the source holds it, such as bytes. It is
    /// decoded only if it is applied: the first event after a snapshot is only compared with it.
    ///
    /// # Errors
    /// What `decode` returns; the source should return it too. The event counts as not pushed.
    ///
    /// ```
    /// # use snapfold::{Aggregate, BoxError, Recorded, Replay, Timestamp};
    /// # use std::ops::ControlFlow;
    /// fn push_row<A: Aggregate<Event = String>>(
    ///     replay: &mut Replay<'_, A>,
    ///     version: u64,
    ///     row: &[u8],
    /// ) -> Result<ControlFlow<()>, BoxError> {
    ///     let recorded = Recorded::new(version, Timestamp::from_seconds(0), row);
    ///     Ok(replay.push_encoded(recorded, |row| String::from_utf8(row.to_vec()))?)
    /// }
    /// ```
    #[inline]
    pub fn push_encoded<T: ?Sized, E>(
        &mut self,
        recorded: Recorded<'_, T>,
        decode: impl FnOnce(&T) -> Result<A::Event, E>,
    ) -> Result<ControlFlow<()>, E> {
        match self.admit(&recorded) {
            ControlFlow::Continue(()) => {
                let event = decode(recorded.event)?;
                Ok(self.apply(&recorded, &event))
            }
            ControlFlow::Break(flow) => Ok(flow),
        }
    }

    /// `Continue` if the event is to be applied, else `Break` with the answer to the source.
    #[inline]
    fn admit<T: ?Sized>(&mut self, recorded: &Recorded<'_, T>) -> ControlFlow<ControlFlow<()>> {
        if self.status != Status::Running {
            return ControlFlow::Break(ControlFlow::Break(()));
        }
        if self.overlap {
            return ControlFlow::Break(self.compare(recorded));
        }
        if self.position.version.checked_add(1) != Some(recorded.version) {
            let broken = Status::Broken { found: recorded.version };
            return ControlFlow::Break(self.end(broken));
        }
        if recorded.version > self.limits.until
            || self.limits.until_time.is_some_and(|bound| recorded.recorded_at > bound)
        {
            return ControlFlow::Break(self.end(Status::Complete));
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
    fn apply<T: ?Sized>(
        &mut self,
        recorded: &Recorded<'_, T>,
        event: &A::Event,
    ) -> ControlFlow<()> {
        if self.applied == 0 {
            self.first_applied_at = Some(self.clock.monotonic());
            self.state = match std::mem::replace(&mut self.state, State::Taken) {
                State::Untouched(shared) => State::Own(Arc::make_mut(shared)),
                other => other,
            };
        }
        if let State::Own(state) = &mut self.state {
            state.apply(event);
        }
        let position = &mut *self.position;
        position.version = recorded.version;
        position.as_of = position.as_of.max(recorded.recorded_at);
        position.last_recorded_at = recorded.recorded_at;
        match (&mut position.anchor, recorded.anchor) {
            (None, None) => {}
            (Some(kept), Some(anchor)) => {
                kept.clear();
                kept.extend_from_slice(anchor);
            }
            (kept, anchor) => *kept = anchor.map(<[u8]>::to_vec),
        }
        self.applied += 1;
        if recorded.version == self.limits.until {
            return self.end(Status::Complete);
        }
        ControlFlow::Continue(())
    }

    /// The first event pushed must be the last one that is folded already.
    fn compare<T: ?Sized>(&mut self, found: &Recorded<'_, T>) -> ControlFlow<()> {
        let expected = &*self.position;
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

    pub(crate) fn finish(self) -> Done {
        let ended = match self.status {
            Status::Diverged => Ended::Diverged,
            Status::Broken { found } => {
                Ended::Broken { expected: self.range().after.saturating_add(1), found }
            }
            Status::Running | Status::Complete if self.overlap => Ended::Nothing,
            Status::Running if self.position.version == 0 => Ended::Nothing,
            Status::Running | Status::Complete => Ended::Whole,
        };
        Done { ended, applied: self.applied, first_applied_at: self.first_applied_at }
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
