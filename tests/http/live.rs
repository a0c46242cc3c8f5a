//! Changes as server-sent events.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use http::request::Parts;
use http::{HeaderMap, Request};
use http_body::Body as _;
use serde_json::{Value, json};
use snapfold::engine::{Observation, Observer};
use snapfold::service::http::{
    ApiKey, ApiKeys, Authenticator, Delivery, DeliveryBody, LiveChanges, LiveEvent, LiveStreams,
    Permission, Principal, Scope,
};
use snapfold::trigger::every_events;
use snapfold::{Aggregate as _, AggregateKey, BoxError, SnapshotEngine};
use tokio::time::Instant;
use tower_service::Service as _;

use crate::support::{Answer, Counter, Shop, Stock, get, get_with, send, stock};

const PROJECT: &str = "/projects/~/events";
const ALICE: &str = "/projects/~/entities/stock/alice/events";

/// A block of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
struct Block {
    id: String,
    event: String,
    data: String,
    is_comment: bool,
}

impl Block {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

struct Listening {
    body: DeliveryBody,
    headers: HeaderMap,
    left: String,
    /// The id of the last block, as an `EventSource` keeps it.
    last: String,
}

async fn listen_with(delivery: &Delivery, path: &str, headers: &[(&str, &str)]) -> Listening {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(String::new()).unwrap();
    let response = delivery.clone().call(request).await.unwrap();
    assert_eq!(response.status(), 200, "{path}");
    let (parts, body) = response.into_parts();
    let (left, last) = (String::new(), String::new());
    Listening { body, headers: parts.headers, left, last }
}

/// Opens a stream and reads its first block, which is no event.
async fn listen(delivery: &Delivery, path: &str) -> Listening {
    let mut stream = listen_with(delivery, path, &[]).await;
    let first = stream.block().await.unwrap();
    assert_eq!((first.event.as_str(), first.data.as_str()), ("", ""), "{first:?}");
    stream
}

async fn resume(delivery: &Delivery, path: &str, last: &str) -> Listening {
    let mut stream = listen_with(delivery, path, &[("last-event-id", last)]).await;
    let first = stream.block().await.unwrap();
    assert!(["", "gap"].contains(&first.event.as_str()), "{first:?}");
    if first.event == "gap" {
        stream.left.insert_str(0, "event: gap\ndata: {}\n\n");
    }
    stream
}

impl Listening {
    async fn chunk(&mut self) -> Option<String> {
        let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await?;
        Some(String::from_utf8(frame.unwrap().into_data().unwrap().to_vec()).unwrap())
    }

    /// The next block, as the standard says: lines up to an empty one.
    async fn block(&mut self) -> Option<Block> {
        while !self.left.contains("\n\n") {
            let more = self.chunk().await?;
            self.left.push_str(&more);
        }
        let (text, rest) = self.left.split_once("\n\n").unwrap();
        let mut block = Block::default();
        for line in text.split('\n') {
            match line.split_once(": ") {
                Some(("id", id)) => id.clone_into(&mut block.id),
                Some(("event", name)) => name.clone_into(&mut block.event),
                Some(("data", data)) if block.data.is_empty() => data.clone_into(&mut block.data),
                Some(("retry", _)) => {}
                None if line == ":" => block.is_comment = true,
                _ => panic!("{line:?} in {text:?}"),
            }
        }
        let end = self.left.len() - rest.len();
        self.left.drain(..end);
        if !block.id.is_empty() {
            block.id.clone_into(&mut self.last);
        }
        Some(block)
    }

    /// The blocks that are there without waiting.
    async fn there(&mut self) -> Vec<Block> {
        let mut blocks = Vec::new();
        loop {
            let next = std::pin::pin!(self.block());
            let mut next = next;
            match poll_fn(|context| Poll::Ready(next.as_mut().poll(context))).await {
                Poll::Ready(Some(block)) => blocks.push(block),
                _ => return blocks,
            }
        }
    }

    async fn versions(&mut self) -> Vec<Value> {
        self.there().await.iter().map(|block| block.json()["version"].clone()).collect()
    }

    async fn names(&mut self) -> Vec<String> {
        self.there().await.into_iter().map(|block| block.event).collect()
    }
}

struct World {
    changes: LiveChanges,
    delivery: Delivery,
}

impl World {
    fn new() -> Self {
        Self::with(LiveChanges::new().unwrap(), |streams| streams)
    }

    fn keeping(events: usize) -> Self {
        Self::with(LiveChanges::keeping(events).unwrap(), |streams| streams)
    }

    fn with(changes: LiveChanges, set: impl FnOnce(LiveStreams) -> LiveStreams) -> Self {
        let streams = set(LiveStreams::new(changes.clone()));
        let delivery = Shop::new().builder().live(streams).open_to_everybody().build().unwrap();
        Self { changes, delivery }
    }
}

fn of(tenant: &str, id: &str) -> AggregateKey {
    stock(id).with_tenant(tenant).unwrap()
}

fn counter(id: &str) -> AggregateKey {
    AggregateKey::new("counter", id).unwrap()
}

fn tenants(changes: &LiveChanges) -> String {
    format!("{changes:?}")
}

#[tokio::test]
async fn a_commit_is_heard_by_those_who_listen_to_its_aggregate_or_project() {
    let shop = Shop::new();
    let changes = LiveChanges::new().unwrap();
    let engine = SnapshotEngine::<Stock>::builder(shop.stocks.clone(), shop.store.clone())
        .trigger(every_events(2))
        .observer(changes.clone())
        .build()
        .unwrap();
    let delivery = shop.builder().live(changes).open_to_everybody().build().unwrap();
    let mut alice = listen(&delivery, ALICE).await;
    let mut bob = listen(&delivery, "/projects/~/entities/stock/bob/events").await;
    let mut project = listen(&delivery, PROJECT).await;
    for header in [
        ("content-type", "text/event-stream"),
        ("cache-control", "no-store"),
        ("x-accel-buffering", "no"),
    ] {
        assert_eq!(alice.headers.get(header.0).unwrap(), header.1);
    }
    let loaded = engine.load(&stock("alice")).await.unwrap();
    shop.grow(&stock("alice"), 2);
    assert!(engine.committed(&loaded, 2).is_queued());
    engine.flush(Duration::from_secs(60)).await.unwrap();
    let heard = alice.there().await;
    assert_eq!(heard.len(), 2, "{heard:?}");
    let document = json!({ "type": "stock", "id": "alice", "version": 2 });
    assert_eq!((heard[0].event.as_str(), heard[0].json()), ("version", document.clone()));
    assert_eq!((heard[1].event.as_str(), heard[1].json()), ("snapshots", document));
    assert_eq!(project.there().await, heard);
    assert_eq!(bob.there().await, []);
    // A call of the application that changes snapshots is heard, one that fails is not.
    engine.delete(&stock("alice"), 2).await.unwrap();
    assert!(engine.create(&counter("alice")).await.is_err());
    assert_eq!(project.names().await, ["snapshots"]);
    // No version is higher than this one.
    engine.committed(&loaded, u64::MAX);
    assert_eq!(project.there().await, []);
}

#[tokio::test]
async fn a_client_that_comes_back_misses_nothing() {
    let world = World::new();
    let mut stream = listen(&world.delivery, PROJECT).await;
    let mut alice = listen(&world.delivery, ALICE).await;
    for version in 1..=3 {
        world.changes.committed(&stock("alice"), version);
        world.changes.committed(&stock("bob"), version + 10);
    }
    assert_eq!(stream.versions().await, [1, 11, 2, 12, 3, 13]);
    let heard = alice.there().await;
    assert_eq!(heard.len(), 3);
    drop((stream, alice));
    world.changes.committed(&stock("alice"), 4);
    let mut alice = resume(&world.delivery, ALICE, &heard[1].id).await;
    assert_eq!(alice.versions().await, [3, 4]);
    // The id of one stream works for another one: they are of the project.
    let mut stream = resume(&world.delivery, PROJECT, &heard[1].id).await;
    assert_eq!(stream.versions().await, [12, 3, 13, 4]);
    let kind = resume(&world.delivery, "/projects/~/events?filter[kind]=counter", &heard[0].id);
    assert_eq!(kind.await.there().await, []);
    let mut newest = resume(&world.delivery, PROJECT, &stream.last).await;
    assert_eq!(newest.there().await, []);
    world.changes.committed(&stock("alice"), 5);
    assert_eq!(newest.versions().await, [5]);
}

#[tokio::test]
async fn a_client_that_was_away_too_long_is_told_so() {
    let world = World::keeping(4);
    let mut stream = listen(&world.delivery, PROJECT).await;
    let mut alice = listen(&world.delivery, ALICE).await;
    let (start, alice_start) = (stream.last.clone(), alice.last.clone());
    world.changes.committed(&stock("alice"), 1);
    for version in 1..=4 {
        world.changes.committed(&stock("bob"), version);
    }
    // They did not read in time.
    assert_eq!(stream.names().await, ["gap"]);
    assert_eq!(alice.names().await, ["gap"]);
    // After the gap, it goes on.
    world.changes.committed(&stock("alice"), 2);
    assert_eq!(stream.versions().await, [2]);
    assert_eq!(alice.versions().await, [2]);
    for (path, last) in [(PROJECT, &start), (ALICE, &alice_start)] {
        let mut back = resume(&world.delivery, path, last).await;
        assert_eq!(back.names().await, ["gap"], "{path}");
        world.changes.committed(&stock("alice"), 3);
        assert_eq!(back.names().await, ["version"], "{path}");
    }
    // What was dropped belongs to others, and this client was there all the time.
    assert_eq!(alice.names().await, ["version"; 2]);
    for version in 10..=20 {
        world.changes.committed(&stock("bob"), version);
    }
    assert_eq!(alice.there().await, []);
    world.changes.committed(&stock("alice"), 4);
    assert_eq!(alice.versions().await, [4]);
}

#[tokio::test]
async fn an_id_of_another_process_or_of_nobody_is_a_gap() {
    let world = World::new();
    world.changes.committed(&stock("alice"), 1);
    let mut first = resume(&world.delivery, PROJECT, "").await;
    assert_eq!(first.there().await, [], "an empty id is none");
    let id = first.last;
    let (epoch, number) = id.split_once('-').unwrap();
    assert_eq!(number, "1");
    // The same events in another process.
    let restarted = World::new();
    restarted.changes.committed(&stock("alice"), 1);
    let mut back = resume(&restarted.delivery, PROJECT, &id).await;
    assert_eq!(back.names().await, ["gap"]);
    assert_ne!(back.last, id);

    let long = "9".repeat(100_000);
    for last in [
        "1",
        "-",
        "--1",
        "frog",
        &format!("{epoch}-2"),
        &format!("{epoch}-01"),
        &format!("{epoch}-+1"),
        &format!("{epoch}-1 "),
        &format!("{epoch}--1"),
        &format!("{epoch}-{}", u64::MAX),
        &format!("{epoch}-18446744073709551616"),
        &format!("{epoch}-{long}"),
        &format!("0{epoch}-1"),
        &format!("+{}-1", &epoch[1..]),
        "\u{fffd}-1",
        &long,
    ] {
        for path in [PROJECT, ALICE, "/projects/~/events?filter[kind]=stock"] {
            let mut back = resume(&world.delivery, path, last).await;
            assert_eq!(back.names().await, ["gap"], "{path} {last:.50}");
        }
    }
    let mut back = resume(&world.delivery, PROJECT, &format!("{epoch}-0")).await;
    assert_eq!(back.versions().await, [1]);
}

#[tokio::test]
async fn bytes_that_are_no_text_are_no_id() {
    let world = World::new();
    let mut request = Request::get(PROJECT).body(String::new()).unwrap();
    let value = http::HeaderValue::from_bytes(b"\xff\xfe-1").unwrap();
    request.headers_mut().insert("last-event-id", value);
    let mut response = world.delivery.clone().call(request).await.unwrap();
    let frame = poll_fn(|context| Pin::new(response.body_mut()).poll_frame(context)).await;
    let frame = frame.unwrap().unwrap().into_data().unwrap();
    assert!(frame.ends_with(b"event: gap\ndata: {}\n\n"), "{frame:?}");
}

#[tokio::test]
async fn each_reader_hears_its_tenant_and_its_kinds_only() {
    let shop = Shop::new();
    let changes = LiveChanges::new().unwrap();
    let keys = ApiKeys::new();
    let new = |scope: Scope| {
        let (key, secret) = ApiKey::generate("reader", [scope]).unwrap();
        keys.add(key);
        format!("Bearer {secret}")
    };
    let read = || Scope::new([Permission::Read]);
    let north = new(read().tenants(["north"]));
    let counters = new(read().tenants(["north"]).kinds(["counter"]));
    let takes = new(Scope::new([Permission::Take]).tenants(["north"]));
    let builder = shop.builder().live(changes.clone());
    let delivery = builder.authenticator(keys.clone()).build().unwrap();
    let status = async |key: &str, path: &str| {
        send(&delivery, "HEAD", path, &[("authorization", key)]).await.status.as_u16()
    };
    let (all, kind) = ("/projects/north/events", "/projects/north/events?filter[kind]=counter");
    for (key, path, expected) in [
        (&north, all, 200),
        (&north, kind, 200),
        (&north, "/projects/south/events", 403),
        (&north, PROJECT, 403),
        (&counters, all, 403),
        (&counters, kind, 200),
        (&counters, "/projects/north/events?filter[kind]=stock", 403),
        (&counters, "/projects/north/entities/stock/alice/events", 403),
        (&counters, "/projects/north/entities/counter/c/events", 200),
        (&takes, all, 403),
        (&String::new(), all, 401),
    ] {
        assert_eq!(status(key, path).await, expected, "{path}");
    }
    let mut whole = listen_with(&delivery, all, &[("authorization", &north)]).await;
    let mut limited = listen_with(&delivery, kind, &[("authorization", &counters)]).await;
    assert_eq!((whole.there().await.len(), limited.there().await.len()), (1, 1));
    let in_north = |key: AggregateKey| key.with_tenant("north").unwrap();
    changes.committed(&in_north(stock("a")), 1);
    changes.committed(&in_north(counter("b")), 2);
    changes.committed(&of("south", "a"), 3);
    changes.committed(&of("", "a"), 4);
    changes.publish(&LiveEvent::of_project("published", "north").unwrap());
    changes.publish(&LiveEvent::of_project("published", "south").unwrap());
    let heard = whole.there().await;
    let names: Vec<_> = heard.iter().map(|block| block.event.as_str()).collect();
    assert_eq!(names, ["version", "version", "published"]);
    assert_eq!(limited.versions().await, [2]);
    // The numbers do not tell how much happens in other tenants either.
    assert!(heard[2].id.ends_with("-3"), "{heard:?}");
    // An id of one tenant means nothing in another one.
    let south = new(read().tenants(["south"]));
    let headers = [("authorization", south.as_str()), ("last-event-id", &heard[0].id)];
    let mut other = listen_with(&delivery, "/projects/south/events", &headers).await;
    assert_eq!(other.names().await, ["gap"]);
}

#[tokio::test]
async fn what_an_application_announces_stays_one_line() {
    let world = World::new();
    let mut stream = listen(&world.delivery, PROJECT).await;
    let nasty = "a\nb\rc\r\nd\0e\u{2028}f\u{85}g: h\n\nevent: gap\ndata: x\n\n";
    let event = LiveEvent::of_project("published", "").unwrap();
    world.changes.publish(&event.data(&json!({ "title": nasty })).unwrap());
    let key = AggregateKey::new("stock", nasty).unwrap();
    world.changes.committed(&key, 7);
    let event = LiveEvent::of_aggregate("tagged", &key).unwrap().version(3);
    world.changes.publish(&event.data("x").unwrap());
    let heard = stream.there().await;
    assert_eq!(heard.len(), 3, "{heard:?}");
    assert!(heard.iter().all(|block| !block.data.contains(['\r', '\n', '\0'])));
    assert_eq!(heard[0].json(), json!({ "data": { "title": nasty } }));
    assert_eq!(heard[1].json(), json!({ "type": "stock", "id": nasty, "version": 7 }));
    let tagged = json!({ "type": "stock", "id": nasty, "version": 3, "data": "x" });
    assert_eq!(heard[2].json(), tagged);

    let long = "a".repeat(65);
    for name in ["", "gap", "message", "open", "error", "a b", "a\nb", "A", "\u{e4}", &long] {
        assert!(LiveEvent::of_project(name, "").is_err(), "{name:?}");
        assert!(LiveEvent::of_aggregate(name, &key).is_err(), "{name:?}");
    }
    let event = || LiveEvent::of_project(&long[1..], "").unwrap();
    let text = "x".repeat(LiveEvent::MAX_DATA_BYTES - 2);
    assert!(event().data(&text).is_ok());
    assert!(event().data(&(text + "x")).is_err());
}

#[tokio::test]
async fn a_ring_is_bounded_by_its_bytes() {
    let world = World::new();
    let mut stream = listen(&world.delivery, PROJECT).await;
    let start = stream.last.clone();
    let text = "x".repeat(LiveEvent::MAX_DATA_BYTES - 2);
    let event = LiveEvent::of_project("published", "").unwrap().data(&text).unwrap();
    for _ in 0..62 {
        world.changes.publish(&event);
    }
    assert_eq!(resume(&world.delivery, PROJECT, &start).await.there().await.len(), 62);
    for _ in 0..10 {
        world.changes.publish(&event);
    }
    assert_eq!(stream.names().await, ["gap"]);
    // An aggregate may have a larger name than the ring has bytes.
    let huge = AggregateKey::new("stock", &"\u{1}".repeat(AggregateKey::MAX_PART_BYTES)).unwrap();
    for version in 1..=9 {
        world.changes.committed(&huge, version);
    }
    assert_eq!(stream.names().await, ["gap"]);
    world.changes.committed(&huge, 10);
    assert_eq!(stream.versions().await, [10]);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_says_that_it_is_alive_and_where_it_stands() {
    let changes = LiveChanges::keeping(4).unwrap();
    let world = World::with(changes, |streams| streams.keep_alive(Duration::from_secs(15)));
    let begin = Instant::now();
    let mut alice = listen(&world.delivery, ALICE).await;
    for second in [15, 30] {
        let comment = alice.block().await.unwrap();
        assert_eq!(begin.elapsed().as_secs(), second);
        assert!(comment.is_comment && comment.data.is_empty(), "{comment:?}");
        assert!(comment.event.is_empty());
    }
    tokio::time::advance(Duration::from_secs(10)).await;
    world.changes.committed(&stock("alice"), 1);
    assert_eq!(alice.block().await.unwrap().event, "version");
    // Counted from the event.
    assert!(alice.block().await.unwrap().is_comment);
    assert_eq!(begin.elapsed().as_secs(), 55);
    // The events of others leave the ring. The client was told that it missed none of its own.
    for version in 1..=20 {
        world.changes.committed(&stock("bob"), version);
    }
    assert!(alice.block().await.unwrap().is_comment);
    let last = alice.last.clone();
    drop(alice);
    let mut back = resume(&world.delivery, ALICE, &last).await;
    assert_eq!(back.there().await, []);
    world.changes.committed(&stock("alice"), 2);
    assert_eq!(back.versions().await, [2]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_its_time_and_the_next_one_misses_nothing() {
    let changes = LiveChanges::new().unwrap();
    let world = World::with(changes, |streams| streams.duration(Duration::from_secs(100)));
    let begin = Instant::now();
    let mut stream = listen(&world.delivery, PROJECT).await;
    while let Some(block) = stream.block().await {
        assert!(block.is_comment);
    }
    assert_eq!(begin.elapsed().as_secs(), 100);
    let last = stream.last.clone();
    drop(stream);
    // Nobody listens, and nothing had happened, so there was nothing to keep.
    assert_eq!(tenants(&world.changes), "LiveChanges { tenants: 0, .. }");
    world.changes.committed(&stock("alice"), 1);
    let mut back = resume(&world.delivery, PROJECT, &last).await;
    assert_eq!(back.versions().await, [1]);
    // Also a stream that is busy all the time.
    for _ in 0..=100 {
        tokio::time::advance(Duration::from_secs(1)).await;
        world.changes.committed(&stock("alice"), 1);
        back.there().await;
    }
    assert_eq!(back.block().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_ends_its_streams_within_the_interval() {
    let shop = Shop::new();
    let (changes, keys) = (LiveChanges::new().unwrap(), ApiKeys::new());
    let generate = || ApiKey::generate("reader", [Scope::new([Permission::Read])]).unwrap();
    let ((revoked, first), (limited, second), (kept, third)) = (generate(), generate(), generate());
    for key in [&revoked, &limited, &kept] {
        keys.add(key.clone());
    }
    let streams = LiveStreams::new(changes.clone()).recheck(Duration::from_secs(20));
    let builder = shop.builder().live(streams).authenticator(keys.clone());
    let delivery = builder.build().unwrap();
    let mut open = Vec::new();
    for secret in [first, second, third] {
        let key = format!("Bearer {secret}");
        let mut stream = listen_with(&delivery, PROJECT, &[("authorization", &key)]).await;
        assert_eq!(stream.there().await.len(), 1);
        open.push(stream);
    }
    keys.revoke(&revoked.id);
    let mut narrow = limited;
    narrow.scopes = [Scope::new([Permission::Read]).tenants(["south"])].into();
    keys.add(narrow);
    tokio::time::advance(Duration::from_secs(20)).await;
    // Not even what was announced before is sent any more.
    changes.committed(&stock("alice"), 1);
    assert_eq!(open[0].block().await, None);
    assert_eq!(open[1].block().await, None);
    let rest: Vec<_> = open[2].there().await.into_iter().map(|block| block.event).collect();
    assert!(rest.contains(&"version".to_owned()), "{rest:?}");
}

/// Admits everybody the first time, and then nobody can be asked about.
#[derive(Debug, Default)]
struct Down(std::sync::atomic::AtomicBool);

#[async_trait]
impl Authenticator for Down {
    async fn authenticate(&self, _: &Parts) -> Result<Option<Principal>, BoxError> {
        if self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
            return Err("the database is down".into());
        }
        Ok(Some(Principal::new("ada", [Scope::new([Permission::Read])])))
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_if_nobody_can_tell_whose_it_is() {
    let changes = LiveChanges::new().unwrap();
    let builder = Shop::new().builder().live(changes).authenticator(Down::default());
    let delivery = builder.build().unwrap();
    let begin = Instant::now();
    let mut stream = listen(&delivery, PROJECT).await;
    while stream.block().await.is_some() {}
    assert_eq!(begin.elapsed().as_secs(), 30);
}

#[tokio::test]
async fn a_client_that_never_reads_holds_up_nobody() {
    let world = World::keeping(16);
    let mut lazy = listen(&world.delivery, PROJECT).await;
    let mut eager = listen(&world.delivery, PROJECT).await;
    for version in 1..=10_000 {
        world.changes.committed(&stock("alice"), version);
        assert_eq!(eager.versions().await, [version]);
    }
    assert_eq!(lazy.names().await, ["gap"]);
    assert_eq!(lazy.last, eager.last);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_waiting_client_is_woken_also_if_the_event_comes_while_it_looks() {
    let world = World::new();
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let mut stream = listen(&world.delivery, ALICE).await;
        tasks.push(tokio::spawn(async move {
            let mut heard = 0;
            while heard < 200 {
                heard = stream.block().await.unwrap().json()["version"].as_u64().unwrap();
            }
        }));
    }
    for version in 1..=200 {
        world.changes.committed(&stock("alice"), version);
        tokio::task::yield_now().await;
    }
    for task in tasks {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn streams_beyond_the_limits_are_refused_until_others_end() {
    let world = World::with(LiveChanges::new().unwrap(), |streams| streams.at_most(2));
    let first = listen(&world.delivery, PROJECT).await;
    let second = listen(&world.delivery, ALICE).await;
    let refused = get(&world.delivery, PROJECT).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (503, "10"));
    // A HEAD opens none.
    assert_eq!(send(&world.delivery, "HEAD", PROJECT, &[]).await.status, 200);
    drop(first);
    let third = listen(&world.delivery, PROJECT).await;
    assert_eq!(get(&world.delivery, PROJECT).await.status, 503);
    drop((second, third));

    let shop = Shop::new();
    let keys = ApiKeys::new();
    let generate = || ApiKey::generate("reader", [Scope::new([Permission::Read])]).unwrap();
    let ((one, first), (two, second)) = (generate(), generate());
    keys.add(one);
    keys.add(two);
    let streams = LiveStreams::new(LiveChanges::new().unwrap()).for_each_principal(1);
    let delivery = shop.builder().live(streams).authenticator(keys).build().unwrap();
    let (first, second) = (format!("Bearer {first}"), format!("Bearer {second}"));
    let open = listen_with(&delivery, PROJECT, &[("authorization", &first)]).await;
    let again = get_with(&delivery, PROJECT, &[("authorization", &first)]).await;
    assert_eq!((again.status.as_u16(), again.header("retry-after")), (429, "10"));
    let other = listen_with(&delivery, PROJECT, &[("authorization", &second)]).await;
    drop(open);
    let again = listen_with(&delivery, PROJECT, &[("authorization", &first)]).await;
    drop((other, again));
}

#[tokio::test]
async fn ten_thousand_streams_leave_nothing_behind() {
    let world = World::new();
    for round in 0..2 {
        let mut open = Vec::new();
        for n in 0..10_000 {
            let path = match n % 3 {
                0 => format!("/projects/p{n}/events"),
                1 => format!("/projects/~/entities/stock/s{n}/events"),
                _ => PROJECT.to_owned(),
            };
            let mut stream = listen(&world.delivery, &path).await;
            if n % 2 == 0 {
                assert_eq!(stream.there().await, []);
            }
            open.push(stream);
        }
        assert_eq!(get(&world.delivery, PROJECT).await.status, 503, "{round}");
        drop(open);
        assert_eq!(tenants(&world.changes), "LiveChanges { tenants: 0, .. }");
    }
    drop(listen(&world.delivery, PROJECT).await);
}

#[tokio::test]
async fn the_rings_of_tenants_that_nobody_needs_are_dropped() {
    let world = World::new();
    world.changes.committed(&of("first", "a"), 1);
    let mut stream = listen(&world.delivery, "/projects/first/events").await;
    world.changes.committed(&of("second", "a"), 1);
    let second = listen(&world.delivery, "/projects/second/events").await.last;
    for n in 0..1_000 {
        world.changes.committed(&of(&format!("t{n}"), "a"), 1);
    }
    assert_eq!(tenants(&world.changes), "LiveChanges { tenants: 257, .. }");
    // Who listens keeps its ring.
    world.changes.committed(&of("first", "a"), 2);
    assert_eq!(stream.versions().await, [2]);
    // Whose ring was dropped is told so, although the new one has the same numbers.
    world.changes.committed(&of("second", "a"), 2);
    let mut back = resume(&world.delivery, "/projects/second/events", &second).await;
    assert_eq!(back.names().await, ["gap"]);
    // Clients cannot make a service forget what other tenants have.
    let kept = listen(&world.delivery, "/projects/t999/events").await.last;
    for n in 0..1_000 {
        drop(listen(&world.delivery, &format!("/projects/x{n}/events")).await);
    }
    let mut back = resume(&world.delivery, "/projects/t999/events", &kept).await;
    assert_eq!(back.there().await, []);
}

#[tokio::test]
async fn a_head_is_answered_without_a_body() {
    let world = World::new();
    for path in [PROJECT, ALICE] {
        let Answer { status, headers, body } = send(&world.delivery, "HEAD", path, &[]).await;
        assert_eq!((status.as_u16(), body.len()), (200, 0));
        assert_eq!(headers["content-type"], "text/event-stream");
        assert_eq!(headers["cache-control"], "no-store");
        assert!(!headers.contains_key("content-length"));
    }
    assert_eq!(send(&world.delivery, "POST", PROJECT, &[]).await.status, 405);
}

#[tokio::test]
async fn what_is_not_announced_is_not_found() {
    let shop = Shop::new();
    assert_eq!(get(&shop.open(), PROJECT).await.status, 404);
    assert_eq!(get(&shop.open(), ALICE).await.status, 404);
    let world = World::new();
    for path in ["/projects/~/entities/frog/a/events", "/projects/~/events?filter[kind]=frog"] {
        assert_eq!(get(&world.delivery, path).await.status, 404, "{path}");
    }
    assert_eq!(get(&world.delivery, "/projects/~/events?page[size]=1").await.status, 400);
    // An aggregate need not exist yet.
    let mut new = listen(&world.delivery, "/projects/~/entities/counter/new/events").await;
    world.changes.committed(&Counter::key("new").unwrap(), 1);
    assert_eq!(new.versions().await, [1]);
}

#[tokio::test]
async fn other_observations_announce_nothing() {
    let world = World::new();
    let mut stream = listen(&world.delivery, PROJECT).await;
    let key = stock("alice");
    world.changes.observe(&Observation::SaveDropped { key: &key, reason: "the queue is full" });
    assert_eq!(stream.there().await, []);
    // A body that is polled again and again while nothing happens stays as it is.
    let waited = tokio::time::timeout(Duration::ZERO, pending::<()>()).await;
    assert!(waited.is_err());
    world.changes.observe(&Observation::Committed { key: &key, version: 9 });
    assert_eq!(stream.versions().await, [9]);
}
