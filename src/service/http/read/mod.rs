//! What each resource answers to a GET.

mod about;
mod diff;
mod download;
mod entities;
mod entity;
mod events;
mod inspector;
mod job;
#[cfg(feature = "publish")]
mod publications;
mod record;
mod snapshot;
mod snapshots;
mod time_map;
mod versions;

use std::sync::Arc;

use bytes::Bytes;
use headers::ETag;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use sha2::{Digest as _, Sha256};

use super::body::DeliveryBody;
use super::cache_policy::Freshness;
use super::condition::{Outcome, evaluate};
use super::guard::Permit;
use super::media::Media;
use super::problem::HttpProblem;
#[cfg(feature = "publish")]
use super::publish::PublishResource;
use super::query::Parameters;
use super::query_parameter::QueryParameter;
use super::resource::Resource;
use super::served::Served;
use super::snapshot_document::tag_of_hash;
use crate::key::AggregateKey;
use crate::manager::SnapshotAdmin;

/// A request that was admitted.
pub(super) struct Admitted<'a> {
    served: &'a Served,
    request: &'a Parts,
    permit: &'a Permit<'a>,
    media: Media,
    query: Parameters<'a>,
}

/// Answers a request that was admitted.
pub(super) async fn answer(
    served: &Served,
    request: &Parts,
    permit: &Permit<'_>,
    media: Option<Media>,
) -> Result<Response<DeliveryBody>, HttpProblem> {
    let route = permit.target().route;
    let query = Parameters::read(request.uri.query(), route.query)?;
    let has_one_media = route.resource.has_one_media();
    let media = match media {
        Some(media) => media,
        None if has_one_media => Media::Json,
        None => return Err(HttpProblem::not_acceptable()),
    };
    let reading = Admitted { served, request, permit, media, query };
    // A request allocates the full size of its future, so only the most frequent one is part of it.
    match route.resource {
        Resource::Entity => reading.entity().await,
        Resource::Entities => Box::pin(reading.entities()).await,
        Resource::Versions => Box::pin(reading.versions()).await,
        Resource::Version => Box::pin(reading.version()).await,
        Resource::Immutable => Box::pin(reading.immutable()).await,
        Resource::TimeMap => Box::pin(reading.time_map()).await,
        Resource::Diff => Box::pin(reading.diff()).await,
        Resource::Snapshots => Box::pin(reading.snapshots()).await,
        Resource::Download => Box::pin(reading.download()).await,
        Resource::Events => reading.events(),
        Resource::Snapshot => Box::pin(reading.snapshot()).await,
        Resource::Record => Box::pin(reading.record()).await,
        Resource::Job => reading.job(),
        Resource::Write(_) => Err(HttpProblem::not_found("the resource is written, not read")),
        #[cfg(feature = "publish")]
        Resource::Publish(PublishResource::List) => Box::pin(reading.publications()).await,
        #[cfg(feature = "publish")]
        Resource::Publish(PublishResource::One) => Box::pin(reading.publication()).await,
        #[cfg(feature = "publish")]
        Resource::Publish(PublishResource::Artifact) => Box::pin(reading.artifact()).await,
        #[cfg(feature = "publish")]
        Resource::Publish(_) => Err(HttpProblem::not_found("the resource is written, not read")),
        Resource::OpenApi => reading.description(),
        Resource::Health => Ok(reading.health()),
        Resource::Problem => reading.problem(),
        Resource::Inspector => reading.inspector(),
    }
}

impl Admitted<'_> {
    /// The aggregate of the target, and the engine of its kind.
    fn aggregate(&self) -> Result<(&AggregateKey, &Arc<dyn SnapshotAdmin>), HttpProblem> {
        let none = || HttpProblem::not_found("the path names no aggregate");
        let key = self.permit.target().key.as_ref().ok_or_else(none)?;
        Ok((key, self.served.admin(key)?))
    }

    /// How many items a page has, and where it begins.
    fn page(&self, list: &str) -> Result<(usize, Option<Vec<u8>>), HttpProblem> {
        let (size_name, form) = (QueryParameter::PAGE_SIZE.name, "a number from 1 to 1000");
        let size = self.query.parsed(size_name, form)?.unwrap_or(100);
        if !(1..=1_000).contains(&size) {
            return Err(HttpProblem::parameter(size_name, format!("use {form}")));
        }
        let after = self.query.text(QueryParameter::PAGE_AFTER.name);
        let after = after.map(|text| self.served.cursors.open(list, text)).transpose()?;
        Ok((size, after))
    }

    /// Answers with bytes that are not a state, such as a list.
    fn other(
        &self,
        media_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let hash = Sha256::digest(&body).into();
        self.hashed(media_type, body.into(), hash)
    }

    /// The same with the SHA-256 of the bytes.
    fn hashed(
        &self,
        media_type: &'static str,
        body: Bytes,
        hash: [u8; 32],
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let mut response = self.conditional(media_type, body, hash)?;
        let policy = self.served.policy(&self.permit.target().tenant);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, policy.value(Freshness::Now));
        let vary = if policy.is_public() { "accept" } else { "accept, authorization" };
        headers.insert(VARY, HeaderValue::from_static(vary));
        Ok(response)
    }

    /// Answers with bytes and the entity tag that their SHA-256 gives them, if the conditions of the
    /// request hold.
    fn conditional(
        &self,
        media_type: &'static str,
        body: Bytes,
        hash: [u8; 32],
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let tag = tag_of_hash(hash);
        let etag: Option<ETag> = tag.parse().ok();
        let with_body = self.request.method != Method::HEAD;
        let mut response = match evaluate(&self.request.headers, etag.as_ref()) {
            Outcome::Proceed => {
                let mut response = Response::new(DeliveryBody::of(body, with_body));
                let media_type = HeaderValue::from_static(media_type);
                response.headers_mut().insert(CONTENT_TYPE, media_type);
                response
            }
            Outcome::NotModified => DeliveryBody::nothing(StatusCode::NOT_MODIFIED),
            Outcome::Failed => return Err(HttpProblem::precondition_failed()),
        };
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            response.headers_mut().insert(ETAG, tag);
        }
        Ok(response)
    }
}
