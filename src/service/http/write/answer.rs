//! [`WriteAnswer`]: what a write answers, as it can be kept and given again.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::service::http::body::DeliveryBody;
use crate::service::http::media::Media;
use crate::service::http::problem::HttpProblem;

/// What a write answers: a JSON:API document.
#[derive(Clone, Debug)]
pub(crate) struct WriteAnswer {
    status: StatusCode,
    headers: HeaderMap,
    document: Bytes,
}

/// The answer of a write that was done, or why it was not.
pub(crate) type WriteOutcome = Result<WriteAnswer, HttpProblem>;

impl WriteAnswer {
    pub(crate) fn new(status: StatusCode, document: impl Into<Bytes>) -> Self {
        Self { status, headers: HeaderMap::new(), document: document.into() }
    }

    /// 200 with a document.
    pub(crate) fn ok(document: &Value) -> Self {
        Self::new(StatusCode::OK, document.to_string())
    }

    /// Adds a header, if the text can be one.
    pub(crate) fn with(mut self, name: HeaderName, text: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(text) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(crate) const fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn document(&self) -> &Bytes {
        &self.document
    }

    pub(crate) fn into_response(self, media: Media) -> Response<DeliveryBody> {
        let mut response = Response::new(DeliveryBody::of(self.document, true));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media.name()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
