//! Publications whose artifacts clients send straight to the storage.
//!
//! moto looks at no signature, no time and no hash: what is refused there is refused by the publisher.

use serde_json::json;

use crate::press::{Press, all_is_whole, clean, declared};
use crate::*;

/// What a client does instead of what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    Shorter,
    Longer,
    Empty,
    Hash,
    Type,
    Path,
    Nothing,
}

const LIES: [Lie; 7] =
    [Lie::Shorter, Lie::Longer, Lie::Empty, Lie::Hash, Lie::Type, Lie::Path, Lie::Nothing];

async fn tell(press: &Press, lie: Lie, upload: &serde_json::Value, right: &Bytes) -> String {
    let (url, mut headers) = (upload["href"].as_str().unwrap(), upload["headers"].clone());
    let content = match lie {
        Lie::Shorter => right.slice(1..),
        Lie::Longer => content(right.len() + 1, 90),
        Lie::Empty => Bytes::new(),
        Lie::Hash => content(right.len(), 91),
        Lie::Type => {
            headers["content-type"] = json!("text/html");
            right.clone()
        }
        Lie::Path => {
            let other = url.replacen("/u/t/", "/u/s/", 1);
            return press.put(&other, &headers, right.clone()).await;
        }
        Lie::Nothing => return String::new(),
    };
    press.put(url, &headers, content).await
}

/// What the storage says to each lie, and the publisher then.
fn answers(lie: Lie, is_ceph: bool) -> (&'static str, (u16, Option<String>)) {
    let no = |status, what: &str| (status, Some(what.to_owned()));
    match lie {
        Lie::Shorter | Lie::Longer | Lie::Empty => ("200", no(422, "wrong-size")),
        Lie::Hash => ("200", no(422, "wrong-hash")),
        Lie::Type | Lie::Path if is_ceph => ("403 SignatureDoesNotMatch", no(409, "missing")),
        // It is published with the type that was declared.
        Lie::Type => ("200", (200, None)),
        Lie::Path => ("200", no(409, "missing")),
        Lie::Nothing => ("", no(409, "missing")),
    }
}

async fn only_what_is_right_is_published(server: Server, is_ceph: bool) {
    let press = Press::new(server, 15 * MINUTE).await;
    let mut visible = Vec::new();
    for (number, lie) in (1..).zip(LIES) {
        let right = content(5_000, number);
        let (id, upload) = press.begin(declared(&right)).await;
        let url = upload["href"].as_str().unwrap();
        assert!(url.starts_with(press.site.server.endpoint()), "{url}");
        let (said, finalized) = answers(lie, is_ceph);
        assert_eq!(tell(&press, lie, &upload, &right).await, said, "{lie:?}");
        if finalized.0 == 422 {
            // The storage takes one. What is wrong is removed when it is finalised.
            let again = press.put(url, &upload["headers"], right.clone()).await;
            assert_eq!(again, "412 PreconditionFailed", "{lie:?}");
        }
        assert_eq!(press.finalize(&id).await, finalized, "{lie:?}");
        if finalized.0 != 200 {
            assert_eq!(
                (press.visible().await, press.artifact(&id).await.status),
                (visible.clone(), 404)
            );
            assert_eq!(press.put(url, &upload["headers"], right.clone()).await, "200", "{lie:?}");
            assert_eq!(press.finalize(&id).await, (200, None), "{lie:?}");
        }
        visible.insert(0, id.clone());
        assert_eq!(press.visible().await, visible);

        // The client reads it where it is, for a minute.
        let found = press.artifact(&id).await;
        assert_eq!(found.status, 302);
        assert_eq!(found.headers["cache-control"], "no-store");
        let at = found.headers["location"].to_str().unwrap();
        assert!(
            at.starts_with(press.site.server.endpoint()) && at.contains("X-Amz-Expires=60"),
            "{at}"
        );
        let read = press.site.get(at).await;
        assert_eq!(read.headers()["content-type"], "image/png");
        assert_eq!(read.bytes().await.unwrap(), right);

        // What comes late changes nothing, and neither does what it was finalised with.
        let late = press.put(url, &upload["headers"], content(5_000, 92)).await;
        assert_eq!(late, "200", "{lie:?}");
        assert_eq!(press.finalize(&id).await, (200, None));
    }
    assert_eq!(all_is_whole(&press.publisher).await, LIES.len());
    let strays = u64::from(!is_ceph);
    let swept = clean(&press.site).await;
    assert_eq!((swept.expired, swept.uploads), (0, LIES.len() as u64 + strays));
    assert_eq!(press.visible().await, visible);
}

#[tokio::test]
async fn only_what_is_right_is_published_on_ceph() {
    only_what_is_right_is_published(Server::ceph(), true).await;
}

#[tokio::test]
async fn only_what_is_right_is_published_on_moto() {
    only_what_is_right_is_published(Server::moto(), false).await;
}

/// Nobody can set the clocks of the servers.
async fn what_is_late_is_never_published(server: Server, said: &str) {
    let press = Press::new(server, Duration::from_secs(2)).await;
    let right = content(5_000, 1);
    let (early, first) = press.begin(declared(&right)).await;
    let (late, second) = press.begin(declared(&right)).await;
    let url = |upload: &serde_json::Value| upload["href"].as_str().unwrap().to_owned();
    assert_eq!(press.put(&url(&first), &first["headers"], right.clone()).await, "200");
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(press.put(&url(&second), &second["headers"], right).await, said);
    // Also the one whose artifact was there in time.
    for id in [early, late] {
        assert_eq!(press.finalize(&id).await, (410, None));
        assert_eq!(press.artifact(&id).await.status, 404);
    }
    assert!(press.visible().await.is_empty());
    let uploads = if said == "200" { 2 } else { 1 };
    assert_eq!(clean(&press.site).await.uploads, uploads);
}

#[tokio::test]
async fn what_is_late_is_never_published_on_ceph() {
    what_is_late_is_never_published(Server::ceph(), "403 AccessDenied").await;
}

#[tokio::test]
async fn what_is_late_is_never_published_on_moto() {
    what_is_late_is_never_published(Server::moto(), "200").await;
}

#[tokio::test]
async fn what_is_undeclared_passes_through_and_what_is_stored_is_not_sent_again() {
    for server in [Server::ceph(), Server::moto()] {
        let press = Press::new(server, 15 * MINUTE).await;
        let right = content(5_000, 1);
        let (id, upload) = press.begin(json!(true)).await;
        let url = upload["href"].as_str().unwrap();
        assert!(!url.starts_with(press.site.server.endpoint()), "{url}");
        let png = json!({ "content-type": "image/png" });
        assert_eq!(press.put(url, &png, right.clone()).await, "201");
        assert_eq!(press.put(url, &png, right.clone()).await, "409");
        assert_eq!(press.finalize(&id).await, (200, None));
        let (next, upload) = press.begin(declared(&right)).await;
        assert_eq!(upload, json!(null));
        assert_eq!(press.finalize(&next).await, (200, None));
        assert_eq!(press.visible().await, [next, id]);
        assert_eq!(clean(&press.site).await.uploads, 0);
    }
}

/// Clients of the other form get a URL alone, and send a type and nothing else.
#[tokio::test]
async fn a_url_of_the_other_form_takes_a_plain_put() {
    let press = Press::new(Server::ceph(), 15 * MINUTE).await;
    let right = content(5_000, 1);
    let asked = json!({ "project_id": "t", "artifacts": { "plot": declared(&right) } });
    let begun = press.ask("POST", "/snapshots/publish", &asked).await.json();
    let url = begun["upload_urls"]["plot"].as_str().unwrap();
    let png = json!({ "content-type": "image/png" });
    assert_eq!(press.put(url, &png, content(5_000, 2)).await, "422");
    assert_eq!(press.put(url, &png, right).await, "201");
    let end = json!({ "project_id": "t", "snapshot_id": begun["snapshot_id"] });
    assert_eq!(
        press.ask("POST", "/snapshots/finalize", &end).await.json(),
        json!({ "status": "ok" })
    );
    assert_eq!(all_is_whole(&press.publisher).await, 1);
}
