//! Stored snapshots get another compression.
//!
//! Guards against: a state, mark or label that changes with the form; a snapshot that another
//! process has replaced or deleted and that comes back; a delta that loses its base; a damaged
//! record that is copied into a valid one.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use snapfold::codec::{Compression, CompressionId, Dictionary};
use snapfold::engine::{EngineBuilder, Incremental, ManualClock, RecompressRequest, Recompressed};
use snapfold::layer::{Faults, FaultyStore, TieredStore};
use snapfold::manager::{CreateOptions, Origin};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::retention::keep_last;
use snapfold::store::{
    DeleteOptions, ListRequest, Mark, MarkChange, PutOptions, Query, Rewrite, Selection,
    SnapshotStoreExt,
};
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, MemoryEvents, MemoryStore, SnapshotEngine, SnapshotId,
    SnapshotStore, Timestamp,
};

use crate::support::{Limited, Store};

/// About 10 KB of text in JSON's manner, which Zstandard compresses better than LZ4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Cart {
    lines: Vec<String>,
    total: u64,
}

impl Aggregate for Cart {
    type Event = u64;
    const KIND: &'static str = "cart";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        let line = |n: u64| {
            let price = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 100_000;
            format!("{{\"cart\":\"{}\",\"article\":{n},\"price\":{price}}}", key.id())
        };
        Self { lines: (0..200).map(line).collect(), total: 0 }
    }

    fn apply(&mut self, event: &u64) {
        self.total = self.total.wrapping_mul(31).wrapping_add(*event);
        let at = usize::try_from(*event).unwrap() % self.lines.len();
        self.lines[at] = format!("{{\"changed\":{}}}", self.total);
    }
}

fn truth(key: &AggregateKey, events: u64) -> Cart {
    let mut state = Cart::initial(key);
    (1..=events).for_each(|event| state.apply(&event));
    state
}

struct World {
    events: MemoryEvents<u64>,
    store: Arc<dyn SnapshotStore>,
}

impl World {
    fn new() -> Self {
        Self::over(Arc::new(MemoryStore::new()))
    }

    fn over(store: Arc<dyn SnapshotStore>) -> Self {
        Self { events: MemoryEvents::new(), store }
    }

    fn builder(&self) -> EngineBuilder<Cart> {
        SnapshotEngine::builder(self.events.clone(), Arc::clone(&self.store))
            .trigger(manual())
            .retention(keep_last(99))
    }

    /// Takes snapshots at these versions of a new aggregate.
    async fn history(
        &self,
        engine: &SnapshotEngine<Cart>,
        id: &str,
        versions: &[u64],
    ) -> AggregateKey {
        let key = Cart::key(id).unwrap();
        for event in 1..=*versions.last().unwrap() {
            self.events.append(&key, Timestamp::from_seconds(1), event);
        }
        for version in versions {
            let options = CreateOptions::new().at_version(*version).label("month-end");
            engine.create_with(&key, options).await.unwrap();
        }
        key
    }

    async fn metas(&self, key: &AggregateKey) -> Vec<SnapshotMeta> {
        self.store.list_all(ListRequest::new(key)).await.unwrap()
    }

    async fn bytes(&self, key: &AggregateKey) -> u64 {
        self.metas(key).await.iter().map(|meta| meta.stored_bytes).sum()
    }
}

/// Checks every version of an aggregate, and that those at `snapshots` come from a snapshot.
async fn check(engine: &SnapshotEngine<Cart>, key: &AggregateKey, last: u64, snapshots: &[u64]) {
    for version in 1..=last {
        let loaded = engine.at_version(key, version).await.unwrap();
        assert_eq!(*loaded.state, truth(key, version));
        if snapshots.contains(&version) {
            assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{version}");
        }
    }
}

fn hard() -> RecompressRequest {
    RecompressRequest::new(Compression::zstd().level(15))
}

#[tokio::test]
async fn only_the_form_changes() {
    let world = World::new();
    let engine = world.builder().build().unwrap();
    let key = world.history(&engine, "a", &[2, 4, 6]).await;
    let pin = Mark::pin("audit", Timestamp::from_seconds(7));
    let set = MarkChange::Set(&pin);
    world.store.mark(&key, Selection::Below(4), set).await.unwrap();
    let (before, bytes) = (world.metas(&key).await, world.bytes(&key).await);

    let foreseen = engine.recompress(&hard().dry_run(true)).await.unwrap();
    assert_eq!(world.metas(&key).await, before);
    let report = engine.recompress(&hard()).await.unwrap();
    assert_eq!(report, foreseen);
    assert_eq!((report.aggregates, report.rewritten, report.kept), (1, 3, 0));
    assert_eq!((report.bytes_before, report.bytes_after), (bytes, world.bytes(&key).await));
    assert!(report.bytes_after * 10 < bytes * 8, "{report}");

    let after = world.metas(&key).await;
    assert!(after.iter().all(|meta| meta.compression == CompressionId::ZSTD));
    for (mut old, new) in before.into_iter().zip(after) {
        old.compression = new.compression;
        old.payload_checksum = new.payload_checksum;
        old.stored_bytes = new.stored_bytes;
        assert_eq!(old, new);
    }
    check(&engine, &key, 6, &[2, 4, 6]).await;
    assert!(engine.verify(&key).await.unwrap().is_clean());

    // What is small stays as it is.
    let again = engine.recompress(&hard()).await.unwrap();
    assert_eq!((again.rewritten, again.kept, again.bytes_before), (0, 3, 0));
    assert_eq!(again.to_string(), "0 snapshots of 1 aggregates rewritten, 0 bytes now 0, 3 kept");
}

#[tokio::test]
async fn a_request_selects_aggregates_and_times_and_goes_on_from_its_cursor() {
    let world = World::new();
    let clock = ManualClock::at(Timestamp::from_seconds(100));
    let engine = world.builder().clock(clock.clone()).build().unwrap();
    let mut keys = Vec::new();
    for id in ["a", "b", "c", "d", "e"] {
        keys.push(world.history(&engine, id, &[2]).await);
    }
    clock.set(Timestamp::from_seconds(200));
    for key in &keys {
        world.events.append(key, Timestamp::from_seconds(1), 3);
        engine.create(key).await.unwrap();
    }
    let one = engine.recompress(&hard().key(keys[1].clone())).await.unwrap();
    assert_eq!((one.aggregates, one.rewritten, one.next), (1, 2, None));
    let foreign = AggregateKey::new("another", "a").unwrap();
    let error = engine.recompress(&hard().key(foreign)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let nobody = engine.recompress(&hard().tenant("nobody")).await.unwrap();
    assert_eq!(nobody, Recompressed::default());

    let mut request = hard().created_before(Timestamp::from_seconds(200)).limit(2);
    let (mut calls, mut rewritten, mut kept) = (0, 0, 0);
    loop {
        let report = engine.recompress(&request).await.unwrap();
        (calls, rewritten, kept) = (calls + 1, rewritten + report.rewritten, kept + report.kept);
        if report.next.is_none() {
            break;
        }
        request = request.after(report.next);
    }
    assert_eq!((calls, rewritten, kept), (3, 4, 1));
    for key in &keys {
        let newest = &world.metas(key).await[0];
        assert_eq!(newest.compression == CompressionId::ZSTD, *key == keys[1]);
        check(&engine, key, 3, &[2, 3]).await;
    }
}

#[tokio::test]
async fn deltas_stay_usable_and_can_be_made_whole() {
    let world = World::new();
    let incremental = Incremental::lz4().max_percent(100);
    let engine = world.builder().incremental(incremental).build().unwrap();
    let key = world.history(&engine, "a", &[2, 4, 6]).await;
    let deltas = |metas: &[SnapshotMeta]| metas.iter().filter(|meta| meta.base.is_some()).count();
    assert_eq!(deltas(&world.metas(&key).await), 2);

    // The base gets another form, and the deltas none.
    let report = engine.recompress(&hard()).await.unwrap();
    assert_eq!((report.rewritten, report.made_whole), (1, 0));
    assert_eq!(deltas(&world.metas(&key).await), 2);
    check(&engine, &key, 6, &[2, 4, 6]).await;

    let base = [world.metas(&key).await[2].id()];
    let delete = || world.store.delete(&key, Selection::Ids(&base), DeleteOptions::default());
    assert_eq!(delete().await.unwrap().needed, 1);
    let report = engine.recompress(&hard().whole_deltas(true)).await.unwrap();
    assert_eq!((report.rewritten, report.made_whole, report.kept), (2, 2, 1));
    assert!(report.bytes_after > report.bytes_before);
    assert_eq!(deltas(&world.metas(&key).await), 0);
    assert_eq!(delete().await.unwrap().snapshots, 1);
    check(&engine, &key, 6, &[4, 6]).await;
}

#[tokio::test]
async fn a_new_dictionary_reaches_old_snapshots() {
    let world = World::new();
    let engine = world.builder().compression(Compression::zstd()).build().unwrap();
    for n in 10..60 {
        world.history(&engine, &n.to_string(), &[1]).await;
    }
    let sample = postcard::to_stdvec(&truth(&Cart::key("10").unwrap(), 1)).unwrap();
    let dictionary = Dictionary::from_bytes(sample).unwrap();
    let request = RecompressRequest::new(Compression::zstd().dictionary(dictionary.clone()));
    let report = engine.recompress(&request).await.unwrap();
    assert_eq!(report.rewritten, 50, "{report}");
    assert!(report.bytes_after * 2 < report.bytes_before, "{report}");
    let key = Cart::key("17").unwrap();
    let successor = world.builder().dictionary(dictionary).build().unwrap();
    check(&successor, &key, 1, &[1]).await;
    // This engine lacks the dictionary, so it replays, and it cannot recompress.
    assert_eq!(engine.load(&key).await.unwrap().provenance.origin, Origin::Replay);
    let report = engine.recompress(&hard().key(key)).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable), (0, 1));
}

/// A snapshot is read, and rebuilt or deleted by another process before it is rewritten.
#[tokio::test]
async fn what_others_change_meanwhile_stays_as_they_left_it() {
    let store = Store::default();
    let world = World::over(Arc::new(store.clone()));
    let engine = world.builder().build().unwrap();
    let key = world.history(&engine, "a", &[2, 4, 6]).await;

    store.put_gate.close();
    let own = engine.clone();
    let recompression = tokio::spawn(async move { own.recompress(&hard()).await.unwrap() });
    while store.put_gate.waiting() == 0 {
        tokio::task::yield_now().await;
    }
    let other = SnapshotEngine::<Cart>::builder(world.events.clone(), store.inner.clone());
    let other = other.compression(Compression::none()).build().unwrap();
    other.rebuild(&key, 4).await.unwrap();
    other.delete(&key, 2).await.unwrap();
    store.put_gate.open();

    let report = recompression.await.unwrap();
    assert_eq!((report.rewritten, report.changed), (1, 2), "{report}");
    let metas = world.metas(&key).await;
    let left: Vec<_> = metas.iter().map(|meta| (meta.version, meta.compression)).collect();
    assert_eq!(left, [(6, CompressionId::ZSTD), (4, CompressionId::NONE)]);
    check(&engine, &key, 6, &[4, 6]).await;
}

#[tokio::test]
async fn a_damaged_snapshot_stays_damaged() {
    let world = World::new();
    let engine = world.builder().build().unwrap();
    let key = world.history(&engine, "a", &[2, 4]).await;
    let id = SnapshotId { generation: engine.generation(), version: 2 };
    let lookup = world.store.get(Query::exact(&key, id)).await.unwrap();
    let mut bytes = lookup.into_record().unwrap().as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    let damaged = Record::from_bytes(bytes);
    let replace = PutOptions::default().replace(true);
    world.store.put(vec![damaged.clone()], replace).await.unwrap();
    let report = engine.recompress(&hard().whole_deltas(true)).await.unwrap();
    assert_eq!((report.rewritten, report.unreadable), (1, 1), "{report}");
    let lookup = world.store.get(Query::exact(&key, id)).await.unwrap();
    assert_eq!(lookup.into_record().unwrap(), damaged);
    check(&engine, &key, 4, &[4]).await;
}

#[tokio::test]
async fn a_store_without_rewrites_is_refused() {
    let plain = || {
        let inner = MemoryStore::new();
        let capabilities = inner.capabilities().rewrites(false);
        Limited(inner, capabilities)
    };
    for store in [
        Arc::new(plain()) as Arc<dyn SnapshotStore>,
        Arc::new(TieredStore::new(MemoryStore::new(), plain())),
    ] {
        let world = World::over(store);
        let engine = world.builder().build().unwrap();
        let key = world.history(&engine, "a", &[2]).await;
        let error = engine.recompress(&hard()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let record = world.store.get(Query::latest(&key, engine.generation())).await.unwrap();
        let record = record.into_record().unwrap();
        let direct = world.store.rewrite(vec![Rewrite::new(record.clone(), record)]).await;
        assert_eq!(direct.unwrap_err().kind(), ErrorKind::Unsupported);
    }
}

/// A load equals a full replay, whatever was recompressed before, over a store with faults.
#[tokio::test(start_paused = true)]
async fn loads_equal_replays_between_recompressions() {
    let mut rewritten = 0;
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let inner: Arc<dyn SnapshotStore> = if random.bool() {
            Arc::new(MemoryStore::new())
        } else {
            Arc::new(TieredStore::new(MemoryStore::new(), MemoryStore::new()))
        };
        let store = FaultyStore::new(inner, Faults::mixed(seed, 0.03));
        let world = World::over(Arc::new(store.clone()));
        let incremental = Incremental::zstd().max_percent(100).min_bytes(1);
        let engines = [
            world.builder().build().unwrap(),
            world.builder().incremental(incremental).build().unwrap(),
        ];
        let keys = ["a", "b"].map(|id| Cart::key(id).unwrap());
        let mut lengths = [0; 2];
        for _ in 0..80 {
            let (which, engine) = (random.usize(..2), &engines[random.usize(..2)]);
            let (key, length) = (&keys[which], &mut lengths[which]);
            match random.u8(..8) {
                0 | 1 => {
                    for _ in 0..random.u8(1..4) {
                        *length += 1;
                        world.events.append(key, Timestamp::from_seconds(1), *length);
                    }
                }
                2 | 3 => drop(engine.create(key).await),
                4 => drop(engine.apply_retention(key, &keep_last(3)).await),
                5 if *length > 0 => drop(engine.rebuild(key, random.u64(1..=*length)).await),
                _ => {
                    let compression = match random.u8(..4) {
                        0 => Compression::none(),
                        1 => Compression::lz4(),
                        2 => Compression::zstd().level(1),
                        _ => Compression::zstd().level(12),
                    };
                    let request = RecompressRequest::new(compression);
                    let request = request.whole_deltas(random.bool());
                    rewritten += engine.recompress(&request).await.map_or(0, |of| of.rewritten);
                }
            }
            let version = random.u64(..=*length);
            if let Ok(loaded) = engine.at_version(key, version).await {
                assert_eq!(*loaded.state, truth(key, version), "seed {seed}");
            }
        }
        store.stop();
        for (key, length) in keys.iter().zip(lengths) {
            for engine in &engines {
                check(engine, key, length, &[]).await;
            }
        }
    }
    assert!(rewritten > 100, "{rewritten}");
}
