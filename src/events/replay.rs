//! [`Replay`]: the fold into which an event source pushes events.

use std::fmt;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::EventRange;
use super::lender::Lender;
use super::progress::{Done, Ended, Limits, Position, Progress};
use super::recorded::Recorded;
use super::witness::{NoClock, Witness};
use crate::clock::Clock;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// A fold in progress. An [`EventSource`](super::EventSource) pushes events into it. The replay
/// checks that the events are contiguous and match the snapshot that the fold started from, and
/// applies them.
pub struct Replay<'a, A: Aggregate> {
    state: ReplayState<'a, A>,
    position: &'a mut Position,
    until: u64,
    /// Events that were recorded later are not applied.
    until_time: Timestamp,
    status: Status,
    started_at: u64,
    clock: &'a dyn Clock,
    first_applied_at: Option<Duration>,
    is_compared: bool,
    /// Shares the state until the first event is applied.
    lender: Option<&'a dyn Lender<A>>,
    /// Receives every push instead of the fold.
    witness: Option<&'a mut dyn Witness<A>>,
}

/// The state, which is copied only if it is shared and there is an event to apply.
enum ReplayState<'a, A> {
    Untouched(&'a mut Arc<A>),
    Own(&'a mut A),
    /// During the change from `Untouched` to `Own`, and if nothing is folded.
    Taken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Nothing is folded: a witness receives each event.
    Witnessed,
    /// The event at the starting version must be compared with the position.
    Comparing,
    /// The next event is to be applied. `until` is above the position.
    Running,
    /// No further event is wanted.
    Complete,
    Diverged,
    /// The next event has no time, and the fold ends at a time.
    Untimed,
    /// The next events were truncated, up to `floor` (inclusive).
    Truncated {
        floor: u64,
    },
    /// An event with a version other than the next one was pushed.
    Broken {
        expected: u64,
        found: u64,
    },
}

impl<'a, A: Aggregate> Replay<'a, A> {
    /// Continues the fold at `progress`. Unless that is the empty state, the first event pushed
    /// must be the event at its version, for comparison: see [`range`](Self::range).
    pub(crate) fn new(progress: &'a mut Progress<A>, limits: Limits, clock: &'a dyn Clock) -> Self {
        let started_at = progress.position.version;
        let mut replay = Self {
            state: ReplayState::Untouched(&mut progress.state),
            position: &mut progress.position,
            until: limits.until,
            until_time: limits.until_time.unwrap_or(Timestamp::MAX),
            status: Status::Comparing,
            started_at,
            clock,
            first_applied_at: None,
            is_compared: true,
            lender: None,
            witness: None,
        };
        if started_at == 0 {
            replay.status = replay.after_overlap();
        }
        replay
    }

    /// Creates a replay that passes all events to `witness`. `position` only determines where the
    /// read begins.
    pub(crate) fn witnessed(
        position: &'a mut Position,
        until: u64,
        witness: &'a mut dyn Witness<A>,
    ) -> Self {
        Self {
            state: ReplayState::Taken,
            until,
            until_time: Timestamp::MAX,
            status: Status::Witnessed,
            started_at: position.version,
            position,
            clock: &NoClock,
            first_applied_at: None,
            is_compared: false,
            lender: None,
            witness: Some(witness),
        }
    }

    /// Skips the comparison, because the event at the starting version is known to be truncated.
    pub(crate) fn without_overlap(mut self) -> Self {
        self.status = self.after_overlap();
        self.is_compared = false;
        self
    }

    /// Sets who shares the state, and may give it up so that it need not be copied.
    pub(crate) fn lent_by(mut self, lender: &'a dyn Lender<A>) -> Self {
        self.lender = Some(lender);
        self
    }

    /// Returns the version that the fold has reached.
    pub(crate) fn version(&self) -> u64 {
        self.position.version
    }

    /// Returns whether the next event would be applied.
    pub(crate) fn is_waiting(&self) -> bool {
        self.status == Status::Running
    }

    /// Returns whether an event is missing that may have been truncated: the next one, or the one
    /// before that which was pushed.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.status, Status::Running | Status::Broken { .. })
    }

    /// Ends the replay, because the events after it were truncated up to `floor` (inclusive).
    pub(crate) fn end_truncated(&mut self, floor: u64) {
        self.status = Status::Truncated { floor };
    }

    /// Returns whether the fold began with the empty state.
    #[cfg(feature = "postgres")]
    pub(crate) fn is_from_start(&self) -> bool {
        self.started_at == 0
    }

    /// Returns whether further events are wanted.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.status, Status::Comparing | Status::Running)
    }

    /// Returns the range of events that the fold needs.
    pub(crate) fn range(&self) -> EventRange {
        let overlap = u64::from(self.status == Status::Comparing);
        EventRange::new(self.position.version - overlap, self.until)
    }

    /// Applies the next event. `Break` means that no further event is needed and that later pushes
    /// are ignored.
    #[inline]
    pub fn push(&mut self, recorded: Recorded<'_, A::Event>) -> ControlFlow<()> {
        if self.wants(&recorded) {
            self.apply(&recorded, recorded.event)
        } else {
            self.decline_event(&recorded)
        }
    }

    /// Applies the next event as [`push`](Self::push) does, but takes it in encoded form, such as
    /// bytes. The event is decoded only if it is applied. The event at the version of a snapshot is
    /// only compared.
    ///
    /// # Errors
    /// Any error returned by `decode`, which the source should return to its caller. The event
    /// counts as not pushed.
    ///
    /// ```
    /// # use snapfold::events::Recorded;
    /// # use snapfold::{Aggregate, BoxError, Replay, Timestamp};
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
        if self.wants(&recorded) {
            let event = decode(recorded.event)?;
            Ok(self.apply(&recorded, &event))
        } else {
            self.decline_encoded(&recorded, decode)
        }
    }

    /// Pushes the events of an iterator, and stops when no more events are needed.
    pub fn push_all<'e>(
        &mut self,
        events: impl IntoIterator<Item = Recorded<'e, A::Event>>,
    ) -> ControlFlow<()> {
        events.into_iter().try_for_each(|event| self.push(event))
    }

    /// Pushes the events of an iterator as [`push_encoded`](Self::push_encoded) does, and stops
    /// when no more events are needed. Slightly faster than pushing them one by one.
    ///
    /// # Errors
    /// Any error returned by `decode`, which the source should return to its caller. The event that
    /// could not be decoded and all later ones count as not pushed.
    pub fn push_all_encoded<'e, T: ?Sized + 'e, E>(
        &mut self,
        events: impl IntoIterator<Item = Recorded<'e, T>>,
        mut decode: impl FnMut(&T) -> Result<A::Event, E>,
    ) -> Result<ControlFlow<()>, E> {
        let mut events = events.into_iter();
        while let Some(other) = self.run(&mut events, &mut decode)? {
            if self.push_encoded(other, &mut decode)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Applies events up to the first one that needs special treatment, and returns that one.
    #[inline]
    fn run<'e, T: ?Sized + 'e, E>(
        &mut self,
        events: &mut impl Iterator<Item = Recorded<'e, T>>,
        decode: &mut impl FnMut(&T) -> Result<A::Event, E>,
    ) -> Result<Option<Recorded<'e, T>>, E> {
        let (ReplayState::Own(state), Status::Running) = (&mut self.state, self.status) else {
            return Ok(events.next());
        };
        if self.position.anchor.is_some() {
            return Ok(events.next());
        }
        let mut run = Run {
            version: self.position.version,
            as_of: self.position.as_of,
            last_recorded_at: self.position.last_recorded_at,
            position: self.position,
        };
        for recorded in events {
            if recorded.version.checked_sub(1) != Some(run.version)
                || recorded.version >= self.until
                || recorded.recorded_at > self.until_time
                || recorded.anchor.is_some()
            {
                return Ok(Some(recorded));
            }
            state.apply(&decode(recorded.event)?);
            run.version = recorded.version;
            run.as_of = run.as_of.max(recorded.recorded_at);
            run.last_recorded_at = recorded.recorded_at;
        }
        Ok(None)
    }

    /// Returns whether the event is to be applied. The only check on the fast path.
    #[inline]
    fn wants<T: ?Sized>(&self, recorded: &Recorded<'_, T>) -> bool {
        self.status == Status::Running
            && recorded.version.checked_sub(1) == Some(self.position.version)
            && recorded.recorded_at <= self.until_time
    }

    #[inline]
    fn apply<T: ?Sized>(
        &mut self,
        recorded: &Recorded<'_, T>,
        event: &A::Event,
    ) -> ControlFlow<()> {
        if let ReplayState::Untouched(_) = self.state {
            self.begin();
        }
        if let ReplayState::Own(state) = &mut self.state {
            state.apply(event);
        }
        let position = &mut *self.position;
        position.version = recorded.version;
        position.as_of = position.as_of.max(recorded.recorded_at);
        position.last_recorded_at = recorded.recorded_at;
        if position.anchor.is_some() || recorded.anchor.is_some() {
            position.set_anchor(recorded.anchor);
        }
        if recorded.version == self.until {
            return self.end(Status::Complete);
        }
        ControlFlow::Continue(())
    }

    /// Prepares the state before the first event is applied.
    #[cold]
    fn begin(&mut self) {
        self.first_applied_at = Some(self.clock.monotonic());
        self.state = match std::mem::replace(&mut self.state, ReplayState::Taken) {
            ReplayState::Untouched(shared) => {
                if let Some(lender) = self.lender {
                    lender.give_up(shared);
                }
                ReplayState::Own(Arc::make_mut(shared))
            }
            other => other,
        };
    }

    /// Handles an event that is not to be applied.
    #[cold]
    fn decline_event(&mut self, recorded: &Recorded<'_, A::Event>) -> ControlFlow<()> {
        match &mut self.witness {
            Some(witness) => witness.see(recorded.bare(), Some(recorded.event)),
            None => self.decline(recorded),
        }
    }

    /// Handles an event in encoded form that is not to be applied.
    #[cold]
    fn decline_encoded<T: ?Sized, E>(
        &mut self,
        recorded: &Recorded<'_, T>,
        decode: impl FnOnce(&T) -> Result<A::Event, E>,
    ) -> Result<ControlFlow<()>, E> {
        Ok(match &mut self.witness {
            Some(witness) if witness.wants_events() => {
                let event = decode(recorded.event)?;
                witness.see(recorded.bare(), Some(&event))
            }
            Some(witness) => witness.see(recorded.bare(), None),
            None => self.decline(recorded),
        })
    }

    fn decline<T: ?Sized>(&mut self, recorded: &Recorded<'_, T>) -> ControlFlow<()> {
        let (position, found) = (self.position.version, recorded.version);
        match self.status {
            Status::Comparing => self.compare(recorded),
            Status::Running if position.checked_add(1) == Some(found) => {
                // The event was recorded too late, or its time is unknown.
                let timed = recorded.has_time();
                self.end(if timed { Status::Complete } else { Status::Untimed })
            }
            Status::Running => {
                self.end(Status::Broken { expected: position.saturating_add(1), found })
            }
            Status::Witnessed
            | Status::Complete
            | Status::Diverged
            | Status::Untimed
            | Status::Truncated { .. }
            | Status::Broken { .. } => ControlFlow::Break(()),
        }
    }

    /// Compares the first event pushed with the last event that is already folded.
    fn compare<T: ?Sized>(&mut self, found: &Recorded<'_, T>) -> ControlFlow<()> {
        let folded = &*self.position;
        if found.version != folded.version {
            let expected = folded.version;
            return self.end(Status::Broken { expected, found: found.version });
        }
        let same_anchor = match (&folded.anchor, found.anchor) {
            (Some(folded), Some(found)) => folded == found,
            _ => true,
        };
        if !same_anchor || folded.last_recorded_at != found.recorded_at {
            return self.end(Status::Diverged);
        }
        self.status = self.after_overlap();
        if self.is_running() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    /// Returns the status after the comparison, or at the start if there is nothing to compare.
    fn after_overlap(&self) -> Status {
        if self.position.version < self.until { Status::Running } else { Status::Complete }
    }

    fn end(&mut self, status: Status) -> ControlFlow<()> {
        self.status = status;
        ControlFlow::Break(())
    }

    pub(crate) fn finish(&self) -> Done {
        let ended = match self.status {
            Status::Diverged => Ended::Diverged,
            Status::Untimed => Ended::Untimed,
            Status::Truncated { floor } => Ended::Truncated { floor },
            Status::Broken { expected, found } => Ended::Broken { expected, found },
            Status::Comparing => Ended::Nothing,
            Status::Running if self.position.version == 0 => Ended::Nothing,
            Status::Witnessed | Status::Running | Status::Complete => Ended::Whole,
        };
        let applied = self.position.version - self.started_at;
        let first_applied_at = self.first_applied_at;
        Done { ended, applied, first_applied_at, is_compared: self.is_compared }
    }
}

/// The position within a run of events without anchors. It is separate from the position of the
/// replay, so that it can stay in registers. It is written back however the run ends, because the
/// state has advanced as well.
struct Run<'p> {
    version: u64,
    as_of: Timestamp,
    last_recorded_at: Timestamp,
    position: &'p mut Position,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        self.position.version = self.version;
        self.position.as_of = self.as_of;
        self.position.last_recorded_at = self.last_recorded_at;
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
