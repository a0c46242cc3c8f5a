//! The states of a project as one file.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::future::poll_fn;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use flate2::read::{DeflateDecoder, GzDecoder};
use http_body::Body as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use snapfold::engine::ManualClock;
use snapfold::manager::Kinds;
use snapfold::service::http::{Delivery, DeliveryBody};
use snapfold::{
    Aggregate, AggregateKey, BoxError, Error, ErrorKind, EventRange, EventSource, MemoryEvents,
    MemoryStore, Replay, SnapshotEngine,
};
use tower_service::Service as _;

use crate::support::{Answer, Counter, Shop, at, get, get_with, send, stock};

const AT: &str = "at=2023-11-14T22:13:30Z";
const IDS: [&str; 6] = ["alice", "Alice", "a b", "..", "", "index"];

fn north(id: &str) -> AggregateKey {
    stock(id).with_tenant("north").unwrap()
}

/// Aggregates of two kinds and two tenants, whose history goes on after [`AT`].
fn shop() -> Shop {
    let shop = Shop::new();
    for (n, id) in (1..).zip(IDS) {
        shop.grow(&north(id), n);
        shop.grow(&stock(id), 40);
    }
    shop.stocks.append(&north("late"), at(1_000), ("place".to_owned(), 1));
    for id in ["c1", "c2"] {
        let key = Counter::key(id).unwrap().with_tenant("north").unwrap();
        shop.counters.append(&key, at(3), 7);
    }
    shop
}

fn open(shop: &Shop) -> Delivery {
    let clock = ManualClock::at(at(2_000));
    shop.builder().clock(clock).open_to_everybody().build().unwrap()
}

fn lines(answer: &Answer) -> Vec<Value> {
    answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn files(zip: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let archive = rawzip::ZipArchive::from_slice(zip).unwrap();
    let mut files = BTreeMap::new();
    for entry in archive.entries() {
        let entry = entry.unwrap();
        let name = entry.file_path().try_normalize().unwrap().as_str().to_owned();
        let found = archive.get_entry(entry.wayfinder()).unwrap();
        let mut content = Vec::new();
        let decoder = DeflateDecoder::new(found.data());
        found.verifying_reader(decoder).read_to_end(&mut content).unwrap();
        assert!(files.insert(name, content).is_none());
    }
    files
}

#[tokio::test]
async fn each_line_is_the_state_at_the_instant_and_the_manifest_has_their_hashes() {
    let shop = shop();
    let delivery = open(&shop);
    let answer = get(&delivery, &format!("/projects/north/download?{AT}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    assert_eq!(answer.header("cache-control"), "no-store");
    let name = "attachment; filename=\"north-2023-11-14T221330Z.ndjson\"";
    assert_eq!(answer.header("content-disposition"), name);
    assert!(!answer.has("content-length"));

    let mut lines = lines(&answer);
    let manifest = lines.pop().unwrap();
    let ids: Vec<_> = lines.iter().map(|line| line["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["c1", "c2", "", "..", "Alice", "a b", "alice", "index"]);
    for line in &lines {
        let (kind, id) = (line["type"].as_str().unwrap(), line["id"].as_str().unwrap());
        let key = AggregateKey::new(kind, id).unwrap().with_tenant("north").unwrap();
        let path = Path(&key).to_string();
        let state = get(&delivery, &format!("{path}?{AT}")).await;
        assert_eq!(line["state"], state.json(), "{id}");
        assert_eq!(
            state.header("content-location").split('/').nth_back(1).unwrap(),
            line["version"].to_string()
        );
    }
    let text = answer.text();
    for (kind, count) in [("counter", 2), ("stock", 6)] {
        let own = format!("{{\"type\":\"{kind}\"");
        let own: String =
            text.split_inclusive('\n').filter(|line| line.starts_with(&own)).collect();
        let mut hash = String::new();
        for byte in Sha256::digest(&own) {
            write!(hash, "{byte:02x}").unwrap();
        }
        let expected = json!({
            "foundBy": "events and snapshots", "aggregates": count, "problems": 0, "bytes": own.len(), "sha256": hash,
        });
        assert_eq!(manifest["manifest"]["kinds"][kind], expected);
    }
    assert_eq!(manifest["manifest"]["project"], "north");
    assert_eq!(manifest["manifest"]["at"], "2023-11-14T22:13:30Z");
}

/// The path of an aggregate, from the list of its project.
struct Path<'a>(&'a AggregateKey);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0.id();
        let is_plain = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let encoded = URL_SAFE_NO_PAD.encode(id);
        let id = if is_plain { id.to_owned() } else { format!("~{encoded}") };
        write!(f, "/projects/{}/entities/{}/{id}", self.0.tenant(), self.0.kind())
    }
}

#[tokio::test]
async fn the_same_request_has_the_same_bytes_whatever_is_committed_later() {
    let shop = shop();
    let (delivery, other) = (open(&shop), open(&shop));
    let now = get(&delivery, "/projects/north/download").await;
    for query in [AT.to_owned(), format!("{AT}&format=zip"), format!("{AT}&filter[kind]=stock")] {
        let path = format!("/projects/north/download?{query}");
        let before = get(&delivery, &path).await;
        for id in ["alice", "alice 2"] {
            shop.stocks.append(&north(id), at(500), ("place".to_owned(), 1));
        }
        shop.engine.create(&north("alice")).await.unwrap();
        assert_eq!(get(&delivery, &path).await.body, before.body, "{query}");
        assert_eq!(get(&other, &path).await.body, before.body, "{query}");
        assert_eq!(get(&delivery, before.header("content-location")).await.body, before.body);
    }
    // What is not asked for an instant names the one that it has.
    let location = now.header("content-location");
    assert!(location.contains("at=2023-11-14T22%3A46%3A40Z"), "{location}");
    let now_again = get(&delivery, location).await;
    assert_ne!(now_again.body, now.body, "the commits are older than now");
}

#[tokio::test]
async fn a_zip_has_a_file_for_each_aggregate_with_its_line() {
    let shop = shop();
    let delivery = open(&shop);
    let zip = get(&delivery, &format!("/projects/north/download?format=zip&{AT}")).await;
    assert_eq!(zip.header("content-type"), "application/zip");
    let mut files = files(&zip.body);
    let ndjson = get(&delivery, &format!("/projects/north/download?{AT}")).await;
    let mut lines: Vec<_> =
        ndjson.text().split_inclusive('\n').map(|it| it.as_bytes().to_vec()).collect();
    assert_eq!(files.remove("manifest.json"), lines.pop());
    assert!(files.contains_key("stock/alice.json"), "{:?}", files.keys());
    let mut contents: Vec<_> = files.values().cloned().collect();
    contents.sort();
    lines.sort();
    assert_eq!(contents, lines);
    // No two names are one where case does not count.
    let names: BTreeSet<_> = files.keys().map(|name| name.to_lowercase()).collect();
    assert_eq!(names.len(), files.len());
}

#[tokio::test]
async fn lines_are_compressed_for_those_who_accept_it() {
    let delivery = open(&shop());
    let path = format!("/projects/north/download?{AT}");
    let plain = get(&delivery, &path).await;
    let packed = get_with(&delivery, &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    GzDecoder::new(&packed.body[..]).read_to_end(&mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);
    let head = send(&delivery, "HEAD", &path, &[("accept-encoding", "gzip")]).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    let mut headers = packed.headers.clone();
    headers.remove("content-length");
    assert_eq!(head.headers, headers);
}

#[tokio::test]
async fn what_cannot_be_downloaded_is_refused() {
    let shop = shop();
    let delivery = open(&shop);
    for (query, status) in [
        ("at=2023-11-14T22:46:41Z", 400),
        ("at=yesterday", 400),
        ("format=tar", 400),
        ("format=zip&format=zip", 400),
        ("filter[kind]=none", 404),
        ("color=red", 400),
    ] {
        let answer = get(&delivery, &format!("/projects/north/download?{query}")).await;
        assert_eq!(answer.status, status, "{query}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // A project that does not exist is an empty one.
    let none = lines(&get(&delivery, "/projects/nobody/download").await);
    assert_eq!(none.len(), 1);
    assert_eq!(none[0]["manifest"]["kinds"], json!({}));
}

#[tokio::test]
async fn an_aggregate_without_its_history_does_not_hide_the_others() {
    let shop = shop();
    // One has lost the beginning of its history. The other has a snapshot of all that it lost.
    shop.stocks.truncate_below(&north("index"), 3);
    shop.engine.create(&north("alice")).await.unwrap();
    let before = get(&open(&shop), "/projects/north/entities/stock/alice").await.json();
    shop.stocks.truncate_below(&north("alice"), 1);
    let lines = lines(&get(&open(&shop), "/projects/north/download?filter[kind]=stock").await);
    let (manifest, lines) = lines.split_last().unwrap();
    let expected = json!({ "type": "stock", "id": "index", "problem": "history-gone" });
    assert_eq!(lines.iter().filter(|line| **line == expected).count(), 1, "{lines:?}");
    assert_eq!(manifest["manifest"]["kinds"]["stock"]["problems"], 1);
    assert_eq!(manifest["manifest"]["kinds"]["stock"]["aggregates"], 7);
    let alice: Vec<_> = lines.iter().filter(|line| line["id"] == "alice").collect();
    assert_eq!(alice.len(), 1);
    assert_eq!(alice[0]["state"], before);
}

/// Events that fail at one read, and that are not listed.
#[derive(Clone)]
struct Failing {
    events: MemoryEvents<u64>,
    left: Arc<AtomicUsize>,
}

#[async_trait]
impl EventSource<Counter> for Failing {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Counter>,
    ) -> Result<(), BoxError> {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err("the disk is gone".into());
        }
        EventSource::<Counter>::read(&self.events, key, range, replay).await
    }
}

/// 2,000 counters with snapshots. The read after `good` others fails.
async fn failing(good: usize) -> Delivery {
    let events = MemoryEvents::new();
    let source = Failing { events: events.clone(), left: Arc::new(usize::MAX.into()) };
    let engine = SnapshotEngine::<Counter>::builder(source.clone(), MemoryStore::new());
    let engine = engine.build().unwrap();
    for n in 0..2_000 {
        let key = Counter::key(&format!("{n:04}")).unwrap();
        events.append(&key, at(0), n);
        engine.create(&key).await.unwrap();
    }
    source.left.store(good, Ordering::Relaxed);
    let kinds = Kinds::new().with(engine).unwrap();
    Delivery::builder(kinds).downloads(1).open_to_everybody().build().unwrap()
}

async fn begin(delivery: &Delivery) -> http::Response<DeliveryBody> {
    let request = http::Request::get("/projects/~/download").body(String::new()).unwrap();
    delivery.clone().call(request).await.unwrap()
}

async fn piece(body: &mut DeliveryBody) -> Option<Result<Bytes, Error>> {
    let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap()))
}

#[tokio::test]
async fn a_failure_at_once_is_a_status_and_a_later_one_ends_the_connection() {
    let answer = get(&failing(0).await, "/projects/~/download").await;
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(answer.status.is_server_error(), "{answer:?}");

    let delivery = failing(1_500).await;
    let (head, mut body) = begin(&delivery).await.into_parts();
    assert_eq!(head.status, 200);
    let first = piece(&mut body).await.unwrap().unwrap();
    assert!(first.len() >= 32 << 10);
    let mut error = None;
    while let Some(next) = piece(&mut body).await {
        error = next.err();
    }
    assert_eq!(error.unwrap().kind(), ErrorKind::EventSource);
}

#[tokio::test]
async fn a_source_that_does_not_list_gives_the_aggregates_that_have_snapshots() {
    let lines = lines(&get(&failing(usize::MAX).await, "/projects/~/download").await);
    assert_eq!(lines.len(), 2_001);
    let summary = &lines[2_000]["manifest"]["kinds"]["counter"];
    assert_eq!((&summary["foundBy"], &summary["aggregates"]), (&json!("snapshots"), &json!(2_000)));
}

#[tokio::test]
async fn more_downloads_than_may_run_are_told_to_wait() {
    let delivery = failing(usize::MAX).await;
    let (_, mut running) = begin(&delivery).await.into_parts();
    let refused = get(&delivery, "/projects/~/download").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "10"));
    while piece(&mut running).await.is_some() {}
    drop(running);
    assert_eq!(get(&delivery, "/projects/~/download").await.status, 200);
    // A client that goes away makes room as well.
    drop(begin(&delivery).await);
    assert_eq!(get(&delivery, "/projects/~/download").await.status, 200);
}
