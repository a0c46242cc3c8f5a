//! A delivery that publishes on a real storage, and its clients.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt as _, Full};
use serde_json::{Value, json};
use snapfold::engine::{ManualClock, SystemClock};
use snapfold::manager::Kinds;
use snapfold::object_store::ObjectStoreSnapshots;
use snapfold::publication::{Publication, PublicationsRequest, StorePublications};
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, Scope};
use snapfold::service::publish::{
    PublishOptions, PublishSweep, Publisher, PublisherBuilder, UploadKeys, UploadUrls,
};
use snapfold::{Timestamp, artifact::ArtifactId};
use tower_service::Service as _;

use crate::*;

const ORIGIN: &str = "https://api.example.com";
const PUBLICATIONS: &str = "/projects/t/publications";

/// The publications are in the same bucket and below the same root as the artifacts.
pub struct Press {
    pub site: Site,
    pub publisher: Publisher,
    delivery: Delivery,
    key: String,
}

pub struct Told {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Told {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a document")
    }
}

pub async fn builder(site: &Site) -> PublisherBuilder {
    let client = site.server.retrying(5);
    let snapshots = ObjectStoreSnapshots::open(client, site.root.as_ref()).await.expect("a store");
    let publications = Arc::new(StorePublications::new(snapshots));
    Publisher::builder(publications, Arc::new(site.store()))
}

/// What is visible, oldest last.
pub async fn listed(publisher: &Publisher, completed: bool) -> Vec<Publication> {
    let (mut all, mut request) = (Vec::new(), PublicationsRequest::new("t").completed(completed));
    loop {
        let page = publisher.list(request).await.expect("a page");
        all.extend(page.items);
        let Some(next) = page.next else { return all };
        request = PublicationsRequest::new("t").completed(completed).after(next);
    }
}

/// Fails unless each artifact of what is visible is there, and is what it is said to be. Returns
/// how many are visible.
pub async fn all_is_whole(publisher: &Publisher) -> usize {
    let visible = listed(publisher, true).await;
    for publication in &visible {
        for (name, part) in &publication.parts {
            let stored = part.stored.as_ref().unwrap_or_else(|| panic!("{name} is visible"));
            let found = publisher.open(publication, name, None).await.expect("a store");
            let found = found.unwrap_or_else(|| panic!("{} lost {name}", publication.id));
            let bytes = found.bytes(1 << 20).await.expect("content").expect("not too much");
            assert_eq!((bytes.len() as u64, ArtifactId::of(&bytes)), (stored.size, stored.id));
        }
    }
    visible.len()
}

/// Hours later: ends what is pending, and removes what nobody needs. Then only the artifacts of what
/// is visible are there, and no upload.
pub async fn clean(site: &Site) -> PublishSweep {
    let now = Timestamp::from(std::time::SystemTime::now());
    let clock = ManualClock::at(now.saturating_add(Duration::from_secs(3 * 60 * 60)));
    let publisher = builder(site).await.clock(clock).build().expect("a publisher");
    let swept = publisher.sweep().await.expect("a sweep");
    assert!(!publisher.collect("t").await.expect("a collection").is_elsewhere);
    all_is_whole(&publisher).await;
    let visible = listed(&publisher, true).await;
    let parts = visible.iter().flat_map(|it| it.parts.values());
    let mut referred: Vec<_> =
        parts.map(|part| part.stored.as_ref().expect("it is stored").id.to_string()).collect();
    referred.sort();
    referred.dedup();
    let (artifacts, uploads) = (format!("{}/a/t/", site.root), format!("{}/u/", site.root));
    let objects = site.objects().await;
    let names = objects.iter().map(|object| object.location.as_ref());
    let stored: Vec<_> = names.clone().filter_map(|it| it.strip_prefix(&*artifacts)).collect();
    assert_eq!(stored, referred);
    assert_eq!(names.filter(|it| it.starts_with(&*uploads)).count(), 0);
    swept
}

impl Press {
    pub async fn new(server: Server, validity: Duration) -> Self {
        let site = Site::on(server);
        let options = PublishOptions::new().validity(validity);
        let publisher = builder(&site).await.options(options).build().expect("a publisher");
        let (key, secret) =
            ApiKey::generate("ci", [Scope::new(Permission::ALL.to_vec()).tenants(["t"])])
                .expect("a key");
        let keys = UploadKeys::new("test", [7; 32]).expect("a key");
        let delivery = Delivery::builder(Kinds::new())
            .authenticator(ApiKeys::new().with(key))
            .publisher(
                publisher.clone(),
                Arc::new(UploadUrls::new(keys, Arc::new(SystemClock::new()))),
                ORIGIN,
            )
            .build()
            .expect("a delivery");
        Self { site, publisher, delivery, key: format!("Bearer {}", secret.as_str()) }
    }

    /// Asks the delivery.
    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Told {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", &self.key)
            .header("content-type", "application/json");
        self.call(request.body(Full::from(body)).expect("a request")).await
    }

    async fn call(&self, request: Request<Full<Bytes>>) -> Told {
        let Ok(answer) = self.delivery.clone().call(request).await;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Told { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// Sends content to a URL, wherever that is.
    pub async fn put(&self, url: &str, headers: &Value, content: Bytes) -> String {
        if let Some(path) = url.strip_prefix(ORIGIN) {
            let mut request = Request::put(path).header("content-length", content.len());
            for (name, value) in headers.as_object().into_iter().flatten() {
                request = request.header(name, value.as_str().expect("a text"));
            }
            let request = request.body(Full::from(content)).expect("a request");
            return self.call(request).await.status.to_string();
        }
        let mut request = self.site.http.put(url);
        for (name, value) in headers.as_object().into_iter().flatten() {
            request = request.header(name, value.as_str().expect("a text"));
        }
        if content.is_empty() {
            request = request.header("content-length", "0");
        }
        told(request.body(content).send().await.expect("an answer")).await
    }

    /// Begins a publication of this artifact: its id, and how it is sent.
    pub async fn begin(&self, artifact: Value) -> (String, Value) {
        let body = json!({ "artifacts": { "plot": artifact } });
        let begun = self.ask("POST", PUBLICATIONS, &body).await;
        assert_eq!(begun.status, 201, "{:?}", begun.body);
        let data = begun.json()["data"].take();
        let id = data["id"].as_str().expect("an id").to_owned();
        (id, data["attributes"]["artifacts"]["plot"]["upload"].clone())
    }

    /// The status, and what is wrong with the artifact.
    pub async fn finalize(&self, id: &str) -> (u16, Option<String>) {
        let path = format!("{PUBLICATIONS}/{id}/finalize");
        let answer = self.ask("POST", &path, &Value::Null).await;
        let document = answer.json();
        let wrong = document.pointer("/artifacts/plot");
        (answer.status, wrong.and_then(Value::as_str).map(str::to_owned))
    }

    /// The ids of what is visible to clients.
    pub async fn visible(&self) -> Vec<String> {
        let list = self.ask("GET", PUBLICATIONS, &Value::Null).await.json();
        let items = list["data"].as_array().expect("a list");
        items.iter().map(|it| it["id"].as_str().expect("an id").to_owned()).collect()
    }

    pub async fn artifact(&self, id: &str) -> Told {
        self.ask("GET", &format!("{PUBLICATIONS}/{id}/artifacts/plot"), &Value::Null).await
    }
}

/// What is declared about content.
pub fn declared(content: &Bytes) -> Value {
    json!({
        "size": content.len(),
        "sha256": ArtifactId::of(content).to_string(),
        "contentType": "image/png",
    })
}
