//! Taking and rebuilding snapshots.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Frame;
#[cfg(feature = "file")]
use snapfold::file::FileStore;
use snapfold::manager::CreateOptions;
use snapfold::service::http::Delivery;
use snapfold::trigger::manual;
use snapfold::{MemoryEvents, SnapshotEngine};

use super::yard::{ALICE, Yard, alice, call, counter};
use crate::support::{Counter, at};

#[tokio::test]
async fn a_snapshot_is_taken_once_and_found_where_the_answer_says() {
    let yard = Yard::new();
    let key = yard.alice(9, &[]).await;
    let path = alice("snapshots");
    let body = r#"{"labels":["release"],"fields":{"build":"7"},"reason":"before the release"}"#;
    let taken = yard.post(&path, body).await;
    assert_eq!(taken.status, 201, "{taken:?}");
    let place = taken.header("location").to_owned();
    let read = yard.get(&place).await;
    assert_eq!(read.status, 200);
    assert_eq!(read.header("etag"), taken.header("etag"));
    assert_eq!(read.json()["data"], taken.json()["data"]);
    assert_eq!(taken.json()["data"]["attributes"]["version"], 9);
    assert_eq!(taken.json()["data"]["attributes"]["labels"][0], "release");
    assert_eq!(taken.json()["data"], yard.get(&path).await.json()["data"][0]);

    // The stored one stays as it is.
    let again = yard.post(&path, r#"{"labels":["other"]}"#).await;
    assert_eq!((again.status.as_u16(), again.header("content-location")), (200, &*place));
    assert_eq!(again.header("etag"), taken.header("etag"));
    assert_eq!(again.json()["data"], taken.json()["data"]);
    assert_eq!(again.json()["meta"]["outcome"], "existing");
    assert_eq!(again.json()["meta"]["identical"], true);

    let older = yard.post(&path, r#"{"version":4}"#).await;
    assert_eq!(older.status, 201);
    assert_eq!(yard.stored(&key).await, [9, 4]);
    yard.check_loads(&key, 9).await;
}

#[tokio::test]
async fn what_cannot_be_taken_is_said() {
    let yard = Yard::new();
    let key = yard.alice(3, &[]).await;
    let path = alice("snapshots");
    for (path, body, status, says) in [
        (&*path, r#"{"versoin":1}"#, 400, "versoin"),
        (&*path, "[1]", 400, "no JSON object"),
        (&*path, "{", 400, "EOF"),
        (&*path, r#"{"version":4}"#, 404, "beyond-head"),
        (&*path, r#"{"version":18446744073709551615}"#, 404, "beyond-head"),
        (&*path, r#"{"version":0}"#, 404, "no event"),
        (&format!("{path}?x=1"), "{}", 400, "parameter"),
        ("/projects/north/entities/counter/bob/snapshots", "{}", 404, "no event"),
        ("/projects/north/entities/nothing/bob/snapshots", "{}", 404, "kind"),
    ] {
        let answer = yard.post(path, body).await;
        assert_eq!(answer.status, status, "{path} {body}: {answer:?}");
        assert!(answer.text().contains(says), "{path} {body}: {}", answer.text());
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(20_000));
    assert_eq!(yard.post(&path, &long).await.status, 400);
    let large = format!(r#"{{"reason":"{}"}}"#, "x".repeat(70_000));
    assert_eq!(yard.post(&path, &large).await.status, 413);
    assert!(yard.stored(&key).await.is_empty());
    let answer = yard.ask("POST", &path, &[("accept", "text/html")], "").await;
    assert_eq!(answer.status, 406);
    let answer = yard.ask("PUT", &path, &[], "").await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, HEAD, POST, DELETE"));
    assert!(yard.stored(&key).await.is_empty());
}

#[tokio::test]
async fn a_form_of_somebody_else_cannot_write() {
    let yard = Yard::new();
    let key = yard.alice(3, &[]).await;
    let path = alice("snapshots");
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "multipart/form-data; boundary=x")],
        &[("content-type", "application/jsonx")],
        &[("content-type", "text/plain; application/json")],
        &[("content-type", "application/json"), ("content-type", "text/plain")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let mut all = vec![("authorization", &*yard.ops)];
        all.extend(headers);
        let answer = call(&yard.delivery, "POST", &path, &all, "{}".to_owned()).await;
        assert_eq!(answer.status, 415, "{headers:?}");
    }
    // Cookies are no credentials.
    let cookie = [("cookie", &*yard.ops), ("content-type", "application/json")];
    let answer = call(&yard.delivery, "POST", &path, &cookie, "{}".to_owned()).await;
    assert_eq!(answer.status, 401);
    assert!(yard.stored(&key).await.is_empty());
    let typed =
        [("authorization", &*yard.ops), ("content-type", "Application/JSON; charset=utf-8")];
    let answer = call(&yard.delivery, "POST", &path, &typed, "{}".to_owned()).await;
    assert_eq!(answer.status, 201);
}

/// A body that never ends.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_not_waited_for() {
    let yard = Yard::new();
    let key = yard.alice(3, &[]).await;
    let headers = [("authorization", &*yard.ops), ("content-type", "application/json")];
    let answer = call(&yard.delivery, "POST", &alice("snapshots"), &headers, Endless).await;
    assert_eq!(answer.status, 408);
    assert!(yard.stored(&key).await.is_empty());
}

#[tokio::test]
async fn nobody_writes_where_everybody_reads() {
    let yard = Yard::new();
    let key = yard.alice(3, &[1, 2, 3]).await;
    let open = Delivery::builder(yard.kinds.clone()).open_to_everybody().build().unwrap();
    let listed = call(&open, "GET", &alice("snapshots"), &[], String::new()).await;
    let one = listed.json()["data"][0]["links"]["self"].as_str().unwrap().to_owned();
    for (method, path) in [
        ("POST", alice("snapshots")),
        ("DELETE", format!("{}?before=9", alice("snapshots"))),
        ("DELETE", one),
        ("POST", alice("rebuild")),
        ("POST", alice("prune")),
        ("POST", "/projects/north/rebuild".to_owned()),
        ("POST", "/projects/north/prune".to_owned()),
    ] {
        let answer = call(&open, method, &path, &[], String::new()).await;
        assert_eq!(answer.status, 403, "{method} {path}");
    }
    assert_eq!(yard.stored(&key).await, [3, 2, 1]);
    assert_eq!(call(&open, "GET", ALICE, &[], String::new()).await.status, 200);
}

#[tokio::test]
async fn a_rebuild_repairs_what_differs_and_keeps_what_does_not() {
    let yard = Yard::new();
    let key = yard.alice(6, &[3]).await;
    let path = alice("rebuild");
    // Another history left snapshots of its own.
    let others = MemoryEvents::new();
    for n in 1..=6 {
        others.append(&key, at(n), 100 * n);
    }
    let other = SnapshotEngine::<Counter>::builder(others, yard.store.clone()).trigger(manual());
    let options = CreateOptions::new().at_version(5);
    other.build().unwrap().create_with(&key, options).await.unwrap();
    let outcome = async |body: &str| {
        let answer = yard.post(&path, body).await;
        (answer.status.as_u16(), answer.json()["meta"]["outcome"].clone())
    };
    assert_eq!(outcome(r#"{"version":3}"#).await, (200, "existing".into()));
    assert_eq!(outcome(r#"{"version":5}"#).await, (200, "replaced".into()));
    assert_eq!(outcome("").await, (201, "stored".into()));
    assert_eq!(outcome("").await, (200, "existing".into()));
    assert_eq!(yard.stored(&key).await, [6, 5, 3]);
    yard.check_loads(&key, 6).await;
    for (body, status) in [(r#"{"version":0}"#, 400), (r#"{"version":7}"#, 404), ("{x", 400)] {
        assert_eq!(yard.post(&path, body).await.status, status, "{body}");
    }
    let nobody = yard.post("/projects/north/entities/counter/bob/rebuild", "").await;
    assert_eq!(nobody.status, 404);
}

#[tokio::test]
async fn conditions_that_nothing_can_meet_are_not_ignored() {
    let yard = Yard::new();
    let key = yard.alice(3, &[2]).await;
    let prune = r#"{"policy":"last 1"}"#;
    for (method, path, body) in [
        ("POST", alice("snapshots"), ""),
        ("POST", alice("rebuild"), ""),
        ("POST", alice("prune"), prune),
        ("DELETE", format!("{}?before=9", alice("snapshots")), ""),
        ("POST", "/projects/north/rebuild".to_owned(), ""),
        ("POST", "/projects/north/prune".to_owned(), prune),
    ] {
        for condition in [("if-match", "\"x\""), ("if-match", "*"), ("if-none-match", "*")] {
            let answer = yard.ask(method, &path, &[condition], body).await;
            assert_eq!(answer.status, 412, "{method} {path} {condition:?}");
        }
    }
    assert_eq!(yard.stored(&key).await, [2]);
}

#[tokio::test]
async fn a_store_that_is_down_is_unavailable_and_unchanged() {
    let yard = Yard::new();
    let key = yard.alice(3, &[1, 2]).await;
    let listed = yard.get(&alice("snapshots")).await;
    let one = listed.json()["data"][0]["links"]["self"].as_str().unwrap().to_owned();
    yard.store.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    let prune = r#"{"policy":"last 1","dryRun":false}"#;
    let requests = [
        ("POST", alice("snapshots"), ""),
        ("DELETE", format!("{}?before=9", alice("snapshots")), ""),
        ("DELETE", one, ""),
        ("POST", alice("rebuild"), ""),
        ("POST", alice("prune"), prune),
        ("POST", "/projects/north/rebuild".to_owned(), ""),
        ("POST", "/projects/north/prune".to_owned(), prune),
        ("POST", "/projects/north/prune".to_owned(), r#"{"policy":"last 1"}"#),
    ];
    for (method, path, body) in &requests {
        let key = [("idempotency-key", &**path)];
        let answer = yard.ask(method, path, &key, body).await;
        assert_eq!(answer.status, 503, "{method} {path}: {answer:?}");
        assert!(answer.has("retry-after"), "{method} {path}");
    }
    yard.store.is_down.store(false, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(yard.stored(&key).await, [2, 1]);
    yard.check_loads(&key, 3).await;
    // That it was down is nothing to be repeated.
    let (method, path, body) = &requests[0];
    let answer = yard.ask(method, path, &[("idempotency-key", path)], body).await;
    assert_eq!((answer.status.as_u16(), answer.has("idempotency-replayed")), (201, false));
}

#[cfg(feature = "file")]
#[tokio::test]
async fn a_file_store_has_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let yard = Yard::over(FileStore::open(folder.path()).unwrap(), |builder| builder);
    let key = yard.alice(9, &[2]).await;
    assert_eq!(yard.post(&alice("snapshots"), r#"{"version":5}"#).await.status, 201);
    assert_eq!(yard.post(&alice("rebuild"), "").await.status, 201);
    let prune = r#"{"policy":"last 2","dryRun":false}"#;
    assert_eq!(yard.post(&alice("prune"), prune).await.json()["meta"]["deleted"]["deleted"], 1);
    assert_eq!(yard.stored(&key).await, [9, 5]);
    let listed = yard.get(&alice("snapshots")).await;
    let one = listed.json()["data"][1]["links"]["self"].as_str().unwrap().to_owned();
    assert_eq!(yard.ask("DELETE", &one, &[], "").await.status, 200);
    assert_eq!(yard.stored(&key).await, [9]);
    yard.check_loads(&key, 9).await;
    assert_eq!(counter("alice"), key);
}
