//! States that were captured, served without events.

use serde::{Deserialize, Serialize};
use serde_json::json;
use snapfold::engine::SnapshotReader;
use snapfold::manager::{AdminContext, CreateOptions, Inspect, Kinds, SnapshotFilter};
use snapfold::service::http::{ApiKey, ApiKeys, Delivery, Permission, Scope};
use snapfold::{Aggregate, AggregateKey, ErrorKind, Point, SnapshotAdmin};

use crate::support::{Shop, Stock, at, date, get, get_with, links, send, stock};

const APPLE: &str = "/projects/~/entities/stock/apple";

/// Twenty events, captured at 5, 10 and 15.
async fn shop() -> Shop {
    let shop = Shop::new();
    shop.grow(&stock("apple"), 20);
    for version in [5, 10, 15] {
        let options = CreateOptions::new().at_version(version);
        shop.engine.create_with(&stock("apple"), options).await.unwrap();
    }
    shop
}

fn reader(shop: &Shop) -> SnapshotReader<Stock> {
    SnapshotReader::builder(shop.store.clone()).build_reader().unwrap()
}

fn open(shop: &Shop) -> Delivery {
    let kinds = Kinds::new().with(reader(shop)).unwrap();
    Delivery::builder(kinds).open_to_everybody().build().unwrap()
}

#[tokio::test]
async fn what_was_captured_is_what_a_replay_gives_at_its_version() {
    let shop = shop().await;
    let (reader, key) = (reader(&shop), stock("apple"));
    for (point, version) in [
        (Point::Now, 15),
        (Point::Version(5), 5),
        (Point::Version(10), 10),
        (Point::Time(at(15)), 15),
        (Point::Time(at(14)), 10),
        (Point::Time(at(5)), 5),
    ] {
        let captured = reader.captured(&key, point).await.unwrap();
        let truth = shop.engine.at_version(&key, version).await.unwrap();
        assert_eq!((captured.version, &captured.state), (version, &truth.state), "{point:?}");
        assert_eq!(captured.as_of, truth.as_of);
        assert_eq!(captured.provenance.events_replayed, 0);
    }
    let none = reader.captured(&key, Point::Time(at(4))).await.unwrap();
    assert_eq!((none.version, none.as_of), (0, None));
    let none = reader.captured(&stock("pear"), Point::Now).await.unwrap();
    assert_eq!(*none.state, Stock::initial(&stock("pear")));
    for (version, kind) in [
        (16, ErrorKind::BeyondHead),
        (u64::MAX, ErrorKind::BeyondHead),
        (14, ErrorKind::Unrecoverable),
        (1, ErrorKind::Unrecoverable),
    ] {
        let error = reader.captured(&key, Point::Version(version)).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{version}");
    }
    let other = AggregateKey::new("counter", "apple").unwrap();
    let error = reader.captured(&other, Point::Now).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
}

#[tokio::test]
async fn each_route_serves_what_was_captured_and_says_so() {
    let shop = shop().await;
    let (reading, folding) = (open(&shop), shop.open());
    let captured = get(&reading, APPLE).await;
    assert_eq!((captured.status.as_u16(), captured.header("snapfold-source")), (200, "snapshots"));
    let folded = get(&folding, &format!("{APPLE}?version=15")).await;
    assert!(!folded.has("snapfold-source"));
    assert_eq!(captured.body, folded.body);
    assert_eq!(captured.header("etag"), folded.header("etag"));
    let same = [("if-none-match", captured.header("etag"))];
    let again = get_with(&reading, APPLE, &same).await;
    assert_eq!((again.status.as_u16(), again.header("snapfold-source")), (304, "snapshots"));

    for (path, status) in [
        ("/versions/10", 200),
        ("/versions/11", 410),
        ("/versions/16", 404),
        ("?version=15", 200),
        ("/diff?from=5&to=15", 200),
        ("/diff?from=5&to=14", 410),
        ("/snapshots", 200),
    ] {
        assert_eq!(get(&reading, &format!("{APPLE}{path}")).await.status, status, "{path}");
    }
    assert_eq!(get(&reading, "/projects/~/entities/stock/pear").await.status, 404);

    let gate = get_with(&reading, APPLE, &[("accept-datetime", &date(12))]).await;
    assert_eq!(gate.header("location"), format!("{APPLE}/versions/10"));
    let versions = get(&reading, &format!("{APPLE}/versions")).await.json();
    let ids: Vec<_> = versions["data"].as_array().unwrap().iter().map(|it| &it["id"]).collect();
    assert_eq!(ids, ["5", "10", "15"]);
    let map = get(&reading, &format!("{APPLE}/timemap")).await;
    let mementos = &links(map.text())["memento"];
    let dates: Vec<_> = mementos.iter().map(|(_, date)| date.clone().unwrap()).collect();
    assert_eq!(dates, [date(5), date(10), date(15)]);

    let lines = get(&reading, "/projects/~/download").await;
    let lines: Vec<_> = lines.text().lines().collect();
    assert_eq!(lines.len(), 2);
    let manifest: serde_json::Value = serde_json::from_str(lines[1]).unwrap();
    assert_eq!(manifest["manifest"]["kinds"]["stock"]["foundBy"], "snapshots");

    // Commits that nobody captured are not seen; a snapshot is.
    shop.grow(&stock("apple"), 30);
    assert_eq!(get(&reading, APPLE).await.body, captured.body);
    shop.engine.create(&stock("apple")).await.unwrap();
    assert_eq!(get(&reading, APPLE).await.body, get(&folding, APPLE).await.body);
}

#[tokio::test]
async fn what_was_captured_by_a_time_is_never_final() {
    let shop = shop().await;
    let options = CreateOptions::new().at_version(6);
    shop.engine.create_with(&stock("apple"), options).await.unwrap();
    let path = format!("{APPLE}?at={}", at(5));
    let (captured, folded) = (get(&open(&shop), &path).await, get(&shop.open(), &path).await);
    assert_eq!(captured.body, folded.body);
    assert_eq!(captured.header("cache-control"), "private, max-age=0, must-revalidate");
    assert_eq!(folded.header("cache-control"), "private, max-age=60, must-revalidate");
}

#[tokio::test]
async fn a_reader_writes_nothing() {
    let shop = shop().await;
    let scope = Scope::new(Permission::ALL.to_vec());
    let (key, secret) = ApiKey::generate("writer", [scope]).unwrap();
    let kinds = Kinds::new().with(reader(&shop)).unwrap();
    let keys = ApiKeys::new().with(key);
    let delivery = Delivery::builder(kinds).authenticator(keys).build().unwrap();
    let bearer = format!("Bearer {secret}");
    let headers = [("authorization", &*bearer), ("content-type", "application/json")];
    let before = shop.engine.snapshots(&stock("apple"), 0..=100).await.unwrap();
    for (method, path) in
        [("POST", "/snapshots"), ("POST", "/rebuild"), ("DELETE", "/snapshots?before=100")]
    {
        let answer = send(&delivery, method, &format!("{APPLE}{path}"), &headers).await;
        assert_eq!(answer.status, 501, "{method} {path}");
        assert_eq!(answer.json()["type"], json!("/problems/unsupported"));
    }
    assert_eq!(shop.engine.snapshots(&stock("apple"), 0..=100).await.unwrap(), before);
}

/// The same kind in a later release.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Later {
    total: i64,
}

impl Aggregate for Later {
    type Event = (String, i64);
    const KIND: &'static str = "stock";
    const SCHEMA_VERSION: u32 = 2;

    fn initial(_: &AggregateKey) -> Self {
        Self { total: 0 }
    }

    fn apply(&mut self, (_, amount): &(String, i64)) {
        self.total += amount;
    }
}

#[tokio::test]
async fn an_older_state_never_stands_for_a_newer_one_that_cannot_be_used() {
    let shop = shop().await;
    let key = stock("apple");
    let later = snapfold::SnapshotEngine::<Later>::builder(shop.stocks.clone(), shop.store.clone());
    let later = later.build().unwrap();
    later.create(&key).await.unwrap();
    let error = reader(&shop).captured(&key, Point::Now).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unrecoverable);
    assert_eq!(get(&open(&shop), APPLE).await.status, 410);
    assert_eq!(get(&open(&shop), &format!("{APPLE}/versions/15")).await.status, 200);

    // One that was retired was never right, so the one before it is the newest.
    let newest = SnapshotFilter::new().generation(later.generation());
    let admin: &dyn SnapshotAdmin = &later;
    admin.retire(&key, &newest, "wrong", &AdminContext::new("test")).await.unwrap();
    let captured = reader(&shop).captured(&key, Point::Now).await.unwrap();
    assert_eq!(captured.version, 15);
    assert!(!reader(&shop).folds_events() && shop.engine.folds_events());
}
