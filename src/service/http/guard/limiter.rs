//! [`Limiter`]: counts the requests of each principal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName, HeaderValue};
use quick_cache::sync::Cache;

use super::quota::RequestQuota;
use crate::clock::Clock;

/// The number of principals whose requests are counted at the same time.
const MAX_PRINCIPALS: usize = 100_000;

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

/// Counts by one quota.
pub(crate) struct Meter {
    quota: RequestQuota,
    counter: Counter,
    /// The quota as a header, which is the same in all answers.
    policy: Option<HeaderValue>,
}

/// Counts the requests of each principal, and those with wrong credentials together.
#[derive(Clone)]
pub(crate) struct Limiter {
    default: Option<RequestQuota>,
    clock: LimitClock,
    /// By name. The names come from the authenticator, so a client cannot invent them.
    meters: Arc<Cache<String, Arc<Meter>>>,
    failures: Option<Arc<Meter>>,
}

/// Whether a request is within the quota.
#[derive(Clone, Debug)]
pub(crate) enum Counted {
    /// There is no quota.
    Free,
    Within {
        meter: Arc<Meter>,
        /// How many more requests may follow at once.
        left: u32,
    },
    Exceeded {
        meter: Arc<Meter>,
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
        let failures = failures.map(|quota| Arc::new(Meter::new(quota, &clock)));
        Self { default, meters: Arc::new(Cache::new(MAX_PRINCIPALS)), failures, clock }
    }

    /// Whether every request of a principal is counted.
    pub(crate) const fn counts_all(&self) -> bool {
        self.default.is_some()
    }

    /// Counts a request of a principal, by its own quota or the default one.
    pub(crate) fn count(&self, name: &str, own: Option<RequestQuota>) -> Counted {
        let Some(quota) = own.or(self.default) else { return Counted::Free };
        let meter = match self.meters.get(name) {
            Some(meter) if meter.quota == quota => meter,
            _ => {
                let meter = Arc::new(Meter::new(quota, &self.clock));
                self.meters.insert(name.to_owned(), Arc::clone(&meter));
                meter
            }
        };
        self.checked(meter)
    }

    /// Counts a request with wrong credentials.
    pub(crate) fn count_failure(&self) -> Counted {
        match &self.failures {
            Some(meter) => self.checked(Arc::clone(meter)),
            None => Counted::Free,
        }
    }

    fn checked(&self, meter: Arc<Meter>) -> Counted {
        match meter.counter.check() {
            Ok(state) => Counted::Within { left: state.remaining_burst_capacity(), meter },
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                Counted::Exceeded { meter, wait }
            }
        }
    }
}

/// Makes room in prepared headers for those that [`Counted::describe`] adds to each copy: to enlarge
/// a copy takes longer than to make it.
pub(crate) fn make_room(headers: &mut HeaderMap) {
    for name in [RATE_LIMIT_POLICY, RATE_LIMIT] {
        headers.insert(name, HeaderValue::from_static(""));
    }
}

impl Counted {
    /// Adds the headers of draft-ietf-httpapi-ratelimit-headers-10: the quota, what is left of it,
    /// and in how many seconds all of it will be back, or in how many one more request.
    pub(crate) fn describe(&self, headers: &mut HeaderMap) {
        let (meter, left, seconds) = match self {
            Self::Free => return,
            Self::Within { meter, left } => {
                let quota = meter.quota;
                let used = quota.requests.get().saturating_sub(*left);
                let share = f64::from(used) / f64::from(quota.requests.get());
                (meter, *left, quota.period.mul_f64(share))
            }
            Self::Exceeded { meter, wait } => (meter, 0, *wait),
        };
        let state = state_value(left, whole_seconds(seconds));
        for (name, value) in [(RATE_LIMIT_POLICY, meter.policy.clone()), (RATE_LIMIT, state)] {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}

/// The header `RateLimit`. Every answer has another one, so it is not formatted.
fn state_value(left: u32, seconds: u64) -> Option<HeaderValue> {
    let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
    let parts = ["\"default\";r=", first.format(left), ";t=", second.format(seconds)];
    HeaderValue::try_from(parts.concat()).ok()
}

/// Rounds up.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

impl Meter {
    fn new(quota: RequestQuota, clock: &LimitClock) -> Self {
        let RequestQuota { requests, period } = quota;
        let each = period.div_f64(f64::from(requests.get())).max(Duration::from_nanos(1));
        // A period of at least 1 ns is accepted.
        let rate = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(requests));
        let counter = RateLimiter::direct_with_clock(rate.allow_burst(requests), clock.clone());
        let policy = format!("\"default\";q={requests};w={}", period.as_secs());
        let policy = HeaderValue::try_from(policy).ok();
        Self { quota, counter: counter.with_middleware(), policy }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").field("quota", &self.quota).finish_non_exhaustive()
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("default", &self.default).finish_non_exhaustive()
    }
}
