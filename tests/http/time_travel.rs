//! States of the past: by version, by time, and as Mementos (RFC 7089).

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::Value;
use snapfold::engine::ReplayLoader;
use snapfold::events::{EventRange, EventTime, Replay};
use snapfold::manager::Kinds;
use snapfold::service::http::Delivery;
use snapfold::{AggregateKey, BoxError, EventSource, Loader as _, MemoryEvents, SnapshotEngine};

use crate::support::{Shop, Stock, at, date, get, get_with, links, stock};

const ALICE: &str = "/projects/~/entities/stock/alice";

async fn gate(delivery: &Delivery, date: &str) -> crate::support::Answer {
    get_with(delivery, ALICE, &[("accept-datetime", date)]).await
}

#[tokio::test]
async fn a_date_leads_to_the_state_of_that_date() {
    let (shop, key) = (Shop::new(), stock("alice"));
    // Three versions in second 10, and then one every other second.
    for (n, second) in [10, 10, 10, 12, 14, 16, 18].into_iter().enumerate() {
        shop.stocks.append(&key, at(second), (format!("p{n}"), 1));
    }
    let delivery = shop.open();
    for (second, version) in
        [(0, 1), (9, 1), (10, 3), (11, 3), (12, 4), (13, 4), (17, 6), (18, 7), (999, 7)]
    {
        let sent = gate(&delivery, &date(second)).await;
        assert_eq!(sent.status, 302, "{second}");
        assert_eq!(sent.header("location"), format!("{ALICE}/versions/{version}"), "{second}");
        assert!(sent.header("vary").contains("accept-datetime"));
        let links = links(sent.header("link"));
        assert_eq!(links["original"][0].0, ALICE);
        assert_eq!(links["timemap"][0].0, format!("{ALICE}/timemap"));
    }
    // A Memento's own date leads to a Memento with that date, and never to an earlier one.
    for version in 1..=7 {
        let memento = get(&delivery, &format!("{ALICE}/versions/{version}")).await;
        let own = memento.header("memento-datetime").to_owned();
        let sent = gate(&delivery, &own).await;
        let found = get(&delivery, sent.header("location")).await;
        assert_eq!(found.header("memento-datetime"), own);
        let relations = links(memento.header("link"));
        assert_eq!(relations.contains_key("predecessor-version"), version > 1);
        assert_eq!(relations["latest-version"][0].0, ALICE);
    }
    for wrong in ["", "yesterday", "2026-11-21T09:30:00Z", "Sun, 06 Nov 1994", "Mon, 99 Foo"] {
        assert_eq!(gate(&delivery, wrong).await.status, 400, "{wrong:?}");
    }
    let before_1970 = "Wed, 31 Dec 1969 23:59:59 GMT";
    assert!([302, 400].contains(&gate(&delivery, before_1970).await.status.as_u16()));
    assert!(!get(&delivery, ALICE).await.has("memento-datetime"));
}

#[tokio::test]
async fn an_exact_time_or_version_is_answered_at_once() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 30);
    let delivery = shop.open();
    let expected = get(&delivery, &format!("{ALICE}/versions/12")).await.body;
    for query in
        ["version=12".to_owned(), format!("at={}", at(12)), "at=2023-11-14T22:13:32.999999Z".into()]
    {
        let answer = get(&delivery, &format!("{ALICE}?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {answer:?}");
        assert_eq!(answer.body, expected, "{query}");
        assert!(answer.header("content-location").starts_with(&format!("{ALICE}/versions/12/")));
    }
    for (query, status) in [
        ("version=0", 404),
        ("version=31", 404),
        ("version=18446744073709551615", 404),
        ("version=-1", 400),
        ("version=1&at=2026-11-21T09:30:00Z", 400),
        ("version=1&version=2", 400),
        ("at=2026-11-21", 400),
        ("at=1900-01-01T00:00:00Z", 404),
        ("color=red", 400),
    ] {
        let answer = get(&delivery, &format!("{ALICE}?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(answer.json()["status"], status);
    }
    for (path, status) in [
        ("/versions/0", 404),
        ("/versions/012", 404),
        ("/versions/x", 404),
        ("/versions/31", 404),
        ("/versions/5/x", 404),
    ] {
        assert_eq!(
            get(&delivery, &format!("{ALICE}{path}")).await.status.as_u16(),
            status,
            "{path}"
        );
    }
}

/// All lists of so many seconds of 1 to 3.
fn lists(len: u32) -> impl Iterator<Item = Vec<u64>> {
    (0..3_u64.pow(len)).map(move |n| (0..len).map(|place| n / 3_u64.pow(place) % 3 + 1).collect())
}

#[tokio::test]
async fn a_state_at_a_time_is_final_only_when_no_commit_can_change_it() {
    let (mut finals, mut changes) = (0, 0);
    for (n, seconds) in lists(5).enumerate() {
        let (shop, key) = (Shop::new(), stock("alice"));
        let (delivery, replay) = (shop.open(), ReplayLoader::<Stock>::new(shop.stocks.clone()));
        // By second: the last answer, and whether it was final.
        let mut last: [Option<(Bytes, bool)>; 5] = Default::default();
        for (count, second) in seconds.iter().enumerate() {
            shop.stocks.append(&key, at(*second), (format!("p{count}"), 1));
            if (n + count) % 4 == 0 {
                shop.engine.create(&key).await.unwrap();
            }
            for (asked, last) in (0..5).zip(&mut last) {
                let answer = get(&delivery, &format!("{ALICE}?at={}", at(asked))).await;
                let truth = replay.at_time(&key, at(asked)).await.unwrap();
                if truth.version == 0 {
                    assert_eq!(answer.status, 404);
                    continue;
                }
                let state: Stock = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(state, *truth.state, "{seconds:?} at {asked}");
                let is_final = usize::try_from(truth.version).unwrap() <= count;
                let seconds_kept = if is_final { 60 } else { 0 };
                let expected = format!("private, max-age={seconds_kept}, must-revalidate");
                assert_eq!(answer.header("cache-control"), expected, "{seconds:?} at {asked}");
                assert_eq!(answer.has("memento-datetime"), is_final);
                if let Some((body, was_final)) = last.replace((answer.body.clone(), is_final)) {
                    let is_same = body == answer.body;
                    assert!(is_same || !was_final, "{seconds:?} at {asked}");
                    changes += u32::from(!is_same);
                    finals += u32::from(was_final);
                }
            }
        }
    }
    // Events that were recorded late have changed states that were not final.
    assert!(finals > 100 && changes > 100, "{finals} {changes}");
}

/// What happens after a state was loaded and before the time of the next event is read.
#[derive(Clone, Copy)]
enum Meanwhile {
    Recorded(u64),
    Failed,
}

struct Interrupted(MemoryEvents<(String, i64)>, Meanwhile);

#[async_trait]
impl EventSource<Stock> for Interrupted {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Stock>,
    ) -> Result<(), BoxError> {
        self.0.read(key, range, replay).await
    }

    async fn times(
        &self,
        key: &AggregateKey,
        range: EventRange,
        limit: usize,
    ) -> Result<Vec<EventTime>, BoxError> {
        match self.1 {
            Meanwhile::Recorded(second) => self.0.append(key, at(second), ("p".to_owned(), 1)),
            Meanwhile::Failed => return Err("the connection was lost".into()),
        };
        EventSource::<Stock>::times(&self.0, key, range, limit).await
    }
}

#[tokio::test]
async fn what_happens_while_a_client_asks_makes_no_state_final_that_is_not() {
    for (meanwhile, seconds) in [
        (Meanwhile::Recorded(9), 60),
        (Meanwhile::Recorded(6), 60),
        (Meanwhile::Recorded(5), 0),
        (Meanwhile::Recorded(2), 0),
        (Meanwhile::Failed, 0),
    ] {
        let (shop, key) = (Shop::new(), stock("alice"));
        shop.stocks.append(&key, at(1), ("p".to_owned(), 1));
        let source = Interrupted(shop.stocks.clone(), meanwhile);
        let engine = SnapshotEngine::<Stock>::builder(source, shop.store.clone()).build().unwrap();
        let delivery = Delivery::builder(Kinds::new().with(engine).unwrap());
        let delivery = delivery.open_to_everybody().build().unwrap();
        let answer = get(&delivery, &format!("{ALICE}?at={}", at(5))).await;
        assert_eq!((answer.status.as_u16(), &answer.json()["places"]["p"]), (200, &1.into()));
        let expected = format!("private, max-age={seconds}, must-revalidate");
        assert_eq!(answer.header("cache-control"), expected);
    }
}

#[tokio::test]
async fn the_time_maps_hold_every_version_once() {
    let (shop, key) = (Shop::new(), stock("alice"));
    for n in 1..=2_345_u64 {
        // A clock that runs backwards now and then.
        let second = if n % 7 == 0 { n - 5 } else { n };
        shop.stocks.append(&key, at(second), ("p".to_owned(), 1));
    }
    let delivery = shop.open();
    let (mut path, mut versions, mut dates) = (format!("{ALICE}/timemap"), Vec::new(), Vec::new());
    for _ in 0..3 {
        let map = get(&delivery, &path).await;
        assert_eq!(map.header("content-type"), "application/link-format");
        let found = links(map.text());
        assert_eq!(found["self"][0].0, path);
        for (url, date) in &found["memento"] {
            versions.push(url.rsplit('/').next().unwrap().parse::<u64>().unwrap());
            dates.push(httpdate::parse_http_date(date.as_ref().unwrap()).unwrap());
        }
        let Some(next) = found.get("timemap") else { break };
        path = next[0].0.clone();
    }
    assert_eq!(versions, (1..=2_345).collect::<Vec<_>>());
    assert!(dates.is_sorted());
    for version in [1, 7, 14, 999, 1_000, 1_001, 2_345] {
        let memento = get(&delivery, &format!("{ALICE}/versions/{version}")).await;
        let date = httpdate::parse_http_date(memento.header("memento-datetime")).unwrap();
        assert_eq!(date, dates[usize::try_from(version).unwrap() - 1], "{version}");
    }
}

#[tokio::test]
async fn a_patch_makes_one_version_the_other() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 60);
    let delivery = shop.open();
    let state = async |version: u64| -> Value {
        get(&delivery, &format!("{ALICE}/versions/{version}")).await.json()
    };
    for (from, to) in [(1, 2), (2, 1), (1, 60), (60, 1), (30, 30), (59, 60), (20, 45)] {
        let patch = get(&delivery, &format!("{ALICE}/diff?from={from}&to={to}")).await;
        assert_eq!(patch.header("content-type"), "application/json-patch+json");
        let patch: json_patch::Patch = serde_json::from_slice(&patch.body).unwrap();
        let mut patched = state(from).await;
        json_patch::patch(&mut patched, &patch).unwrap();
        assert_eq!(patched, state(to).await, "{from} to {to}");
        assert_eq!(patch.0.is_empty(), from == to);
    }
    let now = get(&delivery, &format!("{ALICE}/diff?from=5")).await;
    assert_eq!(now.body, get(&delivery, &format!("{ALICE}/diff?from=5&to=60")).await.body);
    for (query, status) in [("", 400), ("from=x", 400), ("from=1&to=61", 404), ("to=1", 400)] {
        let answer = get(&delivery, &format!("{ALICE}/diff?{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
    }
}
