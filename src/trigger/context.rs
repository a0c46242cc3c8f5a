//! [`TriggerContext`]: the input of a trigger, and the [`Costs`] in it.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// What is known about an aggregate right after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TriggerContext {
    /// The version after the commit.
    pub version: u64,
    /// The newest durably stored snapshot that is known, seeded by the load.
    pub snapshot: Option<LastSnapshot>,
    /// The wall-clock time of the commit.
    pub now: Timestamp,
    /// How many events the load before the commit replayed.
    pub events_replayed: u64,
    /// How long that replay took: applying events, and waiting for them after the first one.
    pub replay_time: Duration,
    /// The encoded size of the state in bytes, before compression: an estimate for today's version.
    /// It extrapolates from the two newest known sizes (of a snapshot, of the hot cache, or
    /// measured in the background), for at most as many events as lie between those two. `None` if
    /// none is known yet, or if the trigger does not [need
    /// it](crate::trigger::Trigger::needs_state_bytes).
    pub state_bytes: Option<u64>,
    /// What the engine has learned about costs: nothing if the trigger does not [need
    /// it](crate::trigger::Trigger::needs_costs).
    pub costs: Costs,
}

/// What the engine has learned about the costs of snapshots and replays.
///
/// The values are moving estimates that ignore outliers. A value is `None` until there are enough
/// samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Costs {
    /// The time for taking a snapshot of a state of this size: loading the state without the
    /// replay, encoding it, and its share of a put.
    pub snapshot: Option<Duration>,
    /// The time for restoring a snapshot of this size: verifying, decompressing and decoding it.
    pub restore: Option<Duration>,
    /// How much longer restoring a snapshot takes after 1,000 more events, because the state grows.
    pub restore_growth_1000: Option<Duration>,
    /// The time for replaying 1,000 events, without the wait for the first one.
    pub replay_1000: Option<Duration>,
    /// The number of loads of this aggregate per 1,000 committed events, without those that the hot
    /// cache answers.
    pub loads_per_1000: Option<u64>,
    /// The distance at which the last snapshot of this aggregate was requested, in events.
    pub last_interval: Option<u64>,
}

/// The newest stored snapshot, as triggers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastSnapshot {
    /// Its version.
    pub version: u64,
    /// When it was made.
    pub created_at: Timestamp,
    /// The encoded size of its state in bytes, before compression.
    pub raw_bytes: u64,
}

impl TriggerContext {
    /// Creates the context of an aggregate at `version`, committed at `now`, about which nothing
    /// else is known.
    pub const fn new(version: u64, now: Timestamp) -> Self {
        Self {
            version,
            snapshot: None,
            now,
            events_replayed: 0,
            replay_time: Duration::ZERO,
            state_bytes: None,
            costs: Costs {
                snapshot: None,
                restore: None,
                restore_growth_1000: None,
                replay_1000: None,
                loads_per_1000: None,
                last_interval: None,
            },
        }
    }

    /// Sets the newest snapshot that is already stored.
    pub const fn snapshot(mut self, snapshot: LastSnapshot) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// Returns the number of events after the newest snapshot, or of all events if there is none.
    pub fn distance(&self) -> u64 {
        self.version.saturating_sub(self.snapshot.map_or(0, |snapshot| snapshot.version))
    }

    /// What the distance counts from, for the end of a sentence.
    pub(super) fn since(&self) -> String {
        match self.snapshot {
            Some(snapshot) => format!("since the snapshot at version {}", snapshot.version),
            None => "and no snapshot yet".to_owned(),
        }
    }
}

impl LastSnapshot {
    /// A snapshot of `raw_bytes` bytes at `version`, made at `created_at`.
    pub const fn new(version: u64, created_at: Timestamp, raw_bytes: u64) -> Self {
        Self { version, created_at, raw_bytes }
    }
}
