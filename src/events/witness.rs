//! [`Witness`]: receives pushed events instead of a fold.

use std::ops::ControlFlow;
use std::time::Duration;

use super::recorded::Recorded;
use super::time::{EventTime, Times};
use crate::clock::Clock;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

/// Receives what an event source pushes. Nothing is folded, and nothing is checked first.
pub(crate) trait Witness<A: Aggregate>: Send + Sync {
    /// Returns whether [`see`](Self::see) needs the event itself. If so, encoded events are
    /// decoded.
    fn wants_events(&self) -> bool;

    /// Receives one push. `event` is `Some` if it was pushed decoded, or if events are wanted.
    fn see(&mut self, recorded: Recorded<'_, ()>, event: Option<&A::Event>) -> ControlFlow<()>;
}

impl<A: Aggregate> Witness<A> for Times {
    fn wants_events(&self) -> bool {
        false
    }

    fn see(&mut self, recorded: Recorded<'_, ()>, _: Option<&A::Event>) -> ControlFlow<()> {
        let recorded_at = recorded.has_time().then_some(recorded.recorded_at);
        self.add(EventTime::new(recorded.version, recorded_at))
    }
}

/// The clock of a replay that applies no events.
#[derive(Debug)]
pub(super) struct NoClock;

impl Clock for NoClock {
    fn now(&self) -> Timestamp {
        Timestamp::MIN
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }
}
