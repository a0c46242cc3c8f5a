//! [`Route`]: the table of routes, from which paths are resolved.

use std::borrow::Cow;
use std::sync::LazyLock;

use http::request::Parts;
use http::{HeaderMap, Method};

use super::guard::Permission;
use super::media;
use super::path_segments::PathSegments;
use super::problem::HttpProblem;
#[cfg(feature = "publish")]
use super::publish::PUBLISH_ROUTES;
use super::query_parameter::QueryParameter;
use super::resource::{Resource, Route};
use super::segment;
use super::snapshot_document;
use super::write::WriteAction;
use crate::key::AggregateKey;
#[cfg(feature = "publish")]
use crate::publication::PublicationId;
use crate::snapshot_id::SnapshotId;

const GET: &[Method] = &[Method::GET, Method::HEAD];

const fn read(
    resource: Resource,
    path: &'static str,
    query: &'static [QueryParameter],
    operation: &'static str,
    summary: &'static str,
) -> Route {
    let permission = Some(Permission::Read);
    Route { resource, path, methods: GET, permission, query, operation, summary }
}

const fn open(
    resource: Resource,
    path: &'static str,
    operation: &'static str,
    summary: &'static str,
) -> Route {
    Route { resource, path, methods: GET, permission: None, query: &[], operation, summary }
}

const fn post(
    action: WriteAction,
    path: &'static str,
    permission: Permission,
    operation: &'static str,
    summary: &'static str,
) -> Route {
    let query: &[QueryParameter] =
        if action.is_of_project() { &[QueryParameter::FILTER_KIND] } else { &[] };
    let (resource, methods) = (Resource::Write(action), &[Method::POST]);
    let permission = Some(permission);
    Route { resource, path, methods, permission, query, operation, summary }
}

const fn delete(
    action: WriteAction,
    path: &'static str,
    query: &'static [QueryParameter],
    operation: &'static str,
    summary: &'static str,
) -> Route {
    let (resource, methods) = (Resource::Write(action), &[Method::DELETE]);
    let permission = Some(Permission::Prune);
    Route { resource, path, methods, permission, query, operation, summary }
}

/// All routes.
pub(super) static ROUTES: &[Route] = &[
    open(Resource::OpenApi, "/openapi.json", "getDescription", "This description"),
    open(Resource::Health, "/health", "getHealth", "Whether the service answers"),
    open(Resource::Problem, "/problems/{code}", "getProblem", "What a problem means"),
    open(Resource::Inspector, INSPECTOR, "getInspector", "A page that shows states through time"),
    read(
        Resource::Entities,
        "/projects/{project}/entities",
        &[QueryParameter::FILTER_KIND, QueryParameter::PAGE_SIZE, QueryParameter::PAGE_AFTER],
        "listEntities",
        "The aggregates that have snapshots",
    ),
    read(
        Resource::Entity,
        "/projects/{project}/entities/{kind}/{id}",
        &[QueryParameter::AT, QueryParameter::VERSION],
        "getState",
        "The state of an aggregate: now, at a version or at a time",
    ),
    read(
        Resource::Versions,
        "/projects/{project}/entities/{kind}/{id}/versions",
        &[QueryParameter::PAGE_SIZE, QueryParameter::PAGE_AFTER],
        "listVersions",
        "The versions of an aggregate and their times, oldest first",
    ),
    read(
        Resource::Version,
        "/projects/{project}/entities/{kind}/{id}/versions/{version}",
        &[],
        "getVersion",
        "The state at a version",
    ),
    read(
        Resource::Immutable,
        "/projects/{project}/entities/{kind}/{id}/versions/{version}/{digest}",
        &[],
        "getImmutable",
        "The state at a version, if it has this digest: the same bytes for ever",
    ),
    read(
        Resource::TimeMap,
        "/projects/{project}/entities/{kind}/{id}/timemap",
        &[QueryParameter::AFTER],
        "getTimeMap",
        "The versions of an aggregate and their dates, as RFC 7089 lists them",
    ),
    read(
        Resource::Diff,
        "/projects/{project}/entities/{kind}/{id}/diff",
        &[QueryParameter::FROM, QueryParameter::TO],
        "getDiff",
        "The difference of two versions as a JSON Patch (RFC 6902)",
    ),
    read(
        Resource::Snapshots,
        SNAPSHOTS,
        &[QueryParameter::PAGE_SIZE, QueryParameter::PAGE_AFTER],
        "listSnapshots",
        "The stored snapshots of an aggregate, newest first, without their states",
    ),
    read(
        Resource::Snapshot,
        ONE_SNAPSHOT,
        &[],
        "getSnapshot",
        "A stored snapshot, without its state or as its record",
    ),
    read(
        Resource::Download,
        "/projects/{project}/download",
        &[QueryParameter::FORMAT, QueryParameter::DOWNLOAD_AT, QueryParameter::FILTER_KIND],
        "download",
        "All states of a project at one instant, as one file",
    ),
    read(
        Resource::Events,
        "/projects/{project}/events",
        &[QueryParameter::FILTER_KIND],
        "streamProjectEvents",
        "What changes in a project, as server-sent events",
    ),
    read(
        Resource::Events,
        "/projects/{project}/entities/{kind}/{id}/events",
        &[],
        "streamEvents",
        "What changes about an aggregate, as server-sent events",
    ),
    read(
        Resource::Job,
        "/projects/{project}/jobs/{job}",
        &[QueryParameter::FILTER_KIND],
        "getJob",
        "What became of a job",
    ),
    post(
        WriteAction::Take,
        SNAPSHOTS,
        Permission::Take,
        "takeSnapshot",
        "Takes a snapshot of now or of a version",
    ),
    delete(
        WriteAction::DeleteBefore,
        SNAPSHOTS,
        &[QueryParameter::BEFORE],
        "deleteSnapshots",
        "Deletes the snapshots below a version that are not pinned",
    ),
    delete(WriteAction::Delete, ONE_SNAPSHOT, &[], "deleteSnapshot", "Deletes a snapshot"),
    post(
        WriteAction::Rebuild,
        "/projects/{project}/entities/{kind}/{id}/rebuild",
        Permission::Take,
        "rebuild",
        "Folds all events of an aggregate again, and replaces a snapshot that differs",
    ),
    post(
        WriteAction::RebuildAll,
        "/projects/{project}/rebuild",
        Permission::Take,
        "rebuildProject",
        "The same for all aggregates of a project that have snapshots",
    ),
    post(
        WriteAction::Prune,
        "/projects/{project}/entities/{kind}/{id}/prune",
        Permission::Prune,
        "prune",
        "Shows what a retention policy would delete, or applies it",
    ),
    post(
        WriteAction::PruneAll,
        "/projects/{project}/prune",
        Permission::Prune,
        "pruneProject",
        "The same for all aggregates of a project that have snapshots",
    ),
];

/// What a GET of a snapshot is if the client prefers the record, instead of the row above. It is no
/// row, because rows differ in path or method.
pub(super) static RECORD: Route = Route {
    resource: Resource::Record,
    path: ONE_SNAPSHOT,
    methods: GET,
    permission: Some(Permission::Copy),
    query: &[],
    operation: "getRecord",
    summary: "A stored snapshot as it is stored",
};

/// It has no parameters.
pub(super) const INSPECTOR: &str = "/inspect";
const SNAPSHOTS: &str = "/projects/{project}/entities/{kind}/{id}/snapshots";
const ONE_SNAPSHOT: &str = "/projects/{project}/entities/{kind}/{id}/snapshots/{snapshot}";

/// A path that was resolved.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) route: &'static Route,
    pub(super) tenant: String,
    /// For resources of one aggregate.
    pub(super) key: Option<AggregateKey>,
    pub(super) version: u64,
    pub(super) snapshot: Option<SnapshotId>,
    #[cfg(feature = "publish")]
    pub(super) publication: Option<PublicationId>,
    /// The digest of a state, the id of a job, the name of an artifact, or the code of a problem.
    pub(super) last: String,
    /// Whether the path has the one form of each of its segments.
    pub(super) is_canonical: bool,
}

impl Target {
    /// Makes it the target of a client that accepts what `headers` say.
    pub(super) fn accept(&mut self, headers: &HeaderMap) {
        if self.route.resource == Resource::Snapshot && media::prefers_record(headers) {
            self.route = &RECORD;
        }
    }

    /// Finds what `path` names, below the prefix, and what `method` does to it. `publishes` says whether
    /// there are publications.
    pub(super) fn resolve(
        path: &str,
        method: &Method,
        publishes: bool,
    ) -> Result<Self, HttpProblem> {
        let segments = PathSegments::of(path);
        let mut rows = fitting(&segments, publishes);
        let Some(row) = rows.find(|row| row.route.methods.contains(method)) else {
            return Err(match methods_of(path, publishes) {
                None => HttpProblem::not_found("no route has this path"),
                Some(allowed) => HttpProblem::method(&allowed),
            });
        };
        let route = row.route;
        let (mut tenant, mut kind, mut id) = (Cow::Borrowed(""), Cow::Borrowed(""), None);
        let (mut version, mut snapshot, mut last) = (0, None, String::new());
        #[cfg(feature = "publish")]
        let mut publication = None;
        let mut is_canonical = true;
        for (part, segment) in row.parts.iter().zip(segments.all()) {
            match *part {
                "{version}" => {
                    version = parse_version(segment).ok_or_else(|| {
                        HttpProblem::not_found("a version is a number without leading zeros")
                    })?;
                }
                #[cfg(feature = "publish")]
                "{publication}" => publication = segment.parse().ok(),
                "{digest}" | "{job}" | "{code}" | "{artifact}" => segment.clone_into(&mut last),
                "{snapshot}" => {
                    let form = "a snapshot has the id that the list shows";
                    let id = snapshot_document::parse_id(segment);
                    snapshot = Some(id.ok_or_else(|| HttpProblem::not_found(form))?);
                }
                "{project}" | "{kind}" | "{id}" => {
                    let (text, is_its_form) = segment::decode(segment).ok_or_else(|| {
                        HttpProblem::not_found(format!(
                            "the segment {segment:?} is no text: use the text, or ~ and its \
                             URL-safe base64"
                        ))
                    })?;
                    is_canonical &= is_its_form;
                    match *part {
                        "{project}" => tenant = text,
                        "{kind}" => kind = text,
                        _ => id = Some(text),
                    }
                }
                _ => {}
            }
        }
        let key = match &id {
            Some(id) => Some(AggregateKey::from_parts(&tenant, &kind, id)?),
            None => None,
        };
        let tenant = tenant.into_owned();
        Ok(Self {
            route,
            tenant,
            key,
            version,
            snapshot,
            #[cfg(feature = "publish")]
            publication,
            last,
            is_canonical,
        })
    }

    /// The kind that a request concerns; `None` if it concerns all kinds of the tenant.
    pub(super) fn kind<'a>(&'a self, request: &'a Parts) -> Option<Cow<'a, str>> {
        if let Some(key) = &self.key {
            return Some(key.kind().into());
        }
        let query = request.uri.query().unwrap_or_default();
        let mut parameters = form_urlencoded::parse(query.as_bytes());
        parameters.find(|(name, _)| name == QueryParameter::FILTER_KIND.name).map(|(_, kind)| kind)
    }
}

/// All routes, and those of publications where there are any.
pub(super) fn all_routes(publishes: bool) -> impl Iterator<Item = &'static Route> {
    #[cfg(feature = "publish")]
    let more = PUBLISH_ROUTES;
    #[cfg(not(feature = "publish"))]
    let more: &[Route] = &[];
    ROUTES.iter().chain(more.iter().filter(move |_| publishes))
}

/// A route, with its path split into segments.
struct SplitRoute {
    route: &'static Route,
    parts: Vec<&'static str>,
}

/// The table, split once: every request looks for its path in it.
static ROWS: LazyLock<Vec<SplitRoute>> = LazyLock::new(|| {
    all_routes(true)
        .map(|route| SplitRoute { route, parts: route.path.split('/').collect() })
        .collect()
});

/// The rows of the table that have such a path.
fn fitting(path: &PathSegments<'_>, publishes: bool) -> impl Iterator<Item = &'static SplitRoute> {
    let count = if publishes { ROWS.len() } else { ROUTES.len() };
    ROWS.iter().take(count).filter(|row| {
        row.parts.len() == path.count()
            && row.parts.iter().zip(path.all()).all(|(part, segment)| {
                *part == segment || part.starts_with('{') && !segment.is_empty()
            })
    })
}

/// The methods of a path, as in the header `Allow`; `None` if no route has the path.
pub(super) fn methods_of(path: &str, publishes: bool) -> Option<String> {
    let segments = PathSegments::of(path);
    let methods =
        fitting(&segments, publishes).flat_map(|row| row.route.methods).map(Method::as_str);
    let methods: Vec<&str> = methods.collect();
    (!methods.is_empty()).then(|| methods.join(", "))
}

/// A version as it stands in a path: one form for each number.
fn parse_version(text: &str) -> Option<u64> {
    let version: u64 = text.parse().ok()?;
    (version.to_string() == text).then_some(version)
}
