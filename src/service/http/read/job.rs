//! A job of the writes.

use http::header::CACHE_CONTROL;
use http::{HeaderValue, Response};

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::problem::HttpProblem;
use crate::service::http::query_parameter::QueryParameter;

impl Admitted<'_> {
    /// What became of a job.
    pub(super) fn job(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let target = self.permit.target();
        let job = self.served.writes.jobs.get(
            &target.tenant,
            self.query.text(QueryParameter::FILTER_KIND.name),
            &target.last,
        );
        let none = || HttpProblem::not_found("there is no such job, or it ended long ago");
        let document = job.ok_or_else(none)?.document(&self.served.prefix);
        let mut answer = self.other(self.media.name(), document.to_string().into_bytes())?;
        // Not for shared caches, whatever those may do with states.
        answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(answer)
    }
}
