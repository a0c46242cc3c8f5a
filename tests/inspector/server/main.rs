//! A server for `scripts/test-inspector`, with an aggregate for each state that the page must show.
//! It is also for people who want to see the page:
//!
//! ```text
//! cargo run --features http,publish --example inspector_server -- [--port N]
//! ```
//!
//! It prints JSON: its address, and its keys by name. `/open` is for everybody, `/guarded` needs a
//! key, and `/live` has streams of events, each of which ends after two seconds. `/shared` is
//! `/guarded` for pages of other origins. Who has the right key publishes at both. A POST to `/control/...` changes what is stored, or whether it can be had.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::routing::post;
use lexopt::ValueExt as _;
use serde_json::{Map, json};
use snapfold::artifact::MemoryArtifacts;
use snapfold::engine::{CacheConfig, SystemClock};
use snapfold::manager::{CreateOptions, Kinds};
use snapfold::publication::StorePublications;
use snapfold::service::http::{
    ApiKey, ApiKeys, Delivery, LiveChanges, LiveStreams, Permission, Scope,
};
use snapfold::service::publish::{Publisher, UploadKeys, UploadUrls};
use snapfold::store::SnapshotStore as _;
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, BoxError, MemoryEvents, MemoryStore, SnapshotEngine};
use tokio::net::TcpListener;
use tower_http::cors::{Any, CorsLayer};

use breakable::{BreakableEvents, BreakableStore};
use thing::{Change, OldThing, Thing, moment};

mod breakable;
mod thing;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut parser = lexopt::Parser::from_env();
    let mut port: u16 = 0;
    while let Some(arg) = parser.next()? {
        match arg {
            lexopt::Arg::Long("port") => port = parser.value()?.parse()?,
            _ => return Err(arg.unexpected().into()),
        }
    }
    let is_down = Arc::new(AtomicBool::new(false));
    let (events, memory) = (MemoryEvents::new(), MemoryStore::new());
    let store = BreakableStore::new(memory.clone(), Arc::clone(&is_down));
    let source = BreakableEvents::new(events.clone(), Arc::clone(&is_down));
    let old = SnapshotEngine::<OldThing>::builder(events.clone(), memory.clone());
    let old = old.trigger(manual()).without_retention().build()?;
    let engine = SnapshotEngine::<Thing>::builder(source, store)
        .trigger(manual())
        .without_retention()
        .cache(CacheConfig::default())
        .build()?;
    for (key, changes) in thing::all()? {
        for (n, change) in changes.into_iter().enumerate() {
            events.append(&key, moment(n as u64), change);
        }
    }
    take_snapshots(&engine, &old).await?;

    let kinds = Kinds::new().with(engine)?;
    let keys = ApiKeys::new();
    let mut secrets = Map::new();
    for (name, scope) in [
        ("all", Scope::new(Permission::ALL.to_vec()).all_tenants()),
        ("reader", Scope::new([Permission::Read]).tenants([""])),
        ("elsewhere", Scope::new([Permission::Read]).tenants(["elsewhere"])),
    ] {
        let (key, secret) = ApiKey::generate(name, [scope])?;
        keys.add(key);
        secrets.insert(name.to_owned(), secret.as_str().into());
    }
    let build = |path: &str| Delivery::builder(kinds.clone()).prefix(path).inspector(true);
    let open = build("/open").open_to_everybody().build()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let elsewhere = address.replace("127.0.0.1", "localhost");
    let publications = Arc::new(StorePublications::new(MemoryStore::new()));
    let artifacts = Arc::new(MemoryArtifacts::new().without_urls());
    let publisher = Publisher::builder(publications, artifacts).build()?;
    let urls = Arc::new(UploadUrls::new(UploadKeys::generate("1")?, Arc::new(SystemClock::new())));
    let publishing = |path: &str, origin: &str| {
        let builder = build(path).authenticator(keys.clone());
        builder.publisher(publisher.clone(), Arc::clone(&urls), origin).build()
    };
    let guarded = publishing("/guarded", &address)?;
    let shared = publishing("/shared", &elsewhere)?;
    let cors = CorsLayer::new().allow_origin(Any).allow_methods(Any).allow_headers([
        http::header::AUTHORIZATION,
        http::header::CONTENT_TYPE,
        http::HeaderName::from_static("idempotency-key"),
    ]);
    let changes = LiveChanges::new()?;
    let streams = LiveStreams::new(changes.clone()).duration(Duration::from_secs(2));
    let live = build("/live").open_to_everybody().live(streams).build()?;
    let act = move |Path((action, id)): Path<(String, String)>| async move {
        let done = control(&action, &id, (&events, &changes), &memory, &is_down).await;
        done.map_err(|error| error.to_string())
    };
    let app = Router::new()
        .nest_service("/open", open)
        .nest_service("/guarded", guarded)
        .nest_service("/live", live)
        .merge(Router::new().nest_service("/shared", shared).layer(cors))
        .route("/control/{action}/{id}", post(act));
    println!("{}", json!({ "address": address, "keys": secrets }));
    axum::serve(listener, app).await?;
    Ok(())
}

async fn take_snapshots(
    engine: &SnapshotEngine<Thing>,
    old: &SnapshotEngine<OldThing>,
) -> Result<(), BoxError> {
    for (key, changes) in thing::all()? {
        let head = changes.len() as u64;
        if key.id() == "no snapshots" {
            continue;
        }
        let step = (head / 12).max(1);
        for version in (step..=head).step_by(usize::try_from(step)?) {
            let mut options = CreateOptions::new().at_version(version);
            if version == step * 4 {
                options = options.pin("audit").label("quarter");
            }
            engine.create_with(&key, options).await?;
            if key.id() == "orders" && version < head / 2 {
                let options = CreateOptions::new().at_version(version);
                old.create_with(&OldThing::key(key.id())?, options).await?;
            }
        }
    }
    Ok(())
}

async fn control(
    action: &str,
    id: &str,
    (events, changes): (&MemoryEvents<Change>, &LiveChanges),
    store: &MemoryStore,
    is_down: &AtomicBool,
) -> Result<(), BoxError> {
    let key = AggregateKey::new(Thing::KIND, id)?;
    match action {
        "append" => {
            let change = Change::Member("added".to_owned(), "while it runs".to_owned());
            let version = events.append(&key, moment(1_000_000), change);
            changes.committed(&key, version);
        }
        "delete" => {
            events.rewind(&key, 0);
            store.erase(&key).await?;
        }
        "down" => is_down.store(true, Ordering::SeqCst),
        "up" => is_down.store(false, Ordering::SeqCst),
        _ => return Err("there is no such action".into()),
    }
    Ok(())
}
