//! [`TriggerContext`]: what a trigger sees.

use std::time::Duration;

use crate::timestamp::Timestamp;

/// What is known of an aggregate right after a commit.
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
    /// The encoded size of the state in bytes, before compression: an estimate for today's
    /// version. It is the newest size that is known (of a snapshot, of the hot cache, or measured
    /// in the background), and the growth between the two newest ones carried on, for as many
    /// events as lie between those. `None` if none is known yet, or if the trigger does not
    /// [need it](crate::trigger::Trigger::needs_state_bytes).
    pub state_bytes: Option<u64>,
}

/// A stored snapshot, as far as triggers care.
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
    /// An aggregate at `version`, committed at `now`, of which nothing else is known.
    pub const fn new(version: u64, now: Timestamp) -> Self {
        Self {
            version,
            snapshot: None,
            now,
            events_replayed: 0,
            replay_time: Duration::ZERO,
            state_bytes: None,
        }
    }

    /// Sets the newest snapshot that is already stored.
    pub const fn snapshot(mut self, snapshot: LastSnapshot) -> Self {
        self.snapshot = Some(snapshot);
        self
    }

    /// How many events lie after the newest snapshot; all of them if there is none.
    pub fn distance(&self) -> u64 {
        self.version.saturating_sub(self.snapshot.map_or(0, |snapshot| snapshot.version))
    }
}

impl LastSnapshot {
    /// A snapshot of `raw_bytes` bytes at `version`, made at `created_at`.
    pub const fn new(version: u64, created_at: Timestamp, raw_bytes: u64) -> Self {
        Self { version, created_at, raw_bytes }
    }
}
