//! Reading artifacts.

use serde_json::json;
use snapfold::artifact::{ArtifactId, ArtifactStore as _};
use snapfold::service::http::{Permission, Scope};
use snapfold::service::publish::PublishOptions;

use super::press::{Press, href, one};

async fn published(press: &Press, content: &'static str) -> String {
    let (id, artifacts) = press.begin(json!({ "page.html": true })).await;
    let headers = [("content-type", "text/html")];
    let sent = press.put(&href(&artifacts, "page.html"), &headers, content).await;
    assert_eq!(sent.status, 201);
    let path = format!("{}/artifacts/page.html", one(&id));
    let reads = press.key("reads", Scope::new([Permission::Read]).tenants(["north"]));
    assert_eq!(press.ask("GET", &path, &reads, &[], "").await.status, 404);
    assert_eq!(press.finalize(&id).await.status, 200);
    path
}

#[tokio::test]
async fn content_is_sent_so_that_no_browser_runs_it() {
    let press = Press::new();
    let path = published(&press, "<script>0123456789").await;
    let whole = press.get(&path).await;
    assert_eq!((whole.status.as_u16(), whole.text()), (200, "<script>0123456789"));
    for (name, value) in [
        ("content-type", "text/html"),
        ("x-content-type-options", "nosniff"),
        ("content-disposition", "attachment; filename=\"page.html\""),
        ("content-security-policy", "default-src 'none'; sandbox"),
        ("accept-ranges", "bytes"),
    ] {
        assert_eq!(whole.header(name), value);
    }
    let tag = whole.header("etag");
    let again = press.ask("GET", &path, &press.ops, &[("if-none-match", tag)], "").await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    let head = press.ask("HEAD", &path, &press.ops, &[], "").await;
    assert_eq!(
        (head.status.as_u16(), head.header("content-length"), head.body.len()),
        (200, "18", 0)
    );
    for (range, status, part, says) in [
        ("bytes=8-9", 206, "01", "bytes 8-9/18"),
        ("bytes=16-99", 206, "89", "bytes 16-17/18"),
        ("bytes=-1", 206, "9", "bytes 17-17/18"),
        ("bytes=18-", 416, "", "bytes */18"),
    ] {
        let answer = press.ask("GET", &path, &press.ops, &[("range", range)], "").await;
        assert_eq!((answer.status.as_u16(), answer.header("content-range")), (status, says));
        assert!(status != 206 || answer.text() == part, "{range}: {answer:?}");
    }
    let headers = [("range", "bytes=0-1"), ("if-range", "\"other\"")];
    assert_eq!(press.ask("GET", &path, &press.ops, &headers, "").await.status, 200);
    assert_eq!(press.get(&path.replace("page", "pages")).await.status, 404);
}

#[tokio::test]
async fn what_the_storage_sends_itself_is_found_there() {
    let press = Press::with(true, PublishOptions::new());
    let path = published(&press, "content").await;
    let answer = press.get(&path).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (302, "no-store"));
    assert_eq!(press.artifacts.serve(answer.header("location")).unwrap(), "content");
    press.wait(61);
    assert!(press.artifacts.serve(answer.header("location")).is_none());
}

#[tokio::test]
async fn an_artifact_that_is_gone_is_sent_again_before_the_end() {
    let press = Press::new();
    let (id, artifacts) = press.begin(json!({ "a": true })).await;
    let url = href(&artifacts, "a");
    assert_eq!(press.put(&url, &[], "1").await.status, 201);
    press.artifacts.delete("north", &ArtifactId::of(b"1")).await.unwrap();
    assert_eq!(press.finalize(&id).await.status, 409);
    assert_eq!(press.put(&url, &[], "1").await.status, 201);
    assert_eq!(press.finalize(&id).await.status, 200);
}
