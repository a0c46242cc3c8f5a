//! [`HttpProblem`]: an error as the client sees it (RFC 9457, or a JSON:API error).

use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::body::DeliveryBody;
use super::guard::whole_seconds;
use super::media::Media;
use super::parameter_names::PAGE_AFTER;
use crate::error::{BoxError, Error, ErrorKind, Retry};

/// An error as the client sees it.
#[derive(Clone, Debug)]
pub(super) struct HttpProblem {
    pub(super) status: StatusCode,
    /// Stable: the end of the problem's `type`.
    code: &'static str,
    title: &'static str,
    detail: String,
    /// The parameter of the query that is wrong.
    parameter: Option<String>,
    headers: Box<HeaderMap>,
    /// For the logs of the application.
    cause: Option<Error>,
}

impl HttpProblem {
    pub(super) fn new(status: StatusCode, code: &'static str, title: &'static str) -> Self {
        let (detail, headers) = (String::new(), Box::default());
        Self { status, code, title, detail, parameter: None, headers, cause: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid-request", "The request is invalid")
            .detail(detail)
    }

    /// A parameter of the query is wrong.
    pub(super) fn parameter(name: &str, detail: impl Into<String>) -> Self {
        let mut problem = Self::bad_request(detail);
        problem.parameter = Some(name.to_owned());
        problem
    }

    /// The cursor is not one that this server sealed for this list.
    pub(super) fn foreign_cursor() -> Self {
        let detail = "the cursor is not one of this list: follow the link of the page before";
        Self::parameter(PAGE_AFTER, detail)
    }

    /// 412.
    pub(super) fn precondition_failed() -> Self {
        let title = "The resource is not the expected one";
        Self::new(StatusCode::PRECONDITION_FAILED, "precondition-failed", title)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such resource").detail(detail)
    }

    pub(super) fn method(allowed: &str) -> Self {
        let title = "The resource does not have this method";
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", title)
            .detail(format!("use one of {allowed}"));
        if let Ok(allowed) = HeaderValue::from_str(allowed) {
            problem.headers.insert(ALLOW, allowed);
        }
        problem
    }

    /// What is stored does not allow it.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        let title = "What is stored does not allow this";
        Self::new(StatusCode::CONFLICT, "conflict", title).detail(detail)
    }

    /// A plan of retention is not the one that the client has seen.
    pub(super) fn plan_changed() -> Self {
        let title = "The plan is another one by now";
        let detail = "ask for the plan again with dryRun, and send its id";
        Self::new(StatusCode::CONFLICT, "plan-changed", title).detail(detail)
    }

    /// The media type of the request's body.
    pub(super) fn media_type(detail: &str) -> Self {
        let title = "The body has another media type";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", title)
            .detail(detail)
    }

    /// The first request with this idempotency key is not answered yet.
    pub(super) fn request_running() -> Self {
        let title = "The same request is being answered";
        Self::new(StatusCode::CONFLICT, "request-running", title)
            .detail("send it again later to get its answer")
            .header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// Another request had this idempotency key.
    pub(super) fn key_reused() -> Self {
        let title = "Another request had this idempotency key";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused", title)
            .detail("use a new key for each request")
    }

    /// A write was made, but its answer was too large to be kept.
    pub(super) fn answer_not_kept() -> Self {
        let title = "The request was answered, and its answer was too large to be kept";
        Self::new(StatusCode::GONE, "answer-not-kept", title)
            .detail("it was made once: read what is stored")
    }

    /// A job ended without an outcome.
    pub(super) fn interrupted() -> Self {
        let title = "The job was interrupted";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "interrupted", title)
            .detail("a part of it may be done: all jobs can be started again")
    }

    /// The body was not read to its end.
    pub(super) fn body_unread(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "unreadable-body", "The body of the request was not read").detail(detail)
    }

    pub(super) fn not_acceptable() -> Self {
        let title = "No acceptable representation exists";
        Self::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", title)
            .detail("accept application/json, or application/vnd.api+json without extensions")
    }

    /// It is not known who asks.
    pub(super) fn unauthorized() -> Self {
        let title = "The request needs valid credentials";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", title)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// It cannot be found out now who asks.
    pub(super) fn unchecked(cause: BoxError) -> Self {
        let title = "The credentials cannot be checked now";
        let message = "the authenticator failed";
        let cause = Error::new(ErrorKind::Store, "check the credentials of a request", message)
            .with_source(cause)
            .with_retry(Retry::Later);
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title)
            .header(RETRY_AFTER, HeaderValue::from_static("1"));
        Self { cause: Some(cause), ..problem }
    }

    /// Who asks may not do this. The same whether or not the resource exists.
    pub(super) fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "These credentials do not allow this")
    }

    /// Too much is being done for others.
    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", "The server is busy")
            .detail(detail)
            .header(RETRY_AFTER, HeaderValue::from_static("10"))
    }

    /// The quota is used up.
    pub(super) fn too_many(wait: Duration) -> Self {
        let seconds = whole_seconds(wait).max(1);
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "The quota is used up")
            .detail(format!("send the next request in {seconds} s"))
            .header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    pub(super) const fn code(&self) -> &'static str {
        self.code
    }

    /// The headers of the answer.
    pub(super) fn headers(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The problem within another document.
    pub(super) fn to_value(&self) -> Value {
        let detail = (!self.detail.is_empty()).then_some(&self.detail);
        json!({
            "type": format!("/problems/{}", self.code),
            "status": self.status.as_u16(),
            "title": self.title,
            "detail": detail,
        })
    }

    /// The answer, in the form of `media`.
    pub(super) fn into_response(self, media: Media, with_body: bool) -> Response<DeliveryBody> {
        let Self { status, code, title, detail, parameter, headers, cause } = self;
        let kind = format!("/problems/{code}");
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        let is_document = media == Media::JsonApi;
        if is_document {
            put("status", status.as_str().into());
            put("code", code.into());
            put("links", json!({ "type": kind }));
        } else {
            put("type", kind.into());
            put("status", status.as_u16().into());
        }
        put("title", title.into());
        if !detail.is_empty() {
            put("detail", detail.into());
        }
        match parameter {
            Some(name) if is_document => put("source", json!({ "parameter": name })),
            Some(name) => put("parameter", name.into()),
            None => None,
        };
        let (media_type, document) = if is_document {
            (Media::JsonApi.name(), json!({ "errors": [members] }))
        } else {
            ("application/problem+json", members.into())
        };
        let text = document.to_string();
        let mut response = Response::new(DeliveryBody::of(text.into(), with_body));
        *response.status_mut() = status;
        *response.headers_mut() = *headers;
        if let Some(cause) = cause {
            response.extensions_mut().insert(cause);
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// The one table from kinds of errors to statuses. Only what the request itself caused is explained
/// to the client; the application sees the rest through its observer.
impl From<Error> for HttpProblem {
    fn from(error: Error) -> Self {
        let new = Self::new;
        match error.kind() {
            ErrorKind::BeyondHead => {
                new(StatusCode::NOT_FOUND, "beyond-head", "The version does not exist yet")
            }
            ErrorKind::InvalidInput => Self::bad_request(error.to_string()),
            ErrorKind::Conflict => Self::conflict(error.to_string()),
            ErrorKind::Unrecoverable => {
                let title = "The beginning of the history is gone";
                new(StatusCode::GONE, "history-gone", title)
            }
            ErrorKind::OutOfSpace => {
                new(StatusCode::INSUFFICIENT_STORAGE, "out-of-space", "There is no space left")
            }
            ErrorKind::Unsupported | ErrorKind::FeatureDisabled | ErrorKind::UnsuitableCodec => {
                let title = "This server does not support that";
                new(StatusCode::NOT_IMPLEMENTED, "unsupported", title)
            }
            ErrorKind::Timeout => {
                new(StatusCode::GATEWAY_TIMEOUT, "timeout", "A source of the state did not answer")
            }
            ErrorKind::Store | ErrorKind::EventSource | ErrorKind::Locked
                if error.retry() != Retry::Never || error.kind() == ErrorKind::Locked =>
            {
                let title = "A source of the state is not available";
                new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", title)
                    .header(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => {
                let title = "The server failed";
                new(StatusCode::INTERNAL_SERVER_ERROR, "internal", title)
            }
        }
    }
}
