//! Preconditions of requests, in the order of RFC 9110, section 13.2.2.
//!
//! Only entity tags count. A state has no date that changes whenever it does: events can have the same
//! second, and an event can be recorded late, with a time before the latest one. So no answer has a
//! `Last-Modified`, and conditions by date are ignored, as section 13.1.3 requires then.

use headers::{ETag, HeaderMapExt, IfMatch, IfNoneMatch};
use http::header::{IF_MATCH, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue};

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Whether a request repeats `tag`, the entity tag of its last answer, and has no other condition. So
/// do most revalidations. For them, [`evaluate`] says the same, and takes longer.
pub(super) fn repeats(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    headers.get(IF_NONE_MATCH) == Some(tag) && !headers.contains_key(IF_MATCH)
}

/// Evaluates the preconditions of a GET or a HEAD against the representation that it would get.
///
/// A header that cannot be parsed is ignored, as if it were absent.
pub(super) fn evaluate(headers: &HeaderMap, etag: Option<&ETag>) -> Outcome {
    let Some(etag) = etag else { return Outcome::Proceed };
    // Most requests have neither.
    if !headers.contains_key(IF_MATCH) && !headers.contains_key(IF_NONE_MATCH) {
        return Outcome::Proceed;
    }
    let if_match = headers.typed_get::<IfMatch>();
    if if_match.is_some_and(|condition| !condition.precondition_passes(etag)) {
        return Outcome::Failed;
    }
    let if_none_match = headers.typed_get::<IfNoneMatch>();
    if if_none_match.is_some_and(|condition| !condition.precondition_passes(etag)) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}
