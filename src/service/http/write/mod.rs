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
#[cfg(feature = "publish")]
pub(super) use answer::WriteAnswer;
pub(super) use answer::WriteOutcome;
#[cfg(feature = "publish")]
pub(super) use idempotency::IDEMPOTENCY_KEY;
pub(super) use idempotency::IDEMPOTENCY_REPLAYED;
use idempotency::{Claimed, RequestMark, idempotency_key};
use preconditions::check_content;
use writing::Writing;

/// How a write with an idempotency key is made once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Once {
    /// Its answer is kept in memory.
    ByKeptAnswer,
    /// It is given the key, and sees to it itself.
    #[cfg(feature = "publish")]
    ByItself,
}

/// Makes a write that was admitted.
pub(super) async fn answer(
    served: &Arc<Served>,
    request: &Parts,
    permit: &Permit<'_>,
    media: Option<Media>,
    (action, body): (WriteAction, Bytes),
) -> Result<Response<DeliveryBody>, HttpProblem> {
    let target = permit.target();
    let query = Parameters::read(request.uri.query(), target.route.query)?;
    let before = query.parsed("before", "a version")?;
    let mut writing = Writing {
        served: Arc::clone(served),
        action,
        tenant: target.tenant.clone(),
        key: target.key.clone(),
        snapshot: target.snapshot,
        kind: target.kind(request).map(std::borrow::Cow::into_owned),
        before,
        headers: request.headers.clone(),
        body: body.clone(),
        actor: cut(permit.actor().to_owned(), AuditEntry::MAX_NAME_BYTES),
        meta: String::new(),
    };
    make(served, request, permit, media, (&body, Once::ByKeptAnswer), move |runtime, key| {
        let meta = match key {
            Some(key) => json!({ "via": "http", "idempotencyKey": key }),
            None => json!({ "via": "http" }),
        };
        writing.meta = meta.to_string();
        async move { writing.run(&runtime).await }
    })
    .await
}

/// Makes a write, or gives its first answer again. The write gets the idempotency key.
///
/// Once it has begun it is made to its end, even if the client closes the connection.
pub(super) async fn make<W>(
    served: &Arc<Served>,
    request: &Parts,
    permit: &Permit<'_>,
    media: Option<Media>,
    (body, once): (&Bytes, Once),
    write: impl FnOnce(Handle, Option<String>) -> W,
) -> Result<Response<DeliveryBody>, HttpProblem>
where
    W: Future<Output = WriteOutcome> + Send + 'static,
{
    let target = permit.target();
    Parameters::read(request.uri.query(), target.route.query)?;
    let media = media.ok_or_else(HttpProblem::not_acceptable)?;
    check_content(&request.headers, body)?;
    let runtime = Handle::try_current().map_err(|source| {
        let message = "this thread has no tokio runtime: serve writes inside one";
        Error::new(ErrorKind::Unsupported, "make a write", message).with_source(source)
    })?;
    let key = idempotency_key(&request.headers)?;
    let mut claimed = None;
    if let (Some(key), Once::ByKeptAnswer) = (&key, once) {
        let path = request.uri.path_and_query().map_or("", |path| path.as_str());
        let path = path.strip_prefix(served.prefix.as_str()).unwrap_or(path);
        let what = [request.method.as_str().as_bytes(), path.as_bytes(), body];
        let mark = RequestMark::new(key, permit.actor(), &target.tenant, what);
        match served.writes.answers.claim(mark)? {
            Claimed::First(reservation) => claimed = Some(reservation),
            Claimed::Before(outcome) => return replayed(outcome, media),
        }
    }
    let made = write(runtime.clone(), key);
    // Until here and while it waits, dropping the request leaves nothing behind.
    let place = Arc::clone(&served.writes.places).acquire_owned().await;
    let task = runtime.spawn(async move {
        let outcome = made.await;
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
