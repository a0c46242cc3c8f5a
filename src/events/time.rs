//! [`EventTime`]: when an event was recorded.

use std::ops::ControlFlow;

use super::range::EventRange;
use crate::error::{Error, ErrorKind};
use crate::timestamp::Timestamp;

/// The version of an event, and when the event was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct EventTime {
    /// The version of the event.
    pub version: u64,
    /// When the event was recorded; `None` if the time is unknown
    /// ([`Recorded::untimed`](crate::events::Recorded::untimed)).
    pub recorded_at: Option<Timestamp>,
}

impl EventTime {
    /// Creates the entry of the event with this version. `recorded_at` is `None` if the time is
    /// unknown.
    pub const fn new(version: u64, recorded_at: Option<Timestamp>) -> Self {
        Self { version, recorded_at }
    }
}

/// Collects the times of events and checks that they are contiguous.
pub(crate) struct Times {
    range: EventRange,
    limit: usize,
    collected: Vec<EventTime>,
    broken: Option<(u64, u64)>,
}

impl Times {
    /// Collects the first `limit` events of `range`; 0 is treated as 1.
    pub(crate) fn new(range: EventRange, limit: usize) -> Self {
        Self { range, limit: limit.max(1), collected: Vec::new(), broken: None }
    }

    /// Adds the next time. `Break` if no further one is wanted.
    pub(crate) fn add(&mut self, time: EventTime) -> ControlFlow<()> {
        let version = time.version;
        if self.broken.is_some() || self.collected.len() >= self.limit || version > self.range.until
        {
            return ControlFlow::Break(());
        }
        // The first version may be higher than requested, because earlier events may be truncated.
        let (expected, follows) = match self.collected.last() {
            Some(last) => (last.version + 1, version == last.version + 1),
            None => (self.range.after.saturating_add(1), version > self.range.after),
        };
        if !follows {
            self.broken = Some((expected, version));
            return ControlFlow::Break(());
        }
        self.collected.push(time);
        let is_end = self.collected.len() == self.limit || version == self.range.until;
        if is_end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Returns the times.
    ///
    /// # Errors
    /// `BrokenHistory` if the versions were not contiguous.
    pub(crate) fn finish(self) -> Result<Vec<EventTime>, Error> {
        match self.broken {
            None => Ok(self.collected),
            Some((expected, found)) => Err(Error::new(
                ErrorKind::BrokenHistory,
                "read the times of events",
                format!("the event source returned version {found} instead of {expected}"),
            )),
        }
    }
}
