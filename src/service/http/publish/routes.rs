//! The routes of publications. They exist where the application gave a publisher.

use http::Method;

use super::resource::PublishResource;
use crate::service::http::guard::Permission;
use crate::service::http::query_parameter::QueryParameter;
use crate::service::http::resource::{Resource, Route};

const GET: &[Method] = &[Method::GET, Method::HEAD];
const POST: &[Method] = &[Method::POST];
const PUBLICATIONS: &str = "/projects/{project}/publications";
const ONE_PUBLICATION: &str = "/projects/{project}/publications/{publication}";

const fn route(
    resource: PublishResource,
    methods: &'static [Method],
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
) -> Route {
    let permission = match resource {
        // The signature of the URL is the right to use it.
        PublishResource::Upload => None,
        PublishResource::List | PublishResource::One | PublishResource::Artifact => {
            Some(Permission::Read)
        }
        _ => Some(Permission::Publish),
    };
    let query: &[QueryParameter] = match resource {
        PublishResource::List => &[
            QueryParameter::FILTER_COLLECTION,
            QueryParameter::FILTER_TAG,
            QueryParameter::FILTER_STATUS,
            QueryParameter::PAGE_SIZE,
            QueryParameter::PAGE_AFTER,
        ],
        PublishResource::Upload => QueryParameter::SIGNATURE,
        _ => &[],
    };
    let resource = Resource::Publish(resource);
    Route { resource, path, methods, permission, query, operation, summary }
}

/// All routes of publications.
pub(crate) static PUBLISH_ROUTES: &[Route] = &[
    route(
        PublishResource::List,
        GET,
        PUBLICATIONS,
        "listPublications",
        "What is published, newest first",
    ),
    route(PublishResource::Begin, POST, PUBLICATIONS, "publish", "Begins a publication"),
    route(PublishResource::One, GET, ONE_PUBLICATION, "getPublication", "A publication"),
    route(
        PublishResource::Abort,
        &[Method::DELETE],
        ONE_PUBLICATION,
        "abortPublication",
        "Gives up a pending publication",
    ),
    route(
        PublishResource::Finalize,
        POST,
        "/projects/{project}/publications/{publication}/finalize",
        "finalizePublication",
        "Checks the artifacts of a publication, and completes it",
    ),
    route(
        PublishResource::Artifact,
        GET,
        "/projects/{project}/publications/{publication}/artifacts/{artifact}",
        "getArtifact",
        "The content of an artifact",
    ),
    route(
        PublishResource::Upload,
        &[Method::PUT],
        "/projects/{project}/uploads/{publication}/{artifact}",
        "putArtifact",
        "Sends an artifact to the signed URL that the publication names",
    ),
    route(
        PublishResource::DocumentBegin,
        POST,
        "/snapshots/publish",
        "publishSnapshot",
        "Begins a publication, with the project in the body",
    ),
    route(
        PublishResource::DocumentFinalize,
        POST,
        "/snapshots/finalize",
        "finalizeSnapshot",
        "Completes a publication, with the project in the body",
    ),
];
