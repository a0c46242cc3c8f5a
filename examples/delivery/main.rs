//! The history of a git repository over HTTP: its trees and its authors, now, at any commit, at any
//! time.
//!
//! ```text
//! cargo run --features http,publish --example delivery -- [REPOSITORY] [REVISION]... [OPTIONS]
//! ```
//!
//! Each revision is an aggregate of two kinds, `tree` and `authors`, and its id is the text of the
//! revision (`HEAD` if there is none). The events are commits, as in the example `git_history`.
//! Commits that are made while the server runs are seen by the next request. With
//! `--publish`, clients can publish artifacts, and listen to what is published.

use std::time::Duration;

use axum::Router;
use http::header::{AUTHORIZATION, CONTENT_LOCATION, ETAG, IF_NONE_MATCH, LINK};
use http::{HeaderValue, Method, Response, StatusCode};
use snapfold::engine::CacheConfig;
use snapfold::manager::{CreateOptions, Kinds};
use snapfold::service::http::{Delivery, LiveChanges};
use snapfold::trigger::manual;
use snapfold::{Aggregate, BoxError, MemoryStore, SnapshotEngine};
use tokio::net::TcpListener;
use tower_http::cors::CorsLayer;
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultOnResponse, OnResponse as _, TraceLayer};

use authors::Authors;
use options::Options;
use repository::Repository;
use tree::Tree;

#[path = "../git_history/aggregate.rs"]
mod aggregate;
mod authors;
#[path = "../git_history/diff.rs"]
mod diff;
#[path = "../git_history/error.rs"]
#[allow(dead_code, reason = "shared with the other example")]
mod error;
#[path = "../git_history/git.rs"]
mod git;
#[path = "../git_history/history.rs"]
#[allow(dead_code, reason = "shared with the other example")]
mod history;
mod keys;
mod options;
mod publications;
mod repository;
mod tokens;
#[path = "../git_history/tree.rs"]
#[allow(dead_code, reason = "shared with the other example")]
mod tree;

const PREFIX: &str = "/api/v1";

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let Some(options) = Options::parse()? else { return Ok(()) };
    let log = tracing_subscriber::fmt().with_max_level(options.log);
    log.with_writer(std::io::stderr).init();

    // Loads near the newest state come from the cache, the others from the nearest of 20 snapshots.
    let repository = Repository::open(options.directory.clone(), options.revisions.clone())?;
    let store = MemoryStore::new();
    let trees = SnapshotEngine::<Tree>::builder(repository.clone(), store.clone())
        .cache(CacheConfig::default())
        .trigger(manual())
        .viewer(aggregate::view)
        .build()?;
    let authors = SnapshotEngine::<Authors>::builder(repository.clone(), store)
        .cache(CacheConfig::default())
        .trigger(manual())
        .build()?;
    for (id, head) in repository.heads() {
        take_snapshots(&trees, &id, head).await?;
        take_snapshots(&authors, &id, head).await?;
    }

    let listener = TcpListener::bind(("127.0.0.1", options.port)).await?;
    let address = format!("http://{}", listener.local_addr()?);
    let mut delivery = Delivery::builder(Kinds::new().with(trees)?.with(authors)?)
        .prefix(PREFIX)
        .inspector(true)
        .cache_policy(options.policy.clone());
    if options.publishes {
        let changes = LiveChanges::new()?;
        let publisher = publications::publisher(&changes)?;
        delivery = delivery.publisher(publisher, publications::upload_urls()?, &address);
        delivery = delivery.live(changes);
    }
    let delivery = if options.is_open {
        delivery.open_to_everybody()
    } else {
        delivery.authenticator(keys::authenticator(&options).await?)
    };
    let app = Router::new().nest_service(PREFIX, delivery.build()?);
    let app = with_layers(app, options.origin);

    println!("{address}{PREFIX}/projects/~/entities");
    println!("{address}{PREFIX}/inspect");
    let end = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            tracing::error!("Ctrl-C is not heard: {error}");
            std::future::pending::<()>().await;
        }
    };
    // Requests that have begun are answered.
    axum::serve(listener, app).with_graceful_shutdown(end).await?;
    Ok(())
}

async fn take_snapshots<A: Aggregate>(
    engine: &SnapshotEngine<A>,
    id: &str,
    head: u64,
) -> Result<(), snapfold::Error> {
    for version in (1..=20).map(|part| head * part / 20).filter(|version| *version > 0) {
        engine.create_with(&A::key(id)?, CreateOptions::new().at_version(version)).await?;
    }
    Ok(())
}

/// What a server adds around the service: a timeout, logs, and CORS for one origin.
fn with_layers(app: Router, origin: Option<HeaderValue>) -> Router {
    let timeout = Duration::from_secs(30);
    let app = app.layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, timeout));
    // Headers are not logged, and so no key is. Errors that the client is not told are.
    let trace = TraceLayer::new_for_http().on_response(
        |response: &Response<_>, latency: Duration, span: &tracing::Span| {
            if let Some(error) = response.extensions().get::<snapfold::Error>() {
                tracing::error!("{error:#}");
            }
            DefaultOnResponse::new().on_response(response, latency, span);
        },
    );
    let app = app.layer(trace);
    let Some(origin) = origin else { return app };
    let cors = CorsLayer::new()
        .allow_origin(origin)
        .allow_methods([Method::GET, Method::HEAD])
        .allow_headers([AUTHORIZATION, IF_NONE_MATCH])
        .expose_headers([ETAG, LINK, CONTENT_LOCATION]);
    app.layer(cors)
}
