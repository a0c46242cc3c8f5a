//! A delivery that publishes, and what a client does with it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body::Body as _;
use serde_json::{Value, json};
use snapfold::artifact::{ArtifactStore, MemoryArtifacts};
use snapfold::engine::ManualClock;
use snapfold::ledger::{AuditRequest, Ledger as _, StoreLedger};
use snapfold::publication::Publication;
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, Scope};
use snapfold::service::publish::{
    PublicationObserver, PublishOptions, Publisher, UploadKeys, UploadUrls,
};
use snapfold::{Error, MemoryStore};
use tower_service::Service as _;

use super::shelf::{Plain, Shelf};
use crate::support::{Answer, Shop, at};

/// Notes each change.
#[derive(Clone, Debug, Default)]
pub struct Notes(Arc<Mutex<Vec<String>>>);

impl Notes {
    pub fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[async_trait]
impl PublicationObserver for Notes {
    async fn changed(&self, publication: &Publication) -> Result<(), Error> {
        self.0.lock().unwrap().push(publication.status.to_string());
        Ok(())
    }

    fn unrecorded(&self, _: &Publication, error: &Error) {
        self.0.lock().unwrap().push(format!("{:?}", error.kind()));
    }
}

pub struct Press {
    pub shelf: Shelf,
    pub artifacts: MemoryArtifacts,
    pub notes: Notes,
    pub ledger: StoreLedger,
    pub clock: ManualClock,
    pub keys: ApiKeys,
    pub publisher: Publisher,
    pub delivery: Delivery,
    /// May do everything in `north`, as `k`.
    pub ops: String,
}

pub const ORIGIN: &str = "https://api.example.com";

impl Press {
    /// Artifacts pass through the delivery.
    pub fn new() -> Self {
        Self::with(false, PublishOptions::new())
    }

    pub fn with(signs: bool, options: PublishOptions) -> Self {
        let clock = ManualClock::at(at(1_000));
        let artifacts = MemoryArtifacts::with_clock(Arc::new(clock.clone()));
        let store: Arc<dyn ArtifactStore> =
            if signs { Arc::new(artifacts.clone()) } else { Arc::new(Plain(artifacts.clone())) };
        let (shelf, notes) = (Shelf::new(), Notes::default());
        let ledger = StoreLedger::new(MemoryStore::new());
        let publisher = Publisher::builder(Arc::new(shelf.clone()), store)
            .options(options)
            .clock(clock.clone())
            .observer(notes.clone())
            .ledger(ledger.clone())
            .build()
            .unwrap();
        let urls =
            UploadUrls::new(UploadKeys::new("test", [7; 32]).unwrap(), Arc::new(clock.clone()));
        let keys = ApiKeys::new();
        let delivery = Shop::new()
            .builder()
            .prefix("/api")
            .clock(clock.clone())
            .authenticator(keys.clone())
            .publisher(publisher.clone(), Arc::new(urls), ORIGIN)
            .build()
            .unwrap();
        let ops = String::new();
        let mut press =
            Self { shelf, artifacts, notes, ledger, clock, keys, publisher, delivery, ops };
        press.ops = press.key("ops", Scope::new(Permission::ALL.to_vec()).tenants(["north"]));
        press
    }

    pub fn key(&self, name: &str, scope: Scope) -> String {
        let (key, secret) = ApiKey::generate(name, [scope]).unwrap();
        self.keys.add(key);
        format!("Bearer {secret}")
    }

    /// Sends a JSON body as `ops`.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, &self.ops, &[], body.to_string()).await
    }

    pub async fn ask(
        &self,
        method: &str,
        path: &str,
        key: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let mut all = vec![];
        if !key.is_empty() {
            all.push(("authorization", key));
        }
        if !body.is_empty() {
            all.push(("content-type", "application/json"));
        }
        all.extend(headers);
        call(&self.delivery, method, &format!("/api{path}"), &all, body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &self.ops, &[], "").await
    }

    /// Sends content to a signed URL, as a client that has nothing else.
    pub async fn put(&self, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let length = body.len().to_string();
        let mut all = vec![("content-length", &*length)];
        all.extend(headers);
        let path = url.strip_prefix(ORIGIN).unwrap_or_else(|| panic!("{url}"));
        call(&self.delivery, "PUT", path, &all, body).await
    }

    /// Begins a publication of `north` with these artifacts. Its id, and the URL of each upload.
    pub async fn begin(&self, artifacts: Value) -> (String, Value) {
        let body = json!({ "artifacts": artifacts });
        let answer = self.post("/projects/north/publications", &body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let data = &answer.json()["data"];
        let id = data["id"].as_str().unwrap().to_owned();
        assert_eq!(answer.header("location"), format!("/api{}", one(&id)));
        (id, data["attributes"]["artifacts"].clone())
    }

    pub async fn finalize(&self, id: &str) -> Answer {
        self.ask("POST", &format!("{}/finalize", one(id)), &self.ops, &[], "").await
    }

    /// The actions in the audit trail of `north`, with who did them.
    pub async fn trail(&self) -> Vec<(String, String)> {
        let request = AuditRequest::new().tenant("north");
        let page = self.ledger.entries(request).await.unwrap();
        page.items.into_iter().map(|it| (it.entry.action, it.entry.actor)).collect()
    }

    pub fn wait(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }
}

pub fn one(id: &str) -> String {
    format!("/projects/north/publications/{id}")
}

pub fn href(artifacts: &Value, name: &str) -> String {
    artifacts[name]["upload"]["href"].as_str().unwrap_or_else(|| panic!("{artifacts}")).to_owned()
}

/// The SHA-256 of content, in hexadecimal digits.
pub fn sha256(content: &[u8]) -> String {
    snapfold::artifact::ArtifactId::of(content).to_string()
}

pub async fn call(
    delivery: &Delivery,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let Ok(answer) = delivery.clone().call(request.body(Sent::new(body)).unwrap()).await;
    let (parts, body) = answer.into_parts();
    let mut body = std::pin::pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    Answer { status: parts.status, headers: parts.headers, body: bytes.into() }
}

/// A body in pieces of a few bytes, of which each comes later.
pub struct Sent {
    left: Bytes,
    is_ready: bool,
}

impl Sent {
    pub fn new(left: Bytes) -> Self {
        Self { left, is_ready: false }
    }
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.is_ready = !self.is_ready;
        if self.is_ready {
            context.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        let count = self.left.len().min(1_000);
        let piece = self.left.split_to(count);
        let piece = (!piece.is_empty()).then(|| Ok(http_body::Frame::data(piece)));
        std::task::Poll::Ready(piece)
    }
}
