//! What must hold before a write is made: its media type and its conditions.

use headers::ETag;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH};

use crate::service::http::condition::{Outcome, evaluate};
use crate::service::http::problem::HttpProblem;

/// Refuses a body that is not plain JSON. A web page of somebody else cannot send that type without
/// asking first, so that no form posts here.
pub(crate) fn check_content(headers: &HeaderMap, body: &[u8]) -> Result<(), HttpProblem> {
    let text = |name| headers.get(name).map(|value: &http::HeaderValue| value.as_bytes());
    let is_coded = text(CONTENT_ENCODING).is_some_and(|coding| coding != b"identity");
    if is_coded {
        return Err(HttpProblem::media_type("send the body without Content-Encoding"));
    }
    let media = text(CONTENT_TYPE).unwrap_or_default();
    let media = media.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let has_one = headers.get_all(CONTENT_TYPE).iter().count() == 1;
    if body.is_empty() || has_one && media.eq_ignore_ascii_case(b"application/json") {
        return Ok(());
    }
    Err(HttpProblem::media_type("send the body with Content-Type: application/json"))
}

/// Refuses conditions on a resource that has no entity tag: the client wants to be sure of something
/// that cannot be known.
pub(crate) fn refuse_conditions(headers: &HeaderMap) -> Result<(), HttpProblem> {
    if headers.contains_key(IF_MATCH) || headers.contains_key(IF_NONE_MATCH) {
        let detail = "only the deletion of one snapshot can have conditions: leave them out";
        return Err(HttpProblem::precondition_failed().detail(detail));
    }
    Ok(())
}

/// Evaluates the conditions of a write to the resource with this entity tag.
pub(crate) fn check_conditions(headers: &HeaderMap, etag: &str) -> Result<(), HttpProblem> {
    let etag: Option<ETag> = etag.parse().ok();
    match evaluate(headers, etag.as_ref()) {
        Outcome::Proceed => Ok(()),
        Outcome::NotModified | Outcome::Failed => Err(HttpProblem::precondition_failed()),
    }
}
