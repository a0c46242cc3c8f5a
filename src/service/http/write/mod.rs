//! Writes: taking, rebuilding and deleting snapshots.

mod action;
mod answer;
mod asked;
mod delete;
mod idempotency;
mod jobs;
mod preconditions;
mod prefer;
mod prune;
mod take;
mod whole;
mod writes;
mod writing;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response};
use serde_json::json;
use tokio::runtime::Handle;

pub(crate) use action::WriteAction;
pub(super) use writes::Writes;

use super::body::DeliveryBody;
use super::guard::Permit;
use super::media::Media;
use super::problem::HttpProblem;
use super::query::Parameters;
use super::served::Served;
use crate::error::{Error, ErrorKind};
use crate::ledger::{AuditEntry, cut};
use crate::service::work::panicked;
use answer::WriteOutcome;
use idempotency::{Claimed, IDEMPOTENCY_REPLAYED, RequestMark, idempotency_key};
use preconditions::check_content;
use writing::Writing;

/// Makes a write that was admitted.
///
/// Once it has begun it is made to its end, even if the client closes the connection.
pub(super) async fn answer(
    served: &Arc<Served>,
    request: &Parts,
    permit: &Permit<'_>,
    media: Option<Media>,
    (action, body): (WriteAction, Bytes),
) -> Result<Response<DeliveryBody>, HttpProblem> {
    let target = permit.target();
    let query = Parameters::read(request.uri.query(), target.route.query)?;
    let media = media.ok_or_else(HttpProblem::not_acceptable)?;
    check_content(&request.headers, &body)?;
    let runtime = Handle::try_current().map_err(|source| {
        let message = "this thread has no tokio runtime: serve writes inside one";
        Error::new(ErrorKind::Unsupported, "make a write", message).with_source(source)
    })?;
    let key = idempotency_key(&request.headers)?;
    let mut claimed = None;
    if let Some(key) = &key {
        let path = request.uri.path_and_query().map_or("", |path| path.as_str());
        let path = path.strip_prefix(served.prefix.as_str()).unwrap_or(path);
        let what = [request.method.as_str().as_bytes(), path.as_bytes(), &body];
        let mark = RequestMark::new(key, permit.actor(), &target.tenant, what);
        match served.writes.answers.claim(mark)? {
            Claimed::First(reservation) => claimed = Some(reservation),
            Claimed::Before(outcome) => return replayed(outcome, media),
        }
    }
    let meta = match &key {
        Some(key) => json!({ "via": "http", "idempotencyKey": key }),
        None => json!({ "via": "http" }),
    };
    let writing = Writing {
        served: Arc::clone(served),
        action,
        tenant: target.tenant.clone(),
        key: target.key.clone(),
        snapshot: target.snapshot,
        kind: target.kind(request).map(std::borrow::Cow::into_owned),
        before: query.parsed("before", "a version")?,
        headers: request.headers.clone(),
        body,
        actor: cut(permit.actor().to_owned(), AuditEntry::MAX_NAME_BYTES),
        meta: meta.to_string(),
    };
    // Until here and while it waits, dropping the request leaves nothing behind.
    let place = Arc::clone(&served.writes.places).acquire_owned().await;
    let own = runtime.clone();
    let task = runtime.spawn(async move {
        let outcome = writing.run(&own).await;
        if let Some(claimed) = claimed {
            claimed.answered(&outcome);
        }
        drop(place);
        outcome
    });
    let outcome = task.await.unwrap_or_else(|join| Err(panicked(join).into()));
    outcome.map(|answer| answer.into_response(media))
}

/// The first answer again.
fn replayed(outcome: WriteOutcome, media: Media) -> Result<Response<DeliveryBody>, HttpProblem> {
    let yes = HeaderValue::from_static("true");
    let mut answer = outcome.map(|answer| answer.into_response(media));
    match &mut answer {
        Ok(response) => response.headers_mut().insert(IDEMPOTENCY_REPLAYED, yes),
        Err(problem) => problem.headers().insert(IDEMPOTENCY_REPLAYED, yes),
    };
    answer
}
