//! From the first request to the last.

use serde_json::json;
use snapfold::service::http::{Permission, Scope};
use snapfold::service::publish::PublishOptions;

use super::press::{Press, href, one, sha256};

#[tokio::test]
async fn a_publication_is_seen_when_it_is_complete() {
    let press = Press::new();
    let reads = press.key("reads", Scope::new([Permission::Read]).tenants(["north"]));
    let (id, artifacts) = press.begin(json!({ "plot": true, "no": false })).await;
    assert_eq!(artifacts.as_object().unwrap().len(), 1);
    let seen = async || {
        let status = press.ask("GET", &one(&id), &reads, &[], "").await.status.as_u16();
        let list = press.ask("GET", "/projects/north/publications", &reads, &[], "").await.json();
        (status, list["data"].as_array().unwrap().len())
    };
    assert_eq!(seen().await, (404, 0));
    let all = "/projects/north/publications?filter[status]=all";
    assert_eq!(press.ask("GET", all, &reads, &[], "").await.status, 403);
    assert_eq!(press.get(all).await.json()["data"][0]["attributes"]["status"], "generating");
    assert_eq!(press.get(&one(&id)).await.status, 200);
    press.put(&href(&artifacts, "plot"), &[], "plot").await;
    assert_eq!(seen().await, (404, 0));
    let done = press.finalize(&id).await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.json()["data"]["attributes"]["status"], "completed");
    assert_eq!(seen().await, (200, 1));
    // The same again, also by another principal.
    assert_eq!(press.finalize(&id).await.json(), done.json());
    let other = press.key("other", Scope::new([Permission::Publish]).tenants(["north"]));
    let path = format!("{}/finalize", one(&id));
    assert_eq!(press.ask("POST", &path, &other, &[], "").await.json(), done.json());
    assert_eq!(press.ask("POST", &path, &reads, &[], "").await.status, 403);
    let abort = press.ask("DELETE", &one(&id), &press.ops, &[], "").await;
    assert_eq!(abort.status, 409);
    // Whoever repeats a call may not have had an answer: so the observers are told again.
    assert_eq!(press.notes.taken(), ["generating", "completed", "completed", "completed"]);
    let trail = press.trail().await;
    let ops = &press.ops["Bearer snf_".len()..].split('_').next().unwrap();
    let expected = ["publish", "finalize"].map(|action| (action.to_owned(), (*ops).to_owned()));
    assert_eq!(trail, expected);
}

#[tokio::test]
async fn what_is_missing_is_named_until_it_is_there() {
    let press = Press::new();
    let (id, artifacts) = press.begin(json!({ "a": true, "b": true })).await;
    let early = press.finalize(&id).await;
    let problem = early.json();
    assert_eq!(
        (early.status.as_u16(), &problem["type"]),
        (409, &json!("/api/problems/artifacts-missing"))
    );
    assert_eq!(problem["detail"], "a: nothing was uploaded; b: nothing was uploaded");
    press.put(&href(&artifacts, "a"), &[], "1").await;
    assert_eq!(press.finalize(&id).await.json()["detail"], "b: nothing was uploaded");
    press.put(&href(&artifacts, "b"), &[], "2").await;
    assert_eq!(press.finalize(&id).await.status, 200);
}

#[tokio::test]
async fn a_publication_that_is_late_has_failed() {
    let press = Press::new();
    let (id, artifacts) = press.begin(json!({ "a": true })).await;
    press.wait(900 - 1);
    assert_eq!(press.put(&href(&artifacts, "a"), &[], "1").await.status, 201);
    press.wait(1);
    let late = press.finalize(&id).await;
    assert_eq!(
        (late.status.as_u16(), late.json()["type"].clone()),
        (410, json!("/api/problems/publication-failed"))
    );
    let seen = press.get(&one(&id)).await.json();
    assert_eq!(seen["data"]["attributes"]["failure"], "expired");
    assert_eq!(press.notes.taken(), ["generating", "failed (expired)"]);
}

#[tokio::test]
async fn the_sweep_ends_what_has_expired_once() {
    let press = Press::with(true, PublishOptions::new());
    let declared = json!({ "size": 1, "sha256": sha256(b"1") });
    for _ in 0..250 {
        press.begin(json!({ "a": declared })).await;
    }
    let (_, artifacts) = press.begin(json!({ "a": declared })).await;
    assert!(press.artifacts.receive(&href(&artifacts, "a"), "1"));
    assert_eq!(press.publisher.sweep().await.unwrap().expired, 0);
    press.wait(900);
    let swept = press.publisher.sweep().await.unwrap();
    assert_eq!((swept.expired, swept.uploads), (251, 0));
    press.wait(3_601);
    let swept = press.publisher.sweep().await.unwrap();
    assert_eq!((swept.expired, swept.uploads), (0, 1));
    let ended = press.notes.taken().iter().filter(|it| *it == "failed (expired)").count();
    assert_eq!(ended, 251);
}

#[tokio::test]
async fn an_aborted_publication_takes_nothing_more() {
    let press = Press::new();
    let (id, artifacts) = press.begin(json!({ "a": true })).await;
    for _ in 0..2 {
        let answer = press.ask("DELETE", &one(&id), &press.ops, &[], "").await;
        let failure = &answer.json()["data"]["attributes"]["failure"];
        assert_eq!((answer.status.as_u16(), failure), (200, &json!("aborted")));
    }
    assert_eq!(press.put(&href(&artifacts, "a"), &[], "1").await.status, 410);
    assert_eq!(press.finalize(&id).await.status, 410);
    assert_eq!(press.notes.taken(), ["generating", "failed (aborted)"]);
}

#[tokio::test]
async fn a_request_with_a_key_begins_one_publication() {
    let press = Press::new();
    let publish = async |key: &str, principal: &str, title: &str| {
        let body = json!({ "title": title, "artifacts": { "a": true } }).to_string();
        let headers = [("idempotency-key", key)];
        let path = "/projects/north/publications";
        let answer = press.ask("POST", path, principal, &headers, body).await;
        (answer.status.as_u16(), answer.json()["data"]["id"].clone(), answer)
    };
    let ops = press.ops.clone();
    let (created, id, first) = publish("k", &ops, "t").await;
    assert_eq!((created, first.has("idempotency-replayed")), (201, false));
    press.wait(60);
    let (again, same, answer) = publish("k", &ops, "t").await;
    assert_eq!((again, &same, answer.header("idempotency-replayed")), (200, &id, "true"));
    // The URL is signed again for what is left of the time.
    let upload = &answer.json()["data"]["attributes"]["artifacts"]["a"]["upload"];
    assert_eq!(upload["expiresAt"], "2023-11-14T22:45:00Z");
    assert_eq!(publish("k", &ops, "u").await.0, 422);
    let other = press.key("other", Scope::new([Permission::Publish]).tenants(["north"]));
    for (key, principal) in [("l", &ops), ("k", &other)] {
        let (status, another, _) = publish(key, principal, "t").await;
        assert!(status == 201 && another != id);
    }
    // After it has expired, the key begins another one.
    press.wait(900);
    let (status, another, _) = publish("k", &ops, "t").await;
    assert!(status == 201 && another != id);
}

#[tokio::test]
async fn a_project_has_so_many_pending_publications_and_no_more() {
    let press = Press::with(false, PublishOptions::new().max_pending(40));
    let publish = async |project: &str, key: &str| {
        let path = format!("/projects/{project}/publications");
        let headers = [("idempotency-key", key)];
        press.ask("POST", &path, &press.ops, &headers, "{}").await
    };
    let mut last = String::new();
    for n in 0..40 {
        let answer = publish("north", &n.to_string()).await;
        assert_eq!(answer.status, 201, "{n}");
        last = answer.json()["data"]["id"].as_str().unwrap().to_owned();
    }
    let refused = publish("north", "x").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "60"));
    assert_eq!(refused.json()["type"], "/api/problems/too-many-pending");
    // One that was begun before is found.
    assert_eq!(publish("north", "7").await.status, 200);
    assert_eq!(press.finalize(&last).await.status, 200);
    assert_eq!(publish("north", "y").await.status, 201);
    assert_eq!(publish("north", "z").await.status, 429);
    press.wait(900);
    assert_eq!(publish("north", "z").await.status, 201);
}

#[tokio::test]
async fn thousands_may_be_pending_and_each_page_follows_the_one_before() {
    let press = Press::with(false, PublishOptions::new().max_pending(100_000));
    let mut ids = Vec::new();
    for n in 0..2_000 {
        let tag = if n % 2 == 0 { "even" } else { "odd" };
        let body = json!({ "tags": [tag], "collection": "c" });
        let answer = press.post("/projects/north/publications", &body).await;
        ids.push(answer.json()["data"]["id"].as_str().unwrap().to_owned());
    }
    for id in &ids[..500] {
        assert_eq!(press.finalize(id).await.status, 200);
    }
    let listed = async |query: &str| {
        let mut found: Vec<String> = Vec::new();
        let mut path = format!("/projects/north/publications?page[size]=130&{query}");
        loop {
            let page = press.get(&path).await;
            assert_eq!(page.status, 200, "{page:?}");
            let page = page.json();
            let items = page["data"].as_array().unwrap();
            found.extend(items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
            match page["links"]["next"].as_str() {
                Some(next) => path = next.strip_prefix("/api").unwrap().to_owned(),
                None => break found,
            }
        }
    };
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids.reverse();
        ids
    };
    assert_eq!(listed("filter[status]=all").await, sorted(ids.clone()));
    assert_eq!(listed("filter[collection]=c").await, sorted(ids[..500].to_vec()));
    assert_eq!(listed("filter[collection]=d").await, Vec::<String>::new());
    let even = ids[..500].iter().step_by(2).cloned().collect();
    assert_eq!(listed("filter[tag]=even").await, sorted(even));
}
