//! [`CacheConfig`].

use std::time::Duration;

/// The limits of the cache of decoded states.
///
/// The weight of a state is its encoded size, plus the length of its key, plus 512 bytes for the
/// entry. In memory, a large state usually takes a small multiple of its encoded size.
///
/// Every load compares the cached state with the events, but not with the stored snapshots. If
/// another process or engine rebuilds, retires or deletes a snapshot, this cache may therefore use
/// the old state until its time to live has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The maximum total weight of all cached states, in bytes. 64 MiB by default.
    pub max_bytes: u64,
    /// How long a state is kept after it was loaded from the store, however often it is used. One
    /// hour by default.
    pub time_to_live: Duration,
    /// How long a state is kept after its last load. Ten minutes by default.
    pub time_to_idle: Duration,
}

impl CacheConfig {
    /// Returns a configuration with a maximum total weight of `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            time_to_live: Duration::from_secs(3_600),
            time_to_idle: Duration::from_secs(600),
        }
    }

    /// Sets the time to live.
    pub fn time_to_live(mut self, time: Duration) -> Self {
        self.time_to_live = time;
        self
    }

    /// Sets the time to idle.
    pub fn time_to_idle(mut self, time: Duration) -> Self {
        self.time_to_idle = time;
        self
    }
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}
