//! What is served equals a replay, and what caches keep stays right.

use std::collections::HashSet;
use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};
use snapfold::engine::ReplayLoader;
use snapfold::manager::{AdminContext, CreateOptions};
use snapfold::service::http::CachePolicy;
use snapfold::{AggregateKey, Loader as _};

use crate::support::{Answer, Shop, Stock, get, get_with, send, stock};

const ALICE: &str = "/projects/~/entities/stock/alice";

async fn replayed(shop: &Shop, key: &AggregateKey, version: u64) -> Stock {
    let replay = ReplayLoader::<Stock>::new(shop.stocks.clone());
    Stock::clone(&replay.at_version(key, version).await.unwrap().state)
}

#[tokio::test]
async fn every_version_equals_a_replay_on_every_node() {
    let (shop, key) = (Shop::new(), stock("alice"));
    let other = Shop::over(shop.stocks.clone(), shop.counters.clone(), shop.store.clone());
    let (one, two) = (shop.open(), other.open());
    let mut tags = HashSet::new();
    for version in 1..=60 {
        shop.grow(&key, version);
        if version % 10 == 0 {
            shop.engine.create(&key).await.unwrap();
        }
        let (now, again) = (get(&one, ALICE).await, get(&one, ALICE).await);
        let elsewhere = get(&two, ALICE).await;
        let past = get(&two, &format!("{ALICE}/versions/{version}")).await;
        let state: Stock = serde_json::from_slice(&now.body).unwrap();
        assert_eq!(state, replayed(&shop, &key, version).await);
        for answer in [&again, &elsewhere, &past] {
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body, now.body);
            assert_eq!(answer.header("etag"), now.header("etag"));
        }
        assert!(tags.insert(now.header("etag").to_owned()), "two states have one tag");
        let sent = get_with(&one, ALICE, &[("if-none-match", now.header("etag"))]).await;
        assert_eq!((sent.status.as_u16(), sent.body.len()), (304, 0));
        assert_eq!(sent.header("etag"), now.header("etag"));
    }
    for version in 1..=60 {
        let past = get(&one, &format!("{ALICE}/versions/{version}")).await;
        let state: Stock = serde_json::from_slice(&past.body).unwrap();
        assert_eq!(state, replayed(&shop, &key, version).await);
    }
}

#[tokio::test]
async fn a_rendered_state_does_not_outlive_the_snapshot_that_it_came_from() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 20);
    shop.engine.create(&key).await.unwrap();
    let wrong = shop.open();
    let before = get(&wrong, ALICE).await;
    // The history is edited: what was rendered is no longer a fold of the events.
    shop.stocks.rewind(&key, 0);
    for n in 1..=20_u64 {
        shop.stocks.append(&key, crate::support::at(n), ("elsewhere".to_owned(), 1));
    }
    shop.engine.admin().rebuild(&key, 20, &AdminContext::new("ops")).await.unwrap();
    let after = get_with(&wrong, ALICE, &[("if-none-match", before.header("etag"))]).await;
    assert_eq!(after.status, 200);
    let state: Stock = serde_json::from_slice(&after.body).unwrap();
    assert_eq!(state, replayed(&shop, &key, 20).await);
}

fn unpacked(answer: &Answer) -> Vec<u8> {
    let mut text = Vec::new();
    let read = match answer.headers.get("content-encoding").map(|it| it.to_str().unwrap()) {
        None => (&*answer.body).read_to_end(&mut text),
        Some("gzip") => GzDecoder::new(&*answer.body).read_to_end(&mut text),
        #[cfg(feature = "zstd")]
        Some("zstd") => zstd::Decoder::new(&*answer.body).unwrap().read_to_end(&mut text),
        Some(other) => panic!("{other}"),
    };
    read.unwrap();
    text
}

#[tokio::test]
async fn a_coding_has_its_own_tag_and_the_same_state() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 60);
    let (delivery, elsewhere) = (shop.open(), shop.open());
    // What a client accepts, and the end of the tag that it gets. `None` has no coding.
    let mut wants = vec![("identity", None), ("br, gzip", Some(("gzip", "-gz\"")))];
    if cfg!(feature = "zstd") {
        wants.push(("gzip, zstd", Some(("zstd", "-zst\""))));
    }
    let mut answers = Vec::new();
    for (accepted, coding) in &wants {
        let accepts = [("accept-encoding", *accepted)];
        let answer = get_with(&delivery, ALICE, &accepts).await;
        let found = answer.headers.get("content-encoding").map(|it| it.to_str().unwrap());
        assert_eq!(found, coding.map(|(name, _)| name));
        assert!(answer.header("etag").ends_with(coding.map_or("\"", |(_, suffix)| suffix)));
        assert_eq!(
            answer.header("vary"),
            "accept, accept-encoding, accept-datetime, authorization"
        );
        let hash = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(&answer.body));
        assert_eq!(answer.header("repr-digest"), format!("sha-256=:{hash}:"));
        assert_eq!(answer.header("content-length"), answer.body.len().to_string());
        let again = get_with(&elsewhere, ALICE, &accepts).await;
        assert_eq!((again.body, again.headers), (answer.body.clone(), answer.headers.clone()));
        answers.push(answer);
    }
    for (answer, (accepted, _)) in answers.iter().zip(&wants) {
        assert_eq!(unpacked(answer), answers[0].body);
        // The tag of one coding does not stand for the other.
        for other in &answers {
            let tag = other.header("etag");
            let asked = [("if-none-match", tag), ("accept-encoding", accepted)];
            let expected = if tag == answer.header("etag") { 304 } else { 200 };
            let status = get_with(&delivery, ALICE, &asked).await.status;
            assert_eq!(status.as_u16(), expected, "{accepted} with {tag}");
        }
    }
    let tags: HashSet<_> = answers.iter().map(|answer| answer.header("etag")).collect();
    assert_eq!(tags.len(), wants.len());
}

#[tokio::test]
async fn what_is_short_has_no_coding() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 3);
    let answer = get_with(&shop.open(), ALICE, &[("accept-encoding", "gzip, zstd")]).await;
    assert!(answer.body.len() < 512 && !answer.has("content-encoding"));
}

#[tokio::test]
async fn an_immutable_url_keeps_its_bytes_or_is_gone() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 5);
    let delivery = shop.open();
    let now = get(&delivery, ALICE).await;
    let url = now.header("content-location").to_owned();
    assert!(url.starts_with(&format!("{ALICE}/versions/5/")), "{url}");
    let immutable = get(&delivery, &url).await;
    assert_eq!(immutable.body, now.body);
    assert_eq!(immutable.header("cache-control"), "private, max-age=31536000, immutable");
    shop.grow(&key, 9);
    assert_eq!(get(&delivery, &url).await.body, now.body);
    let other = url.replace("/versions/5/", "/versions/6/");
    assert_eq!(get(&delivery, &other).await.status, 404);
    // The other media type has other bytes, and so another URL.
    let document = [("accept", "application/vnd.api+json")];
    assert_eq!(get_with(&delivery, &url, &document).await.status, 404);
    let document_url = get_with(&delivery, ALICE, &document).await;
    let document_url = document_url.header("content-location");
    assert_eq!(get_with(&delivery, document_url, &document).await.status, 200);
}

#[tokio::test]
async fn a_head_has_the_headers_of_the_get_and_no_body() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 5);
    shop.engine.create(&key).await.unwrap();
    let delivery = shop.open();
    for path in [
        ALICE.to_owned(),
        format!("{ALICE}/versions"),
        format!("{ALICE}/versions/3"),
        format!("{ALICE}/timemap"),
        format!("{ALICE}/diff?from=1"),
        format!("{ALICE}/snapshots"),
        "/projects/~/entities".to_owned(),
        format!("{ALICE}/nothing"),
    ] {
        let (get, head) = (get(&delivery, &path).await, send(&delivery, "HEAD", &path, &[]).await);
        assert_eq!((get.status, &get.headers), (head.status, &head.headers), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let refused = send(&delivery, method, ALICE, &[]).await;
        assert_eq!((refused.status.as_u16(), refused.header("allow")), (405, "GET, HEAD"));
    }
    assert_eq!(send(&delivery, "OPTIONS", ALICE, &[]).await.status, 204);
}

#[tokio::test]
async fn a_document_of_json_api_holds_the_same_state() {
    let (shop, key) = (Shop::new(), stock("a b/ö"));
    shop.grow(&key, 5);
    let delivery = shop.builder().prefix("/api/v1").open_to_everybody().build().unwrap();
    let path = "/projects/~/entities/stock/~YSBiL8O2";
    let bare = get(&delivery, path).await;
    let document = get_with(&delivery, path, &[("accept", "application/vnd.api+json")]).await;
    assert_eq!(document.header("content-type"), "application/vnd.api+json");
    let json = document.json();
    assert_eq!(json["data"]["id"], "a b/ö");
    assert_eq!(json["data"]["type"], "stock");
    assert_eq!(json["data"]["attributes"]["state"], bare.json());
    assert_eq!(json["meta"]["version"], 5);
    assert_eq!(json["data"]["links"]["self"], format!("/api/v1{path}"));
    // With and without the prefix, and in a form that is not the one of the text.
    assert_eq!(get(&delivery, &format!("/api/v1{path}")).await.body, bare.body);
    let moved = get(&delivery, "/projects/~/entities/stock/a%20b%2F%C3%B6?version=3").await;
    assert_eq!(moved.status, 301);
    assert_eq!(moved.header("location"), format!("/api/v1{path}?version=3"));
    let none = get_with(&delivery, path, &[("accept", "text/html")]).await;
    assert_eq!(none.status, 406);
}

#[tokio::test]
async fn each_tenant_has_its_policy() {
    let shop = Shop::new();
    let keys = ["", "north"].map(|tenant| stock("alice").with_tenant(tenant).unwrap());
    for key in &keys {
        shop.grow(key, 3);
    }
    let public = CachePolicy::public(Duration::from_secs(30));
    let delivery = shop.builder().tenant_cache_policy("north", public).open_to_everybody();
    let delivery = delivery.build().unwrap();
    let private = get(&delivery, ALICE).await;
    assert_eq!(private.header("cache-control"), "private, max-age=0, must-revalidate");
    assert!(private.header("vary").contains("authorization"));
    let public = get(&delivery, "/projects/north/entities/stock/alice").await;
    assert_eq!(public.header("cache-control"), "public, max-age=0, must-revalidate, s-maxage=30");
    assert!(!public.header("vary").contains("authorization"));
}

#[tokio::test]
async fn snapshots_of_any_age_give_the_same_bytes() {
    let (shop, key) = (Shop::new(), stock("alice"));
    shop.grow(&key, 50);
    let delivery = shop.open();
    let without = get(&delivery, &format!("{ALICE}/versions/47")).await;
    for version in [10, 40, 47] {
        let options = CreateOptions::new().at_version(version);
        shop.engine.create_with(&key, options).await.unwrap();
        let with = get(&delivery, &format!("{ALICE}/versions/47")).await;
        assert_eq!((with.body, with.headers), (without.body.clone(), without.headers.clone()));
    }
}

#[tokio::test]
async fn clients_that_ask_again_get_again_only_what_changed() {
    const AGGREGATES: usize = 300;
    let shop = Shop::new();
    let keys: Vec<_> = (0..AGGREGATES).map(|n| stock(&format!("place-{n}"))).collect();
    for key in &keys {
        shop.grow(key, 3);
    }
    let delivery = shop.open();
    // What each client has: the entity tag and the body.
    let mut kept = vec![(String::new(), Vec::new()); AGGREGATES];
    let (mut unchanged, mut sent) = (0, 0);
    for round in 0..6 {
        for (n, key) in keys.iter().enumerate() {
            // 1 in 100, and others in each round.
            let is_changed = round > 0 && n % 100 == round;
            let version = 3 + (1..=round).filter(|round| n % 100 == *round).count() as u64;
            shop.grow(key, version);
            let path = format!("/projects/~/entities/stock/{}", key.id());
            let answer = get_with(&delivery, &path, &[("if-none-match", &kept[n].0)]).await;
            let expected = if round > 0 && !is_changed { 304 } else { 200 };
            assert_eq!(answer.status.as_u16(), expected, "{path} in round {round}");
            match answer.status.as_u16() {
                304 => unchanged += 1,
                _ if round > 0 => sent += 1,
                _ => {}
            }
            if answer.status == 200 {
                kept[n] = (answer.header("etag").to_owned(), answer.body.to_vec());
            }
            let state: Stock = serde_json::from_slice(&kept[n].1).unwrap();
            assert_eq!(state, replayed(&shop, key, version).await, "{path} in round {round}");
        }
    }
    assert_eq!((unchanged, sent), (5 * 297, 5 * 3));
}
