//! Loading several aggregates together gives what loading each of them gives.
//!
//! Guards against: one aggregate that fails or is damaged and takes others with it; results in
//! another order; a round trip for each aggregate; an outage that each aggregate waits for.

use async_trait::async_trait;
use snapfold::events::KeyedReplay;
use snapfold::manager::{CreateOptions, Origin, Timings};
use snapfold::record::Record;
use snapfold::{
    AggregateKey, BoxError, Error, ErrorKind, EventRange, EventSource, Loaded, MemoryEvents,
    Replay, SnapshotEngine,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::support::{Account, Event, Op, World, key};

/// Counts what is read together, and what is read alone.
#[derive(Clone, Default)]
struct Counting {
    events: MemoryEvents<Event>,
    together: Arc<AtomicUsize>,
    alone: Arc<AtomicUsize>,
    /// How many reads of several fail from now on.
    failing: Arc<AtomicUsize>,
}

#[async_trait]
impl EventSource<Account> for Counting {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Account>,
    ) -> Result<(), BoxError> {
        self.alone.fetch_add(1, Ordering::SeqCst);
        self.events.read(key, range, replay).await
    }

    async fn read_many(&self, reads: &mut [KeyedReplay<'_, '_, Account>]) -> Result<(), BoxError> {
        self.together.fetch_add(1, Ordering::SeqCst);
        for read in reads {
            self.events.read(read.key, read.range, &mut read.replay).await?;
            if self.failing.load(Ordering::SeqCst) > 0 {
                self.failing.fetch_sub(1, Ordering::SeqCst);
                return Err("one of them cannot be read".into());
            }
        }
        Ok(())
    }

    async fn floor(&self, key: &AggregateKey) -> Result<u64, BoxError> {
        EventSource::<Account>::floor(&self.events, key).await
    }
}

/// What a load returns: the state and, unless it may come from a cache, its origin without times.
fn outcome(loaded: &Result<Loaded<Account>, Error>, with_origin: bool) -> String {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return error.to_string(),
    };
    let mut provenance = loaded.provenance.clone();
    provenance.timings = Timings::default();
    let provenance = Some(provenance).filter(|_| with_origin);
    let Loaded { key, state, version, as_of, .. } = loaded;
    format!("{key} {state:?} {version} {as_of:?} {provenance:?}")
}

/// Aggregates of all sorts: with and without events and snapshots, with damaged ones, with a broken
/// history, of another kind, and some twice.
async fn all_sorts(world: &World) -> Vec<AggregateKey> {
    let mut keys = Vec::new();
    for (n, (events, snapshots)) in [
        (0, &[][..]),
        (1, &[]),
        (7, &[]),
        (100, &[100]),
        (120, &[50, 100]),
        (30, &[10, 20, 30]),
        (40, &[40]),
        (60, &[60]),
        (9, &[3]),
    ]
    .into_iter()
    .enumerate()
    {
        let key = key(&format!("a{n}"));
        world.grow(&key, events);
        world.snapshots_at(&key, snapshots).await;
        keys.push(key);
    }
    world.store.tamper(&keys[5], 30, Record::from_bytes(b"no record".to_vec()));
    world
        .store
        .tamper_with(&keys[5], 20, |mut bytes| {
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        })
        .await;
    // Ahead of its events; then other events at its version.
    world.source.events.rewind(&keys[6], 35);
    world.source.events.rewind(&keys[7], 59);
    world.source.append(&keys[7], 5_000, Event::Deposited(-5));
    world.source.events.truncate_below(&keys[8], 5);
    keys.push(AggregateKey::new("order", "x").unwrap());
    keys.push(keys[4].clone());
    keys.insert(2, keys[4].clone());
    keys
}

async fn each_as_alone(world: World, is_cached: bool) {
    let keys = all_sorts(&world).await;
    for version in 130..133 {
        let together = world.engine.load_many(&keys).await;
        assert_eq!(together.len(), keys.len());
        for (key, together) in keys.iter().zip(&together) {
            let alone = world.engine.load(key).await;
            assert_eq!(outcome(together, !is_cached), outcome(&alone, !is_cached));
        }
        for key in keys.iter().filter(|key| key.kind() == "account" && key.id() != "a8") {
            world.load_checked(key).await;
        }
        world.grow(&key("a4"), version);
    }
}

#[tokio::test]
async fn each_aggregate_is_loaded_as_it_would_be_alone() {
    each_as_alone(World::new(), false).await;
    #[cfg(feature = "cache")]
    {
        let cache = snapfold::engine::CacheConfig::default();
        each_as_alone(World::with(|builder| builder.cache(cache)), true).await;
    }
}

#[tokio::test]
async fn the_events_of_all_aggregates_are_read_together() {
    let (events, store) = (Counting::default(), snapfold::MemoryStore::new());
    let engine = SnapshotEngine::<Account>::builder(events.clone(), store.clone()).build().unwrap();
    let keys: Vec<_> = (0..600).map(|n| key(&format!("a{n}"))).collect();
    for (n, key) in keys.iter().enumerate() {
        for version in 1..=20 {
            events.events.append(key, crate::support::at(version), Event::Deposited(1));
        }
        if n % 3 > 0 {
            engine.create_with(key, CreateOptions::new().at_version(15)).await.unwrap();
        }
    }
    events.alone.store(0, Ordering::SeqCst);
    let loaded = engine.load_many(&keys).await;
    for (n, (key, loaded)) in keys.iter().zip(&loaded).enumerate() {
        let loaded = loaded.as_ref().unwrap();
        assert_eq!((&loaded.key, loaded.version, loaded.state.balance), (key, 20, 20));
        let origin = if n % 3 > 0 { Origin::Snapshot } else { Origin::Replay };
        assert_eq!(loaded.provenance.origin, origin);
    }
    let reads = || (events.together.load(Ordering::SeqCst), events.alone.load(Ordering::SeqCst));
    assert_eq!(reads(), (3, 0));
    assert!(engine.load_many(&[]).await.is_empty());
    assert_eq!(reads(), (3, 0));
    // If they cannot be read together, they are read alone.
    events.failing.store(1, Ordering::SeqCst);
    let loaded = engine.load_many(&keys[..10]).await;
    assert!(loaded.iter().all(|loaded| loaded.as_ref().is_ok_and(|l| l.state.balance == 20)));
    assert_eq!(reads(), (4, 10));
}

#[tokio::test]
async fn an_outage_ends_the_call_after_three_aggregates() {
    let world = World::new();
    let keys: Vec<_> = (0..20).map(|n| key(&format!("a{n}"))).collect();
    for key in &keys {
        world.grow(key, 5);
    }
    world.store.fail(Op::Get, usize::MAX);
    let loaded = world.engine.load_many(&keys).await;
    assert!(loaded.iter().all(|l| l.as_ref().is_err_and(|e| e.kind() == ErrorKind::Store)));
    // One for all of them, which ends with the first, and three alone.
    assert_eq!(world.store.calls(Op::Get), 4);
    world.store.fail(Op::Get, 3);
    let loaded = world.engine.load_many(&keys).await;
    assert_eq!(loaded.iter().filter(|loaded| loaded.is_err()).count(), 2);
}
