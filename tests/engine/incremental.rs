//! Snapshots stored as deltas of earlier ones, in each store that needs no server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};
use snapfold::codec::{Compression, CompressionId};
use snapfold::engine::Incremental;
use snapfold::manager::CreateOutcome;
use snapfold::record::Record;
use snapfold::retention::keep_last;
use snapfold::store::{
    DeleteOptions, ListRequest, Mark, MarkChange, PutOptions, Query, Selection, SnapshotStore,
    SnapshotStoreExt,
};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp,
};

use crate::support::{Op, Store};

/// About 20 KB; each event changes one entry.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Shelf {
    slots: Vec<String>,
}

impl Aggregate for Shelf {
    type Event = (usize, String);
    const KIND: &'static str = "shelf";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        let name = |i: u64| format!("{:016x}", i.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        Self { slots: (1..1_200).map(name).collect() }
    }

    fn apply(&mut self, (slot, name): &Self::Event) {
        let len = self.slots.len();
        self.slots[slot % len].clone_from(name);
    }
}

struct World {
    events: MemoryEvents<(usize, String)>,
    store: Arc<dyn SnapshotStore>,
    key: AggregateKey,
    /// The number of events.
    len: AtomicUsize,
    /// Removed with everything in it.
    _dir: Option<tempfile::TempDir>,
}

impl World {
    fn with(store: Arc<dyn SnapshotStore>, dir: Option<tempfile::TempDir>) -> Self {
        let key = AggregateKey::new("shelf", "s").unwrap();
        Self { events: MemoryEvents::new(), store, key, len: AtomicUsize::new(0), _dir: dir }
    }

    fn new() -> Self {
        Self::with(Arc::new(MemoryStore::new()), None)
    }

    /// One with each store.
    fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "the file store is a feature")]
        let mut all = vec![Self::new()];
        #[cfg(feature = "file")]
        {
            let dir = tempfile::tempdir().unwrap();
            // Files so small that a base and its deltas are in several.
            let store = snapfold::file::FileStore::builder(dir.path().join("store"))
                .segment_bytes(64 << 10)
                .durability(snapfold::file::Durability::Os);
            all.push(Self::with(Arc::new(store.open().unwrap()), Some(dir)));
        }
        all
    }

    fn engine(&self, incremental: Option<Incremental>) -> SnapshotEngine<Shelf> {
        let builder =
            SnapshotEngine::builder(self.events.clone(), Arc::clone(&self.store)).trigger(manual());
        match incremental {
            Some(incremental) => builder.incremental(incremental).build().unwrap(),
            None => builder.build().unwrap(),
        }
    }

    fn append(&self, events: usize) {
        for _ in 0..events {
            let n = self.len.fetch_add(1, Ordering::Relaxed);
            let event = (n * 7, format!("{:016x}", n * 31));
            self.events.append(
                &self.key,
                Timestamp::from_seconds(i64::try_from(n).unwrap()),
                event,
            );
        }
    }

    /// Takes a snapshot after each `step` events.
    async fn snapshots(&self, engine: &SnapshotEngine<Shelf>, count: usize, step: usize) {
        for _ in 0..count {
            self.append(step);
            let created = engine.create(&self.key).await.unwrap();
            assert!(matches!(created, CreateOutcome::Stored(_)), "{created:?}");
        }
    }

    /// The version of each snapshot and of its base, oldest first.
    async fn bases(&self) -> Vec<(u64, Option<u64>)> {
        let metas = self.store.list_all(ListRequest::new(&self.key)).await.unwrap();
        let base = |base: snapfold::record::Base| base.version;
        metas.iter().rev().map(|meta| (meta.version, meta.base.map(base))).collect()
    }

    async fn record(&self, version: u64) -> Record {
        let metas = self.store.list_all(ListRequest::new(&self.key)).await.unwrap();
        let meta = metas.iter().find(|meta| meta.version == version).unwrap();
        let found = self.store.get(Query::exact(&self.key, meta.id())).await.unwrap();
        found.into_record().unwrap()
    }

    /// Every version loads as a full replay does.
    async fn check(&self, engine: &SnapshotEngine<Shelf>) {
        let mut state = Shelf::initial(&self.key);
        for version in 1..=self.len.load(Ordering::Relaxed) as u64 {
            let n = usize::try_from(version).unwrap() - 1;
            state.apply(&(n * 7, format!("{:016x}", n * 31)));
            let loaded = engine.at_version(&self.key, version).await.unwrap();
            assert!(*loaded.state == state, "version {version}");
        }
    }
}

fn all() -> Vec<Incremental> {
    let mut all = vec![Incremental::lz4()];
    if cfg!(feature = "zstd") {
        all.push(Incremental::zstd());
    }
    all
}

/// Every setting with every store.
fn each() -> impl Iterator<Item = (Incremental, World)> {
    all().into_iter().flat_map(|incremental| {
        World::all().into_iter().map(move |world| (incremental.clone(), world))
    })
}

#[tokio::test]
async fn deltas_are_based_on_a_whole_snapshot_and_a_new_one_follows_the_last_delta() {
    for (incremental, world) in each() {
        let engine = world.engine(Some(incremental.max_deltas(3)));
        world.snapshots(&engine, 9, 5).await;
        let whole = |at: u64| (at, None);
        let delta = |at: u64, base: u64| (at, Some(base));
        let expected = [
            whole(5),
            delta(10, 5),
            delta(15, 5),
            delta(20, 5),
            whole(25),
            delta(30, 25),
            delta(35, 25),
            delta(40, 25),
            whole(45),
        ];
        assert_eq!(world.bases().await, expected);
        let metas = world.store.list_all(ListRequest::new(&world.key)).await.unwrap();
        let (deltas, whole): (Vec<_>, Vec<_>) = metas.iter().partition(|meta| meta.base.is_some());
        for delta in &deltas {
            assert!(delta.stored_bytes * 10 < whole[0].stored_bytes, "{delta}");
            assert_eq!(delta.raw_bytes, whole[0].raw_bytes);
        }
        world.check(&engine).await;
        // Reading needs no setting.
        world.check(&world.engine(None)).await;
        let loaded = world.engine(None).load(&world.key).await.unwrap();
        assert_eq!(loaded.provenance.events_replayed, 0);
    }
}

#[tokio::test]
async fn large_changes_small_states_and_missing_bases_are_stored_whole() {
    for world in World::all() {
        let engine = world.engine(Some(Incremental::lz4()));
        world.snapshots(&engine, 2, 1_000).await;
        assert_eq!(world.bases().await, [(1_000, None), (2_000, None)]);
        let small = world.engine(Some(Incremental::lz4().min_bytes(1 << 20)));
        world.snapshots(&small, 1, 1).await;
        let none = world.engine(Some(Incremental::lz4().max_deltas(0)));
        world.snapshots(&none, 1, 1).await;
        assert_eq!(world.bases().await[2..], [(2_001, None), (2_002, None)]);
        // A retired snapshot may be wrong, so nothing is based on it.
        let wrong = Mark::retirement("wrong", Timestamp::MIN);
        let meta = world.store.list_all(ListRequest::new(&world.key)).await.unwrap().remove(0);
        let ids = [meta.id()];
        let change = MarkChange::Set(&wrong);
        world.store.mark(&world.key, Selection::Ids(&ids), change).await.unwrap();
        world.snapshots(&engine, 1, 1).await;
        assert_eq!(world.bases().await[4], (2_003, Some(2_001)));
    }
}

#[tokio::test]
async fn an_unchanged_state_takes_no_payload() {
    for (incremental, world) in each() {
        let engine = world.engine(Some(incremental));
        world.snapshots(&engine, 1, 1).await;
        // Writes what is already there.
        let slots = Shelf::initial(&world.key).slots;
        let same = (3, slots[3].clone());
        world.events.append(&world.key, Timestamp::from_seconds(9), same);
        let Ok(CreateOutcome::Stored(meta)) = engine.create(&world.key).await else {
            panic!("not stored")
        };
        assert!(meta.stored_bytes < 200, "{meta}");
        assert_ne!(meta.compression, CompressionId::NONE);
        let loaded = engine.load(&world.key).await.unwrap();
        assert_eq!((loaded.version, loaded.provenance.events_replayed), (2, 0));
    }
}

/// A snapshot is a cache of history: without its base, a delta is a miss.
#[tokio::test]
async fn a_delta_without_its_base_is_a_miss() {
    for other in World::all() {
        let world = World::new();
        let engine = world.engine(Some(Incremental::lz4()));
        world.snapshots(&engine, 3, 5).await;
        // Another store, into which only the deltas are copied.
        let len = AtomicUsize::new(world.len.load(Ordering::Relaxed));
        let other = World { events: world.events.clone(), len, ..other };
        for version in [10, 15] {
            let record = world.record(version).await;
            other.store.put(vec![record], PutOptions::default()).await.unwrap();
        }
        let engine = other.engine(Some(Incremental::lz4()));
        let loaded = engine.load(&world.key).await.unwrap();
        let names: Vec<_> =
            loaded.provenance.rejected.iter().map(|rejected| rejected.reason.name()).collect();
        assert_eq!((loaded.version, names), (15, vec!["needs_other"; 2]));
        other.check(&engine).await;
        // The next snapshot is whole.
        other.snapshots(&engine, 1, 1).await;
        assert_eq!(other.bases().await[2], (16, None));
    }
}

/// Whoever put it in place of a delta, whose base may be gone by then, did nothing wrong.
#[tokio::test]
async fn a_snapshot_that_has_replaced_a_new_delta_is_kept() {
    for base_goes in [false, true] {
        let store = Store::default();
        let world = World::with(Arc::new(store.clone()), None);
        let engine = world.engine(Some(Incremental::lz4()));
        world.snapshots(&engine, 1, 5).await;
        world.append(5);
        store.put_gate.close();
        let creating = tokio::spawn({
            let (engine, key) = (engine.clone(), world.key.clone());
            async move { engine.create(&key).await }
        });
        while store.put_gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        store.get_gate.close();
        store.put_gate.open();
        while store.get_gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(world.bases().await, [(5, None), (10, Some(5))]);
        let other = World { events: world.events.clone(), ..World::new() };
        other.engine(None).create(&world.key).await.unwrap();
        let whole = other.record(10).await;
        store.inner.put(vec![whole], PutOptions::default().replace(true)).await.unwrap();
        if base_goes {
            store.delete(&world.key, Selection::Below(10), DeleteOptions::default()).await.unwrap();
        }
        store.get_gate.open();
        assert!(matches!(creating.await.unwrap(), Ok(CreateOutcome::Stored(_))));
        assert_eq!(world.bases().await.last(), Some(&(10, None)));
        world.check(&engine).await;
    }
}

#[tokio::test]
async fn a_base_stays_as_long_as_a_delta_needs_it() {
    for world in World::all() {
        let engine = world.engine(Some(Incremental::lz4().max_deltas(3)));
        world.snapshots(&engine, 4, 5).await;
        let deleted = engine.delete(&world.key, 5).await.unwrap();
        assert_eq!((deleted.snapshots, deleted.needed), (0, 1));
        engine.apply_retention(&world.key, &keep_last(1)).await.unwrap();
        assert_eq!(world.bases().await, [(5, None), (20, Some(5))]);
        world.snapshots(&engine, 2, 5).await;
        engine.apply_retention(&world.key, &keep_last(1)).await.unwrap();
        let left = world.bases().await;
        assert_eq!(left.last(), Some(&(30, Some(5))));
        world.check(&engine).await;
        let all = DeleteOptions::default();
        let deleted = world.store.delete(&world.key, Selection::All, all).await.unwrap();
        assert_eq!(deleted.snapshots, left.len() as u64);
    }
}

/// The state is checked by its digest, so a wrong base cannot give a wrong state.
#[tokio::test]
async fn a_rewritten_base_makes_its_deltas_misses() {
    for world in World::all() {
        let engine = world.engine(Some(Incremental::lz4()));
        world.snapshots(&engine, 2, 5).await;
        // The base gets other contents under the same identity.
        let foreign = World::new();
        foreign.append(4);
        foreign.events.append(&foreign.key, Timestamp::from_seconds(44), (1, "another".into()));
        let maker = foreign.engine(None);
        maker.create(&foreign.key).await.unwrap();
        let record = foreign.record(5).await;
        world.store.put(vec![record], PutOptions::default().replace(true)).await.unwrap();
        let loaded = engine.load(&world.key).await.unwrap();
        let names: Vec<_> = loaded.provenance.rejected.iter().map(|r| r.reason.name()).collect();
        assert_eq!(names, ["needs_other", "diverged"]);
        let mut expected = Shelf::initial(&world.key);
        (0..10).for_each(|n| expected.apply(&(n * 7, format!("{:016x}", n * 31))));
        assert!(*loaded.state == expected);
    }
}

/// Retention and compaction leave the bases that deltas need, and opening finds them.
#[cfg(feature = "file")]
#[tokio::test]
async fn a_file_store_loads_deltas_after_compaction_and_reopening() {
    use snapfold::file::FileStore;

    let dir = tempfile::tempdir().unwrap();
    let open = || {
        let store = FileStore::builder(dir.path().join("store")).segment_bytes(64 << 10);
        store.compact_at(0.1).background(false).open().unwrap()
    };
    let mut store = open();
    let mut world = World::with(Arc::new(store.clone()), None);
    let mut removed = 0;
    for round in 0..4_u64 {
        let engine = world.engine(Some(Incremental::lz4().max_deltas(5)));
        world.snapshots(&engine, 7, 3).await;
        engine.apply_retention(&world.key, &keep_last(2)).await.unwrap();
        removed += store.compact().unwrap().removed;
        world.check(&engine).await;
        let before = world.bases().await;
        drop(engine);
        store.close().unwrap();
        store = open();
        world.store = Arc::new(store.clone());
        assert_eq!(world.bases().await, before, "round {round}");
        assert!(before.iter().any(|(_, base)| base.is_some()), "round {round}: no delta");
        let engine = world.engine(None);
        let loaded = engine.load(&world.key).await.unwrap();
        assert_eq!((loaded.version, loaded.provenance.events_replayed), ((round + 1) * 21, 0));
        world.check(&engine).await;
    }
    assert!(removed > 0);
}

#[test]
fn a_store_that_returns_no_bases_is_refused() {
    let build = |lacks_bases| {
        let mut store = Store::default();
        store.lacks_bases = lacks_bases;
        let events = MemoryEvents::<(usize, String)>::new();
        SnapshotEngine::<Shelf>::builder(events, store).incremental(Incremental::lz4()).build()
    };
    assert!(build(false).is_ok());
    let refused = build(true).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unsupported);
}

/// Each event changes one word, or all of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Words(Vec<u64>);

#[derive(Clone, Copy, Debug)]
enum Rewritten {
    One,
    All,
}

impl Aggregate for Words {
    type Event = Rewritten;
    const KIND: &'static str = "words";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Self((1..1_000).collect())
    }

    fn apply(&mut self, event: &Rewritten) {
        let words = match event {
            Rewritten::One => 1,
            Rewritten::All => self.0.len(),
        };
        for word in self.0.iter_mut().take(words) {
            *word = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31) ^ 0x5851_f42d_4c95;
        }
    }
}

/// Saves after an event, and returns whether the snapshot is a delta, and how often the store was
/// asked for a snapshot and for a list.
async fn save_words(
    (engine, events, store): (&SnapshotEngine<Words>, &MemoryEvents<Rewritten>, &Store),
    key: &AggregateKey,
    event: Rewritten,
) -> (bool, usize, usize) {
    events.append(key, Timestamp::from_seconds(1), event);
    let before = [Op::Get, Op::List].map(|op| store.calls(op));
    let Ok(CreateOutcome::Stored(meta)) = engine.create(key).await else { panic!("not stored") };
    (meta.base.is_some(), store.calls(Op::Get) - before[0], store.calls(Op::List) - before[1])
}

#[tokio::test]
async fn auto_backs_off_where_deltas_do_not_pay_and_then_reads_no_base() {
    let (events, store) = (MemoryEvents::new(), Store::default());
    let build = |incremental| {
        let builder = SnapshotEngine::<Words>::builder(events.clone(), store.clone());
        let builder = builder.trigger(manual()).retention(keep_last(999));
        builder.incremental(incremental).build().unwrap()
    };
    let engine = build(Incremental::auto());
    let keys = ["a", "b"].map(|id| AggregateKey::new("words", id).unwrap());
    // The load reads a snapshot each time, and an attempt lists and reads the base.
    let [first, tried, skipped] = [(false, 1, 1), (false, 2, 1), (false, 1, 0)];
    let save =
        async |at: usize, event| save_words((&engine, &events, &store), &keys[at], event).await;
    assert_eq!(save(0, Rewritten::All).await, first);
    assert_eq!(save(1, Rewritten::All).await, first);
    // All aggregates count together.
    for n in 0..8 {
        assert_eq!(save(n % 2, Rewritten::All).await, tried, "{n}");
    }
    for round in 0..3 {
        for n in 0..15 {
            assert_eq!(save(n % 2, Rewritten::All).await, skipped, "{round}, {n}");
        }
        assert_eq!(save(0, Rewritten::All).await, tried, "{round}");
    }
    // Nothing is tried early, even if it would pay by now.
    for n in 0..15 {
        assert_eq!(save(0, Rewritten::One).await, skipped, "{n}");
    }
    // A stored delta is read back with its base.
    let delta = (true, 3, 1);
    for n in 0..10 {
        assert_eq!(save(0, Rewritten::One).await, delta, "{n}");
    }
    // Others never back off.
    let engine = build(Incremental::lz4());
    for n in 0..30 {
        let saved = save_words((&engine, &events, &store), &keys[1], Rewritten::All).await;
        assert_eq!(saved, tried, "{n}");
    }
    let loaded = engine.load(&keys[0]).await.unwrap();
    let history = snapfold::engine::ReplayLoader::<Words>::new(events.clone());
    let truth = snapfold::Loader::load(&history, &keys[0]).await.unwrap();
    assert!(*loaded.state == *truth.state);
    assert_eq!(loaded.provenance.events_replayed, 0);
}

/// What the engine compresses with decides, and no feature that happens to be compiled in.
#[tokio::test]
async fn auto_makes_deltas_with_the_compression_of_the_engine() {
    let of = |compression: Compression| {
        let (events, store) = (MemoryEvents::new(), Store::default());
        let builder = SnapshotEngine::<Words>::builder(events.clone(), store.clone());
        let builder = builder.trigger(manual()).compression(compression);
        let engine = builder.incremental(Incremental::auto().min_bytes(1)).build().unwrap();
        async move {
            let key = AggregateKey::new("words", "a").unwrap();
            for _ in 0..2 {
                events.append(&key, Timestamp::from_seconds(1), Rewritten::One);
                engine.create(&key).await.unwrap();
            }
            let metas = store.list_all(ListRequest::new(&key)).await.unwrap();
            (metas[0].compression, metas[0].base.is_some())
        }
    };
    assert_eq!(of(Compression::default()).await, (CompressionId::LZ4, true));
    if cfg!(feature = "zstd") {
        assert_eq!(of(Compression::zstd().level(9)).await, (CompressionId::ZSTD, true));
    }
}
