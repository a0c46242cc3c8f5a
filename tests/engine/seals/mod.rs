//! Snapshots whose payloads the application encrypts.
//!
//! Guards against: a state that is stored in clear; a payload that is read as another aggregate's or
//! version's; a changed payload that is used; an engine that fails instead of replaying because a
//! key is gone; a snapshot that nobody can open and that the caller takes for a good one.

mod attacks;
mod cipher;
mod keys;
mod moves;
mod random;
mod writes;

use snapfold::codec::Compression;
use snapfold::engine::EngineBuilder;
use snapfold::manager::Origin;
use snapfold::record::{Record, RejectReason};
use snapfold::retention::keep_last;
use snapfold::{AggregateKey, SnapshotStore};

use crate::own_coding::NoCipher;
use crate::support::{Account, Event, World, key};

/// Stands in every state of these tests.
const SECRET: &str = "the secret of the state, which nobody must find in a store";

/// A world whose engine seals and stores every state uncompressed, so that it would be in clear.
fn sealing(seal: &NoCipher) -> World {
    World::with(|builder| settings(builder, seal))
}

fn settings(builder: EngineBuilder<Account>, seal: &NoCipher) -> EngineBuilder<Account> {
    builder.compression(Compression::none()).retention(keep_last(99)).seal(seal.clone())
}

/// Another engine over the same events and snapshots.
fn reopened(
    world: &World,
    change: impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account>,
) -> World {
    World::over(world.source.clone(), world.store.clone(), change)
}

/// Appends events of which each state keeps the secret.
fn note(world: &World, key: &AggregateKey, events: usize) {
    for n in 0..events {
        world.source.append(key, 1, Event::Noted(format!("{SECRET} {n}")));
    }
}

/// A sealed snapshot of an aggregate at version 3.
async fn stored(seal: &NoCipher) -> (World, AggregateKey) {
    let (world, key) = (sealing(seal), key("a"));
    note(&world, &key, 3);
    world.engine.create(&key).await.unwrap();
    (world, key)
}

fn contains(record: &Record, text: &str) -> bool {
    record.as_bytes().windows(text.len()).any(|bytes| bytes == text.as_bytes())
}

/// Loads, compares with a full replay, and returns why snapshots were not used.
async fn origin(world: &World, key: &AggregateKey) -> (Origin, Vec<RejectReason>) {
    let loaded = world.load_checked(key).await;
    let reasons = loaded.provenance.rejected.into_iter().map(|rejected| rejected.reason);
    (loaded.provenance.origin, reasons.collect())
}

async fn seal_key(world: &World, key: &AggregateKey, version: u64) -> Option<String> {
    let record = world.store.record(key, version).await;
    let header = record.verify().unwrap();
    header.seal_key.map(str::to_owned)
}

/// All that is stored of an aggregate, whatever the store tells about it.
async fn records(store: &dyn SnapshotStore, key: &AggregateKey) -> Vec<Record> {
    use snapfold::store::{ListRequest, Query, SnapshotStoreExt};

    let mut records = Vec::new();
    for meta in store.list_all(ListRequest::new(key)).await.unwrap() {
        let lookup = store.get(Query::exact(key, meta.id())).await.unwrap();
        records.push(lookup.into_record().unwrap());
    }
    records
}
