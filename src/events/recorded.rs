//! [`Recorded`]: an event as the event store holds it.

use std::fmt;

use crate::timestamp::Timestamp;

/// One event with its version, recorded time and anchor, as a source pushes it.
#[non_exhaustive]
pub struct Recorded<'a, E: ?Sized> {
    /// Its position in the stream of its aggregate: 1 for the first event.
    pub version: u64,
    /// When it was recorded. May be before the time of an earlier event: clocks run backwards.
    /// [`Timestamp::MAX`] if it is [untimed](Self::untimed).
    pub recorded_at: Timestamp,
    /// Its identity in the event store (an event id, a hash), if the source provides one.
    /// Snapshots keep the anchor of their last event, and a load compares it (R6).
    pub anchor: Option<&'a [u8]>,
    /// The event, or its encoded form, for
    /// [`push_encoded`](crate::Replay::push_encoded).
    pub event: &'a E,
    has_time: bool,
}

impl<'a, E: ?Sized> Recorded<'a, E> {
    /// Creates an event without an anchor.
    pub const fn new(version: u64, recorded_at: Timestamp, event: &'a E) -> Self {
        Self { version, recorded_at, anchor: None, event, has_time: true }
    }

    /// An event without an anchor and without a recorded time: for event stores
    /// that keep no times, or did not at first.
    ///
    /// - [`at_time`](crate::Loader::at_time) fails with
    ///   [`Unsupported`](crate::ErrorKind::Unsupported) where this event could belong to the
    ///   answer: a state from before it still loads.
    /// - The as-of time of a state and of a snapshot with this event is [`Timestamp::MAX`], so that
    ///   no earlier time finds them. Triggers and retention go by when a snapshot was created.
    ///
    /// Do not invent a time instead. If all events have one constant time, every later point in
    /// time gives the newest state, and the engine cannot detect it. A source that changes from an
    /// invented time to none changes its history: existing snapshots are rejected as diverged.
    pub const fn untimed(version: u64, event: &'a E) -> Self {
        Self { version, recorded_at: Timestamp::MAX, anchor: None, event, has_time: false }
    }

    /// Returns whether the recorded time is known.
    pub const fn has_time(&self) -> bool {
        self.has_time
    }

    /// Drops the event and keeps its version, time and anchor.
    pub(crate) const fn bare(&self) -> Recorded<'a, ()> {
        let Self { version, recorded_at, anchor, has_time, .. } = *self;
        Recorded { version, recorded_at, anchor, event: &(), has_time }
    }

    /// Sets the anchor.
    pub const fn anchor(mut self, anchor: &'a [u8]) -> Self {
        self.anchor = Some(anchor);
        self
    }
}

impl<E: ?Sized> Clone for Recorded<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E: ?Sized> Copy for Recorded<'_, E> {}

impl<E: ?Sized> fmt::Debug for Recorded<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recorded")
            .field("version", &self.version)
            .field("recorded_at", &self.has_time.then_some(self.recorded_at))
            .finish_non_exhaustive()
    }
}
