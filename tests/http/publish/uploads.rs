//! Artifacts at their signed URLs.

use serde_json::json;
use snapfold::service::publish::PublishOptions;

use super::press::{ORIGIN, Press, call, href, sha256};

fn declared(content: &[u8], content_type: &str) -> serde_json::Value {
    json!({ "size": content.len(), "sha256": sha256(content), "contentType": content_type })
}

#[tokio::test]
async fn an_artifact_is_taken_once() {
    let press = Press::new();
    let (id, artifacts) =
        press.begin(json!({ "a": true, "b": declared(b"two", "text/plain") })).await;
    let upload = &artifacts["b"]["upload"];
    assert_eq!(upload["headers"], json!({ "content-type": "text/plain" }));
    assert_eq!(
        (&upload["method"], &upload["expiresAt"]),
        (&json!("PUT"), &json!("2023-11-14T22:45:00Z"))
    );
    for (name, content) in [("a", "one"), ("b", "two")] {
        let headers = [("content-type", "TEXT/plain")];
        let url = href(&artifacts, name);
        assert_eq!(press.put(&url, &headers, content).await.status, 201, "{name}");
        let again = press.put(&url, &headers, content).await;
        assert_eq!(
            (again.status.as_u16(), again.json()["type"].clone()),
            (409, json!("/api/problems/already-uploaded"))
        );
    }
    assert_eq!(press.finalize(&id).await.status, 200);
    assert_eq!(press.put(&href(&artifacts, "a"), &[], "one").await.status, 409);
}

#[tokio::test]
async fn what_is_not_as_declared_is_refused_and_can_be_sent_again() {
    let press = Press::new();
    let (id, artifacts) = press
        .begin(json!({
            "whole": declared(b"right", "text/plain"),
            "size": { "size": 5 },
            "hash": { "sha256": sha256(b"right") },
        }))
        .await;
    let plain = [("content-type", "text/plain")];
    for (name, content, status) in [
        ("whole", "longer", 422),
        ("whole", "less", 422),
        ("whole", "wrong", 422),
        ("size", "longer", 422),
        ("size", "less", 422),
        ("hash", "wrong", 422),
        ("hash", "longer", 422),
    ] {
        let answer = press.put(&href(&artifacts, name), &plain, content).await;
        assert_eq!(answer.status.as_u16(), status, "{name} {content}: {answer:?}");
        assert_eq!(press.finalize(&id).await.status, 409);
    }
    for other in [&[][..], &[("content-type", "text/html")]] {
        assert_eq!(press.put(&href(&artifacts, "whole"), other, "right").await.status, 415);
    }
    let coded = [("content-type", "text/plain"), ("content-encoding", "gzip")];
    assert_eq!(press.put(&href(&artifacts, "whole"), &coded, "right").await.status, 415);
    for name in ["whole", "size", "hash"] {
        assert_eq!(press.put(&href(&artifacts, name), &plain, "right").await.status, 201);
    }
    assert_eq!(press.finalize(&id).await.status, 200);
}

#[tokio::test]
async fn a_url_is_for_one_artifact_and_until_it_expires() {
    let press = Press::new();
    let (id, artifacts) = press.begin(json!({ "a": true, "b": true })).await;
    let (other, _) = press.begin(json!({ "a": true, "b": true })).await;
    let url = href(&artifacts, "a");
    let (path, query) = url.split_once('?').unwrap();
    for wrong in [
        path.to_owned(),
        format!("{path}?{query}&x=1"),
        format!("{path}?{}", query.replace("exp=1", "exp=2")),
        format!("{path}?{}", query.replace("kid=test", "kid=tests")),
        format!("{}?{query}", path.replace("/a", "/b").replace("/bpi", "/api")),
        format!("{}?{query}", path.replace(&id, &other)),
        format!("{}?{query}", path.replace(&id, "x")),
        format!("{}?{query}", path.replace("north", "south")),
        format!("{}?{query}", path.replace("/a", "/c").replace("/cpi", "/api")),
        url[..url.len() - 1].to_owned(),
    ] {
        let answer = press.put(&wrong, &[], "1").await;
        assert_eq!(answer.status, 403, "{wrong}: {answer:?}");
        assert_eq!(answer.json()["type"], "/api/problems/wrong-signature");
    }
    for method in ["GET", "POST", "DELETE"] {
        let path = url.strip_prefix(ORIGIN).unwrap();
        let answer = call(&press.delivery, method, path, &[], "".into()).await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "PUT"));
    }
    press.wait(900);
    assert_eq!(press.put(&url, &[], "1").await.status, 410);
    press.wait(1);
    let late = press.put(&url, &[], "1").await;
    assert_eq!(
        (late.status.as_u16(), late.json()["type"].clone()),
        (410, json!("/api/problems/upload-expired"))
    );
}

#[tokio::test]
async fn an_upload_has_a_length_and_keeps_to_it() {
    let options = PublishOptions::new().max_undeclared_bytes(5_000).max_bytes(100_000);
    let press = Press::with(false, options);
    let big = vec![b'x'; 20_000];
    let (id, artifacts) =
        press.begin(json!({ "a": true, "big": declared(&big, "text/plain"), "none": true })).await;
    let url = href(&artifacts, "a");
    let path = url.strip_prefix(ORIGIN).unwrap();
    let sent = async |length: Option<&str>, body: &[u8]| {
        let length = length.map(|length| ("content-length", length));
        let headers: Vec<_> = length.into_iter().collect();
        let body = bytes::Bytes::copy_from_slice(body);
        call(&press.delivery, "PUT", path, &headers, body).await.status.as_u16()
    };
    assert_eq!(sent(None, b"1").await, 411);
    assert_eq!(sent(Some("x"), b"1").await, 411);
    assert_eq!(sent(Some("5001"), &big).await, 413);
    for (length, body) in [("2", &b"1"[..]), ("1", b"12"), ("4000", &big)] {
        assert_eq!(sent(Some(length), body).await, 400, "{length}");
    }
    assert_eq!(sent(Some("5000"), &big[..5_000]).await, 201);
    let plain = [("content-type", "text/plain")];
    assert_eq!(press.put(&href(&artifacts, "big"), &plain, big.clone()).await.status, 201);
    assert_eq!(press.put(&href(&artifacts, "none"), &[], "").await.status, 201);
    assert_eq!(press.finalize(&id).await.status, 200);
    // What is too large by what is declared is refused at once.
    for (size, hash, status) in
        [(100_001, true, 413), (100_000, true, 201), (5_001, false, 413), (5_000, false, 201)]
    {
        let hash = hash.then(|| sha256(b""));
        let body = json!({ "artifacts": { "a": { "size": size, "sha256": hash } } });
        let answer = press.post("/projects/north/publications", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{size}");
    }
}

#[tokio::test]
async fn as_many_undeclared_artifacts_are_held_as_may_be() {
    let press = Press::with(false, PublishOptions::new().undeclared_at_once(0));
    let (_, artifacts) = press.begin(json!({ "a": true, "b": declared(b"1", "x/y") })).await;
    let busy = press.put(&href(&artifacts, "a"), &[], "1").await;
    assert_eq!((busy.status.as_u16(), busy.has("retry-after")), (503, true));
    let sent = press.put(&href(&artifacts, "b"), &[("content-type", "x/y")], "1").await;
    assert_eq!(sent.status, 201);
}

#[tokio::test]
async fn of_many_uploads_at_once_one_is_taken() {
    let press = Press::new();
    let (_, artifacts) = press.begin(json!({ "a": true })).await;
    let url = href(&artifacts, "a");
    let bodies: Vec<String> = (0..20).map(|n| format!("body {n}")).collect();
    let sent = bodies.iter().map(|body| press.put(&url, &[], body.clone()));
    let answers = futures_util::future::join_all(sent).await;
    let count = |status: u16| answers.iter().filter(|it| it.status.as_u16() == status).count();
    assert_eq!((count(201), count(201) + count(409) + count(503)), (1, 20));
}

#[tokio::test]
async fn what_the_storage_takes_itself_is_verified_when_it_is_finalised() {
    let press = Press::with(true, PublishOptions::new());
    let (id, artifacts) =
        press.begin(json!({ "a": declared(b"right", "text/plain"), "b": true })).await;
    let url = href(&artifacts, "a");
    assert!(url.starts_with("memory:upload/") && href(&artifacts, "b").starts_with(ORIGIN));
    press.put(&href(&artifacts, "b"), &[], "direct").await;
    for (wrong, says) in
        [("wrong", "a: the hash differs"), ("longer", "a: the size differs: 6 bytes arrived")]
    {
        assert!(press.artifacts.receive(&url, wrong));
        let answer = press.finalize(&id).await;
        assert_eq!((answer.status.as_u16(), answer.json()["detail"].clone()), (422, json!(says)));
    }
    assert!(press.artifacts.receive(&url, "right"));
    assert_eq!(press.finalize(&id).await.status, 200);
    // The next one need not be sent.
    let (id, artifacts) = press.begin(json!({ "a": declared(b"right", "text/plain") })).await;
    assert_eq!(
        (&artifacts["a"]["stored"], &artifacts["a"]["upload"]),
        (&json!(true), &json!(null))
    );
    assert_eq!(press.finalize(&id).await.status, 200);
    // But its size has to be right.
    let lie = json!({ "a": { "size": 9, "sha256": sha256(b"right") } });
    let (id, artifacts) = press.begin(lie).await;
    assert_eq!(artifacts["a"]["stored"], false);
    assert_eq!(press.finalize(&id).await.status, 422);
}

#[tokio::test]
async fn who_guesses_signatures_is_slowed_down_and_nobody_else() {
    let press = Press::new();
    let (_, artifacts) = press.begin(json!({ "a": true })).await;
    let url = href(&artifacts, "a");
    let wrong = format!("{url}0");
    let mut statuses = Vec::new();
    for _ in 0..601 {
        statuses.push(press.put(&wrong, &[], "x").await.status.as_u16());
    }
    assert_eq!((statuses[0], statuses[599], statuses[600]), (403, 403, 429));
    assert_eq!(press.put(&url, &[], "x").await.status, 201);
    press.wait(60);
    assert_eq!(press.put(&wrong, &[], "x").await.status, 403);
}
