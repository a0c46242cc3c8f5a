//! [`HttpProblem`]: an error as the client sees it (RFC 9457, or a JSON:API error).

use std::time::Duration;

use http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::body::DeliveryBody;
use super::guard::whole_seconds;
use super::media::Media;
use super::problem_kind::ProblemKind;
use super::query_parameter::QueryParameter;
use crate::error::{BoxError, Error, ErrorKind, Retry};

/// An error as the client sees it.
#[derive(Clone, Debug)]
pub(super) struct HttpProblem {
    kind: &'static ProblemKind,
    detail: String,
    /// The parameter of the query that is wrong.
    parameter: Option<String>,
    /// What is wrong with each artifact of a publication, by name.
    artifacts: Option<Map<String, Value>>,
    headers: Box<HeaderMap>,
    /// For the logs of the application.
    cause: Option<Error>,
}

impl HttpProblem {
    #[cold]
    pub(super) fn new(kind: &'static ProblemKind) -> Self {
        let (detail, headers) = (String::new(), Box::default());
        Self { kind, detail, parameter: None, artifacts: None, headers, cause: None }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::INVALID_REQUEST).detail(detail)
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
        Self::parameter(QueryParameter::PAGE_AFTER.name, detail)
    }

    /// 412.
    pub(super) fn precondition_failed() -> Self {
        Self::new(ProblemKind::PRECONDITION_FAILED)
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::NOT_FOUND).detail(detail)
    }

    pub(super) fn method(allowed: &str) -> Self {
        let mut problem =
            Self::new(ProblemKind::METHOD_NOT_ALLOWED).detail(format!("use one of {allowed}"));
        if let Ok(allowed) = HeaderValue::from_str(allowed) {
            problem.headers.insert(ALLOW, allowed);
        }
        problem
    }

    /// What is stored does not allow it.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::CONFLICT).detail(detail)
    }

    /// A plan of retention is not the one that the client has seen.
    pub(super) fn plan_changed() -> Self {
        let detail = "ask for the plan again with dryRun, and send its id";
        Self::new(ProblemKind::PLAN_CHANGED).detail(detail)
    }

    /// The media type of the request's body.
    pub(super) fn media_type(detail: &str) -> Self {
        Self::new(ProblemKind::UNSUPPORTED_MEDIA_TYPE).detail(detail)
    }

    /// The first request with this idempotency key is not answered yet.
    pub(super) fn request_running() -> Self {
        Self::new(ProblemKind::REQUEST_RUNNING)
            .detail("send it again later to get its answer")
            .header(RETRY_AFTER, HeaderValue::from_static("1"))
    }

    /// 416, for a body of `length` bytes.
    pub(super) fn unsatisfiable(length: usize) -> Self {
        let problem = Self::new(ProblemKind::UNSATISFIABLE);
        match HeaderValue::from_str(&format!("bytes */{length}")) {
            Ok(value) => problem.header(CONTENT_RANGE, value),
            Err(_) => problem,
        }
    }

    /// Another request had this idempotency key.
    pub(super) fn key_reused() -> Self {
        Self::new(ProblemKind::KEY_REUSED).detail("use a new key for each request")
    }

    /// A write was made, but its answer was too large to be kept.
    pub(super) fn answer_not_kept() -> Self {
        Self::new(ProblemKind::ANSWER_NOT_KEPT).detail("it was made once: read what is stored")
    }

    /// A job ended without an outcome.
    pub(super) fn interrupted() -> Self {
        Self::new(ProblemKind::INTERRUPTED)
            .detail("a part of it may be done: all jobs can be started again")
    }

    pub(super) fn not_acceptable() -> Self {
        Self::new(ProblemKind::NOT_ACCEPTABLE)
            .detail("accept application/json, or application/vnd.api+json without extensions")
    }

    /// It is not known who asks.
    pub(super) fn unauthorized() -> Self {
        Self::new(ProblemKind::UNAUTHORIZED)
            .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// It cannot be found out now who asks.
    pub(super) fn unchecked(cause: BoxError) -> Self {
        let message = "the authenticator failed";
        let cause = Error::new(ErrorKind::Store, "check the credentials of a request", message)
            .with_source(cause)
            .with_retry(Retry::Later);
        let problem =
            Self::new(ProblemKind::UNCHECKED).header(RETRY_AFTER, HeaderValue::from_static("1"));
        Self { cause: Some(cause), ..problem }
    }

    /// Who asks may not do this. The same whether or not the resource exists.
    pub(super) fn forbidden() -> Self {
        Self::new(ProblemKind::FORBIDDEN)
    }

    /// Too much is being done for others.
    pub(super) fn busy(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::BUSY)
            .detail(detail)
            .header(RETRY_AFTER, HeaderValue::from_static("10"))
    }

    /// The quota is used up.
    pub(super) fn too_many(wait: Duration) -> Self {
        let seconds = whole_seconds(wait).max(1);
        Self::new(ProblemKind::TOO_MANY_REQUESTS)
            .detail(format!("send the next request in {seconds} s"))
            .header(RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// The project has as many pending publications as it may have.
    #[cfg(feature = "publish")]
    pub(super) fn too_many_pending(detail: impl Into<String>) -> Self {
        Self::new(ProblemKind::TOO_MANY_PENDING)
            .detail(detail)
            .header(RETRY_AFTER, HeaderValue::from_static("60"))
    }

    pub(super) const fn code(&self) -> &'static str {
        self.kind.code
    }

    pub(super) const fn status(&self) -> StatusCode {
        self.kind.status
    }

    /// The headers of the answer.
    pub(super) fn headers(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    pub(super) fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Says what is wrong with each artifact of a publication, by name.
    #[cfg(feature = "publish")]
    pub(super) fn artifacts(mut self, artifacts: Map<String, Value>) -> Self {
        self.artifacts = Some(artifacts);
        self
    }

    fn header(mut self, name: http::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// The problem within another document, of a service below `prefix`.
    pub(super) fn to_value(&self, prefix: &str) -> Value {
        let detail = (!self.detail.is_empty()).then_some(&self.detail);
        json!({
            "type": self.kind.uri(prefix),
            "status": self.kind.status.as_u16(),
            "title": self.kind.title,
            "detail": detail,
        })
    }

    /// The answer, in the form of `media`, of a service below `prefix`.
    pub(super) fn into_response(
        self,
        prefix: &str,
        media: Media,
        with_body: bool,
    ) -> Response<DeliveryBody> {
        let Self { kind, detail, parameter, artifacts, headers, cause } = self;
        let &ProblemKind { status, code, title, .. } = kind;
        let kind = kind.uri(prefix);
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
        match artifacts {
            Some(wrong) if is_document => put("meta", json!({ "artifacts": wrong })),
            Some(wrong) => put("artifacts", wrong.into()),
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
            ErrorKind::BeyondHead => new(ProblemKind::BEYOND_HEAD),
            ErrorKind::InvalidInput => Self::bad_request(error.to_string()),
            ErrorKind::Conflict => Self::conflict(error.to_string()),
            ErrorKind::Unrecoverable => new(ProblemKind::HISTORY_GONE),
            ErrorKind::OutOfSpace => new(ProblemKind::OUT_OF_SPACE),
            ErrorKind::Unsupported | ErrorKind::FeatureDisabled | ErrorKind::UnsuitableCodec => {
                new(ProblemKind::UNSUPPORTED)
            }
            ErrorKind::Timeout => new(ProblemKind::TIMEOUT),
            ErrorKind::Store | ErrorKind::EventSource | ErrorKind::Locked
                if error.retry() != Retry::Never || error.kind() == ErrorKind::Locked =>
            {
                new(ProblemKind::UNAVAILABLE).header(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => new(ProblemKind::INTERNAL),
        }
    }
}
