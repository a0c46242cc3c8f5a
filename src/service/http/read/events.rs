//! What changes, as server-sent events.

use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Response};

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::live::{LiveStream, WantedEvents};
use crate::service::http::problem::HttpProblem;
use crate::service::http::query_parameter::QueryParameter;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Tells nginx to pass on each event at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

impl Admitted<'_> {
    /// The events of a project, of one kind of it, or of an aggregate.
    pub(super) fn events(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let served = self.served;
        let none = || HttpProblem::not_found("this service announces no changes");
        let live = served.live.as_ref().ok_or_else(none)?;
        let target = self.permit.target();
        let wanted = match (&target.key, self.query.text(QueryParameter::FILTER_KIND.name)) {
            (Some(key), _) => {
                served.admin(key)?;
                WantedEvents::Aggregate(key.clone())
            }
            (None, Some(kind)) if served.kinds.get(kind).is_none() => {
                return Err(HttpProblem::not_found("there is no such kind"));
            }
            (None, Some(kind)) => WantedEvents::Kind(kind.to_owned()),
            (None, None) => WantedEvents::Project,
        };
        let body = if self.request.method == Method::HEAD {
            DeliveryBody::streamed(stream::empty())
        } else {
            let last = self.request.headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes);
            let last = last.filter(|last| !last.is_empty()).map(String::from_utf8_lossy);
            let standing = served.gate.standing(self.request, target);
            let who = (self.permit.actor(), standing);
            let what = (target.tenant.as_str(), wanted);
            let opened = LiveStream::open(live, &served.streams, who, what, last.as_deref())?;
            DeliveryBody::streamed(opened.chunks())
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_ACCEL_BUFFERING, HeaderValue::from_static("no"));
        Ok(response)
    }
}
