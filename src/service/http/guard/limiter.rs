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

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

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
    /// Whether it is the quota of all who have no other.
    is_default: bool,
    counter: Counter,
    /// The quota as a header, which is the same in all answers.
    policy: HeaderValue,
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
        let failures = failures.map(|quota| Arc::new(Meter::new(quota, false, &clock)));
        Self { default, meters: Arc::new(Cache::new(MAX_PRINCIPALS)), failures, clock }
    }

    /// The header of the default quota, if there is one.
    pub(crate) fn default_policy(&self) -> Option<HeaderValue> {
        self.default.map(policy_value)
    }

    /// Counts a request of a principal, by its own quota or the default one.
    pub(crate) fn count(&self, name: &str, own: Option<RequestQuota>) -> Counted {
        let Some(quota) = own.or(self.default) else { return Counted::Free };
        let meter = match self.meters.get(name) {
            Some(meter) if meter.quota == quota => meter,
            _ => {
                let is_default = self.default == Some(quota);
                let meter = Arc::new(Meter::new(quota, is_default, &self.clock));
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
        let Some(state) = state_value(left, whole_seconds(seconds)) else { return };
        match headers.get_mut(&RATE_LIMIT) {
            // Prepared headers, which have the policy.
            Some(place) if meter.is_default => *place = state,
            _ => {
                headers.insert(RATE_LIMIT_POLICY.clone(), meter.policy.clone());
                headers.insert(RATE_LIMIT.clone(), state);
            }
        }
    }
}

/// Adds the headers of [`Counted::describe`] to prepared ones, of which each answer gets a copy: to
/// enlarge a copy takes longer than to make it.
pub(crate) fn prepare(headers: &mut HeaderMap, default_policy: HeaderValue) {
    headers.insert(RATE_LIMIT_POLICY.clone(), default_policy);
    headers.insert(RATE_LIMIT.clone(), HeaderValue::from_static(""));
}

/// The header `RateLimit-Policy`.
fn policy_value(RequestQuota { requests, period }: RequestQuota) -> HeaderValue {
    let text = format!("\"default\";q={requests};w={}", period.as_secs());
    // Plain ASCII.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
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
    fn new(quota: RequestQuota, is_default: bool, clock: &LimitClock) -> Self {
        let RequestQuota { requests, period } = quota;
        let each = period.div_f64(f64::from(requests.get())).max(Duration::from_nanos(1));
        // A period of at least 1 ns is accepted.
        let rate = Quota::with_period(each).unwrap_or_else(|| Quota::per_second(requests));
        let counter = RateLimiter::direct_with_clock(rate.allow_burst(requests), clock.clone());
        let (counter, policy) = (counter.with_middleware(), policy_value(quota));
        Self { quota, is_default, counter, policy }
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
