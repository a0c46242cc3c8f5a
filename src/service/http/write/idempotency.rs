//! [`KeptAnswers`]: a write with an idempotency key is made once
//! (draft-ietf-httpapi-idempotency-key-header-07).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, StatusCode};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use sha2::{Digest as _, Sha256};

use super::answer::WriteOutcome;
use crate::clock::Clock;
use crate::service::http::problem::HttpProblem;

pub(crate) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(crate) const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The longest key, in bytes.
const MAX_KEY: usize = 255;
/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How much memory kept answers take, in bytes.
const KEPT_BYTES: u64 = 32 << 20;
/// A larger answer is not kept, but that the write was made is.
const MAX_ANSWER: usize = 1 << 20;

/// A SHA-256.
type Sha = [u8; 32];

/// The answers of writes with an idempotency key, and the keys of writes that are being made.
pub(crate) struct KeptAnswers {
    /// The fingerprint of each request that is being answered, by [`RequestMark::id`]. Not in the
    /// cache, because it must not be evicted.
    running: Mutex<HashMap<Sha, Sha>>,
    kept: Cache<Sha, Arc<KeptAnswer>>,
    clock: Arc<dyn Clock>,
}

struct KeptAnswer {
    fingerprint: Sha,
    outcome: WriteOutcome,
    /// By the monotonic clock (exclusive).
    until: Duration,
}

/// Identifies a request that may be sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestMark {
    /// Of the principal, the tenant and the key: keys of others are other keys.
    id: Sha,
    /// Of everything that the write depends on.
    fingerprint: Sha,
}

/// What is known about a request with a key.
pub(crate) enum Claimed {
    /// It is the first one.
    First(Reservation),
    /// It was answered before.
    Before(WriteOutcome),
}

/// The right to make a write. If it is dropped without an answer, the key is free again.
pub(crate) struct Reservation {
    answers: Arc<KeptAnswers>,
    mark: RequestMark,
}

/// Reads the key of a request: a string as in structured fields (RFC 8941), or the same without
/// quotes.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, HttpProblem> {
    let invalid = |detail: &str| HttpProblem::bad_request(format!("Idempotency-Key {detail}"));
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(invalid("is given twice"));
    }
    let text = value.to_str().map_err(|_| invalid("is no ASCII text"))?.trim();
    let key = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted).ok_or_else(|| invalid("is no quoted string"))?,
        None if text.contains(['"', ',', ';']) => return Err(invalid("is no string: quote it")),
        None => text.to_owned(),
    };
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(invalid(&format!("has {} bytes: use 1 to {MAX_KEY}", key.len())));
    }
    Ok(Some(key))
}

/// Reads a quoted string after its first quote.
fn unquoted(text: &str) -> Option<String> {
    let mut key = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return chars.as_str().is_empty().then_some(key),
            '\\' => match chars.next()? {
                c @ ('"' | '\\') => key.push(c),
                _ => return None,
            },
            c => key.push(c),
        }
    }
}

impl RequestMark {
    pub(crate) fn new(key: &str, principal: &str, tenant: &str, request: [&[u8]; 3]) -> Self {
        let id = hash(&[principal.as_bytes(), tenant.as_bytes(), key.as_bytes()]);
        let [method, target, body] = request;
        let fingerprint = hash(&[method, target, principal.as_bytes(), body]);
        Self { id, fingerprint }
    }
}

/// Hashes parts so that no other parts give the same bytes.
fn hash(parts: &[&[u8]]) -> Sha {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}

impl KeptAnswers {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let kept = Cache::builder()
            .max_capacity(KEPT_BYTES)
            // The default policy may refuse a new answer in favour of an old one.
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, kept: &Arc<KeptAnswer>| u32::try_from(kept.weight()).unwrap_or(u32::MAX))
            .build();
        Self { running: Mutex::default(), kept, clock }
    }

    // No change is interrupted by code that can panic.
    fn running(&self) -> MutexGuard<'_, HashMap<Sha, Sha>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims a request. Of several at the same time, one gets the reservation.
    pub(crate) fn claim(self: &Arc<Self>, mark: RequestMark) -> Result<Claimed, HttpProblem> {
        let RequestMark { id, fingerprint } = mark;
        let mut running = self.running();
        // Under the lock, because an answer is kept before its reservation ends.
        if let Some(other) = running.get(&id) {
            return Err(if *other == fingerprint {
                HttpProblem::request_running()
            } else {
                HttpProblem::key_reused()
            });
        }
        if let Some(kept) = self.kept.get(&id)
            && self.clock.monotonic() < kept.until
        {
            return if kept.fingerprint == fingerprint {
                Ok(Claimed::Before(kept.outcome.clone()))
            } else {
                Err(HttpProblem::key_reused())
            };
        }
        running.insert(id, fingerprint);
        Ok(Claimed::First(Reservation { answers: Arc::clone(self), mark }))
    }
}

impl Reservation {
    /// Keeps a final answer, and ends the reservation.
    pub(crate) fn answered(self, outcome: &WriteOutcome) {
        if !is_final(outcome) {
            return;
        }
        let outcome = match outcome {
            Ok(answer) if answer.document().len() > MAX_ANSWER => {
                Err(HttpProblem::answer_not_kept())
            }
            outcome => outcome.clone(),
        };
        let until = self.answers.clock.monotonic().saturating_add(KEPT_FOR);
        let kept = KeptAnswer { fingerprint: self.mark.fingerprint, outcome, until };
        self.answers.kept.insert(self.mark.id, Arc::new(kept));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.answers.running().remove(&self.mark.id);
    }
}

impl KeptAnswer {
    /// About how much memory it takes, in bytes.
    fn weight(&self) -> usize {
        let document = self.outcome.as_ref().map_or(0, |answer| answer.document().len());
        document.saturating_add(1_024)
    }
}

/// Whether the same request would be answered like this again. What may pass is not kept: missing
/// permissions, a conflict, a quota, and failures of the server.
fn is_final(outcome: &WriteOutcome) -> bool {
    let status = match outcome {
        Ok(answer) => answer.status(),
        Err(problem) => problem.status(),
    };
    let passes = [
        StatusCode::UNAUTHORIZED,
        StatusCode::FORBIDDEN,
        StatusCode::CONFLICT,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_server_error() && !passes.contains(&status)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::clock::ManualClock;
    use crate::service::http::problem_kind::ProblemKind;
    use crate::service::http::write::answer::WriteAnswer;
    use crate::timestamp::Timestamp;

    fn key(text: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, HeaderValue::from_bytes(text.as_bytes()).unwrap());
        idempotency_key(&headers).ok().flatten()
    }

    #[test]
    fn a_key_is_a_string_with_or_without_quotes() {
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
        for (text, expected) in [
            ("\"8e03978e\"", Some("8e03978e")),
            ("8e03978e", Some("8e03978e")),
            (" \"a b\" ", Some("a b")),
            (r#""a\"\\b""#, Some(r#"a"\b"#)),
            ("", None),
            ("\"\"", None),
            ("\"a", None),
            ("\"a\"b", None),
            ("\"a\";p=1", None),
            ("a,b", None),
            (r#""\a""#, None),
            ("\u{f6}", None),
        ] {
            assert_eq!(key(text).as_deref(), expected, "{text}");
        }
        assert!(key(&"k".repeat(MAX_KEY)).is_some());
        assert!(key(&"k".repeat(MAX_KEY + 1)).is_none());
        let mut twice = HeaderMap::new();
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        twice.append(IDEMPOTENCY_KEY, HeaderValue::from_static("a"));
        assert!(idempotency_key(&twice).is_err());
    }

    fn mark(key: &str, body: &[u8]) -> RequestMark {
        RequestMark::new(key, "ops", "north", [b"POST", b"/x", body])
    }

    fn first(answers: &Arc<KeptAnswers>, mark: RequestMark) -> Reservation {
        match answers.claim(mark) {
            Ok(Claimed::First(reservation)) => reservation,
            _ => panic!("the key is taken"),
        }
    }

    fn status(answers: &Arc<KeptAnswers>, mark: RequestMark) -> u16 {
        match answers.claim(mark) {
            Ok(Claimed::First(_)) => 0,
            Ok(Claimed::Before(outcome)) => {
                outcome.map_or_else(|it| it.status(), |it| it.status()).as_u16()
            }
            Err(problem) => problem.status().as_u16(),
        }
    }

    #[test]
    fn a_key_is_free_again_when_its_request_ends_without_an_answer() {
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        let answers = Arc::new(KeptAnswers::new(Arc::new(clock.clone())));
        let reservation = first(&answers, mark("k", b"1"));
        assert_eq!(status(&answers, mark("k", b"1")), 409);
        assert_eq!(status(&answers, mark("k", b"2")), 422);
        drop(reservation);
        assert_eq!(status(&answers, mark("k", b"2")), 0);

        // Neither are answers kept that may pass.
        for code in [401, 403, 409, 429, 500, 503] {
            let kind = ProblemKind::ALL.iter().find(|kind| kind.status.as_u16() == code);
            let problem = HttpProblem::new(kind.unwrap());
            first(&answers, mark("k", b"1")).answered(&Err(problem));
        }
        let gone = HttpProblem::not_found("x");
        first(&answers, mark("k", b"1")).answered(&Err(gone));
        assert_eq!(status(&answers, mark("k", b"1")), 404);
        assert_eq!(status(&answers, mark("k", b"2")), 422);
        clock.advance(KEPT_FOR.saturating_sub(Duration::from_micros(1)));
        assert_eq!(status(&answers, mark("k", b"1")), 404);
        clock.advance(Duration::from_micros(1));
        assert_eq!(status(&answers, mark("k", b"1")), 0);
        assert!(answers.running().is_empty());
    }

    #[test]
    fn memory_is_bounded_and_a_large_answer_is_not_made_twice() {
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        let answers = Arc::new(KeptAnswers::new(Arc::new(clock)));
        let of = |bytes: usize| Ok(WriteAnswer::new(StatusCode::OK, vec![b' '; bytes]));
        first(&answers, mark("large", b"")).answered(&of(MAX_ANSWER + 1));
        assert_eq!(status(&answers, mark("large", b"")), 410);
        for n in 0..200 {
            first(&answers, mark(&n.to_string(), b"")).answered(&of(MAX_ANSWER));
            // A new answer is kept at once, however full it is.
            assert_eq!(status(&answers, mark(&n.to_string(), b"")), 200, "{n}");
        }
        answers.kept.run_pending_tasks();
        assert!(answers.kept.weighted_size() <= KEPT_BYTES);
    }

    #[test]
    fn keys_of_others_are_other_keys() {
        let clock = ManualClock::at(Timestamp::from_seconds(0));
        let answers = Arc::new(KeptAnswers::new(Arc::new(clock)));
        let request: [&[u8]; 3] = [b"POST", b"/x", b""];
        let _held = first(&answers, RequestMark::new("k", "ops", "north", request));
        for (key, principal, tenant) in [
            ("k", "ops", "south"),
            ("k", "opsn", "orth"),
            ("k", "dev", "north"),
            ("", "ops", "northk"),
        ] {
            let other = RequestMark::new(key, principal, tenant, request);
            assert_eq!(status(&answers, other), 0, "{principal} {tenant}");
        }
        let same = |request| RequestMark::new("k", "ops", "north", request);
        assert_eq!(status(&answers, same([b"DELETE", b"/x", b""])), 422);
        assert_eq!(status(&answers, same([b"POST", b"/", b"x"])), 422);
    }
}
