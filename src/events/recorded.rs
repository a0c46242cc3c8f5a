//! [`Recorded`]: an event as the event store recorded it.

use std::fmt;

use crate::timestamp::Timestamp;

/// One event with its version, recorded time and anchor, as a source pushes it.
#[non_exhaustive]
pub struct Recorded<'a, E: ?Sized> {
    /// The position in the stream of the aggregate: 1 for the first event.
    pub version: u64,
    /// When the event was recorded. Can be before the time of an earlier event, because clocks may
    /// run backwards. [`Timestamp::MAX`] if the event is [untimed](Self::untimed).
    pub recorded_at: Timestamp,
    /// The identity of the event in the event store (an event id or a hash), if the source provides
    /// one. Snapshots keep the anchor of their last event, and each load compares it with the one
    /// in the event store.
    pub anchor: Option<&'a [u8]>,
    /// The event, or its encoded form for [`push_encoded`](crate::Replay::push_encoded).
    pub event: &'a E,
    has_time: bool,
}

impl<'a, E: ?Sized> Recorded<'a, E> {
    /// Creates an event without an anchor.
    pub const fn new(version: u64, recorded_at: Timestamp, event: &'a E) -> Self {
        Self { version, recorded_at, anchor: None, event, has_time: true }
    }

    /// Creates an event without an anchor and without a recorded time. For event stores that do not
    /// record times, or did not record them at first.
    ///
    /// - [`at_time`](crate::Loader::at_time) fails with
    ///   [`Unsupported`](crate::ErrorKind::Unsupported) if the event could belong to the result. A
    ///   state from before the event can still be loaded.
    /// - The as-of time of states and snapshots that include the event is [`Timestamp::MAX`], so
    ///   requests for an earlier time do not find them. Triggers and retention use the creation
    ///   time of snapshots instead.
    ///
    /// Do not invent a time instead. If all events have the same time, every later point in time
    /// gives the newest state, and the engine cannot detect this. A source that changes from
    /// invented times to none changes its history: existing snapshots are rejected as diverged.
    pub const fn untimed(version: u64, event: &'a E) -> Self {
        Self { version, recorded_at: Timestamp::MAX, anchor: None, event, has_time: false }
    }

    /// Returns whether the recorded time is known.
    pub const fn has_time(&self) -> bool {
        self.has_time
    }

    /// Returns the version, time and anchor without the event.
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
