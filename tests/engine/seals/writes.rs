//! Everything that holds a state is sealed, and proved to open again before it is stored.

use std::slice;
use std::time::Duration;

use snapfold::codec::{Compression, CompressionId, Dictionary, Seal, SealContext, Sealed};
use snapfold::engine::{Incremental, TrainingRequest};
use snapfold::manager::{CreateOptions, CreateOutcome, Origin};
use snapfold::store::SnapshotStore;
use snapfold::trigger::every_events;
use snapfold::{Aggregate, AggregateKey, BoxError, ErrorKind};

use super::{SECRET, contains, note, origin, records, reopened, seal_key, sealing, settings};
use crate::own_coding::{Fault, NoCipher, Runs};
use crate::support::{Account, Op, World, key};

#[tokio::test]
async fn each_way_to_take_a_snapshot_seals_it() {
    let seal = NoCipher::new("k1");
    let world = World::with(|builder| settings(builder, &seal).trigger(every_events(1)));
    let keys: Vec<_> = ["a", "b", "c", "d"].map(key).into();
    for key in &keys {
        note(&world, key, 5);
    }
    world.engine.create(&keys[0]).await.unwrap();
    world.engine.create_with(&keys[0], CreateOptions::new().at_version(2)).await.unwrap();
    world.engine.create_many(&keys[1..3]).await.into_iter().for_each(|it| drop(it.unwrap()));
    world.engine.rebuild(&keys[1], 3).await.unwrap();
    world.engine.rebuild(&keys[1], 5).await.unwrap();
    world.engine.refold(&keys[2], Some(4)).await.unwrap();
    let loaded = world.engine.load(&keys[3]).await.unwrap();
    assert!(world.engine.committed(&loaded, 5).is_queued());
    world.engine.flush(Duration::from_secs(60)).await.unwrap();
    let mut count = 0;
    for key in &keys {
        for record in records(&world.store, key).await {
            let header = record.verify().unwrap();
            assert_eq!(header.seal_key, Some("k1"));
            // Nothing is compressed, so the state would be there in clear.
            assert_eq!(header.compression, CompressionId::NONE);
            assert!(header.payload_bytes > header.raw_bytes);
            assert!(!contains(&record, SECRET) && !contains(&record, "nobody"));
            count += 1;
        }
        assert_eq!(origin(&world, key).await, (Origin::Snapshot, vec![]));
        assert!(world.engine.verify(key).await.unwrap().is_clean());
    }
    assert_eq!(count, 7);
    // What it guards against can be seen: without a seal, the state is in clear.
    let clear = reopened(&world, |builder| builder.compression(Compression::none()));
    note(&clear, &keys[0], 1);
    clear.engine.create(&keys[0]).await.unwrap();
    assert!(contains(&world.store.record(&keys[0], 6).await, SECRET));
    assert_eq!(seal_key(&clear, &keys[0], 6).await, None);
    // An engine with a seal reads what was stored before there was one.
    assert_eq!(origin(&world, &keys[0]).await, (Origin::Snapshot, vec![]));
}

fn dictionary() -> Dictionary {
    Dictionary::from_bytes(SECRET.as_bytes()).unwrap()
}

#[tokio::test]
async fn whatever_the_compression_a_payload_is_sealed_after_it() {
    let runs = Compression::custom(Runs::new()).min_saving_percent(0).min_bytes(1);
    let small = |compression: Compression| compression.min_bytes(1).min_saving_percent(0);
    for (compression, id) in [
        (Compression::none(), CompressionId::NONE),
        (small(Compression::lz4()), CompressionId::LZ4),
        (small(Compression::zstd()), CompressionId::ZSTD),
        (small(Compression::zstd().dictionary(dictionary())), CompressionId::ZSTD),
        (runs, CompressionId::custom(7)),
    ] {
        let seal = NoCipher::new("k1");
        let world = World::with(|builder| settings(builder, &seal).compression(compression));
        let key = key("a");
        world.source.append(&key, 1, crate::support::Event::Noted("z".repeat(700)));
        let Ok(CreateOutcome::Stored(meta)) = world.engine.create(&key).await else { panic!() };
        assert_eq!((meta.compression, meta.seal_key.as_deref()), (id, Some("k1")));
        assert!(meta.raw_bytes > 700, "{meta:?}");
        assert_eq!(meta.stored_bytes > 700, id == CompressionId::NONE, "{meta}");
        assert!(!contains(&world.store.record(&key, 1).await, "zzzz"), "{id}");
        assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    }
}

/// A delta without a length is one, too.
#[tokio::test]
async fn deltas_are_sealed_and_so_are_their_bases() {
    for how in [Incremental::lz4(), Incremental::zstd()] {
        let seal = NoCipher::new("k1");
        let how = how.min_bytes(1).max_percent(u8::MAX);
        let world = World::with(|builder| settings(builder, &seal).incremental(how));
        let key = key("a");
        note(&world, &key, 3);
        for version in 1..=3 {
            let options = CreateOptions::new().at_version(version);
            world.engine.create_with(&key, options).await.unwrap();
        }
        let all = records(&world.store, &key).await;
        let bases = all.iter().map(|record| record.header().unwrap().base.map(|base| base.version));
        assert_eq!(bases.collect::<Vec<_>>(), [Some(1), Some(1), None]);
        for record in &all {
            assert_eq!(record.verify().unwrap().seal_key, Some("k1"));
            assert!(!contains(record, SECRET) && !contains(record, "secret"));
        }
        for version in 1..=3 {
            let loaded = world.engine.at_version(&key, version).await.unwrap();
            assert_eq!(loaded.provenance.events_replayed, 0);
        }
        assert_eq!(origin(&world, &key).await, (Origin::Snapshot, vec![]));
    }
}

/// A state that never changes.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Still(String);

impl Aggregate for Still {
    type Event = ();
    const KIND: &'static str = "still";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(key: &AggregateKey) -> Self {
        Self(format!("{SECRET} {}", key.id()))
    }

    fn apply(&mut self, (): &()) {}
}

#[tokio::test]
async fn a_delta_of_no_length_is_sealed_and_opened() {
    let (seal, events) = (NoCipher::new("k1"), snapfold::MemoryEvents::new());
    let store = snapfold::MemoryStore::new();
    let engine = snapfold::SnapshotEngine::<Still>::builder(events.clone(), store.clone())
        .incremental(Incremental::lz4().min_bytes(1))
        .seal(seal)
        .build()
        .unwrap();
    let key = Still::key("s").unwrap();
    for _ in 0..2 {
        events.append(&key, crate::support::at(1), ());
        engine.create(&key).await.unwrap();
    }
    let all = records(&store, &key).await;
    let header = all[0].verify().unwrap();
    assert_eq!((header.base.map(|base| base.version), header.seal_key), (Some(1), Some("k1")));
    // The number and the checksum of the seal, and nothing more.
    assert_eq!(header.payload_bytes, 16);
    let loaded = engine.load(&key).await.unwrap();
    assert_eq!(loaded.provenance.events_replayed, 0);
    assert_eq!(*loaded.state, Still::initial(&key));
}

#[tokio::test]
async fn nothing_is_stored_that_the_seal_does_not_open_again() {
    for fault in Fault::ALL.into_iter().chain([Fault::LongKeyId, Fault::ForgetsKey]) {
        let seal = NoCipher::new("k1");
        let (world, key) = (sealing(&seal), key("a"));
        note(&world, &key, 1);
        seal.set(fault);
        let error = world.engine.create(&key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encode, "{fault:?}: {error:#}");
        let expected = match fault {
            Fault::WriteFails | Fault::WritePanics => "the seal failed",
            Fault::ReadFails | Fault::ReadPanics => "cannot open what it sealed",
            Fault::LongKeyId => "a key id of more than 255 bytes",
            Fault::ForgetsKey => "does not have the key that it sealed with",
            _ => "does not open to the bytes that it was given",
        };
        assert!(error.to_string().contains(expected), "{error}");
        assert!(!format!("{error:#} {error:?}").contains("secret"), "{error:?}");
        assert!(world.engine.create_many(slice::from_ref(&key)).await[0].is_err());
        assert!(world.engine.rebuild(&key, 1).await.is_err());
        assert_eq!(world.store.calls(Op::Put), 0, "{fault:?}");
        assert_eq!(origin(&world, &key).await, (Origin::Replay, vec![]));
    }
}

/// Returns a fixed payload for everything.
#[derive(Debug)]
struct Confused;

impl Seal for Confused {
    fn seal(&self, _: SealContext<'_>, _: &[u8]) -> Result<Sealed, BoxError> {
        Ok(Sealed::new("k", *b"always the same"))
    }

    fn open(
        &self,
        _: SealContext<'_>,
        _: &str,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, BoxError> {
        Ok(Some(sealed.to_vec()))
    }
}

#[tokio::test]
async fn a_seal_that_returns_something_else_than_it_was_given_stores_nothing() {
    let world = World::with(|builder| builder.seal(Confused));
    note(&world, &key("a"), 1);
    let error = world.engine.create(&key("a")).await.unwrap_err();
    assert!(error.to_string().contains("does not open to the bytes that it was given"), "{error}");
    assert_eq!(world.store.calls(Op::Put), 0);
}

/// The state of each snapshot is a sample, so each has to be opened.
#[tokio::test]
async fn a_dictionary_is_trained_from_sealed_snapshots() {
    let seal = NoCipher::new("k1");
    let world = sealing(&seal);
    let keys: Vec<_> = (0..200).map(|n| key(&format!("customer-{n}"))).collect();
    for key in &keys {
        note(&world, key, 1);
        world.engine.create(key).await.unwrap();
    }
    let request = TrainingRequest::new().max_bytes(1_024);
    let training = world.engine.train_dictionary(&request).await.unwrap();
    assert_eq!(training.samples, 200);
    // As documented: pieces of states, in clear.
    let dictionary = training.dictionary.unwrap();
    let text = String::from_utf8_lossy(dictionary.as_bytes()).into_owned();
    assert!(text.contains("secret"), "{text}");
    // Nobody trains one without the keys.
    let without = reopened(&world, |builder| builder);
    assert!(without.engine.train_dictionary(&request).await.is_err());
    seal.forget("k1");
    assert!(world.engine.train_dictionary(&request).await.is_err());
}

/// Two sealed payloads of one state differ, so digests decide.
#[tokio::test]
async fn the_same_state_is_recognized_although_its_payload_differs() {
    let seal = NoCipher::new("k1");
    let (world, key) = super::stored(&seal).await;
    let first = world.store.record(&key, 3).await;
    let again = world.engine.create(&key).await.unwrap();
    assert!(matches!(again, CreateOutcome::Existing { identical: true, .. }), "{again}");
    let other = sealing(&seal);
    note(&other, &key, 3);
    other.engine.create(&key).await.unwrap();
    let second = other.store.record(&key, 3).await;
    assert_ne!(first, second);
    assert!(first.has_state_of(&second) && second.has_state_of(&first));
    assert!(first.has_state_of(&first));
    let put = world.store.put(vec![second.clone()], snapfold::store::PutOptions::default()).await;
    assert_eq!(put.unwrap(), [snapfold::store::PutOutcome::Existing { identical: true }]);
    // A different one is not taken for it.
    let (differs, account) = (sealing(&seal), Account::key("a").unwrap());
    differs.grow(&account, 3);
    differs.engine.create(&account).await.unwrap();
    assert!(!first.has_state_of(&differs.store.record(&account, 3).await));
}
