//! What clients that nobody here wrote have found in answers.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use snapfold::manager::Kinds;
use snapfold::service::http::Delivery;
use snapfold::{Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};
use tower_service::Service as _;

use crate::support::{Shop, get_with, state_length, stock};

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
    let is_head = request.method() == Method::HEAD;
    let response = delivery.clone().call(request).await.unwrap();
    let (mut parts, mut body) = response.into_parts();
    if !is_head {
        state_length(&mut parts, &body);
    }
    let length = body.size_hint().exact().unwrap();
    let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
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

#[tokio::test]
async fn a_date_that_is_none_is_refused_also_where_it_is_not_needed() {
    let shop = Shop::new();
    shop.grow(&stock("alice"), 3);
    let delivery = shop.open();
    let path = "/projects/~/entities/stock/alice";
    let date = [("accept-datetime", "]1!d=sxzOk")];
    for query in ["", "?version=1", "?at=2023-11-15T00:00:00Z"] {
        let answer = get_with(&delivery, &format!("{path}{query}"), &date).await;
        assert_eq!(answer.status, 400, "{query}");
    }
}
