//! [`CachePolicy`]: what caches may do with answers.

use std::fmt::Write as _;
use std::time::Duration;

use http::HeaderValue;

/// What caches between the server and its clients may do with the states of a tenant.
///
/// The default is [`private`](Self::private).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CachePolicy {
    public: Option<Public>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Public {
    s_maxage: Duration,
    stale_while_revalidate: Duration,
    stale_if_error: Duration,
}

/// How long an answer stays right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Freshness {
    /// The next commit changes it.
    Now,
    /// Only a new release of the application, or a repair, changes it.
    Version,
    /// Its URL names its content.
    Immutable,
}

impl CachePolicy {
    /// Only the client's own cache may store states, and it asks again each time.
    pub const fn private() -> Self {
        Self { public: None }
    }

    /// Shared caches may store states and serve them for `s_maxage` without asking again. For
    /// projects that everybody may read.
    pub const fn public(s_maxage: Duration) -> Self {
        let stale = Duration::ZERO;
        Self {
            public: Some(Public { s_maxage, stale_while_revalidate: stale, stale_if_error: stale }),
        }
    }

    /// Lets shared caches serve a state for this long after it became stale, while they ask again
    /// (RFC 5861). Has no effect on a private policy.
    pub fn stale_while_revalidate(mut self, time: Duration) -> Self {
        if let Some(public) = &mut self.public {
            public.stale_while_revalidate = time;
        }
        self
    }

    /// Lets shared caches serve a state for this long after it became stale, while the server does
    /// not answer (RFC 5861). Has no effect on a private policy.
    pub fn stale_if_error(mut self, time: Duration) -> Self {
        if let Some(public) = &mut self.public {
            public.stale_if_error = time;
        }
        self
    }

    pub(super) const fn is_public(&self) -> bool {
        self.public.is_some()
    }

    /// The value of `Cache-Control`.
    pub(super) fn value(&self, freshness: Freshness) -> HeaderValue {
        let mut text = String::from(if self.is_public() { "public" } else { "private" });
        let whole = |duration: Duration| duration.as_secs();
        text.push_str(match freshness {
            Freshness::Now => ", max-age=0, must-revalidate",
            Freshness::Version => ", max-age=60, must-revalidate",
            Freshness::Immutable => ", max-age=31536000, immutable",
        });
        if let (Some(public), false) = (&self.public, freshness == Freshness::Immutable) {
            // `must-revalidate` would forbid to serve what is stale.
            if !(public.stale_while_revalidate.is_zero() && public.stale_if_error.is_zero()) {
                text = text.replace(", must-revalidate", "");
            }
            let _ = write!(text, ", s-maxage={}", whole(public.s_maxage));
            for (name, time) in [
                ("stale-while-revalidate", public.stale_while_revalidate),
                ("stale-if-error", public.stale_if_error),
            ] {
                if !time.is_zero() {
                    let _ = write!(text, ", {name}={}", whole(time));
                }
            }
        }
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("no-store"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directives_of_each_policy() {
        let private = CachePolicy::private();
        assert_eq!(private.value(Freshness::Now), "private, max-age=0, must-revalidate");
        assert_eq!(private.value(Freshness::Immutable), "private, max-age=31536000, immutable");
        let seconds = Duration::from_secs;
        let public = CachePolicy::public(seconds(30));
        assert_eq!(public.value(Freshness::Now), "public, max-age=0, must-revalidate, s-maxage=30");
        let stale = public.stale_while_revalidate(seconds(5)).stale_if_error(seconds(600));
        assert_eq!(
            stale.value(Freshness::Version),
            "public, max-age=60, s-maxage=30, stale-while-revalidate=5, stale-if-error=600",
        );
        assert_eq!(stale.value(Freshness::Immutable), "public, max-age=31536000, immutable");
    }
}
