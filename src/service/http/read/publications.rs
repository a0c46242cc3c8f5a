//! Publications, and the content of their artifacts.

use futures_util::TryStreamExt as _;
use headers::ETag;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};

use super::Admitted;
use crate::artifact::Artifact;
use crate::publication::{Publication, PublicationId, PublicationStatus, PublicationsRequest};
use crate::service::http::body::DeliveryBody;
use crate::service::http::byte_range::ByteRange;
use crate::service::http::cache_policy::Freshness;
use crate::service::http::condition::{Outcome, evaluate};
use crate::service::http::guard::Permission;
use crate::service::http::problem::HttpProblem;
use crate::service::http::publish::{document, resource};
use crate::service::http::query_parameter::QueryParameter;
use crate::service::http::redirect::redirect;
use crate::service::http::representation::{REPR_DIGEST, repr_digest};
use crate::service::http::segment;
use crate::service::http::snapshot_document::tag_of_hash;

/// For how long the URL of a download can be used.
const DOWNLOAD_FOR: std::time::Duration = std::time::Duration::from_secs(60);

impl Admitted<'_> {
    /// A page of publications, newest first.
    pub(super) async fn publications(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let (collection, tag, status) = (
            QueryParameter::FILTER_COLLECTION,
            QueryParameter::FILTER_TAG,
            QueryParameter::FILTER_STATUS,
        );
        let named = [collection.name, tag.name, status.name];
        let [collection, tag, status] = named.map(|name| self.query.text(name));
        let is_all = match status {
            None | Some("completed") => false,
            Some("all") if self.permit.may(Permission::Publish) => true,
            Some("all") => return Err(HttpProblem::forbidden()),
            Some(_) => {
                let form = "use completed or all";
                return Err(HttpProblem::parameter(QueryParameter::FILTER_STATUS.name, form));
            }
        };
        let tenant = &self.permit.target().tenant;
        let list = format!("publications of {tenant:?}, {collection:?}, {tag:?}, {is_all}");
        let (size, after) = self.page(&list)?;
        let mut request = PublicationsRequest::new(tenant).completed(!is_all).limit(size);
        request.collection = collection;
        request.tag = tag;
        if let Some(bytes) = after {
            let id = bytes.try_into().map_err(|_| HttpProblem::foreign_cursor())?;
            request.after = Some(PublicationId::from_bytes(id));
        }
        let page = self.served.publishing()?.publisher.list(request).await?;
        let prefix = &self.served.prefix;
        let data: Vec<_> = page.items.iter().map(|it| resource(prefix, it)).collect();
        let path = format!("{prefix}/projects/{}/publications", segment::encode(tenant));
        let next = page.next.map(|id| self.served.cursors.seal(&list, id.as_bytes()));
        let filters = named.into_iter().zip([collection, tag, status]);
        let filters = filters.filter_map(|(name, text)| Some((name, text?.to_owned())));
        self.list(&path, &data, filters.collect(), size, next)
    }

    /// One publication.
    pub(super) async fn publication(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let publication = self.visible_publication().await?;
        let document = document(&self.served.prefix, &publication);
        self.other(self.media.name(), document.to_string().into_bytes())
    }

    /// The publication of the path. One that is not completed is seen by those who may publish.
    async fn visible_publication(&self) -> Result<Publication, HttpProblem> {
        let none = || HttpProblem::not_found("there is no such publication");
        let target = self.permit.target();
        let id = target.publication.ok_or_else(none)?;
        let found = self.served.publishing()?.publisher.get(&target.tenant, id).await?;
        let is_visible = |it: &Publication| {
            it.status == PublicationStatus::Completed || self.permit.may(Permission::Publish)
        };
        found.filter(is_visible).ok_or_else(none)
    }

    /// The content of an artifact, or where it is.
    pub(super) async fn artifact(&self) -> Result<Response<DeliveryBody>, HttpProblem> {
        let none = || HttpProblem::not_found("the publication has no such artifact");
        let publication = self.visible_publication().await?;
        let name = &self.permit.target().last;
        let part = publication.parts.get(name).ok_or_else(none)?;
        let artifact = part.stored.as_ref().ok_or_else(none)?;
        let artifacts = self.served.publishing()?.publisher.artifacts();
        if artifacts.capabilities().signs_downloads {
            let project = &publication.project;
            let signed =
                artifacts.download(project, &artifact.id, DOWNLOAD_FOR, Some(name)).await?;
            let mut response = redirect(StatusCode::FOUND, &signed.url)?;
            let no_store = HeaderValue::from_static("no-store");
            response.headers_mut().insert(CACHE_CONTROL, no_store);
            return Ok(response);
        }
        self.content(&publication, name, artifact).await
    }

    /// The content of an artifact, or the range of it that a GET asks for.
    async fn content(
        &self,
        publication: &Publication,
        name: &str,
        artifact: &Artifact,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let tag = tag_of_hash(*artifact.id.as_bytes());
        let etag: Option<ETag> = tag.parse().ok();
        let tag = HeaderValue::try_from(tag).ok();
        let mut response = match evaluate(&self.request.headers, etag.as_ref()) {
            Outcome::Failed => return Err(HttpProblem::precondition_failed()),
            Outcome::NotModified => DeliveryBody::nothing(StatusCode::NOT_MODIFIED),
            Outcome::Proceed => self.bytes(publication, name, artifact, tag.as_ref()).await?,
        };
        let policy = self.served.policy(&publication.project);
        let vary = if policy.is_public() { "accept" } else { "accept, authorization" };
        let mut put = |name: HeaderName, value: Option<HeaderValue>| {
            if let Some(value) = value {
                response.headers_mut().insert(name, value);
            }
        };
        put(ETAG, tag);
        put(CACHE_CONTROL, Some(policy.value(Freshness::Version)));
        put(VARY, Some(HeaderValue::from_static(vary)));
        Ok(response)
    }

    async fn bytes(
        &self,
        publication: &Publication,
        name: &str,
        artifact: &Artifact,
        tag: Option<&HeaderValue>,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let size = usize::try_from(artifact.size).unwrap_or(usize::MAX);
        let headers = &self.request.headers;
        let is_get = self.request.method == Method::GET;
        let range = if is_get { ByteRange::wanted(headers, tag, size) } else { ByteRange::Whole };
        let part = match range {
            ByteRange::Unsatisfiable => return Err(HttpProblem::unsatisfiable(size)),
            ByteRange::Whole => None,
            ByteRange::Part(range) => {
                let [start, last] = [*range.start(), *range.end()].map(|at| at as u64);
                Some(start..last.saturating_add(1))
            }
        };
        let wanted = if is_get { part.clone() } else { Some(0..0) };
        let publisher = &self.served.publishing()?.publisher;
        let gone = || HttpProblem::not_found("the artifact was deleted");
        let found = publisher.open(publication, name, wanted).await?.ok_or_else(gone)?;
        let length = part.as_ref().map_or(artifact.size, |it| it.end.saturating_sub(it.start));
        let content = found.content.try_filter(|piece| {
            let has_bytes = !piece.is_empty();
            async move { has_bytes }
        });
        let mut response = Response::new(DeliveryBody::sized(content, length, is_get));
        let mut put = |name: HeaderName, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(name, value);
            }
        };
        put(CONTENT_TYPE, &artifact.content_type);
        put(ACCEPT_RANGES, "bytes");
        // Nobody has checked the type or the content: a browser saves it, and never runs it.
        put(X_CONTENT_TYPE_OPTIONS, "nosniff");
        put(CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
        put(CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox");
        if let Some(part) = &part {
            let last = part.end.saturating_sub(1);
            put(CONTENT_RANGE, &format!("bytes {}-{last}/{}", part.start, artifact.size));
        }
        if let Some(digest) = repr_digest(*artifact.id.as_bytes()) {
            response.headers_mut().insert(REPR_DIGEST, digest);
        }
        if part.is_some() {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Ok(response)
    }
}
