//! Handlers as one writes them by hand with axum.

use std::collections::HashMap;
use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use governor::clock::DefaultClock;
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, LINK, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};
use snapfold::{AggregateKey, SnapshotEngine};

use crate::cart::Cart;

const ROUTE: &str = "/api/v1/projects/{project}/entities/{kind}/{id}";

/// An answer whose headers and bytes are ready.
pub struct Prepared {
    body: Bytes,
    headers: HeaderMap,
    not_modified: HeaderMap,
}

impl Prepared {
    pub fn new(body: Bytes, mut headers: HeaderMap) -> Self {
        // axum would add it to each answer, which takes longer.
        headers.insert(CONTENT_LENGTH, body.len().into());
        let kept = [ETAG, CACHE_CONTROL, CONTENT_LOCATION, VARY];
        let not_modified = kept.into_iter().map(|name| (name.clone(), headers[name].clone()));
        let not_modified = not_modified.collect();
        Self { body, headers, not_modified }
    }

    fn answer(&self, request: &HeaderMap) -> Response {
        if request.get(IF_NONE_MATCH).is_some_and(|tag| *tag == self.headers[ETAG]) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.headers_mut() = self.not_modified.clone();
            return response;
        }
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// Project, kind and id.
pub type Names = (String, String, String);

/// Sends what is ready: the same headers and bytes as the delivery.
pub fn prepared(all: HashMap<Names, Prepared>) -> Router {
    async fn handler(
        State(all): State<Arc<HashMap<Names, Prepared>>>,
        Path(names): Path<Names>,
        request: Request,
    ) -> Result<Response, StatusCode> {
        Ok(all.get(&names).ok_or(StatusCode::NOT_FOUND)?.answer(request.headers()))
    }
    Router::new().route(ROUTE, get(handler)).with_state(Arc::new(all))
}

/// A key as one stores it by hand: found by its hash.
struct HandKey {
    name: &'static str,
    kinds: Vec<String>,
    limiter: RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>,
}

struct Guarded {
    all: HashMap<Names, Prepared>,
    keys: HashMap<[u8; 32], HandKey>,
    /// The reads of each principal, for an audit trail.
    reads: Mutex<HashMap<&'static str, (u64, SystemTime)>>,
}

/// The same behind a key, its scope, a quota with its headers, and a count of reads.
pub fn guarded(all: HashMap<Names, Prepared>, secret: &str) -> Router {
    async fn handler(
        State(state): State<Arc<Guarded>>,
        Path(names): Path<Names>,
        request: Request,
    ) -> Result<Response, StatusCode> {
        let unknown = StatusCode::UNAUTHORIZED;
        let given = request.headers().get(AUTHORIZATION).and_then(|text| text.to_str().ok());
        let secret = given.and_then(|text| text.strip_prefix("Bearer ")).ok_or(unknown)?;
        let hash: [u8; 32] = Sha256::digest(secret).into();
        let key = state.keys.get(&hash).ok_or(unknown)?;
        if !key.kinds.contains(&names.1) {
            return Err(StatusCode::FORBIDDEN);
        }
        let left = key.limiter.check().map_err(|_| StatusCode::TOO_MANY_REQUESTS)?;
        let left = left.remaining_burst_capacity();
        {
            let now = SystemTime::now();
            let mut reads = state.reads.lock().unwrap();
            let (count, last) = reads.entry(key.name).or_insert((0, now));
            (*count, *last) = (*count + 1, now);
        }
        let prepared = state.all.get(&names).ok_or(StatusCode::NOT_FOUND)?;
        let mut response = prepared.answer(request.headers());
        let policy = HeaderValue::from_static("\"default\";q=1000000000;w=60");
        let state = HeaderValue::try_from(format!("\"default\";r={left};t=1")).unwrap();
        response.headers_mut().insert(HeaderName::from_static("ratelimit-policy"), policy);
        response.headers_mut().insert(HeaderName::from_static("ratelimit"), state);
        Ok(response)
    }
    let quota = Quota::with_period(Duration::from_nanos(60)).unwrap();
    let quota = quota.allow_burst(NonZeroU32::new(1_000_000_000).unwrap());
    let limiter = RateLimiter::direct(quota).with_middleware();
    let key = HandKey { name: "bench", kinds: vec!["cart".to_owned()], limiter };
    let keys = HashMap::from([(Sha256::digest(secret).into(), key)]);
    let state = Arc::new(Guarded { all, keys, reads: Mutex::default() });
    Router::new().route(ROUTE, get(handler)).with_state(state)
}

/// Loads, encodes and hashes each time.
pub fn loading(engine: SnapshotEngine<Cart>) -> Router {
    async fn handler(
        State(engine): State<SnapshotEngine<Cart>>,
        Path((project, kind, id)): Path<Names>,
        request: Request,
    ) -> Result<Response, StatusCode> {
        let tenant = if project == "~" { "" } else { &project };
        let key = AggregateKey::from_parts(tenant, &kind, &id);
        let key = key.map_err(|_| StatusCode::NOT_FOUND)?;
        let (body, headers) = rendered(&engine, &key, false).await;
        Ok(Prepared::new(body, headers).answer(request.headers()))
    }
    Router::new().route(ROUTE, get(handler)).with_state(engine)
}

/// The body and the headers of the state now.
pub async fn rendered(
    engine: &SnapshotEngine<Cart>,
    key: &AggregateKey,
    gzip: bool,
) -> (Bytes, HeaderMap) {
    let loaded = engine.load(key).await.unwrap();
    let json = serde_json::to_vec(&*loaded.state).unwrap();
    let hash = Sha256::digest(&json);
    let (mut body, mut transferred) = (Bytes::from(json), hash);
    let mut headers = HeaderMap::with_capacity(10);
    let mut suffix = "";
    if gzip {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(&body).unwrap();
        body = encoder.finish().unwrap().into();
        transferred = Sha256::digest(&body);
        suffix = "-gz";
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    let text = |text: String| HeaderValue::from_str(&text).unwrap();
    let url = format!("/api/v1/projects/~/entities/{}/{}", key.kind(), key.id());
    let digest = URL_SAFE_NO_PAD.encode(hash);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let policy = HeaderValue::from_static("private, max-age=0, must-revalidate");
    headers.insert(CACHE_CONTROL, policy);
    let vary = "accept, accept-encoding, accept-datetime, authorization";
    headers.insert(VARY, HeaderValue::from_static(vary));
    let link = format!(
        "<{url}>; rel=\"original timegate\", <{url}/timemap>; rel=\"timemap\"; \
         type=\"application/link-format\", <{url}/versions>; rel=\"version-history\""
    );
    headers.insert(LINK, text(link));
    let immutable = format!("{url}/versions/{}/{digest}", loaded.version);
    headers.insert(CONTENT_LOCATION, text(immutable));
    let tag = format!("\"{}{suffix}\"", URL_SAFE_NO_PAD.encode(&hash[..16]));
    headers.insert(ETAG, text(tag));
    let digest = format!("sha-256=:{}:", STANDARD.encode(transferred));
    headers.insert(HeaderName::from_static("repr-digest"), text(digest));
    (body, headers)
}
