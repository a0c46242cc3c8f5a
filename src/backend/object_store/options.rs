//! [`ObjectStoreOptions`].

use std::time::Duration;

/// The limits and timeouts of [`ObjectStoreSnapshots`](super::ObjectStoreSnapshots).
///
/// ```
/// use std::time::Duration;
/// use snapfold::object_store::ObjectStoreOptions;
///
/// let options = ObjectStoreOptions::new().timeout(Duration::from_secs(10)).in_flight(32);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObjectStoreOptions {
    /// The time limit for one call, with all of its requests and their repetitions; 30 seconds by
    /// default. A call that exceeds it fails with
    /// [`ErrorKind::Timeout`](crate::ErrorKind::Timeout). Between 1 ms and 10 minutes.
    pub timeout: Duration,
    /// The longest record of which the index has a copy, in bytes (inclusive); 64 KiB by default. The
    /// newest snapshot takes one request up to this length, and two above it. 0 for no copies.
    pub inline_limit: u64,
    /// The largest record that can be put, in bytes (inclusive); 64 MiB by default, at most
    /// [`ObjectStoreOptions::MAX_RECORD_BYTES`]. Records above 16 MiB are sent in parts of 8 MiB.
    pub max_record_bytes: u64,
    /// How many requests one call sends at the same time; 16 by default, at least 1.
    pub in_flight: usize,
    /// How much memory is used for indexes and records that were read or written, in bytes; 32 MiB
    /// by default. With the index of an aggregate in memory, a put needs no read, and a load only
    /// asks whether it has changed.
    pub cache_bytes: u64,
    /// Whether nothing is written, so that credentials that may only read are enough. `false` by
    /// default. If `true`, every call that writes fails with
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    pub read_only: bool,
}

impl ObjectStoreOptions {
    /// The upper limit of [`max_record_bytes`](Self::max_record_bytes): 1 GiB.
    pub const MAX_RECORD_BYTES: u64 = 1 << 30;

    /// Returns the default options.
    pub fn new() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            inline_limit: 64 << 10,
            max_record_bytes: 64 << 20,
            in_flight: 16,
            cache_bytes: 32 << 20,
            read_only: false,
        }
    }

    /// Sets the [`timeout`](Self::timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the [`inline_limit`](Self::inline_limit).
    pub fn inline_limit(mut self, bytes: u64) -> Self {
        self.inline_limit = bytes;
        self
    }

    /// Sets [`max_record_bytes`](Self::max_record_bytes).
    pub fn max_record_bytes(mut self, bytes: u64) -> Self {
        self.max_record_bytes = bytes;
        self
    }

    /// Sets [`in_flight`](Self::in_flight).
    pub fn in_flight(mut self, requests: usize) -> Self {
        self.in_flight = requests;
        self
    }

    /// Sets [`cache_bytes`](Self::cache_bytes).
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Sets [`read_only`](Self::read_only).
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Returns the options with every value within its bounds.
    pub(super) fn bounded(mut self) -> Self {
        self.timeout = self.timeout.clamp(Duration::from_millis(1), Duration::from_secs(600));
        self.inline_limit = self.inline_limit.min(1 << 20);
        self.max_record_bytes = self.max_record_bytes.min(Self::MAX_RECORD_BYTES);
        self.in_flight = self.in_flight.clamp(1, 1_000);
        self
    }
}

impl Default for ObjectStoreOptions {
    fn default() -> Self {
        Self::new()
    }
}
