//! The states of a project at one instant.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LOCATION, CONTENT_TYPE, VARY,
};
use http::{HeaderValue, Method, Response};

use super::Admitted;
use crate::service::http::body::DeliveryBody;
use crate::service::http::download::{ArchiveFormat, Download};
use crate::service::http::media::Coding;
use crate::service::http::problem::HttpProblem;
use crate::service::http::query_parameter::QueryParameter;
use crate::service::http::segment;
use crate::timestamp::Timestamp;

impl Admitted<'_> {
    /// All states of a project, or those of one kind, at one instant.
    pub(super) async fn download(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let format = self.query.parsed("format", "ndjson or zip")?.unwrap_or_default();
        let now = self.served.clock.now();
        let at = self.query.parsed("at", "a time such as 2026-11-21T09:30:00Z")?.unwrap_or(now);
        if at > now {
            return Err(HttpProblem::parameter("at", format!("use a time up to now, {now}")));
        }
        let only = self.query.text(QueryParameter::FILTER_KIND.name);
        if only.is_some_and(|kind| self.served.kinds.get(kind).is_none()) {
            return Err(HttpProblem::not_found("there is no such kind"));
        }
        let turn = self.served.downloads.clone().try_acquire_owned();
        let turn = turn.map_err(|_| HttpProblem::busy("too many downloads are running"))?;

        // The files of a ZIP are compressed already.
        let coding = match format {
            ArchiveFormat::Ndjson => Coding::accepted_for_stream(&self.request.headers),
            ArchiveFormat::Zip => Coding::Identity,
        };
        let tenant = &self.permit.target().tenant;
        let body = if self.request.method == Method::HEAD {
            DeliveryBody::streamed(stream::empty())
        } else {
            let download = Download::begin(&self.served.kinds, only, tenant, at, (format, coding));
            let mut pieces = Box::pin(download.pieces(turn));
            // What fails at once gets a status of its own. Later, only the connection can end.
            let first = pieces.try_next().await?.unwrap_or_default();
            DeliveryBody::streamed(stream::once(async { Ok(first) }).chain(pieces))
        };
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
        headers.insert(VARY, HeaderValue::from_static("accept-encoding, authorization"));
        if coding == Coding::Gzip {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        // It would need the whole download to be made to tell whether it is what a cache has.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, text) in [
            (CONTENT_DISPOSITION, self.file(format, at)),
            (CONTENT_LOCATION, self.location(format, at, only)),
        ] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                headers.insert(name, value);
            }
        }
        Ok(response)
    }

    /// The name under which clients save the download.
    fn file(&self, format: ArchiveFormat, at: Timestamp) -> String {
        // A name that begins with a tilde is a trap in a shell.
        let project = match segment::encode(&self.permit.target().tenant) {
            coded if coded.starts_with('~') => "states".to_owned(),
            plain => plain,
        };
        let at = at.to_string().replace(':', "");
        format!("attachment; filename=\"{project}-{at}.{}\"", format.extension())
    }

    /// The URL that has the same content for ever.
    fn location(&self, format: ArchiveFormat, at: Timestamp, only: Option<&str>) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("format", format.extension()).append_pair("at", &at.to_string());
        query.extend_pairs(only.map(|kind| (QueryParameter::FILTER_KIND.name, kind)));
        let project = segment::encode(&self.permit.target().tenant);
        format!("{}/projects/{project}/download?{}", self.served.prefix, query.finish())
    }
}
