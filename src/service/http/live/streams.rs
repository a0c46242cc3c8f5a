//! [`LiveStreams`]: how streams of changes are sent.

use std::time::Duration;

use super::changes::LiveChanges;

const DAY: Duration = Duration::from_secs(86_400);

/// How a [`Delivery`](super::super::Delivery) sends streams of changes, for
/// [`DeliveryBuilder::live`](super::super::DeliveryBuilder::live). All limits are of one process.
#[derive(Clone, Debug)]
pub struct LiveStreams {
    pub(super) changes: LiveChanges,
    pub(super) keep_alive: Duration,
    pub(super) recheck: Duration,
    pub(super) duration: Duration,
    pub(super) at_most: usize,
    pub(super) for_each: usize,
}

impl LiveStreams {
    /// Sends these changes, with the defaults of the other methods.
    pub fn new(changes: LiveChanges) -> Self {
        Self {
            changes,
            keep_alive: Duration::from_secs(15),
            recheck: Duration::from_secs(30),
            duration: Duration::from_secs(3_600),
            at_most: 10_000,
            for_each: 1_000,
        }
    }

    /// Sets after how long without an event a client is told that the stream is alive, so that no
    /// proxy ends it. It is also told where the stream stands, so that it misses nothing if it is
    /// interrupted. 15 seconds by default, and from 1 second to 1 day.
    pub fn keep_alive(mut self, after: Duration) -> Self {
        self.keep_alive = after.clamp(Duration::from_secs(1), DAY);
        self
    }

    /// Sets how often the [authenticator](super::super::Authenticator) is asked again for an open
    /// stream. It ends once the client may no longer read what it has, or if that cannot be found
    /// out. 30 seconds by default, and from 1 second to 1 day.
    pub fn recheck(mut self, every: Duration) -> Self {
        self.recheck = every.clamp(Duration::from_secs(1), DAY);
        self
    }

    /// Sets how long a stream lasts. A client then opens the next one and misses nothing. 1 hour by
    /// default, and at most 1 day.
    pub fn duration(mut self, at_most: Duration) -> Self {
        self.duration = at_most.min(DAY);
        self
    }

    /// Sets how many streams may be open. 10,000 by default. Further ones are answered with 503 and
    /// `Retry-After`.
    pub fn at_most(mut self, streams: usize) -> Self {
        self.at_most = streams;
        self
    }

    /// Sets how many streams a principal may have open. 1,000 by default. Further ones are answered
    /// with 429 and `Retry-After`. Has no effect on a service that is open to everybody.
    pub fn for_each_principal(mut self, streams: usize) -> Self {
        self.for_each = streams;
        self
    }
}

impl From<LiveChanges> for LiveStreams {
    fn from(changes: LiveChanges) -> Self {
        Self::new(changes)
    }
}
