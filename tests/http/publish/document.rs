//! The interface of the published document, word for word.

use serde_json::json;
use snapfold::service::http::{Permission, Scope};

use super::press::{ORIGIN, Press, sha256};

fn body() -> serde_json::Value {
    json!({
        "project_id": "north",
        "collection": "experiments",
        "title": "My Plot",
        "author": "Alice",
        "description": "...",
        "tags": ["ml", "demo"],
        "repo_owner": "org",
        "repo_name": "repo",
        "commit_sha": "abc123",
        "branch": "main",
        "pr_number": 42,
        "artifacts": { "plot": true, "code": true }
    })
}

#[tokio::test]
async fn the_flow_of_the_document_works_word_for_word() {
    let press = Press::new();
    press.clock.advance(std::time::Duration::from_millis(1));
    let begun = press.post("/snapshots/publish", &body()).await;
    assert_eq!(begun.status, 200, "{begun:?}");
    assert_eq!(begun.header("cache-control"), "no-store");
    let begun = begun.json();
    let members: Vec<_> = begun.as_object().unwrap().keys().collect();
    assert_eq!(members, ["expires_at", "snapshot_id", "upload_urls"]);
    assert_eq!(begun["expires_at"], "2023-11-14T22:45:00Z");
    let id = begun["snapshot_id"].as_str().unwrap();
    let finalize = json!({ "project_id": "north", "snapshot_id": id });
    let early = press.post("/snapshots/finalize", &finalize).await;
    assert_eq!(early.status, 409, "{early:?}");
    for name in ["plot", "code"] {
        let url = begun["upload_urls"][name].as_str().unwrap();
        assert!(url.starts_with(ORIGIN) && url.contains(id), "{url}");
        let sent = press.put(url, &[("content-type", "image/png")], name).await;
        assert_eq!((sent.status.as_u16(), &*sent.body), (201, &b""[..]), "{sent:?}");
    }
    for _ in 0..2 {
        let done = press.post("/snapshots/finalize", &finalize).await;
        assert_eq!((done.status.as_u16(), done.text()), (200, r#"{"status":"ok"}"#));
    }
    let seen = press.get(&super::press::one(id)).await.json();
    let seen = &seen["data"]["attributes"];
    for (own, other) in [
        ("collection", "collection"),
        ("title", "title"),
        ("author", "author"),
        ("description", "description"),
        ("tags", "tags"),
        ("repo_owner", "repoOwner"),
        ("repo_name", "repoName"),
        ("commit_sha", "commitSha"),
        ("branch", "branch"),
        ("pr_number", "prNumber"),
    ] {
        assert_eq!(body()[own], seen[other], "{own}");
    }
    // It is finalised twice.
    assert_eq!(press.notes.taken(), ["generating", "completed", "completed"]);
}

#[tokio::test]
async fn the_codes_of_the_document() {
    let press = Press::new();
    let status = async |key: &str, path: &str, body: serde_json::Value| {
        press.ask("POST", path, key, &[], body.to_string()).await.status.as_u16()
    };
    let south = press.key("south", Scope::new(Permission::ALL.to_vec()).tenants(["south"]));
    let reads = press.key("reads", Scope::new([Permission::Read]).tenants(["north"]));
    let id = "019889be-bc00-7000-8000-000000000000";
    let end = |project: &str| json!({ "project_id": project, "snapshot_id": id });
    for path in ["/snapshots/publish", "/snapshots/finalize"] {
        let body = if path.ends_with("publish") { body() } else { end("north") };
        assert_eq!(status("", path, body.clone()).await, 401);
        assert_eq!(status("Bearer snf_no", path, body.clone()).await, 401);
        assert_eq!(status(&south, path, body.clone()).await, 403);
        assert_eq!(status(&reads, path, body).await, 403);
        // Nobody is told whether a project exists.
        assert_eq!(status(&press.ops, path, end("nowhere")).await, 403);
        for wrong in [json!({}), json!([]), json!({ "project_id": 7 }), json!("x")] {
            assert_eq!(status(&press.ops, path, wrong.clone()).await, 400, "{wrong}");
        }
    }
    assert_eq!(status(&press.ops, "/snapshots/finalize", end("north")).await, 404);
    let other = json!({ "project_id": "north", "snapshot_id": "snap_abc" });
    assert_eq!(status(&press.ops, "/snapshots/finalize", other).await, 404);
    assert!(press.shelf.all().await.is_empty());
    press.shelf.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    assert_eq!(status(&press.ops, "/snapshots/publish", body()).await, 503);
    assert_eq!(press.notes.taken(), Vec::<String>::new());
}

#[tokio::test]
async fn a_commit_and_a_title_find_their_publication_if_that_is_wanted() {
    let options = snapfold::service::publish::PublishOptions::new();
    for (wanted, options) in [(false, options), (true, options.by_commit_and_title(true))] {
        let press = Press::with(false, options);
        let publish = async |body: serde_json::Value| {
            let answer = press.post("/snapshots/publish", &body).await;
            (answer.status.as_u16(), answer.json()["snapshot_id"].clone())
        };
        let (first, again) = (publish(body()).await, publish(body()).await);
        assert_eq!(first == again, wanted);
        let mut other = body();
        other["title"] = json!("Another");
        assert_ne!(publish(other).await.1, first.1);
        let mut other = body();
        other["author"] = json!("Bob");
        assert_eq!(publish(other).await.0, if wanted { 422 } else { 200 });
    }
}

/// The answer has no place for the headers that a storage wants.
#[tokio::test]
async fn a_url_of_the_document_takes_a_put_with_a_type_and_nothing_else() {
    let press = Press::with(true, snapfold::service::publish::PublishOptions::new());
    let declared = json!({ "size": 4, "sha256": sha256(b"plot"), "content_type": "image/png" });
    let asked = json!({ "project_id": "north", "artifacts": { "plot": declared } });
    let begun = press.post("/snapshots/publish", &asked).await.json();
    let url = begun["upload_urls"]["plot"].as_str().unwrap();
    assert!(url.starts_with(ORIGIN), "{url}");
    assert_eq!(press.put(url, &[("content-type", "image/png")], "plot").await.status, 201);
    let id = &begun["snapshot_id"];
    let finalize = json!({ "project_id": "north", "snapshot_id": id });
    assert_eq!(press.post("/snapshots/finalize", &finalize).await.status, 200);
}
