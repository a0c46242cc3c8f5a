//! [`RequestQuota`].

use std::num::NonZeroU32;
use std::time::Duration;

/// How many requests a principal may send in a period.
///
/// All of them may be sent at once. They come back one by one, evenly spread over the period, as the
/// generic cell rate algorithm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestQuota {
    pub(super) requests: NonZeroU32,
    pub(super) period: Duration,
}

impl RequestQuota {
    /// Allows `requests` in each `period`. 0 requests are treated as 1, and a period below one second
    /// as one second.
    pub fn new(requests: u32, period: Duration) -> Self {
        let requests = NonZeroU32::new(requests).unwrap_or(NonZeroU32::MIN);
        Self { requests, period: period.max(Duration::from_secs(1)) }
    }
}
