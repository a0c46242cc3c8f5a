//! Idempotency keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use snapfold::service::http::{Permission, Scope};

use super::yard::{Yard, alice, call};
use crate::support::Answer;

const KEY: [(&str, &str); 1] = [("idempotency-key", "\"8e03978e\"")];

fn is_replayed(answer: &Answer) -> bool {
    answer.has("idempotency-replayed")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_with_one_key_are_one_write() {
    let yard = Arc::new(Yard::new());
    let key = yard.alice(3, &[]).await;
    let path = alice("snapshots");
    let tasks = (0..100).map(|_| {
        let yard = Arc::clone(&yard);
        tokio::spawn(async move { yard.ask("POST", &alice("snapshots"), &KEY, "{}").await })
    });
    let tasks = join_all(tasks.collect::<Vec<_>>()).await;
    let all: Vec<_> = tasks.into_iter().map(Result::unwrap).collect();
    assert_eq!(yard.store.puts.load(Ordering::SeqCst), 1);
    for answer in &all {
        let status = answer.status.as_u16();
        assert!(status == 409 || status == 201, "{answer:?}");
    }
    let first = all.iter().filter(|answer| answer.status == 201 && !is_replayed(answer)).count();
    assert_eq!(first, 1);
    // In time, everybody gets the first answer.
    let again = join_all((0..100).map(|_| yard.ask("POST", &path, &KEY, "{}"))).await;
    let answer = all.iter().find(|answer| answer.status == 201).unwrap();
    for replayed in &again {
        assert!(is_replayed(replayed));
        assert_eq!((replayed.status, &replayed.body), (answer.status, &answer.body));
        for name in ["location", "etag", "content-type"] {
            assert_eq!(replayed.header(name), answer.header(name));
        }
    }
    assert_eq!(yard.store.puts.load(Ordering::SeqCst), 1);
    assert_eq!(yard.trail("north").await.len(), 1);
    yard.check_loads(&key, 3).await;
}

#[tokio::test]
async fn a_key_is_of_one_request_of_one_principal() {
    let yard = Yard::new();
    let key = yard.alice(9, &[2, 3]).await;
    let path = alice("snapshots");
    let body = r#"{"version":5}"#;
    let first = yard.ask("POST", &path, &KEY, body).await;
    assert_eq!(first.status, 201);
    for (method, path, body) in [
        ("POST", path.clone(), r#"{"version":6}"#),
        ("POST", path.clone(), ""),
        ("POST", alice("rebuild"), body),
        ("DELETE", format!("{path}?before=3"), ""),
        ("POST", "/projects/north/entities/counter/bob/snapshots".to_owned(), body),
    ] {
        let answer = yard.ask(method, &path, &KEY, body).await;
        assert_eq!(answer.status, 422, "{method} {path}");
        assert!(answer.text().contains("idempotency-key-reused"));
    }
    assert_eq!(yard.stored(&key).await, [5, 3, 2]);
    // Somebody else's key is another key, whatever it says.
    let other = yard.key(Scope::new(Permission::ALL.to_vec()).tenants(["north"]));
    let headers = [("authorization", &*other), ("content-type", "application/json"), KEY[0]];
    let answer = call(&yard.delivery, "POST", &path, &headers, body.to_owned()).await;
    assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (200, false));
    // Who may not do it any more does not get the answer either.
    let (id, _) = yard.ops["Bearer snf_".len()..].split_once('_').unwrap();
    assert!(yard.keys.revoke(id));
    assert_eq!(yard.ask("POST", &path, &KEY, body).await.status, 401);
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let yard = Yard::new();
    let key = yard.alice(3, &[]).await;
    let path = alice("snapshots");
    // An error that stays is kept as well.
    let missing = r#"{"version":4}"#;
    assert_eq!(yard.ask("POST", &path, &KEY, missing).await.status, 404);
    yard.grow(&key, 3, 9);
    yard.clock.advance(Duration::from_secs(24 * 60 * 60 - 1));
    let answer = yard.ask("POST", &path, &KEY, missing).await;
    assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (404, true));
    assert_eq!(answer.header("content-type"), "application/problem+json");
    yard.clock.advance(Duration::from_secs(1));
    let answer = yard.ask("POST", &path, &KEY, missing).await;
    assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (201, false));
    for key in ["", "\"", "\"a\"b", "a,b"] {
        let answer = yard.ask("POST", &path, &[("idempotency-key", key)], "").await;
        assert_eq!(answer.status, 400, "{key}");
    }
    assert_eq!(yard.ask("POST", &path, &[KEY[0], KEY[0]], "").await.status, 400);
}

#[tokio::test]
async fn a_client_that_leaves_does_not_stop_its_write_or_hold_its_key() {
    let yard = Yard::new();
    let key = yard.alice(3, &[]).await;
    let path = alice("snapshots");
    yard.store.close();
    // Polled until the put waits, then dropped.
    let mut request = Box::pin(yard.ask("POST", &path, &KEY, "{}"));
    for _ in 0..100 {
        assert!((&mut request).now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    drop(request);
    let busy = yard.ask("POST", &path, &KEY, "{}").await;
    assert_eq!((busy.status.as_u16(), busy.header("retry-after")), (409, "1"));
    assert_eq!(yard.ask("POST", &path, &KEY, "").await.status, 422);
    yard.store.gate.add_permits(1);
    let mut answer = busy;
    while answer.status == 409 {
        tokio::task::yield_now().await;
        answer = yard.ask("POST", &path, &KEY, "{}").await;
    }
    assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (201, true));
    assert_eq!(yard.store.puts.load(Ordering::SeqCst), 1);
    assert_eq!(yard.stored(&key).await, [3]);

    // Dropped at every earlier point: it was made, or it is made now.
    for polls in 0..4 {
        let name = format!("k{polls}");
        let headers = [("idempotency-key", &*name)];
        let mut request = Box::pin(yard.ask("POST", &path, &headers, "{}"));
        for _ in 0..polls {
            let _ = (&mut request).now_or_never();
        }
        drop(request);
        yard.store.gate.add_permits(1);
        let mut status = 409;
        while status == 409 {
            tokio::task::yield_now().await;
            status = yard.ask("POST", &path, &headers, "{}").await.status.as_u16();
        }
        assert_eq!(status, 200, "{polls}");
    }
}

#[tokio::test]
async fn a_panic_is_an_error_and_frees_the_key() {
    let yard = Yard::new();
    let key = super::yard::counter("alice");
    // An event that the fold cannot add.
    yard.counters.append(&key, crate::support::at(1), u64::MAX);
    yard.counters.append(&key, crate::support::at(2), 1);
    for _ in 0..2 {
        let answer = yard.ask("POST", &alice("snapshots"), &KEY, "{}").await;
        assert_eq!((answer.status.as_u16(), is_replayed(&answer)), (500, false));
    }
    assert!(yard.stored(&key).await.is_empty());
}
