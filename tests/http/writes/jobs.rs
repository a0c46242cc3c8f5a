//! Work whose client does not wait.

use snapfold::MemoryStore;
use snapfold::service::http::{Permission, Scope};

use super::yard::{Yard, alice, call, counter};
use crate::support::Answer;

const ASYNC: [(&str, &str); 1] = [("prefer", "respond-async")];

/// Asks for a job until it has ended.
async fn ended(yard: &Yard, link: &str) -> serde_json::Value {
    loop {
        let answer = yard.get(link).await;
        assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-store"));
        let attributes = answer.json()["data"]["attributes"].clone();
        if attributes["state"] != "running" {
            return attributes;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_write_is_done_later_if_the_client_prefers_that() {
    let yard = Yard::new();
    let key = yard.alice(9, &[]).await;
    let accepted = yard.ask("POST", &alice("snapshots"), &ASYNC, r#"{"version":4}"#).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    assert_eq!(accepted.header("preference-applied"), "respond-async");
    let link = accepted.header("location").to_owned();
    assert_eq!(accepted.json()["data"]["links"]["self"], *link);
    let id = accepted.json()["data"]["id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 32);
    let job = ended(&yard, &link).await;
    assert_eq!((&job["state"], &job["action"]), (&"completed".into(), &"take".into()));
    assert_eq!(job["result"]["data"]["attributes"]["version"], 4);
    assert_eq!(yard.stored(&key).await, [4]);

    // What is wrong with the request is said at once, and what goes wrong later in the job.
    let invalid = yard.ask("POST", &alice("snapshots"), &ASYNC, "[]").await;
    assert_eq!((invalid.status.as_u16(), invalid.has("preference-applied")), (400, false));
    let beyond = yard.ask("POST", &alice("snapshots"), &ASYNC, r#"{"version":10}"#).await;
    let job = ended(&yard, beyond.header("location")).await;
    assert_eq!((&job["state"], &job["error"]["status"]), (&"failed".into(), &404.into()));
    // A deletion is not worth a job.
    let before = format!("{}?before=9", alice("snapshots"));
    assert_eq!(yard.ask("DELETE", &before, &ASYNC, "").await.status, 200);
    yard.check_loads(&key, 9).await;
}

#[tokio::test]
async fn a_job_is_seen_by_those_who_may_read_what_it_is_about() {
    let yard = Yard::new();
    yard.alice(3, &[]).await;
    let accepted = yard.ask("POST", &alice("snapshots"), &ASYNC, "").await;
    let link = accepted.header("location").to_owned();
    ended(&yard, &link).await;
    let (path, query) = link.split_once('?').unwrap();
    let read = |tenant: &str| Scope::new([Permission::Read]).tenants([tenant.to_owned()]);
    let counters = yard.key(read("north").kinds(["counter"]));
    let stocks = yard.key(read("north").kinds(["stock"]));
    let south = yard.key(read("south"));
    let both = yard.key(Scope::new([Permission::Read]).all_tenants());
    let ask = async |key: &str, path: &str| -> Answer {
        call(&yard.delivery, "GET", path, &[("authorization", key)], String::new()).await
    };
    for (key, path, status) in [
        (&counters, link.clone(), 200),
        (&both, link.clone(), 200),
        (&both, path.to_owned(), 200),
        (&counters, path.to_owned(), 403),
        (&stocks, link.clone(), 403),
        (&stocks, format!("{path}?filter[kind]=stock"), 404),
        (&south, link.clone(), 403),
        (&south, link.replace("north", "south"), 404),
        (&both, format!("{}?{query}", path.replace("north", "south")), 404),
    ] {
        assert_eq!(ask(key, &path).await.status, status, "{path}");
    }
    // A job of another project answers as one that does not exist.
    let (_, id) = path.rsplit_once('/').unwrap();
    for prefix in ["/projects/north/jobs/", "/projects/south/jobs/"] {
        let unknown = ask(&south, &format!("{prefix}{}", "0".repeat(32))).await;
        let foreign = ask(&south, &format!("{prefix}{id}")).await;
        assert_eq!((unknown.status, unknown.body), (foreign.status, foreign.body));
    }
}

#[tokio::test]
async fn a_large_project_is_always_a_job_and_jobs_are_bounded() {
    let yard = Yard::over(MemoryStore::new(), |builder| builder.jobs(2));
    for n in 0..101 {
        let key = counter(&n.to_string());
        yard.grow(&key, 0, 3);
        yard.snap(&key, 1).await;
        if n == 99 {
            let small = yard.post("/projects/north/rebuild", "").await;
            assert_eq!((small.status.as_u16(), small.has("preference-applied")), (200, false));
        }
    }
    yard.store.close();
    let first = yard.post("/projects/north/rebuild", "").await;
    assert_eq!((first.status.as_u16(), first.has("preference-applied")), (202, false));
    let second = yard.ask("POST", "/projects/north/rebuild", &ASYNC, "").await;
    assert_eq!(second.status, 202);
    let third = yard.post("/projects/north/rebuild", "").await;
    assert_eq!((third.status.as_u16(), third.header("retry-after")), (503, "10"));
    let running = yard.get(first.header("location")).await.json();
    assert_eq!(running["data"]["attributes"]["state"], "running");
    // One that is not a job is not affected.
    let dry = yard.post("/projects/north/entities/counter/7/prune", r#"{"policy":"last 1"}"#);
    assert_eq!(dry.await.status, 200);
    yard.store.gate.add_permits(1_000);
    for answer in [&first, &second] {
        let job = ended(&yard, answer.header("location")).await;
        assert_eq!(
            (&job["state"], &job["counts"]["aggregates"]),
            (&"completed".into(), &101.into())
        );
        assert_eq!(job["counts"]["failed"], 0);
    }
    let plan = yard.post("/projects/north/prune", r#"{"policy":"last 1"}"#).await;
    assert_eq!(plan.status, 202);
    let job = ended(&yard, plan.header("location")).await;
    assert_eq!(job["result"]["meta"]["aggregates"], 101);
    let none = Yard::over(MemoryStore::new(), |builder| builder.jobs(0));
    none.alice(3, &[]).await;
    assert_eq!(none.ask("POST", &alice("snapshots"), &ASYNC, "").await.status, 503);
    assert_eq!(none.post(&alice("snapshots"), "").await.status, 201);
}

#[tokio::test]
async fn a_job_that_panics_has_failed() {
    let yard = Yard::new();
    let key = counter("alice");
    yard.counters.append(&key, crate::support::at(1), u64::MAX);
    yard.counters.append(&key, crate::support::at(2), 1);
    for _ in 0..6 {
        let accepted = yard.ask("POST", &alice("snapshots"), &ASYNC, "").await;
        assert_eq!(accepted.status, 202);
        let job = ended(&yard, accepted.header("location")).await;
        assert_eq!((&job["state"], &job["error"]["status"]), (&"failed".into(), &500.into()));
    }
}
