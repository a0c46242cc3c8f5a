//! Taking an artifact at its signed URL.

use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body::Body;

use super::body_pieces::{BodyPieces, EarlyEnd, ended_early};
use super::problem::problem_of;
use super::publishing::{Publishing, grant};
use crate::artifact::ArtifactContent;
use crate::error::BoxError;
use crate::publication::{Publication, PublicationPart};
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::service::http::problem_kind::ProblemKind;
use crate::service::http::route::Target;
use crate::service::http::served::Served;
use crate::service::publish::{PublishRefusal, UploadUrlVerdict, WrongPart};

/// Takes an artifact. Needs no credentials: whoever has the URL may send it once.
pub(crate) async fn upload<B>(
    served: &Served,
    request: &Parts,
    target: &Target,
    body: B,
) -> Result<Response<DeliveryBody>, HttpProblem>
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let publishing = served.publishing()?;
    let name = &target.last;
    let publication = match granted(publishing, request, target).await {
        Err(problem) if problem.code() == ProblemKind::WRONG_SIGNATURE.code => {
            return Err(served.gate.wrong_guess(problem));
        }
        granted => granted?,
    };
    let part = publication.parts.get(name).ok_or_else(wrong_signature)?;
    let length = checked_length(publishing, &request.headers, part)?;
    let content_type = one(&request.headers, &CONTENT_TYPE)?;
    let early = EarlyEnd::default();
    let content = content(body, length, Arc::clone(&early));
    let publisher = &publishing.publisher;
    let received =
        publisher.receive(&target.tenant, publication.id, name, content_type, content).await;
    match (received, early.get()) {
        (Ok(_), _) => {
            let mut response = DeliveryBody::nothing(StatusCode::CREATED);
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(http::header::CACHE_CONTROL, no_store);
            Ok(response)
        }
        (Err(_), Some(kind)) => Err(HttpProblem::new(kind)),
        (Err(error), None) => Err(problem_of(error)),
    }
}

/// The publication whose URL it is. What does not exist is as wrong as another signature.
async fn granted(
    publishing: &Publishing,
    request: &Parts,
    target: &Target,
) -> Result<Publication, HttpProblem> {
    let id = target.publication.ok_or_else(wrong_signature)?;
    let found = publishing.publisher.get(&target.tenant, id).await?;
    let publication = found.ok_or_else(wrong_signature)?;
    let part = publication.parts.get(&target.last).ok_or_else(wrong_signature)?;
    let id = id.to_string();
    let grant = grant(&publication, &id, &target.last, part);
    match publishing.urls.verify(&grant, request.uri.query().unwrap_or_default()) {
        UploadUrlVerdict::Valid => Ok(publication),
        UploadUrlVerdict::Expired => Err(HttpProblem::new(ProblemKind::UPLOAD_EXPIRED)),
        UploadUrlVerdict::Wrong => Err(wrong_signature()),
    }
}

fn wrong_signature() -> HttpProblem {
    HttpProblem::new(ProblemKind::WRONG_SIGNATURE)
}

/// The length that a request states, if the artifact can have it.
fn checked_length(
    publishing: &Publishing,
    headers: &HeaderMap,
    part: &PublicationPart,
) -> Result<u64, HttpProblem> {
    if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(HttpProblem::media_type("send the artifact without Content-Encoding"));
    }
    let needed = || HttpProblem::new(ProblemKind::LENGTH_REQUIRED);
    let text = one(headers, &CONTENT_LENGTH)?.ok_or_else(needed)?;
    let length: u64 = text.parse().map_err(|_| needed())?;
    let publisher = &publishing.publisher;
    let options = publisher.options();
    if part.size.is_some_and(|size| size != length) {
        let wrong = WrongPart::Size { found: length };
        return Err(problem_of(PublishRefusal::Wrong(wrong).into()));
    }
    let most = options.max_bytes.min(publisher.artifacts().capabilities().max_bytes);
    let most = match part.declared() {
        Some(_) => most,
        None => most.min(options.max_undeclared_bytes as u64),
    };
    if length > most {
        return Err(problem_of(PublishRefusal::TooLarge(most).into()));
    }
    Ok(length)
}

/// The value of a header that stands at most once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, HttpProblem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(HttpProblem::bad_request(format!("{name} is given twice")));
    }
    let text = first.map(HeaderValue::to_str).transpose();
    text.map_err(|_| HttpProblem::bad_request(format!("{name} is no ASCII text")))
}

/// The body of a request as the content of an artifact of `length` bytes.
fn content<B>(body: B, length: u64, early: EarlyEnd) -> ArtifactContent
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    let pieces = stream::unfold(Some((BodyPieces::of(body), length)), move |left| {
        let early = Arc::clone(&early);
        async move {
            let (mut body, length) = left?;
            let ended = |kind| {
                let _ = early.set(kind);
                Some((Err(ended_early()), None))
            };
            match body.next().await {
                Err(kind) => ended(kind),
                Ok(None) if length == 0 => None,
                Ok(Some(piece)) => match length.checked_sub(piece.len() as u64) {
                    Some(rest) => Some((Ok(piece), Some((body, rest)))),
                    None => ended(ProblemKind::BROKEN_BODY),
                },
                Ok(None) => ended(ProblemKind::BROKEN_BODY),
            }
        }
    });
    pieces.boxed()
}
