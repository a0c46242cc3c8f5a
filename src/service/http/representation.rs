//! [`Representation`]: a state in one media type, with its hash and its prepared headers.

use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use headers::ETag;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, ETAG, LINK, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::body::DeliveryBody;
use super::cache_policy::{CachePolicy, Freshness};
use super::condition::{Outcome, evaluate, repeats};
use super::guard::prepare;
use super::links::Links;
use super::media::{Coding, Media};
use super::problem::HttpProblem;
use super::state_document;
use crate::error::Error;
use crate::manager::OpaqueState;
use crate::timestamp::Timestamp;

pub(super) const REPR_DIGEST: HeaderName = HeaderName::from_static("repr-digest");
/// Names what an answer was made from, if it is not the events.
const SNAPFOLD_SOURCE: HeaderName = HeaderName::from_static("snapfold-source");
const MEMENTO_DATETIME: HeaderName = HeaderName::from_static("memento-datetime");
/// Shorter bodies are not compressed.
const MIN_COMPRESSED: usize = 512;

/// A state in one media type at one kind of URL. Its bytes are a function of the aggregate, the
/// version, the state and the media type alone.
pub(super) struct Representation {
    pub(super) state: OpaqueState,
    body: Bytes,
    hash: [u8; 32],
    /// The headers that do not depend on the coding.
    headers: HeaderMap,
    /// The header of the quota that each answer describes.
    policy: Option<HeaderValue>,
    identity: OnceLock<CodedBody>,
    gzip: OnceLock<CodedBody>,
    #[cfg(feature = "zstd")]
    zstd: OnceLock<CodedBody>,
}

/// A representation with a content coding.
struct CodedBody {
    body: Bytes,
    tag: HeaderValue,
    /// The tag, parsed. Always set.
    etag: Option<ETag>,
    headers: HeaderMap,
    not_modified: HeaderMap,
}

impl Representation {
    /// Renders a state.
    pub(super) fn render(
        state: OpaqueState,
        media: Media,
        freshness: Freshness,
        links: &Links,
        policy: &CachePolicy,
    ) -> Result<Self, Error> {
        let body = Bytes::from(state_document::write(&state, media, links)?);
        let hash: [u8; 32] = Sha256::digest(&body).into();
        let mut headers = HeaderMap::with_capacity(10);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.name()));
        headers.insert(CACHE_CONTROL, policy.value(freshness));
        let vary = match (freshness, policy.is_public()) {
            (Freshness::Now, false) => "accept, accept-encoding, accept-datetime, authorization",
            (Freshness::Now, true) => "accept, accept-encoding, accept-datetime",
            (_, false) => "accept, accept-encoding, authorization",
            (_, true) => "accept, accept-encoding",
        };
        headers.insert(VARY, HeaderValue::from_static(vary));
        let version = state.version();
        let mut put = |name, text: String| {
            // Segments, digests and dates are plain ASCII.
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        };
        if let (Some(at), true) = (state.as_of().and_then(to_second), freshness != Freshness::Now) {
            put(MEMENTO_DATETIME, httpdate::fmt_http_date(at));
        }
        let digest = URL_SAFE_NO_PAD.encode(hash);
        if freshness == Freshness::Now {
            put(LINK, links.of_entity());
        } else {
            put(LINK, links.of_version(version));
        }
        if freshness != Freshness::Immutable {
            put(CONTENT_LOCATION, links.immutable(version, &digest));
        }
        Ok(Self {
            state,
            body,
            hash,
            headers,
            policy: None,
            identity: OnceLock::new(),
            gzip: OnceLock::new(),
            #[cfg(feature = "zstd")]
            zstd: OnceLock::new(),
        })
    }

    /// Says that the state was captured, and may be behind the events.
    pub(super) fn captured(mut self) -> Self {
        self.headers.insert(SNAPFOLD_SOURCE, HeaderValue::from_static("snapshots"));
        self
    }

    /// Says whether each answer gets the headers of a quota, and which one most of them get.
    pub(super) fn counted(mut self, policy: Option<HeaderValue>) -> Self {
        self.policy = policy;
        self
    }

    /// The hash as it stands in the immutable URL.
    pub(super) fn digest(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.hash)
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        // The coded bodies seldom take more than half of it together.
        self.body.len().saturating_mul(3) / 2 + 2_048
    }

    /// Answers a GET or a HEAD.
    pub(super) fn answer(
        &self,
        method: &Method,
        request: &HeaderMap,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let coded = self.coded(Coding::accepted(request));
        let with_body = method != Method::HEAD;
        let outcome = if repeats(request, &coded.tag) {
            Outcome::NotModified
        } else {
            evaluate(request, coded.etag.as_ref())
        };
        match outcome {
            Outcome::Proceed => {
                let mut response = Response::new(DeliveryBody::of(coded.body.clone(), with_body));
                *response.headers_mut() = coded.headers.clone();
                Ok(response)
            }
            Outcome::NotModified => {
                let mut response = DeliveryBody::nothing(StatusCode::NOT_MODIFIED);
                *response.headers_mut() = coded.not_modified.clone();
                Ok(response)
            }
            Outcome::Failed => Err(HttpProblem::precondition_failed()),
        }
    }

    fn coded(&self, coding: Coding) -> &CodedBody {
        let coding = if self.body.len() < MIN_COMPRESSED { Coding::Identity } else { coding };
        let place = match coding {
            Coding::Identity => &self.identity,
            Coding::Gzip => &self.gzip,
            #[cfg(feature = "zstd")]
            Coding::Zstd => &self.zstd,
        };
        place.get_or_init(|| self.coded_as(coding.encode(&self.body)))
    }

    fn coded_as(&self, (coding, body): (Coding, Bytes)) -> CodedBody {
        // Half of the hash identifies it. The representations of one state in several codings have
        // different tags (RFC 9110, section 8.8.3.3), and so have its media types.
        let (short, _) = self.hash.split_at(16);
        let text = format!("\"{}{}\"", URL_SAFE_NO_PAD.encode(short), coding.tag_suffix());
        let etag = text.parse().ok();
        let mut headers = self.headers.clone();
        // A digest is plain ASCII.
        let tag = HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("\"\""));
        headers.insert(ETAG, tag.clone());
        // The hash of what is transferred without ranges: with its coding (RFC 9530).
        let is_coded = coding != Coding::Identity;
        let hash = if is_coded { Sha256::digest(&body).into() } else { self.hash };
        if let Some(value) = repr_digest(hash) {
            headers.insert(REPR_DIGEST, value);
        }
        if is_coded {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
        }
        // What RFC 9110, section 15.4.5 wants in a 304, and the source.
        let kept = [ETAG, CACHE_CONTROL, CONTENT_LOCATION, VARY, SNAPFOLD_SOURCE];
        let kept = kept.into_iter().filter_map(|name| Some((headers.get(&name)?.clone(), name)));
        let mut not_modified = kept.map(|(value, name)| (name, value)).collect();
        if let Some(policy) = &self.policy {
            prepare(&mut headers, policy.clone());
            prepare(&mut not_modified, policy.clone());
        }
        CodedBody { body, tag, etag, headers, not_modified }
    }
}

/// A SHA-256 as the value of `Repr-Digest` (RFC 9530). Never `None`.
pub(super) fn repr_digest(hash: [u8; 32]) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("sha-256=:{}:", STANDARD.encode(hash))).ok()
}

/// A time to the second before it, if a date header can hold it.
pub(super) fn to_second(at: Timestamp) -> Option<SystemTime> {
    let seconds = u64::try_from(at.as_micros().div_euclid(1_000_000)).ok()?;
    // The year 9999 is the last one of such a header.
    (seconds < 253_402_300_800).then(|| UNIX_EPOCH + Duration::from_secs(seconds))
}
