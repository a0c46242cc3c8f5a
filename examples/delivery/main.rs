//! The trees of a git repository over HTTP: now, at any commit, at any time.
//!
//! ```text
//! cargo run --features http --example delivery -- [REPOSITORY] [REVISION]... [OPTIONS]
//! ```
//!
//! Each revision is an aggregate of the kind `tree`, and its id is the text of the revision (`HEAD`
//! if there is none). The events are those of the example `git_history`. Commits that are made while
//! the server runs are seen by the next request.

use std::error::Error;
use std::ffi::OsString;
use std::time::Duration;

use axum::Router;
use lexopt::Arg::{Long, Short, Value};
use lexopt::ValueExt as _;
use snapfold::engine::CacheConfig;
use snapfold::manager::{CreateOptions, Kinds};
use snapfold::service::http::{ApiKey, ApiKeys, CachePolicy, Delivery, Permission, Scope};
use snapfold::trigger::manual;
use snapfold::{Aggregate, MemoryStore, SnapshotEngine};
use tokio::net::TcpListener;

use repository::Repository;
use tree::Tree;

#[path = "../git_history/aggregate.rs"]
mod aggregate;
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
mod repository;
#[path = "../git_history/tree.rs"]
#[allow(dead_code, reason = "shared with the other example")]
mod tree;

const PREFIX: &str = "/api/v1";

const HELP: &str = "\
Usage: cargo run --features http --example delivery -- [REPOSITORY] [REVISION]...

  REPOSITORY   the repository, or a directory inside it (default: this one)
  REVISION     branches, tags or commits, each an aggregate (default: HEAD)
  --port N     the port on 127.0.0.1; 0 for any that is free (default: 8080)
  --open       let everybody read. Without it, two keys are printed: one that
               reads, and one that also sees how a state was loaded
  --public S   let shared caches serve a state for S seconds. Implies --open
";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut port, mut is_open, mut policy) = (8080_u16, false, CachePolicy::private());
    let mut named: Vec<OsString> = Vec::new();
    let mut parser = lexopt::Parser::from_env();
    while let Some(arg) = parser.next()? {
        match arg {
            Value(value) => named.push(value),
            Long("port") => port = parser.value()?.parse()?,
            Long("open") => is_open = true,
            Long("public") => {
                let seconds = Duration::from_secs(parser.value()?.parse()?);
                (is_open, policy) = (true, CachePolicy::public(seconds));
            }
            Short('h') | Long("help") => {
                print!("{HELP}");
                return Ok(());
            }
            _ => return Err(arg.unexpected().into()),
        }
    }
    let mut named = named.into_iter();
    let directory = named.next().unwrap_or_else(|| ".".into());
    let repository = Repository::open(directory, named.collect())?;

    // Loads near the newest state come from the cache, the others from the nearest of 20 snapshots.
    let engine = SnapshotEngine::builder(repository.clone(), MemoryStore::new())
        .cache(CacheConfig::default())
        .trigger(manual())
        .viewer(aggregate::view)
        .build()?;
    for (id, head) in repository.heads() {
        let key = Tree::key(&id)?;
        for version in (1..=20).map(|part| head * part / 20).filter(|version| *version > 0) {
            engine.create_with(&key, CreateOptions::new().at_version(version)).await?;
        }
    }

    let delivery =
        Delivery::builder(Kinds::new().with(engine)?).prefix(PREFIX).cache_policy(policy);
    let delivery = if is_open {
        delivery.open_to_everybody()
    } else {
        let keys = ApiKeys::new();
        let reads = &[Permission::Read][..];
        for (name, permissions) in [("reads", reads), ("reads and diagnoses", Permission::ALL)] {
            let (key, secret) = ApiKey::generate(name, [Scope::new(permissions.to_vec())])?;
            keys.add(key);
            println!("{name}: Authorization: Bearer {secret}");
        }
        delivery.authenticator(keys)
    };
    let app = Router::new().nest_service(PREFIX, delivery.build()?);

    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}{PREFIX}/projects/~/entities", listener.local_addr()?);
    let end = async {
        if let Err(error) = tokio::signal::ctrl_c().await {
            eprintln!("Ctrl-C is not heard: {error}");
            std::future::pending::<()>().await;
        }
    };
    // Requests that have begun are answered.
    axum::serve(listener, app).with_graceful_shutdown(end).await?;
    Ok(())
}
