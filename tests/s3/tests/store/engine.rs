//! Engines that share a store on Ceph and one history of events.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use snapfold::codec::Compression;
use snapfold::file::FileStore;
use snapfold::layer::TieredStore;
use snapfold::object_store::ObjectStoreSnapshots;
use snapfold::store::{ListRequest, Selection, SnapshotStoreExt as _};
use snapfold::{
    Aggregate, AggregateKey, MemoryEvents, SnapshotEngine, SnapshotId, SnapshotStore, Timestamp,
};
use snapfold_s3::Server;

/// All amounts in order, and their sum: any event that is missing or folded twice shows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Account {
    total: i64,
    amounts: Vec<i64>,
}

// By hand: the derive would be one more crate to compile.
impl Serialize for Account {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (self.total, &self.amounts).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Account {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let (total, amounts) = Deserialize::deserialize(from)?;
        Ok(Self { total, amounts })
    }
}

impl Aggregate for Account {
    type Event = i64;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self::default()
    }

    fn apply(&mut self, amount: &i64) {
        self.total += amount;
        self.amounts.push(*amount);
    }
}

fn amount(version: u64) -> i64 {
    i64::try_from(version * 37 % 101).unwrap() - 50
}

fn replayed(version: u64) -> Account {
    let mut account = Account::default();
    (1..=version).for_each(|version| account.apply(&amount(version)));
    account
}

fn engine(
    events: &MemoryEvents<i64>,
    store: impl SnapshotStore + 'static,
) -> SnapshotEngine<Account> {
    let builder = SnapshotEngine::builder(events.clone(), store);
    builder.compression(Compression::none()).without_retention().build().unwrap()
}

fn append(events: &MemoryEvents<i64>, key: &AggregateKey, version: u64) {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    assert_eq!(events.append(key, at, amount(version)), version);
}

/// Every load by every engine is what a replay of all events gives.
async fn all_agree(engines: &[SnapshotEngine<Account>], key: &AggregateKey, head: u64) {
    for engine in engines {
        let now = engine.load(key).await.unwrap();
        assert_eq!((now.version, &*now.state), (head, &replayed(head)));
        for version in [1, head / 3, head / 2, head - 1, head] {
            let then = engine.at_version(key, version).await.unwrap();
            assert_eq!((then.version, &*then.state), (version, &replayed(version)));
        }
        let time = Timestamp::from_seconds(i64::try_from(head / 2).unwrap());
        assert_eq!(*engine.at_time(key, time).await.unwrap().state, replayed(head / 2));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn engines_with_handles_of_their_own_load_what_a_replay_gives() {
    let server = Server::ceph();
    let root = server.prefix();
    let events = MemoryEvents::new();
    let key = Account::key("shared").unwrap();
    let mut engines = Vec::new();
    for times in [0, 3] {
        let store = ObjectStoreSnapshots::open(server.retrying(times), root.as_ref()).await;
        engines.push(engine(&events, store.unwrap()));
    }
    let mut from_snapshots = 0;
    for step in 1..=24_u64 {
        for version in (step - 1) * 5 + 1..=step * 5 {
            append(&events, &key, version);
        }
        let head = step * 5;
        let [own, other] = &engines[..] else { panic!("two engines") };
        match step % 4 {
            // Both at the same time.
            0 => {
                let (first, second) = tokio::join!(own.create(&key), other.create(&key));
                first.unwrap();
                second.unwrap();
            }
            1 => drop(own.create(&key).await.unwrap()),
            2 => drop(other.create(&key).await.unwrap()),
            _ => drop(own.delete_before(&key, head.saturating_sub(40)).await.unwrap()),
        }
        all_agree(&engines, &key, head).await;
        let replayed = other.load(&key).await.unwrap().provenance.events_replayed;
        from_snapshots += usize::from(replayed < head);
    }
    // The loads did not just replay everything.
    assert!(from_snapshots >= 22, "{from_snapshots}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_tier_on_ceph_keeps_every_version() {
    let server = Server::ceph();
    let root = server.prefix();
    let folder = tempfile::tempdir().unwrap();
    let events = MemoryEvents::new();
    let key = Account::key("tiered").unwrap();
    let cold = ObjectStoreSnapshots::open(server.retrying(3), root.as_ref()).await.unwrap();
    let hot = Arc::new(FileStore::open(folder.path()).unwrap());
    let tiers = TieredStore::new(Arc::clone(&hot), cold.clone());
    let engines = [engine(&events, tiers.clone())];
    for version in 1..=60 {
        append(&events, &key, version);
        if version % 5 == 0 {
            engines[0].create(&key).await.unwrap();
        }
    }
    let versions = async |store: &dyn SnapshotStore| {
        let listed = store.list_all(ListRequest::new(&key)).await.unwrap();
        listed.iter().map(|meta| meta.version).collect::<Vec<_>>()
    };
    all_agree(&engines, &key, 60).await;

    let archived = tiers.archive_selected(&key, Selection::Below(41)).await.unwrap();
    assert_eq!(archived.moved, 8);
    assert_eq!(versions(&cold).await, [40, 35, 30, 25, 20, 15, 10, 5]);
    assert_eq!(versions(&hot).await, [60, 55, 50, 45]);
    all_agree(&engines, &key, 60).await;
    // From the snapshot in the cold tier.
    let old = engines[0].at_version(&key, 22).await.unwrap();
    assert_eq!((old.provenance.events_replayed, &*old.state), (2, &replayed(22)));

    let generation = cold.newest(&key).await.unwrap().unwrap().id().generation;
    let ids = [15, 20].map(|version| SnapshotId { generation, version });
    let restored = tiers.restore(&key, Selection::Ids(&ids)).await.unwrap();
    assert_eq!(restored.copied, 2);
    assert_eq!(versions(&cold).await, [40, 35, 30, 25, 10, 5]);
    assert_eq!(versions(&hot).await, [60, 55, 50, 45, 20, 15]);
    all_agree(&engines, &key, 60).await;

    // Without the events that the snapshots replace.
    events.truncate_below(&key, 30);
    let now = engines[0].at_version(&key, 33).await.unwrap();
    assert_eq!((now.provenance.events_replayed, &*now.state), (3, &replayed(33)));
}
