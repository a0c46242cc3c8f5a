//! [`Delivery`]: the service.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::body::DeliveryBody;
use super::media::Media;
use super::problem::HttpProblem;
use super::read;
use super::redirect::redirect;
use super::route::Target;
use super::served::Served;

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
///
/// All of them answer GET and HEAD. States are plain JSON, or a document of JSON:API with
/// `Accept: application/vnd.api+json`. Errors are problem details (RFC 9457), or JSON:API errors.
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

    async fn answer(&self, request: &Parts) -> Response<DeliveryBody> {
        let with_body = request.method != Method::HEAD;
        let media = Media::accepted(&request.headers);
        let response = match self.try_answer(request, media).await {
            Ok(response) => response,
            Err(problem) => problem.into_response(media.unwrap_or(Media::Json), with_body),
        };
        DeliveryBody::state_length(response)
    }

    async fn try_answer(
        &self,
        request: &Parts,
        media: Option<Media>,
    ) -> Result<Response<DeliveryBody>, HttpProblem> {
        let path = request.uri.path();
        let target = Target::resolve(path.strip_prefix(&self.0.prefix).unwrap_or(path))?;
        let methods = target.route.methods;
        if request.method == Method::OPTIONS {
            let mut response = Response::new(DeliveryBody::default());
            *response.status_mut() = StatusCode::NO_CONTENT;
            response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
            return Ok(response);
        }
        if !target.route.allows(&request.method) {
            return Err(HttpProblem::method(methods));
        }
        if let Some(moved) = &target.moved {
            let query = request.uri.query().map_or_else(String::new, |query| format!("?{query}"));
            return redirect(
                StatusCode::MOVED_PERMANENTLY,
                &format!("{}{moved}{query}", self.0.prefix),
            );
        }
        let permit = self.0.gate.admit(request, target).await?;
        let mut answer = match read::answer(&self.0, request, &permit, media).await {
            Ok(response) => response,
            Err(problem) => {
                let with_body = request.method != Method::HEAD;
                problem.into_response(media.unwrap_or(Media::Json), with_body)
            }
        };
        permit.describe(answer.headers_mut());
        Ok(answer)
    }
}

impl<B: http_body::Body + Send + 'static> Service<Request<B>> for Delivery {
    type Response = Response<DeliveryBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<DeliveryBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let delivery = self.clone();
        let (parts, _) = request.into_parts();
        Box::pin(async move { Ok(delivery.answer(&parts).await) })
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "memory", feature = "postcard"))]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http_body::Body as _;
    use serde::{Deserialize, Serialize};
    use serde_json::Value;

    use super::*;
    use crate::{Aggregate, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

    #[derive(Clone, Serialize, Deserialize)]
    struct Log(Vec<String>);

    impl Aggregate for Log {
        type Event = String;
        const KIND: &'static str = "log";
        const SCHEMA_VERSION: u32 = 1;

        fn initial(_: &AggregateKey) -> Self {
            Self(Vec::new())
        }

        fn apply(&mut self, event: &String) {
            self.0.push(event.clone());
        }
    }

    const ENTITY: &str = "/projects/~/entities/log/a";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second)
    }

    /// A log of two events, and what serves it.
    async fn world() -> (MemoryEvents<String>, Delivery) {
        let (events, key) = (MemoryEvents::new(), Log::key("a").unwrap());
        events.append(&key, at(10), "x".repeat(1_000));
        events.append(&key, at(20), "y".to_owned());
        let engine =
            SnapshotEngine::<Log>::builder(events.clone(), MemoryStore::new()).build().unwrap();
        engine.create(&key).await.unwrap();
        let kinds = Kinds::new().with(engine).unwrap();
        (events, Delivery::builder(kinds).open_to_everybody().build().unwrap())
    }

    async fn ask(
        delivery: &Delivery,
        method: Method,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> (Response<()>, Bytes) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(String::new()).unwrap();
        let response = delivery.clone().call(request).await.unwrap();
        let (parts, mut body) = response.into_parts();
        let length = body.size_hint().exact().unwrap();
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let bytes = frame.map(|frame| frame.unwrap().into_data().unwrap()).unwrap_or_default();
        assert_eq!((length, body.size_hint().exact()), (bytes.len() as u64, Some(0)));
        (Response::from_parts(parts, ()), bytes)
    }

    #[tokio::test]
    async fn a_head_has_the_headers_of_the_get() {
        let (_, delivery) = world().await;
        let entity = |rest: &str| format!("{ENTITY}{rest}");
        for (path, headers, status) in [
            (entity(""), &[][..], 200),
            (entity(""), &[("accept-encoding", "gzip")], 200),
            (entity(""), &[("accept", "application/vnd.api+json")], 200),
            (entity(""), &[("if-none-match", "*")], 304),
            (entity(""), &[("if-match", "\"x\"")], 412),
            (entity(""), &[("accept", "text/html")], 406),
            (entity(""), &[("accept-datetime", "Thu, 01 Jan 1970 00:00:10 GMT")], 302),
            (entity("?frob"), &[], 400),
            (entity("/versions"), &[], 200),
            (entity("/versions/1"), &[], 200),
            (entity("/versions/9"), &[], 404),
            (entity("/timemap"), &[], 200),
            (entity("/diff?from=1"), &[], 200),
            (entity("/snapshots"), &[], 200),
            ("/projects/~/entities".to_owned(), &[], 200),
            ("/projects/%7E/entities".to_owned(), &[], 301),
        ] {
            let (get, body) = ask(&delivery, Method::GET, &path, headers).await;
            let (head, nothing) = ask(&delivery, Method::HEAD, &path, headers).await;
            assert_eq!((get.status().as_u16(), head.status().as_u16()), (status, status), "{path}");
            assert_eq!(get.headers(), head.headers(), "{path} {headers:?}");
            let length = get.headers().get("content-length").map(|text| text.to_str().unwrap());
            let expected = body.len().to_string();
            assert_eq!(length, (status != 304).then_some(&*expected), "{path} {headers:?}");
            assert!(nothing.is_empty());
        }
    }

    #[tokio::test]
    async fn no_date_hides_a_change() {
        let (events, delivery) = world().await;
        let key = Log::key("a").unwrap();
        let (before, _) = ask(&delivery, Method::GET, ENTITY, &[]).await;
        assert!(before.headers().get("last-modified").is_none());
        // In the second of the event before, and earlier than it.
        for time in [at(20).saturating_add(Duration::from_millis(1)), at(15)] {
            events.append(&key, time, "z".to_owned());
            for header in ["if-modified-since", "if-unmodified-since"] {
                let headers = &[(header, "Thu, 01 Jan 1970 00:00:20 GMT")];
                let (after, body) = ask(&delivery, Method::GET, ENTITY, headers).await;
                assert_eq!(after.status(), 200);
                assert!(body.ends_with(b"\"z\"]"));
                assert_ne!(after.headers()["etag"], before.headers()["etag"]);
            }
        }
    }

    #[tokio::test]
    async fn a_page_links_to_itself() {
        let (_, delivery) = world().await;
        let mut path = format!("{ENTITY}/versions?page%5Bsize%5D=1");
        for version in 1..=2 {
            let (_, body) = ask(&delivery, Method::GET, &path, &[]).await;
            let page: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(page["data"][0]["attributes"]["version"], version);
            assert_eq!(page["links"]["self"], *path);
            match page["links"]["next"].as_str() {
                Some(next) => next.clone_into(&mut path),
                None => assert_eq!(version, 2),
            }
        }
    }

    #[tokio::test]
    async fn a_date_before_1970_leads_to_the_first_state() {
        let (_, delivery) = world().await;
        let headers = &[("accept-datetime", "Sun, 06 Nov 1960 08:49:37 GMT")];
        let (found, _) = ask(&delivery, Method::GET, ENTITY, headers).await;
        assert_eq!(found.status(), 302);
        assert_eq!(found.headers()["location"], format!("{ENTITY}/versions/1"));
    }
}
