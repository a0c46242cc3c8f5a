//! [`Limiter`]: counts the requests of each principal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use moka::sync::Cache;

use super::quota::RequestQuota;
use crate::clock::Clock;

/// The number of principals whose requests are counted at the same time.
const MAX_PRINCIPALS: u64 = 100_000;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// The injected clock, as governor wants it.
#[derive(Clone)]
struct LimitClock(Arc<dyn Clock>);

impl GovernorClock for LimitClock {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

type Counter = RateLimiter<NotKeyed, InMemoryState, LimitClock, StateInformationMiddleware>;

/// Counts the requests of each principal, and those with wrong credentials together.
#[derive(Clone)]
pub(crate) struct Limiter {
    default: Option<RequestQuota>,
    clock: LimitClock,
    /// By name, with the quota that was counted by. The names come from the authenticator, so a
    /// client cannot invent them.
    counters: Cache<String, (RequestQuota, Arc<Counter>)>,
    failures: Option<(RequestQuota, Arc<Counter>)>,
}

/// Whether a request is within the quota.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// There is no quota.
    Free,
    Within {
        quota: RequestQuota,
        /// How many more requests may follow at once.
        left: u32,
    },
    Exceeded {
        quota: RequestQuota,
        /// When the next request may be sent.
        wait: Duration,
    },
}

impl Limiter {
    pub(crate) fn new(
        default: Option<RequestQuota>,
        failures: Option<RequestQuota>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let clock = LimitClock(clock);
        let failures = failures.map(|quota| (quota, counter(quota, &clock)));
        Self { default, counters: Cache::new(MAX_PRINCIPALS), failures, clock }
    }

    /// Counts a request of a principal, by its own quota or the default one.
    pub(crate) fn count(&self, name: &str, own: Option<RequestQuota>) -> Counted {
        let Some(quota) = own.or(self.default) else { return Counted::Free };
        let counter = match self.counters.get(name) {
            Some((known, counter)) if known == quota => counter,
            _ => {
                let counter = counter(quota, &self.clock);
                self.counters.insert(name.to_owned(), (quota, Arc::clone(&counter)));
                counter
            }
        };
        self.checked(quota, &counter)
    }

    /// Counts a request with wrong credentials.
    pub(crate) fn count_failure(&self) -> Counted {
        match &self.failures {
            Some((quota, counter)) => self.checked(*quota, counter),
            None => Counted::Free,
        }
    }

    fn checked(&self, quota: RequestQuota, counter: &Counter) -> Counted {
        match counter.check() {
            Ok(state) => Counted::Within { quota, left: state.remaining_burst_capacity() },
            Err(until) => Counted::Exceeded { quota, wait: until.wait_time_from(self.clock.now()) },
        }
    }
}

impl Counted {
    /// Adds the headers of draft-ietf-httpapi-ratelimit-headers-10: the quota, what is left of it,
    /// and in how many seconds all of it will be back, or in how many one more request.
    pub(crate) fn describe(self, headers: &mut HeaderMap) {
        let (quota, left, seconds) = match self {
            Self::Free => return,
            Self::Within { quota, left } => {
                let used = quota.requests.get().saturating_sub(left);
                let share = f64::from(used) / f64::from(quota.requests.get());
                (quota, left, quota.period.mul_f64(share))
            }
            Self::Exceeded { quota, wait } => (quota, 0, wait),
        };
        let (requests, period) = (quota.requests, quota.period.as_secs());
        let policy = format!("\"default\";q={requests};w={period}");
        let state = format!("\"default\";r={left};t={}", whole_seconds(seconds));
        for (name, text) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
    }
}

/// Rounds up.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn counter(quota: RequestQuota, clock: &LimitClock) -> Arc<Counter> {
    let each = quota.period.div_f64(f64::from(quota.requests.get())).max(Duration::from_nanos(1));
    // A period of at least 1 ns is accepted.
    let rate = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(quota.requests));
    let counter = RateLimiter::direct_with_clock(rate.allow_burst(quota.requests), clock.clone());
    Arc::new(counter.with_middleware())
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("default", &self.default).finish_non_exhaustive()
    }
}
