//! [`CacheConfig`].

use std::time::Duration;

/// How the hot cache of decoded states is bounded.
///
/// A state is weighed by its encoded size, the length of its key, and 512 bytes for the entry
/// itself; what a large state takes in memory is usually a small multiple of its encoded size.
///
/// What another process or engine rebuilds, retires or deletes is not seen before the state has
/// lived its time: events are compared at each load, snapshots are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheConfig {
    /// The limit for all cached states together, in bytes. 64 MiB by default.
    pub max_bytes: u64,
    /// A state is dropped so long after it was loaded from the store, whatever happened since.
    /// One hour by default.
    pub time_to_live: Duration,
    /// A state is dropped when it was not loaded for so long. Ten minutes by default.
    pub time_to_idle: Duration,
}

impl CacheConfig {
    /// A cache of at most `max_bytes` of encoded states.
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
