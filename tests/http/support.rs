//! A delivery over two kinds, and what a client sees of an answer.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::header::CONTENT_LENGTH;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body::Body as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use snapfold::engine::CacheConfig;
use snapfold::manager::Kinds;
use snapfold::service::http::{Delivery, DeliveryBody, DeliveryBuilder};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, EventSource, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp,
};
use tower_service::Service;

/// Stock by place, in a map whose order in memory differs each time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stock {
    pub places: HashMap<String, i64>,
    pub notes: Vec<String>,
}

impl Aggregate for Stock {
    type Event = (String, i64);
    const KIND: &'static str = "stock";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self::default()
    }

    fn apply(&mut self, (place, amount): &(String, i64)) {
        *self.places.entry(place.clone()).or_default() += amount;
        if self.notes.len() < 20 {
            self.notes.push(format!("{amount} to {place}"));
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counter(pub u64);

impl Aggregate for Counter {
    type Event = u64;
    const KIND: &'static str = "counter";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self(0)
    }

    fn apply(&mut self, by: &u64) {
        self.0 += by;
    }
}

#[derive(Clone)]
pub struct Shop {
    pub stocks: MemoryEvents<(String, i64)>,
    pub counters: MemoryEvents<u64>,
    pub store: MemoryStore,
    pub engine: SnapshotEngine<Stock>,
    pub kinds: Kinds,
}

impl Shop {
    pub fn new() -> Self {
        Self::over(MemoryEvents::new(), MemoryEvents::new(), MemoryStore::new())
    }

    /// Another process over the same events and snapshots.
    pub fn over(
        stocks: MemoryEvents<(String, i64)>,
        counters: MemoryEvents<u64>,
        store: MemoryStore,
    ) -> Self {
        let engine = SnapshotEngine::<Stock>::builder(stocks.clone(), store.clone())
            .trigger(manual())
            .cache(CacheConfig::default())
            .build()
            .unwrap();
        let counter = SnapshotEngine::<Counter>::builder(counters.clone(), store.clone());
        let kinds = Kinds::new().with(engine.clone()).unwrap().with(counter.build().unwrap());
        Self { stocks, counters, store, engine, kinds: kinds.unwrap() }
    }

    pub fn builder(&self) -> DeliveryBuilder {
        Delivery::builder(self.kinds.clone())
    }

    pub fn open(&self) -> Delivery {
        self.builder().open_to_everybody().build().unwrap()
    }

    /// Appends events up to `version`, one a second.
    pub fn grow(&self, key: &AggregateKey, version: u64) {
        let head = EventSource::<Stock>::head(&self.stocks, key).now_or_never().unwrap();
        for n in head.unwrap().unwrap_or(0) + 1..=version {
            let place = format!("place {}", n % 40);
            self.stocks.append(key, at(n), (place, n.cast_signed()));
        }
    }
}

pub fn at(second: u64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + second.cast_signed())
}

/// The date of [`at`] in a header.
pub fn date(second: u64) -> String {
    let since = std::time::Duration::from_secs(1_700_000_000 + second);
    httpdate::fmt_http_date(std::time::UNIX_EPOCH + since)
}

pub fn stock(id: &str) -> AggregateKey {
    Stock::key(id).unwrap()
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {self:?}")).to_str().unwrap()
    }

    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

pub async fn send(
    delivery: &Delivery,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    deliver(delivery, request.body(String::new()).unwrap()).await
}

/// Adds the length of a body to an answer, as a server does.
pub fn state_length(parts: &mut Parts, body: &DeliveryBody) {
    let has_none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
    if let (Some(length), false) = (body.size_hint().exact(), has_none) {
        let stated = parts.headers.insert(CONTENT_LENGTH, length.into());
        assert!(stated.is_none_or(|stated| stated == HeaderValue::from(length)), "{parts:?}");
    }
}

pub async fn deliver(delivery: &Delivery, request: Request<String>) -> Answer {
    let is_head = request.method() == Method::HEAD;
    let answer: Result<_, Infallible> = delivery.clone().call(request).await;
    let (mut parts, mut body) = answer.unwrap().into_parts();
    if !is_head {
        state_length(&mut parts, &body);
    }
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    Answer { status: parts.status, headers: parts.headers, body: bytes.into() }
}

pub async fn get(delivery: &Delivery, path: &str) -> Answer {
    send(delivery, "GET", path, &[]).await
}

pub async fn get_with(delivery: &Delivery, path: &str, headers: &[(&str, &str)]) -> Answer {
    send(delivery, "GET", path, headers).await
}

/// The links of a `Link` header or of a time map, by relation.
pub fn links(text: &str) -> BTreeMap<String, Vec<(String, Option<String>)>> {
    let mut links: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for link in text.split('<').skip(1) {
        let (target, parameters) = link.split_once('>').unwrap();
        let value = |name: &str| {
            let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
            Some(rest.split('"').next().unwrap().to_owned())
        };
        for relation in value("rel").unwrap().split(' ') {
            let link = (target.to_owned(), value("datetime"));
            links.entry(relation.to_owned()).or_default().push(link);
        }
    }
    links
}
