//! What describes the service: the OpenAPI document, the health, the problems.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::media::Media;
use crate::service::http::openapi;
use crate::service::http::problem::HttpProblem;
use crate::service::http::problem_kind::ProblemKind;

impl Admitted<'_> {
    /// The OpenAPI document.
    pub(super) fn description(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let document = self.served.description.get_or_init(|| {
            let is_open = self.served.gate.is_open();
            let (publishes, has_inspector) = (self.served.publishes, self.served.has_inspector);
            let document =
                openapi::document(&self.served.prefix, is_open, publishes, has_inspector);
            document.to_string().into()
        });
        self.about(document.clone())
    }

    /// That the service answers. Neither the store nor the event source is asked: whoever restarts
    /// what is not healthy would restart all nodes when the store is not available, and anybody may
    /// ask this.
    pub(super) fn health(&self) -> Response<DeliveryBody> {
        let body = json!({ "status": "ok" }).to_string();
        let with_body = self.request.method != Method::HEAD;
        let mut response = Response::new(DeliveryBody::of(body.into(), with_body));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(Media::Json.name()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// What a problem means.
    pub(super) fn problem(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let code = &self.permit.target().last;
        let kind = ProblemKind::ALL.iter().find(|kind| kind.code == code);
        let kind = kind.ok_or_else(|| HttpProblem::not_found("no problem has this code"))?;
        let document = json!({
            "type": kind.uri(&self.served.prefix),
            "status": kind.status.as_u16(),
            "title": kind.title,
            "meaning": kind.meaning,
            "remedy": kind.remedy,
        });
        self.about(document.to_string().into())
    }

    /// A document that only another release changes.
    fn about(&self, document: Bytes) -> Result<Response<DeliveryBody>, HttpProblem> {
        let hash = Sha256::digest(&document).into();
        let mut response = self.conditional(Media::Json.name(), document, hash)?;
        let value = HeaderValue::from_static("max-age=60");
        response.headers_mut().insert(CACHE_CONTROL, value);
        Ok(response)
    }
}
