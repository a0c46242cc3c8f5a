//! Every route with every kind of principal. The cells come from the table of routes, so that a new
//! route is tested from its first day.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http::{Request, StatusCode};
use http_body::Body as _;
use serde::{Deserialize, Serialize};
use tower_service::Service as _;

use super::media;
use super::resource::{Resource, Route};
use super::route::{RECORD, ROUTES};
use super::snapshot_document::id_text;
use super::write::WriteAction;
use super::{ApiKey, ApiKeys, Delivery, LiveChanges, LiveStreams, Permission, Scope};
use crate::backend::memory::{MemoryEvents, MemoryStore};
use crate::clock::ManualClock;
use crate::engine::SnapshotEngine;
use crate::key::AggregateKey;
use crate::manager::{CreateOptions, Kinds};
use crate::record::SnapshotMeta;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::{ListRequest, SnapshotStore as _};
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

/// A delivery over one aggregate with snapshots at versions 1 and 3.
struct RouteWorld {
    delivery: Delivery,
    store: MemoryStore,
    /// The digest of its state, the id of its newest snapshot, and a job that has written nothing.
    digest: String,
    snapshot: String,
    job: String,
}

impl RouteWorld {
    /// `all` may do everything.
    async fn new(keys: &ApiKeys, all: &str) -> Self {
        let (events, store) = (MemoryEvents::new(), MemoryStore::new());
        for second in 0..3 {
            events.append(&alice(), Timestamp::from_seconds(second), HIDDEN[0].to_owned());
        }
        let engine = SnapshotEngine::<Secret>::builder(events, store.clone()).build().unwrap();
        engine.create_with(&alice(), CreateOptions::new().at_version(1)).await.unwrap();
        let created = engine.create(&alice()).await.unwrap();
        let snapshot = id_text(created.meta().unwrap().id());
        let kinds = Kinds::new().with(engine).unwrap();
        // Streams that end after their first block.
        let live = LiveStreams::new(LiveChanges::new().unwrap()).duration(Duration::ZERO);
        let delivery = Delivery::builder(kinds).authenticator(keys.clone()).live(live);
        let delivery = delivery.inspector(true);
        let delivery = delivery.build().unwrap();
        let path = "/projects/north/entities/secret/alice";
        let now = call(&delivery, "GET", path, Some(all), "").await;
        let (_, digest) = now.2.rsplit_once('/').unwrap();
        let digest = digest.to_owned();
        let job = call(&delivery, "POST", &format!("{path}/snapshots"), Some(all), LATER).await;
        assert_eq!(job.0, StatusCode::ACCEPTED);
        let (_, job) = job.1.split_once("\"id\":\"").unwrap();
        let job = job[..32].to_owned();
        Self { delivery, store, digest, snapshot, job }
    }

    async fn stored(&self) -> Vec<SnapshotMeta> {
        self.store.list(ListRequest::new(&alice())).await.unwrap().items
    }

    fn path(&self, route: &Route) -> String {
        let path = route.path.replace("{project}", "north").replace("{kind}", "secret");
        let path = path.replace("{id}", "alice").replace("{version}", "3");
        let path = path.replace("{digest}", &self.digest).replace("{snapshot}", &self.snapshot);
        let path = path.replace("{job}", &self.job).replace("{code}", "forbidden");
        let has = |name: &str| route.query.iter().any(|parameter| parameter.name == name);
        let needed = if has("from") {
            "?from=1"
        } else if has("before") {
            "?before=3"
        } else {
            ""
        };
        format!("{path}{needed}")
    }
}

fn alice() -> AggregateKey {
    Secret::key("alice").unwrap().with_tenant("north").unwrap()
}

/// A body that asks for a job.
const LATER: &str = "later";

/// Instead of a body: what is accepted is a record.
const AS_RECORD: &str = "as record";

/// The body for a route, the status of its success, and whether it then changes what is stored.
fn success(route: &Route) -> (&'static str, u16, bool) {
    match route.resource {
        Resource::Write(WriteAction::Take | WriteAction::Rebuild) => {
            (r#"{"version":2}"#, 201, true)
        }
        Resource::Write(WriteAction::Delete | WriteAction::DeleteBefore) => ("", 200, true),
        Resource::Write(WriteAction::RebuildAll) => ("{}", 200, false),
        Resource::Write(WriteAction::Prune | WriteAction::PruneAll) => {
            (r#"{"policy":"last 1","dryRun":false}"#, 200, true)
        }
        Resource::Record => (AS_RECORD, 200, false),
        _ => ("", 200, false),
    }
}

/// The status, the body, and the `Content-Location` of an answer.
async fn call(
    delivery: &Delivery,
    method: &str,
    path: &str,
    key: Option<&str>,
    body: &str,
) -> (StatusCode, String, String) {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let (header, value, body) = match body {
        LATER => ("prefer", "respond-async", ""),
        AS_RECORD => ("accept", media::RECORD, ""),
        body => ("content-type", "application/json", body),
    };
    let request = request.header(header, value).body(body.to_owned()).unwrap();
    let Ok(response) = delivery.clone().call(request).await;
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        bytes.extend_from_slice(&frame.unwrap().into_data().unwrap());
    }
    let location = parts.headers.get("content-location");
    let location = location.map_or("", |value| value.to_str().unwrap()).to_owned();
    let headers = format!("{:?}", parts.headers);
    (parts.status, String::from_utf8_lossy(&bytes).into_owned() + &headers, location)
}

#[test]
fn the_future_of_a_request_has_a_size_that_the_allocator_keeps() {
    let engine = SnapshotEngine::<Secret>::builder(MemoryEvents::new(), MemoryStore::new());
    let kinds = Kinds::new().with(engine.build().unwrap()).unwrap();
    let delivery = Delivery::builder(kinds).authenticator(ApiKeys::new()).build().unwrap();
    let future = delivery.clone().call(Request::new(String::new()));
    // glibc keeps allocations of up to 1,032 bytes for the next request of the thread. All larger
    // ones take a slow path, and many are merged with their neighbours when they are freed.
    let size = size_of_val(&*future);
    assert!(size <= 1_032, "{size} bytes: box what is rare");
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
    let all = principals.last().and_then(|(_, key, _)| key.clone()).unwrap();
    let world = RouteWorld::new(&keys, &all).await;
    let before = world.stored().await;
    let mut cells = 0;
    for route in ROUTES.iter().chain([&RECORD]) {
        // Exactly the permission that a route needs, and every other one.
        for permission in Permission::ALL.to_vec() {
            let (key, secret) = new("one permission", Scope::new([permission]).tenants(["north"]));
            keys.add(key);
            let status = if Some(permission) == route.permission { 200 } else { 403 };
            principals.push(("one permission", Some(secret), status));
        }
        let (body, success, changes) = success(route);
        for (name, key, status) in &principals {
            let is_open = route.permission.is_none();
            let status = if is_open { &200 } else { status };
            for method in route.methods {
                // What is written once cannot be written again.
                let fresh = if changes && *status == 200 {
                    Some(RouteWorld::new(&keys, &all).await)
                } else {
                    None
                };
                let world = fresh.as_ref().unwrap_or(&world);
                let path = world.path(route);
                let expected = if *status == 200 { success } else { *status };
                let (found, seen, _) =
                    call(&world.delivery, method.as_str(), &path, key.as_deref(), body).await;
                assert_eq!(found.as_u16(), expected, "{method} {path} by {name}: {seen}");
                let leaks = HIDDEN.iter().any(|hidden| seen.contains(hidden));
                assert!(*status == 200 && !is_open || !leaks, "{method} {path} by {name}: {seen}");
                let is_changed = ids(&world.stored().await) != ids(&before);
                assert_eq!(is_changed, changes && *status == 200, "{method} {path} by {name}");
                cells += 1;
            }
            // What does not exist answers the same to those who may not touch it.
            if *status != 200 {
                let path = world.path(route);
                let method = route.methods[0].as_str();
                for other in ["bob", "~"] {
                    let other = path.replace("alice", other);
                    let other = call(&world.delivery, method, &other, key.as_deref(), body).await;
                    let own = call(&world.delivery, method, &path, key.as_deref(), body).await;
                    assert_eq!(other, own, "{path} by {name}");
                }
            }
        }
        principals.truncate(principals.len() - Permission::ALL.len());
    }
    // Nothing at all was changed by those who were refused.
    assert_eq!(world.stored().await, before);
    let routes = ROUTES.iter().chain([&RECORD]);
    let methods: usize = routes.map(|route| route.methods.len()).sum();
    assert_eq!(cells, methods * (principals.len() + Permission::ALL.len()));
}

fn ids(metas: &[SnapshotMeta]) -> Vec<SnapshotId> {
    metas.iter().map(SnapshotMeta::id).collect()
}
