//! Small states are compressed with a dictionary that was trained from others of their kind.
//!
//! Guards against: a snapshot that is misread with another dictionary, or with none; an engine that
//! fails instead of replaying; a dictionary that mixes tenants or shows states in a log.

use serde::{Deserialize, Serialize};
use snapfold::codec::{Compression, Dictionary};
use snapfold::engine::{EngineBuilder, Incremental, TrainingRequest};
use snapfold::manager::{CreateOptions, Origin};
use snapfold::record::RejectReason;
use snapfold::retention::keep_last;
use snapfold::store::{Lookup, Query};
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, MemoryEvents, MemoryStore, SnapshotEngine, SnapshotStore,
    Timestamp,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Customer {
    name: String,
    email: String,
    address: String,
    plan: String,
    consents: Vec<String>,
    balance: i64,
}

impl Aggregate for Customer {
    type Event = i64;
    const KIND: &'static str = "customer";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        let n: usize = key.id().parse().unwrap();
        let city = ["Rotterdam", "Antwerpen", "Gdansk", "Porto"][n % 4];
        Self {
            name: format!("Customer {}", n * 7_919 % 100_003),
            email: format!("customer.{n}@{}.example", key.tenant()),
            address: format!("{} Harbour Street, {city}", n % 300),
            plan: "premium/monthly/without-cancellation".into(),
            consents: vec!["newsletter".into(), "profiling".into(), "third-parties".into()],
            balance: 0,
        }
    }

    fn apply(&mut self, event: &i64) {
        self.balance = self.balance.wrapping_mul(31).wrapping_add(*event);
    }
}

fn key(n: usize) -> AggregateKey {
    Customer::key(&n.to_string()).unwrap()
}

struct World {
    events: MemoryEvents<i64>,
    store: MemoryStore,
}

impl World {
    fn builder(&self) -> EngineBuilder<Customer> {
        SnapshotEngine::builder(self.events.clone(), self.store.clone()).retention(keep_last(99))
    }

    fn append(&self, key: &AggregateKey, events: i64) {
        for event in 1..=events {
            self.events.append(key, Timestamp::from_seconds(1), event);
        }
    }

    /// Takes snapshots of 400 customers, and trains a dictionary from them.
    async fn trained() -> (Self, Dictionary) {
        let world = Self { events: MemoryEvents::new(), store: MemoryStore::new() };
        let engine = world.builder().build().unwrap();
        for n in 0..400 {
            world.append(&key(n), 3);
            engine.create(&key(n)).await.unwrap();
        }
        let training = engine.train_dictionary(&TrainingRequest::new().max_bytes(4_096)).await;
        let training = training.unwrap();
        assert_eq!((training.samples, training.held_out), (400, 100));
        (world, training.dictionary.unwrap())
    }

    async fn record_bytes(&self, key: &AggregateKey, engine: &SnapshotEngine<Customer>) -> usize {
        let Lookup::Found(found) =
            self.store.get(Query::latest(key, engine.generation())).await.unwrap()
        else {
            panic!("no snapshot")
        };
        found.record.as_bytes().len()
    }

    /// Loads, and compares with a fold by hand.
    async fn origin(&self, engine: &SnapshotEngine<Customer>, key: &AggregateKey) -> Origin {
        let loaded = engine.load(key).await.unwrap();
        let mut truth = Customer::initial(key);
        (1..=3).for_each(|event| truth.apply(&event));
        assert_eq!(*loaded.state, truth);
        loaded.provenance.origin
    }
}

#[tokio::test]
async fn a_snapshot_needs_its_dictionary_and_names_it_otherwise() {
    let (world, dictionary) = World::trained().await;
    let zstd = Compression::zstd();
    let with = world.builder().compression(zstd.clone().dictionary(dictionary.clone()));
    let with = with.build().unwrap();
    let alone = world.builder().compression(zstd.clone()).build().unwrap();
    let (new, plain) = (key(1_000), key(1_001));
    for (key, engine) in [(&new, &with), (&plain, &alone)] {
        world.append(key, 3);
        engine.create(key).await.unwrap();
    }
    let sizes = (world.record_bytes(&new, &with).await, world.record_bytes(&plain, &alone).await);
    assert!(sizes.0 + 80 < sizes.1, "{sizes:?}");
    assert_eq!(world.origin(&with, &new).await, Origin::Snapshot);

    // Nothing is decoded without the dictionary, or with another one.
    let other = Dictionary::from_bytes(dictionary.as_bytes()[8..].to_vec()).unwrap();
    for engine in [
        alone,
        world.builder().dictionary(other.clone()).build().unwrap(),
        world.builder().compression(zstd.clone().dictionary(other.clone())).build().unwrap(),
    ] {
        assert_eq!(world.origin(&engine, &new).await, Origin::Replay);
        let loaded = engine.load(&new).await.unwrap();
        let reason = &loaded.provenance.rejected[0].reason;
        assert_eq!(*reason, RejectReason::Dictionary(dictionary.id()));
        assert!(reason.to_string().contains(&dictionary.id().to_string()), "{reason}");
        assert_eq!(reason.name(), "dictionary");
    }
    // A successor reads what the older dictionary wrote.
    let both =
        world.builder().compression(zstd.dictionary(other)).dictionary(dictionary).build().unwrap();
    assert_eq!(world.origin(&both, &new).await, Origin::Snapshot);
    assert!(both.verify(&new).await.unwrap().is_clean());
}

#[tokio::test]
async fn a_delta_of_a_snapshot_with_a_dictionary_is_read_with_it() {
    let (world, dictionary) = World::trained().await;
    let zstd = Compression::zstd().dictionary(dictionary);
    let incremental = Incremental::zstd().min_bytes(1).max_percent(100);
    let engine = world.builder().compression(zstd).incremental(incremental).build().unwrap();
    let new = key(1_000);
    world.append(&new, 3);
    engine.create_with(&new, CreateOptions::new().at_version(2)).await.unwrap();
    engine.create(&new).await.unwrap();
    let Lookup::Found(found) =
        world.store.get(Query::latest(&new, engine.generation())).await.unwrap()
    else {
        panic!("no snapshot")
    };
    let header = found.record.header().unwrap();
    assert_eq!((header.base.map(|base| base.version), header.dictionary), (Some(2), None));
    assert!(found.bases[0].header().unwrap().dictionary.is_some());
    assert_eq!(world.origin(&engine, &new).await, Origin::Snapshot);
    let without = world.builder().build().unwrap();
    assert_eq!(world.origin(&without, &new).await, Origin::Replay);
}

#[tokio::test]
async fn a_tenant_can_have_a_dictionary_of_its_own() {
    let (world, _) = World::trained().await;
    let engine = world.builder().build().unwrap();
    for n in 0..100 {
        let key = key(n).with_tenant("north").unwrap();
        world.append(&key, 3);
        engine.create(&key).await.unwrap();
    }
    let request = TrainingRequest::new().max_bytes(2_048).tenant("north");
    let training = engine.train_dictionary(&request).await.unwrap();
    assert_eq!(training.samples, 100);
    let bytes = training.dictionary.unwrap();
    let text = String::from_utf8_lossy(bytes.as_bytes()).into_owned();
    assert!(text.contains("@north.example") && !text.contains("@.example"), "{text}");
    let request = request.tenant("nobody");
    let error = engine.train_dictionary(&request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let request = TrainingRequest::new().max_bytes(2_048).max_samples(40);
    assert_eq!(engine.train_dictionary(&request).await.unwrap().samples, 40);
}

#[test]
fn training_needs_no_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (world, _) = runtime.block_on(World::trained());
    let engine = world.builder().build().unwrap();
    let request = TrainingRequest::new().max_bytes(4_096);
    let mut training = Box::pin(engine.train_dictionary(&request));
    let waker = std::task::Waker::noop();
    let polled = training.as_mut().poll(&mut std::task::Context::from_waker(waker));
    assert!(matches!(polled, std::task::Poll::Ready(Ok(_))));
}
