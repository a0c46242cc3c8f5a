//! Every route with every kind of principal. The cells come from the table of routes, so that a new
//! route is tested from its first day.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::future::poll_fn;
use std::pin::Pin;

use http::{Request, StatusCode};
use http_body::Body as _;
use serde::{Deserialize, Serialize};
use tower_service::Service as _;

use super::route::ROUTES;
use super::{ApiKey, ApiKeys, Delivery, Permission, Scope};
use crate::backend::memory::{MemoryEvents, MemoryStore};
use crate::clock::ManualClock;
use crate::engine::SnapshotEngine;
use crate::key::AggregateKey;
use crate::manager::Kinds;
use crate::state::Aggregate;
use crate::timestamp::Timestamp;

#[derive(Clone, Serialize, Deserialize)]
struct Secret(String);

impl Aggregate for Secret {
    type Event = String;
    const KIND: &'static str = "secret";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self(String::new())
    }

    fn apply(&mut self, text: &String) {
        self.0.push_str(text);
    }
}

/// What must not be seen by those who may not read it: the state, and that the aggregate exists.
const HIDDEN: [&str; 2] = ["attack at dawn", "alice"];

async fn delivery(keys: ApiKeys) -> (Delivery, String) {
    let (events, store) = (MemoryEvents::new(), MemoryStore::new());
    let key = Secret::key("alice").unwrap().with_tenant("north").unwrap();
    for second in 0..3 {
        events.append(&key, Timestamp::from_seconds(second), HIDDEN[0].to_owned());
    }
    let engine = SnapshotEngine::<Secret>::builder(events, store).build().unwrap();
    engine.create(&key).await.unwrap();
    let kinds = Kinds::new().with(engine).unwrap();
    let open = Delivery::builder(kinds.clone()).open_to_everybody().build().unwrap();
    let now = call(&open, "GET", "/projects/north/entities/secret/alice", None).await;
    let (_, digest) = now.2.rsplit_once('/').unwrap();
    (Delivery::builder(kinds).authenticator(keys).build().unwrap(), digest.to_owned())
}

/// The status, the body, and the `Content-Location` of an answer.
async fn call(
    delivery: &Delivery,
    method: &str,
    path: &str,
    key: Option<&str>,
) -> (StatusCode, String, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let request = request.body(String::new()).unwrap();
    let Ok(response) = delivery.clone().call(request).await;
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    let location = parts.headers.get("content-location");
    let location = location.map_or("", |value| value.to_str().unwrap()).to_owned();
    let headers = format!("{:?}", parts.headers);
    (parts.status, String::from_utf8(bytes).unwrap() + &headers, location)
}

#[tokio::test]
async fn every_cell_of_route_and_principal_is_as_specified() {
    let clock = ManualClock::at(Timestamp::from_seconds(1_000));
    let keys = ApiKeys::new().clock(clock);
    let new = |name: &str, scope: Scope| ApiKey::generate(name, [scope]).unwrap();
    let mut principals: Vec<(&str, Option<String>, u16)> = vec![("no key", None, 401)];
    let allowed = || Scope::new(Permission::ALL.to_vec()).tenants(["north"]);
    let (_, unknown) = new("unknown", allowed());
    principals.push(("wrong", Some(unknown), 401));
    let (expired, secret) = new("expired", allowed());
    keys.add(expired.expires_at(Timestamp::from_seconds(1_000)));
    principals.push(("expired", Some(secret), 401));
    let (revoked, secret) = new("revoked", allowed());
    keys.add(revoked.clone());
    keys.revoke(&revoked.id);
    principals.push(("revoked", Some(secret), 401));
    for (name, scope, status) in [
        ("other tenant", allowed().tenants(["south", ""]), 403),
        ("missing scope", Scope::new([]).tenants(["north"]), 403),
        ("other kind", allowed().kinds(["account"]), 403),
        ("no scope at all", Scope::new([]).all_tenants().kinds(Vec::<String>::new()), 403),
        ("right", allowed(), 200),
        ("right, and more", Scope::new(Permission::ALL.to_vec()).all_tenants(), 200),
    ] {
        let (key, secret) = new(name, scope);
        keys.add(key);
        principals.push((name, Some(secret), status));
    }
    // Exactly the permission that a route needs, and every other one.
    let (delivery, digest) = delivery(keys.clone()).await;
    let mut cells = 0;
    for route in ROUTES {
        for permission in Permission::ALL.to_vec() {
            let (key, secret) = new("one permission", Scope::new([permission]).tenants(["north"]));
            keys.add(key);
            let status = if permission == route.permission { 200 } else { 403 };
            principals.push(("one permission", Some(secret), status));
        }
        let path = route.path.replace("{project}", "north").replace("{kind}", "secret");
        let path = path.replace("{id}", "alice").replace("{version}", "3");
        let path = path.replace("{digest}", &digest);
        let needed = if route.query.contains(&"from") { "?from=1" } else { "" };
        for (name, key, status) in &principals {
            for method in route.methods {
                let path = format!("{path}{needed}");
                let (found, seen, _) =
                    call(&delivery, method.as_str(), &path, key.as_deref()).await;
                assert_eq!(found.as_u16(), *status, "{method} {path} by {name}: {seen}");
                let leaks = HIDDEN.iter().any(|hidden| seen.contains(hidden));
                assert!(*status == 200 || !leaks, "{method} {path} by {name}: {seen}");
                cells += 1;
            }
            // What does not exist answers the same to those who may not read it.
            if *status != 200 {
                for other in ["bob", "~"] {
                    let [other, own] = [path.replace("alice", other), path.clone()]
                        .map(|path| format!("{path}{needed}"));
                    let other = call(&delivery, "GET", &other, key.as_deref()).await;
                    let own = call(&delivery, "GET", &own, key.as_deref()).await;
                    assert_eq!(other, own, "{path} by {name}");
                }
            }
        }
        principals.truncate(principals.len() - Permission::ALL.len());
    }
    assert_eq!(cells, ROUTES.len() * 2 * (principals.len() + Permission::ALL.len()));
}
