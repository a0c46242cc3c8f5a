//! Handlers as one writes them by hand with axum.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::Response;
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, LINK, VARY,
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

type Names = (String, String, String);

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
