//! Preconditions of requests, in the order of RFC 9110, section 13.2.2.

use std::time::SystemTime;

use headers::{ETag, HeaderMapExt, IfMatch, IfModifiedSince, IfNoneMatch, IfUnmodifiedSince};
use http::HeaderMap;

/// What the preconditions of a request come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Proceed,
    /// 304.
    NotModified,
    /// 412.
    Failed,
}

/// Evaluates the preconditions of a GET or a HEAD against the representation that it would get.
///
/// A header that cannot be parsed is ignored, as if it were absent.
pub(super) fn evaluate(
    headers: &HeaderMap,
    etag: Option<&ETag>,
    last_modified: Option<SystemTime>,
) -> Outcome {
    let Some(etag) = etag else { return Outcome::Proceed };
    if let Some(if_match) = headers.typed_get::<IfMatch>() {
        if !if_match.precondition_passes(etag) {
            return Outcome::Failed;
        }
    } else if let Some(since) = headers.typed_get::<IfUnmodifiedSince>()
        && last_modified.is_some_and(|at| !since.precondition_passes(at))
    {
        return Outcome::Failed;
    }
    if let Some(if_none_match) = headers.typed_get::<IfNoneMatch>() {
        if !if_none_match.precondition_passes(etag) {
            return Outcome::NotModified;
        }
    } else if let Some(since) = headers.typed_get::<IfModifiedSince>()
        && last_modified.is_some_and(|at| !since.is_modified(at))
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}
