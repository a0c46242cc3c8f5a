//! Publications over HTTP.

mod asked;
mod begin;
mod body_pieces;
mod by_document;
mod direct_upload;
mod end;
mod in_one;
mod problem;
mod publication_document;
mod publishing;
mod resource;
mod routes;

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

pub(super) use by_document::project_of;
pub(super) use direct_upload::upload;
pub(super) use in_one::{SentForm, is_form, publish as publish_form};
pub(super) use problem::known;
pub(super) use publication_document::{document, resource};
pub(super) use publishing::Publishing;
pub(super) use resource::PublishResource;
pub(super) use routes::PUBLISH_ROUTES;

use super::body::DeliveryBody;
use super::guard::Permit;
use super::media::Media;
use super::problem::HttpProblem;
use super::served::Served;
use super::write::{self, Once};

/// The largest body of a request to publish, in bytes: a description may be long, and each of its
/// characters may be escaped.
pub(super) const MAX_BODY: usize = 512 << 10;

/// Makes a change that was admitted.
pub(super) async fn answer(
    served: &Arc<Served>,
    request: &Parts,
    permit: &Permit<'_>,
    media: Option<Media>,
    (resource, body): (PublishResource, Bytes),
) -> Result<Response<DeliveryBody>, HttpProblem> {
    let publishing = served.publishing()?.clone();
    let target = permit.target();
    let (prefix, project) = (served.prefix.clone(), target.tenant.clone());
    let by = permit.actor().to_owned();
    // The key of a new publication is kept in it: it holds on every node and after a restart.
    let once = if resource.begins() { Once::ByItself } else { Once::ByKeptAnswer };
    let (publication, content) = (target.publication, body.clone());
    write::make(served, request, permit, media, (&body, once), move |_, key| async move {
        match resource {
            PublishResource::Begin => {
                begin::begin(&publishing, &prefix, &project, &content, (key, &by)).await
            }
            PublishResource::DocumentBegin => {
                by_document::begin(&publishing, &prefix, &project, &content, (key, &by)).await
            }
            PublishResource::Finalize => {
                let id = known(publication)?;
                end::finalize(&publishing, &prefix, &project, id, &by).await
            }
            PublishResource::DocumentFinalize => {
                by_document::finalize(&publishing, &project, &content, &by).await
            }
            PublishResource::Abort => {
                end::abort(&publishing, &prefix, &project, known(publication)?, &by).await
            }
            PublishResource::List
            | PublishResource::One
            | PublishResource::Artifact
            | PublishResource::Upload => Err(HttpProblem::not_found("nothing is written here")),
        }
    })
    .await
}
