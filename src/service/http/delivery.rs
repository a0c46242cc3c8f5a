//! [`Delivery`]: the service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tower_service::Service;

use super::body::DeliveryBody;
#[cfg(feature = "publish")]
use super::guard::AccessNote;
use super::guard::{AccessSums, Permit};
use super::media::Media;
use super::problem::HttpProblem;
#[cfg(feature = "publish")]
use super::publish::{self, PublishResource};
use super::read;
use super::redirect::redirect;
use super::request_body::{MAX_REQUEST, read_request};
use super::resource::Resource;
use super::route::{INSPECTOR, Target, methods_of};
use super::served::Served;
use super::write;
use crate::error::{BoxError, Error};

/// Serves the states of an application over HTTP. Clones share everything.
///
/// It is a [`Service`] over the types of the crate `http`. It never fails and is always ready.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Account { cents: i64 }
/// # impl Aggregate for Account {
/// #     type Event = i64;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account { cents: 0 } }
/// #     fn apply(&mut self, cents: &i64) { self.cents += cents; }
/// # }
/// # #[cfg(feature = "postcard")]
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use snapfold::service::http::Delivery;
/// use snapfold::manager::Kinds;
/// use tower_service::Service;
///
/// # let (events, store) = (MemoryEvents::new(), MemoryStore::new());
/// # events.append(&Account::key("alice")?, Timestamp::from_seconds(0), 250);
/// let engine = SnapshotEngine::<Account>::builder(events, store).build()?;
/// let mut delivery =
///     Delivery::builder(Kinds::new().with(engine)?).open_to_everybody().build()?;
///
/// // A server does this: `Router::new().nest_service("/api/v1", delivery)` in axum.
/// let request = http::Request::get("/projects/~/entities/account/alice").body(String::new())?;
/// let response = delivery.call(request).await?;
/// assert_eq!(response.status(), 200);
/// assert!(response.headers().contains_key("etag"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
///
/// # Resources
/// Below the [prefix](super::DeliveryBuilder::prefix), `{p}` is the tenant, `{k}` the kind and `{i}` the id
/// of an aggregate. A segment is the text itself if it consists of `A-Z a-z 0-9 . _ -` and is neither
/// `.` nor `..`, and otherwise `~` followed by the URL-safe base64 of its bytes without padding. So the
/// default tenant is `~`.
///
/// | path | what | status |
/// |---|---|---|
/// | `/projects/{p}/entities` | the aggregates that have snapshots: `filter[kind]`, `page[size]` (1 to 1,000, 100 by default), `page[after]` | 200 |
/// | `/projects/{p}/entities/{k}/{i}` | the state now, or at `?version=` or `?at=` (RFC 3339); with `Accept-Datetime`, where the state at that time is | 200, 302, 304 |
/// | `.../versions` | the versions and their times, oldest first | 200 |
/// | `.../versions/{v}` | the state at a version | 200, 304 |
/// | `.../versions/{v}/{digest}` | the same for ever, or 404 if it would be another today | 200, 304 |
/// | `.../timemap` | the versions as `application/link-format` | 200 |
/// | `.../diff?from=&to=` | the difference of two versions as a JSON Patch (RFC 6902) | 200 |
/// | `.../snapshots` | the stored snapshots, newest first | 200 |
/// | `.../snapshots/{snapshot}` | one of them, by the id of the list; with `Accept: application/vnd.snapfold.record`, its stored bytes | 200, 206, 304, 416 |
/// | `/projects/{p}/jobs/{job}` | a job that a write started, with `filter[kind]` if it is of one kind | 200 |
/// | `/projects/{p}/download` | all states of the project at one instant: `format` (`ndjson` or `zip`), `at` (now by default), `filter[kind]` | 200 |
/// | `.../events` | what [changes](super::LiveChanges) about an aggregate, as server-sent events; `Last-Event-ID` | 200 |
/// | `/projects/{p}/events` | the same of a project, or with `filter[kind]` of a kind | 200 |
/// | `/openapi.json` | this table as an OpenAPI 3.1 document | 200, 304 |
/// | `/problems/{code}` | what a problem means, and what to do | 200, 304 |
/// | `/health` | that the service answers; the store is not asked | 200 |
/// | `/inspect` | a page for people, if the [builder](super::DeliveryBuilder::inspector) says so | 200, 304 |
///
/// All of them answer GET and HEAD. The last four need no credentials: they tell nothing about what
/// is stored. States are plain JSON, or a document of JSON:API with
/// `Accept: application/vnd.api+json`. Errors are problem details (RFC 9457), or JSON:API errors.
///
/// The states are those of an engine: the fold of all events up to their point. A
/// [`SnapshotReader`](crate::engine::SnapshotReader) among the kinds serves what was captured instead;
/// its states have the header `Snapfold-Source: snapshots`.
///
/// # Writes
/// With an [authenticator](super::DeliveryBuilder::authenticator), principals that have the
/// [permission](super::Permission) may write. Bodies are JSON objects.
///
/// | request | what | status |
/// |---|---|---|
/// | `POST .../snapshots` | takes a snapshot: `version`, `labels`, `fields` | 201, 200 |
/// | `DELETE .../snapshots/{snapshot}` | deletes it, if `If-Match` holds and it is not pinned | 200, 409, 412 |
/// | `DELETE .../snapshots?before={v}` | deletes those below a version (exclusive) that are not pinned | 200 |
/// | `POST .../rebuild` | [refolds](crate::SnapshotAdmin::refold): `version` | 200, 201, 409 |
/// | `POST .../prune` | a retention [`Policy`](crate::retention::Policy): `policy`, `dryRun` (true by default), `plan` | 200, 409 |
/// | `POST /projects/{p}/rebuild`, `/projects/{p}/prune` | the same for all aggregates with snapshots, or those of `filter[kind]` | 200, 202 |
///
/// An aggregate without events is a 404. With `Idempotency-Key`, a request is made once and its
/// answer is given again for 24 hours. With `Prefer: respond-async`, or for a project with more than
/// 100 aggregates, the answer is 202 with the URL of a job. Keys, answers and jobs are kept in the
/// memory of one process, within bounds, and are forgotten when it ends.
///
/// A write that has begun is made to its end, also if its future or the delivery is dropped, but not
/// beyond the end of the runtime. A job that the runtime ends is not resumed; the audit trail of the
/// engine has what it did. All jobs can be started again.
///
/// # Publications
/// With the feature `publish` and a [publisher](super::DeliveryBuilder::publisher), clients publish artifacts
/// below `/projects/{p}/publications`, or with `/snapshots/publish` and `/snapshots/finalize`. The
/// guide `publish` describes the requests.
///
/// # Caching
/// The bytes of a state are a function of the aggregate, the version, the state and the media type.
/// The entity tag is a hash of them, so it is the same on every node and after every restart.
/// Conditions are evaluated as RFC 9110 says. There is no `Last-Modified`, and conditions by date are
/// ignored, because no date changes whenever a state does: events can have the same second, and some
/// are recorded late. With the engine's
/// [hot cache](crate::engine::EngineBuilder::cache), a state that did not change is neither encoded
/// nor hashed again.
#[derive(Clone)]
pub struct Delivery(Arc<Served>);

impl Delivery {
    pub(super) fn new(served: Served) -> Self {
        Self(Arc::new(served))
    }

    /// Writes the sums of the current minute to the [audit trail](super::DeliveryBuilder::audit).
    /// Call it before the process ends. Does nothing without an audit trail.
    ///
    /// If the future is dropped, the sums are kept. Some may be written twice then.
    ///
    /// # Errors
    /// Those of the ledger. The sums are kept.
    pub async fn flush_audit(&self) -> Result<(), Error> {
        match &self.0.access {
            Some(access) => access.write().await,
            None => Ok(()),
        }
    }

    /// The target of a request, or the answer if that depends on the path and the method alone.
    fn target(
        &self,
        request: &Parts,
    ) -> Result<ControlFlow<Response<DeliveryBody>, Target>, HttpProblem> {
        let path = request.uri.path();
        let path = path.strip_prefix(&self.0.prefix).unwrap_or(path);
        if path == INSPECTOR && !self.0.has_inspector {
            return Err(HttpProblem::not_found("no route has this path"));
        }
        if request.method == Method::OPTIONS
            && let Some(methods) = methods_of(path, self.0.publishes)
        {
            let mut response = DeliveryBody::nothing(StatusCode::NO_CONTENT);
            if let Ok(methods) = HeaderValue::from_str(&methods) {
                response.headers_mut().insert(ALLOW, methods);
            }
            return Ok(ControlFlow::Break(response));
        }
        let mut target = Target::resolve(path, &request.method, self.0.publishes)?;
        if !target.is_canonical {
            let moved = target.route.canonical(path);
            let query = request.uri.query().map_or_else(String::new, |query| format!("?{query}"));
            let location = format!("{}{moved}{query}", self.0.prefix);
            // Clients turn other methods into GET after a 301.
            let status = match request.method {
                Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
                _ => StatusCode::PERMANENT_REDIRECT,
            };
            let mut response = redirect(status, &location)?;
            // The form of a path does not depend on what is stored, or on who asks.
            let value = HeaderValue::from_static("max-age=3600");
            response.headers_mut().insert(CACHE_CONTROL, value);
            return Ok(ControlFlow::Break(response));
        }
        target.accept(&request.headers);
        Ok(ControlFlow::Continue(target))
    }

    /// Answers what changes a publication.
    #[cfg(feature = "publish")]
    async fn publish<B>(
        &self,
        request: &Parts,
        mut target: Target,
        resource: PublishResource,
        access: Option<AccessNote<'_>>,
        (media, body): (Option<Media>, B),
    ) -> Result<Response<DeliveryBody>, HttpProblem>
    where
        B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
    {
        if resource == PublishResource::Upload {
            return publish::upload(&self.0, request, &target, body).await;
        }
        let known = self.0.gate.identify(request, target.route.permission, access).await?;
        // Who is unknown sends no body. The project has to be known before anybody is admitted to it.
        if resource.begins() && publish::is_form(&request.headers) {
            let mut form = publish::SentForm::open(&request.headers, body)?;
            if resource.has_project_in_body() {
                target.tenant = form.project().await?;
            }
            let permit = known.permit(request, &target)?;
            let mut answer = publish::publish_form(&self.0, request, &permit, media, form).await;
            permit.describe(headers_of(&mut answer));
            return answer;
        }
        let (permit, body) = if resource.has_project_in_body() {
            let body = read_request(body, publish::MAX_BODY).await?;
            target.tenant = publish::project_of(&body)?;
            (known.permit(request, &target)?, body)
        } else {
            let permit = known.permit(request, &target)?;
            let body = if target.route.takes_body() {
                read_request(body, publish::MAX_BODY).await?
            } else {
                Bytes::new()
            };
            (permit, body)
        };
        self.answer(request, &permit, media, body).await
    }

    async fn answer(
        &self,
        request: &Parts,
        permit: &Permit<'_>,
        media: Option<Media>,
        body: Bytes,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let mut answer = match permit.target().route.resource {
            Resource::Write(action) => {
                Box::pin(write::answer(&self.0, request, permit, media, (action, body))).await
            }
            #[cfg(feature = "publish")]
            Resource::Publish(resource) if !resource.is_read() => {
                Box::pin(publish::answer(&self.0, request, permit, media, (resource, body))).await
            }
            _ => read::answer(&self.0, request, permit, media).await,
        };
        permit.describe(headers_of(&mut answer));
        answer
    }
}

fn headers_of(answer: &mut Result<Response<DeliveryBody>, HttpProblem>) -> &mut HeaderMap {
    match answer {
        Ok(response) => response.headers_mut(),
        Err(problem) => problem.headers(),
    }
}

impl<B> Service<Request<B>> for Delivery
where
    B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<DeliveryBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<DeliveryBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let delivery = self.clone();
        let (request, body) = request.into_parts();
        Box::pin(async move {
            let media = Media::accepted(&request.headers);
            let answer = async {
                let access = delivery.0.access.as_ref().map(AccessSums::begin);
                let target = match delivery.target(&request)? {
                    ControlFlow::Continue(target) => target,
                    ControlFlow::Break(answer) => return Ok(answer),
                };
                #[cfg(feature = "publish")]
                if let Resource::Publish(resource) = target.route.resource
                    && !resource.is_read()
                {
                    let with = (media, body);
                    return Box::pin(delivery.publish(&request, target, resource, access, with))
                        .await;
                }
                let permit = delivery.0.gate.admit(&request, &target, access).await?;
                let body = if target.route.takes_body() {
                    Box::pin(read_request(body, MAX_REQUEST)).await?
                } else {
                    Bytes::new()
                };
                delivery.answer(&request, &permit, media, body).await
            };
            let answer = answer.await;
            let with_body = request.method != Method::HEAD;
            let mut response = answer.unwrap_or_else(|problem| {
                let media = media.unwrap_or(Media::Json);
                problem.into_response(&delivery.0.prefix, media, with_body)
            });
            DeliveryBody::state_length(&mut response);
            Ok(response)
        })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}
