//! Objects that somebody deleted, altered or exchanged by hand: a load still equals a full replay, or
//! it fails.

use std::sync::Arc;

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use serde::{Deserialize, Serialize};
use snapfold::codec::Compression;
use snapfold::manager::CreateOptions;
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::store::{ListRequest, PutOptions, PutOutcome};
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, MemoryEvents, SnapshotEngine, SnapshotStore, Timestamp,
};

use crate::support::{
    ROOT, bytes, get, id, id_of, index_of, key, names, opened_with, put, record, run,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Account {
    owner: String,
    balance: i64,
    /// Long enough for a record that is not the same in each version.
    last: Vec<i64>,
}

impl Aggregate for Account {
    type Event = i64;
    const KIND: &'static str = "account";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self { owner: key.id().to_owned(), balance: 0, last: Vec::new() }
    }

    fn apply(&mut self, paid: &i64) {
        self.balance += paid;
        self.last.insert(0, *paid);
        self.last.truncate(10);
    }
}

const VERSIONS: [u64; 3] = [20, 40, 60];
const HEAD: u64 = 70;

/// A store with snapshots of two aggregates, and what it was at an earlier time.
struct Scene {
    objects: Arc<InMemory>,
    events: MemoryEvents<i64>,
    keys: [AggregateKey; 2],
    inline: u64,
    /// The index of the first aggregate before its last snapshot.
    earlier: Vec<u8>,
    /// A record of the first aggregate that was replaced.
    replaced: Vec<u8>,
}

impl Scene {
    async fn new(inline: u64) -> Self {
        let objects = Arc::new(InMemory::new());
        let events = MemoryEvents::new();
        let keys = [key("a"), key("b")];
        for (at, key) in keys.iter().enumerate() {
            for version in 1..=HEAD.cast_signed() {
                let paid = version * version + i64::try_from(at).unwrap();
                events.append(key, Timestamp::from_seconds(version), paid);
            }
        }
        let mut scene =
            Self { objects, events, keys, inline, earlier: Vec::new(), replaced: Vec::new() };
        let store = scene.open().await;
        let engine = scene.engine(&store);
        for key in &scene.keys {
            for version in VERSIONS {
                let options = CreateOptions::new().at_version(version);
                engine.create_with(key, options).await.unwrap();
                if version == VERSIONS[1] && key == &scene.keys[0] {
                    scene.earlier = bytes(&*scene.objects, &index_of(key)).await;
                }
            }
        }
        let [.., newest] = scene.records(0).await;
        scene.replaced = bytes(&*scene.objects, &newest).await;
        engine.rebuild(&scene.keys[0], VERSIONS[2]).await.unwrap();
        scene
    }

    async fn open(&self) -> ObjectStoreSnapshots {
        let options = ObjectStoreOptions::new().inline_limit(self.inline);
        ObjectStoreSnapshots::open_with(self.objects.clone(), ROOT, options).await.unwrap()
    }

    fn engine(&self, store: &ObjectStoreSnapshots) -> SnapshotEngine<Account> {
        let engine = SnapshotEngine::builder(self.events.clone(), store.clone());
        engine.compression(Compression::none()).build().unwrap()
    }

    /// The records of an aggregate, the oldest version first.
    async fn records(&self, of: usize) -> [Path; 3] {
        let mut paths = names(&*self.objects, &format!("r/t/account/{}", self.keys[of].id())).await;
        paths.reverse();
        paths.try_into().unwrap()
    }

    async fn write(&self, path: &Path, bytes: Vec<u8>) {
        self.objects.put(path, bytes.into()).await.unwrap();
    }

    fn replayed(&self, of: usize, version: u64) -> Account {
        let mut state = Account::initial(&self.keys[of]);
        for version in 1..=version.cast_signed() {
            state.apply(&(version * version + i64::try_from(of).unwrap()));
        }
        state
    }
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    IndexGone,
    IndexCut,
    IndexFlipped,
    IndexOfAnother,
    IndexOfANewerFormat,
    IndexSomethingElse,
    IndexOlder,
    IndexEmpty,
    RecordGone,
    RecordCut,
    RecordFlipped,
    RecordOfAnotherVersion,
    RecordOfAnotherAggregate,
    RecordReplacedEarlier,
    RecordsGone,
    MarkerGone,
}

const DAMAGES: [Damage; 16] = [
    Damage::IndexGone,
    Damage::IndexCut,
    Damage::IndexFlipped,
    Damage::IndexOfAnother,
    Damage::IndexOfANewerFormat,
    Damage::IndexSomethingElse,
    Damage::IndexOlder,
    Damage::IndexEmpty,
    Damage::RecordGone,
    Damage::RecordCut,
    Damage::RecordFlipped,
    Damage::RecordOfAnotherVersion,
    Damage::RecordOfAnotherAggregate,
    Damage::RecordReplacedEarlier,
    Damage::RecordsGone,
    Damage::MarkerGone,
];

impl Damage {
    /// Damages the first aggregate.
    async fn make(self, scene: &Scene) {
        let index = index_of(&scene.keys[0]);
        let was = bytes(&*scene.objects, &index).await;
        let [first, _, newest] = scene.records(0).await;
        let [.., other] = scene.records(1).await;
        let record = bytes(&*scene.objects, &newest).await;
        let gone = |path: Path| async move { scene.objects.delete(&path).await.unwrap() };
        match self {
            Self::IndexGone => gone(index).await,
            Self::IndexCut => scene.write(&index, was[..was.len() / 2].to_vec()).await,
            Self::IndexFlipped => {
                let mut bytes = was;
                let at = bytes.len() / 2;
                bytes[at] ^= 4;
                scene.write(&index, bytes).await;
            }
            Self::IndexOfAnother => {
                let of_another = bytes(&*scene.objects, &index_of(&scene.keys[1])).await;
                scene.write(&index, of_another).await;
            }
            Self::IndexOfANewerFormat => {
                scene.write(&index, [b"SNX2", &was[4..]].concat()).await;
            }
            Self::IndexSomethingElse => scene.write(&index, b"hello".to_vec()).await,
            Self::IndexOlder => scene.write(&index, scene.earlier.clone()).await,
            Self::IndexEmpty => scene.write(&index, Vec::new()).await,
            Self::RecordGone => gone(newest).await,
            Self::RecordCut => scene.write(&newest, record[..record.len() - 3].to_vec()).await,
            Self::RecordFlipped => {
                let mut bytes = record;
                let last = bytes.len() - 1;
                bytes[last] ^= 1;
                scene.write(&newest, bytes).await;
            }
            Self::RecordOfAnotherVersion => {
                let older = bytes(&*scene.objects, &first).await;
                scene.write(&newest, older).await;
            }
            Self::RecordOfAnotherAggregate => {
                let of_another = bytes(&*scene.objects, &other).await;
                scene.write(&newest, of_another).await;
            }
            Self::RecordReplacedEarlier => scene.write(&newest, scene.replaced.clone()).await,
            Self::RecordsGone => {
                for record in scene.records(0).await {
                    scene.objects.delete(&record).await.unwrap();
                }
            }
            Self::MarkerGone => gone(Path::from(format!("{ROOT}/snapfold"))).await,
        }
    }

    const fn is_of_index(self) -> bool {
        matches!(
            self,
            Self::IndexCut
                | Self::IndexFlipped
                | Self::IndexOfAnother
                | Self::IndexOfANewerFormat
                | Self::IndexSomethingElse
                | Self::IndexEmpty
        )
    }
}

/// Every load of every version is right, or fails. Returns how many failed.
async fn check_loads(scene: &Scene, store: &ObjectStoreSnapshots, damage: Damage) -> usize {
    let engine = scene.engine(store);
    let mut failed = 0;
    for of in 0..2 {
        for version in [5, 20, 39, 40, 59, 60, 65, HEAD] {
            let loads = [
                engine.at_version(&scene.keys[of], version).await,
                if version == HEAD {
                    engine.load(&scene.keys[of]).await
                } else {
                    let time = Timestamp::from_seconds(version.cast_signed());
                    engine.at_time(&scene.keys[of], time).await
                },
            ];
            for loaded in loads {
                match loaded {
                    Ok(loaded) => {
                        let right = scene.replayed(of, version);
                        assert_eq!(*loaded.state, right, "{damage:?}, {of}@{version}");
                    }
                    Err(error) => {
                        assert_eq!(of, 0, "{damage:?}: the other aggregate: {error}");
                        let right = matches!(
                            error.kind(),
                            ErrorKind::CorruptStore | ErrorKind::Unsupported
                        );
                        assert!(right && damage.is_of_index(), "{damage:?}: {error}");
                        failed += 1;
                    }
                }
            }
        }
    }
    failed
}

#[test]
fn whatever_somebody_did_to_the_objects_a_load_is_right_or_fails() {
    for damage in DAMAGES {
        for inline in [0, 64 << 10] {
            run(0, async {
                let scene = Scene::new(inline).await;
                // One handle has everything in memory.
                let warm = scene.open().await;
                check_loads(&scene, &warm, damage).await;
                damage.make(&scene).await;
                let cold = if matches!(damage, Damage::MarkerGone) {
                    let objects: Arc<dyn ObjectStore> = scene.objects.clone();
                    let error = ObjectStoreSnapshots::open(objects, ROOT).await.unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::InvalidInput);
                    warm.clone()
                } else {
                    scene.open().await
                };
                for store in [&warm, &cold] {
                    let failed = check_loads(&scene, store, damage).await;
                    assert_eq!(failed > 0, damage.is_of_index(), "{damage:?}");
                }
                // Puts are not lost, and nothing wrong comes of them.
                for (at, store) in [&cold, &warm].into_iter().enumerate() {
                    let options = CreateOptions::new().at_version(61 + at as u64);
                    let created = scene.engine(store).create_with(&scene.keys[0], options).await;
                    assert_eq!(created.is_err(), damage.is_of_index(), "{damage:?}: {created:?}");
                    check_loads(&scene, &warm, damage).await;
                    check_loads(&scene, &cold, damage).await;
                }
            });
        }
    }
}

#[test]
fn a_repair_makes_every_load_work_again() {
    for damage in DAMAGES {
        if matches!(damage, Damage::MarkerGone | Damage::IndexOfANewerFormat) {
            continue;
        }
        for inline in [0, 64 << 10] {
            run(0, async {
                let scene = Scene::new(inline).await;
                let [warm, cold] = [scene.open().await, scene.open().await];
                check_loads(&scene, &warm, damage).await;
                damage.make(&scene).await;
                let repaired = cold.repair().await.unwrap();
                let is_rebuilt = damage.is_of_index() || matches!(damage, Damage::IndexGone);
                assert_eq!(repaired.rebuilt > 0, is_rebuilt, "{damage:?}: {repaired:?}");
                if is_rebuilt {
                    assert_eq!(repaired.restored, 3, "{damage:?}: {repaired:?}");
                    for version in VERSIONS {
                        let listed = cold.list(ListRequest::new(&scene.keys[0])).await.unwrap();
                        assert!(listed.items.iter().any(|meta| meta.version == version));
                        let engine = scene.engine(&cold);
                        let loaded = engine.at_version(&scene.keys[0], version).await;
                        assert_eq!(loaded.unwrap().provenance.events_replayed, 0);
                    }
                }
                for store in [&warm, &cold] {
                    assert_eq!(check_loads(&scene, store, damage).await, 0, "{damage:?}");
                }
                if matches!(damage, Damage::RecordGone) {
                    // The index may have a copy, from which the record is written again.
                    let is_copied = inline > 0;
                    let counts = (repaired.restored, repaired.removed);
                    assert_eq!(counts, if is_copied { (1, 0) } else { (0, 1) });
                    let uncopied = ObjectStoreOptions::new().inline_limit(0);
                    let store = opened_with(&scene.objects, uncopied).await;
                    put(&store, &record(&scene.keys[0], id_of(9, 61), 1, 50)).await;
                    let engine = scene.engine(&store);
                    let loaded = engine.at_version(&scene.keys[0], 60).await.unwrap();
                    assert_eq!(loaded.provenance.events_replayed == 0, is_copied);
                }
                // A second one finds nothing to do.
                let again = warm.repair().await.unwrap();
                assert_eq!((again.rebuilt, again.removed), (0, 0), "{damage:?}: {again:?}");
            });
        }
    }
}

/// What is in memory is not trusted: a put does not take an index for there that somebody deleted.
#[test]
fn a_put_is_there_although_the_index_in_memory_was_deleted() {
    run(0, async {
        let objects = Arc::new(InMemory::new());
        let open = || ObjectStoreSnapshots::open(objects.clone(), ROOT);
        let [one, other] = [open().await.unwrap(), open().await.unwrap()];
        let first = record(&key("a"), id(1), 1, 50);
        put(&one, &first).await;
        get(&other, &key("a"), id(1)).await.unwrap();
        objects.delete(&index_of(&key("a"))).await.unwrap();
        // The snapshot is in memory, and not in the store: it is stored again.
        for store in [&one, &other] {
            assert_eq!(get(store, &key("a"), id(1)).await, None);
        }
        assert_eq!(put(&one, &first).await, PutOutcome::Stored);
        let existing = other.put(vec![first.clone()], PutOptions::default()).await.unwrap();
        assert_eq!(existing, [PutOutcome::Existing { identical: true }]);
        assert_eq!(get(&other, &key("a"), id(1)).await, Some(first));
    });
}
