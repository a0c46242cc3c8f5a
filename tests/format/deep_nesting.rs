//! No stored bytes can take the process down (R16).
//!
//! The defect: whoever can write to the store puts a record with a right checksum whose payload
//! nests a million levels deep; the decoder recurses until the stack overflows, and that aborts
//! the process, with every other aggregate's requests in it, again after each restart. Or the
//! record claims 4 GiB, and the allocator obliges.
//!
//! Every such record must be a reject with a reason, and the load a replay.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use crate::record_bytes::{Field, varint};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use snapfold::codec::{
    Bincode, Codec, Compression, CompressionId, DecodeLimits, Json, MessagePack, Postcard,
};
use snapfold::engine::EngineBuilder;
use snapfold::manager::{CreateOptions, CreateOutcome, Origin};
use snapfold::record::{Record, RecordBuilder, RejectReason};
use snapfold::store::PutOptions;
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, ErrorKind, Loaded, MemoryEvents, MemoryStore, SnapshotEngine,
    SnapshotStore, Timestamp,
};

/// Deep enough to overflow any stack.
const DEEP: usize = 200_000;

trait State: Aggregate<Event = u32> + Serialize + DeserializeOwned + Debug + PartialEq {}
impl<S: Aggregate<Event = u32> + Serialize + DeserializeOwned + Debug + PartialEq> State for S {}

macro_rules! aggregate {
    ($name:ident, $initial:expr, $apply:expr) => {
        impl Aggregate for $name {
            type Event = u32;
            const KIND: &'static str = "deep";
            const SCHEMA_VERSION: u32 = 1;

            fn initial(_: &AggregateKey) -> Self {
                $initial
            }

            fn apply(&mut self, event: &u32) {
                let apply: fn(&mut Self, u32) = $apply;
                apply(self, *event);
            }
        }
    };
}

/// Nests through a sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Folder {
    inside: Vec<Folder>,
}
aggregate!(Folder, Self::default(), |state, event| {
    let mut at = state;
    for _ in 0..event {
        if at.inside.is_empty() {
            at.inside.push(Self::default());
        }
        at = &mut at.inside[0];
    }
});

/// Nests through the variants of an enum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Formula {
    Number(u32),
    Not(Box<Formula>),
    Both(Box<Formula>, Box<Formula>),
    Named { of: Box<Formula> },
}
aggregate!(Formula, Self::Number(0), |state, event| {
    *state = if event % 2 == 0 {
        Self::Both(Box::new(state.clone()), Box::new(Self::Number(event)))
    } else {
        Self::Not(Box::new(Self::Named { of: Box::new(state.clone()) }))
    };
});

/// Nests through options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Chain {
    next: Option<Box<Chain>>,
}
aggregate!(Chain, Self::default(), |state, _| {
    *state = Self { next: Some(Box::new(state.clone())) };
});

/// Nests through newtypes and the values of a map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tree(BTreeMap<u8, Tree>);
aggregate!(Tree, Self::default(), |state, event| {
    state.0.insert(u8::try_from(event % 4).unwrap(), Self::default());
});

/// Does not nest; a format with names skips what it does not know.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Flat {
    sum: u64,
    text: String,
    numbers: Vec<u64>,
    names: HashMap<String, String>,
}
aggregate!(Flat, Self::default(), |state, event| {
    state.sum += u64::from(event);
    state.text.extend(std::iter::repeat_n('x', usize::try_from(event).unwrap()));
});

/// Takes anything, through the buffers that serde makes for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Anything {
    Number(u32),
    Many(Vec<Anything>),
    Named(BTreeMap<String, Anything>),
}
aggregate!(Anything, Self::Number(0), |state, event| {
    *state = Self::Many(vec![Self::Number(event)]);
});

fn key() -> AggregateKey {
    AggregateKey::new("deep", "a").unwrap()
}

fn history() -> MemoryEvents<u32> {
    let events = MemoryEvents::new();
    for event in 1..=4 {
        events.append(&key(), Timestamp::from_seconds(event.into()), event);
    }
    events
}

fn folded<S: State>() -> S {
    let mut state = S::initial(&key());
    (1..=4).for_each(|event| state.apply(&event));
    state
}

fn builder<S: State>(store: &MemoryStore, codec: impl Codec<S>) -> EngineBuilder<S> {
    SnapshotEngine::builder_with_codec(history(), store.clone(), codec).trigger(manual())
}

/// Runs `test` with the stack that a test thread or a tokio worker has, in a debug build too.
fn on_a_small_stack(test: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(test).unwrap().join().unwrap();
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// Stores `raw` as the snapshot at version 3, under a right checksum, and loads.
fn load_over<S: State, C: Codec<S> + Copy>(codec: C, raw: &[u8]) -> Loaded<S> {
    let store = MemoryStore::new();
    let engine = builder(&store, codec).build().unwrap();
    let record = record(&engine, &codec, raw);
    block_on(async {
        store.put(vec![record], PutOptions::default()).await.unwrap();
        engine.load(&key()).await.unwrap()
    })
}

fn record<S: State>(engine: &SnapshotEngine<S>, codec: &impl Codec<S>, raw: &[u8]) -> Record {
    RecordBuilder::new(key(), engine.generation(), 3, Timestamp::from_seconds(3))
        .codec(codec.id())
        .compression(Compression::lz4())
        .build(raw)
        .unwrap()
}

fn assert_rejected<S: State>(loaded: &Loaded<S>, what: &str) {
    assert_eq!(loaded.provenance.origin, Origin::Replay, "{what}: {}", loaded.provenance);
    let rejected = &loaded.provenance.rejected[0];
    assert!(matches!(rejected.reason, RejectReason::Decode(_)), "{what}: {rejected}");
    assert!(rejected.to_string().len() < 500, "{what}: a reason that is no flood");
    assert_eq!(*loaded.state, folded::<S>(), "{what}");
}

fn rejects<S: State, C: Codec<S> + Copy>(
    what: &'static str,
    codec: C,
    open: &'static [u8],
    close: &'static [u8],
) {
    on_a_small_stack(move || {
        // With and without an end, from just too deep to far too deep.
        for depth in [200, 1_000, 1_025, 5_000, DEEP] {
            let mut raw = open.repeat(depth);
            assert_rejected(&load_over::<S, C>(codec, &raw), what);
            raw.extend(close.repeat(depth));
            assert_rejected(&load_over::<S, C>(codec, &raw), what);
        }
    });
}

#[test]
fn a_deeply_nested_postcard_payload_is_a_reject() {
    rejects::<Folder, _>("folders", Postcard, b"\x01", b"\0");
    rejects::<Formula, _>("nots", Postcard, b"\x01", b"\0");
    rejects::<Formula, _>("boths", Postcard, b"\x02", b"\0");
    rejects::<Formula, _>("named", Postcard, b"\x03", b"\0");
    rejects::<Chain, _>("chain", Postcard, b"\x01", b"\0");
    rejects::<Tree, _>("tree", Postcard, b"\x01\x07", b"\0");
}

#[test]
fn a_deeply_nested_bincode_payload_is_a_reject() {
    rejects::<Folder, _>("folders", Bincode, b"\x01", b"\0");
    rejects::<Formula, _>("nots", Bincode, b"\x01", b"\0");
    rejects::<Formula, _>("boths", Bincode, b"\x02", b"\0");
    rejects::<Formula, _>("named", Bincode, b"\x03", b"\0");
    rejects::<Chain, _>("chain", Bincode, b"\x01", b"\0");
    rejects::<Tree, _>("tree", Bincode, b"\x01\x07", b"\0");
}

#[test]
fn a_deeply_nested_messagepack_payload_is_a_reject() {
    let codec = MessagePack;
    rejects::<Folder, _>("folders", codec, b"\x81\xa6inside\x91", b"");
    rejects::<Folder, _>("folders by position", codec, b"\x91\x91", b"");
    rejects::<Formula, _>("nots", codec, b"\x81\xa3Not", b"");
    rejects::<Formula, _>("boths", codec, b"\x81\xa4Both\x92", b"");
    rejects::<Formula, _>("named", codec, b"\x81\xa5Named\x81\xa2of", b"");
    rejects::<Chain, _>("chain", codec, b"\x81\xa4next", b"");
    rejects::<Tree, _>("tree", codec, b"\x81\x07", b"");
    rejects::<Anything, _>("anything", codec, b"\x91", b"");
    rejects::<Anything, _>("anything by name", codec, b"\x81\xa1a", b"");
}

#[test]
fn a_deeply_nested_json_payload_is_a_reject() {
    let codec = Json;
    rejects::<Folder, _>("folders", codec, br#"{"inside":["#, b"]}");
    rejects::<Formula, _>("nots", codec, br#"{"Not":"#, b"}");
    rejects::<Formula, _>("boths", codec, br#"{"Both":["#, b"]}");
    rejects::<Formula, _>("named", codec, br#"{"Named":{"of":"#, b"}}");
    rejects::<Chain, _>("chain", codec, br#"{"next":"#, b"}");
    rejects::<Tree, _>("tree", codec, br#"{"7":"#, b"}");
    rejects::<Anything, _>("anything", codec, b"[", b"]");
    rejects::<Anything, _>("anything by name", codec, br#"{"a":"#, b"}");
}

#[test]
fn what_a_type_does_not_know_is_skipped_without_recursion_beyond_the_stack() {
    // Fields that nobody knows, and bytes after the end, are read with recursion as well.
    on_a_small_stack(|| {
        let whole = b"\x81\xa3sum\x05";
        for depth in [200, 1_023, 1_024, 1_025, DEEP] {
            let mut raw = b"\x82\xa3sum\x05\xa4junk".to_vec();
            raw.extend(b"\x91".repeat(depth));
            assert_rejected(&load_over::<Flat, _>(MessagePack, &raw), "unknown field");
            raw.push(0);
            assert_rejected(&load_over::<Flat, _>(MessagePack, &raw), "unknown field");
            let mut raw = whole.to_vec();
            raw.extend(b"\x91".repeat(depth));
            assert_rejected(&load_over::<Flat, _>(MessagePack, &raw), "after the end");

            let mut raw = br#"{"sum":5,"junk":"#.to_vec();
            raw.extend(b"[".repeat(depth));
            assert_rejected(&load_over::<Flat, _>(Json, &raw), "unknown field");
            let mut raw = br#"{"sum":5,"text":"","numbers":[],"names":{}}"#.to_vec();
            raw.extend(b"[".repeat(depth));
            assert_rejected(&load_over::<Flat, _>(Json, &raw), "after the end");
        }
    });
}

#[test]
fn a_state_that_nests_moderately_is_stored_and_read_by_every_codec() {
    fn survives<S: State, C: Codec<S>>(codec: C) {
        let store = MemoryStore::new();
        let engine = builder::<S>(&store, codec).build().unwrap();
        block_on(async {
            let options = CreateOptions::new().at_version(3);
            let created = engine.create_with(&key(), options).await;
            assert!(matches!(created, Ok(CreateOutcome::Stored(_))), "{created:?}");
            let loaded = engine.load(&key()).await.unwrap();
            assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{}", loaded.provenance);
            assert_eq!(*loaded.state, folded::<S>());
        });
    }
    fn each<S: State>() {
        survives::<S, _>(Postcard);
        survives::<S, _>(Bincode);
        survives::<S, _>(MessagePack);
        survives::<S, _>(Json);
    }
    on_a_small_stack(|| {
        each::<Folder>();
        each::<Formula>();
        each::<Chain>();
        each::<Tree>();
        each::<Flat>();
        survives::<Anything, _>(MessagePack);
        survives::<Anything, _>(Json);
    });
}

/// What a codec can read back, it writes; what nests deeper is refused when it is written, and
/// not only when somebody needs it.
#[test]
fn a_state_that_nests_too_deep_to_be_read_back_is_not_stored() {
    fn refused<C: Codec<Folder>>(codec: C) {
        let events = MemoryEvents::new();
        let store = MemoryStore::new();
        events.append(&key(), Timestamp::from_seconds(1), 3);
        events.append(&key(), Timestamp::from_seconds(2), 400);
        let begin = SnapshotEngine::builder_with_codec(events, store.clone(), codec);
        let engine = begin.trigger(manual()).build().unwrap();
        block_on(async {
            let error = engine.create(&key()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode, "{error:?}");
            assert_eq!(engine.stats(&key()).await.unwrap().snapshots, 0);
        });
    }
    on_a_small_stack(|| {
        refused(Postcard);
        refused(Bincode);
        refused(MessagePack);
        refused(Json);
    });
}

#[test]
fn a_payload_that_claims_more_than_it_holds_is_a_reject() {
    fn rejected<C: Codec<Flat> + Copy>(what: &str, codec: C, raw: &[u8]) {
        assert_rejected(&load_over::<Flat, C>(codec, raw), what);
    }
    // sum = 0, then lengths of text, numbers, names up to the ends of their types.
    let huge: [&[u8]; 3] = [
        b"\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\xff\xff\xff\xff\x0f",
    ];
    for length in huge {
        for before in [&b"\0"[..], b"\0\0", b"\0\0\0"] {
            rejected("postcard", Postcard, &[before, length].concat());
        }
    }
    for before in [&b"\0"[..], b"\0\0", b"\0\0\0"] {
        // 253: eight bytes follow. The last one is below bincode's own limit.
        for length in [u64::MAX, i64::MAX as u64, 1 << 40, 63 << 20] {
            let raw = [before, b"\xfd", &length.to_le_bytes()].concat();
            rejected("bincode", Bincode, &raw);
        }
    }
    for field in [&b"\xa4text\xdb"[..], b"\xa7numbers\xdd", b"\xa5names\xdf"] {
        let raw = [b"\x81", field, &[0xff; 4]].concat();
        rejected("MessagePack", MessagePack, &raw);
    }
}

/// A compressed record that claims another raw length, under right checksums.
fn claiming(record: &Record, raw_bytes: u32) -> Record {
    assert_ne!(record.header().unwrap().compression, CompressionId::NONE);
    let claim = varint(raw_bytes.into());
    Record::from_bytes(crate::record_bytes::with(record.as_bytes(), &[(Field::RawLength, &claim)]))
}

#[test]
fn a_record_that_claims_more_than_the_limit_is_a_reject_before_it_is_opened() {
    let store = MemoryStore::new();
    let limited = || builder::<Flat>(&store, Postcard).max_state_bytes(1_000);
    let engine = limited().build().unwrap();
    block_on(async {
        // 4 GiB claimed by a header with a right checksum, of a payload of a few bytes.
        let claims = claiming(&record(&engine, &Postcard, &[7; 4_096]), u32::MAX);
        assert_eq!(claims.verify().unwrap().raw_bytes, u32::MAX);
        for (record, claimed) in
            [(claims, u64::from(u32::MAX)), (record(&engine, &Postcard, &[0; 1_001]), 1_001)]
        {
            store.put(vec![record], PutOptions::default().replace(true)).await.unwrap();
            let loaded = engine.load(&key()).await.unwrap();
            let rejected = &loaded.provenance.rejected[0].reason;
            assert_eq!(*rejected, RejectReason::TooLarge { bytes: claimed, limit: 1_000 });
            assert_eq!(*loaded.state, folded::<Flat>());
        }
    });
}

#[test]
fn a_record_that_lies_about_its_decompressed_length_is_a_reject() {
    let store = MemoryStore::new();
    let engine = builder::<Flat>(&store, Postcard).build().unwrap();
    for lie in [0, 1, 4_095, 4_097, 200 << 20] {
        let lying = claiming(&record(&engine, &Postcard, &[7; 4_096]), lie);
        block_on(async {
            let put = PutOptions::default().replace(true);
            store.put(vec![lying], put).await.unwrap();
            let loaded = engine.load(&key()).await.unwrap();
            assert_eq!(loaded.provenance.rejected[0].reason, RejectReason::Decompress, "{lie}");
            assert_eq!(*loaded.state, folded::<Flat>());
        });
    }
}

#[test]
fn a_state_above_the_limit_is_not_written_and_one_at_the_limit_is() {
    fn with<C: Codec<Flat> + Copy>(codec: C) {
        let mut encoded = Vec::new();
        codec.encode(&folded::<Flat>(), &mut encoded).unwrap();
        let size = encoded.len() as u64;
        let store = MemoryStore::new();
        block_on(async {
            let small = builder::<Flat>(&store, codec).max_state_bytes(size - 1).build().unwrap();
            let error = small.create(&key()).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encode);
            assert!(!error.is_retryable());
            let text = error.to_string();
            assert!(text.contains("max_state_bytes") && text.contains(&size.to_string()), "{text}");
            let just = builder::<Flat>(&store, codec).max_state_bytes(size).build().unwrap();
            assert!(matches!(just.create(&key()).await.unwrap(), CreateOutcome::Stored(_)));
            // And the limit holds for reading: what one engine may write another may refuse.
            assert_eq!(just.load(&key()).await.unwrap().provenance.origin, Origin::Snapshot);
            let loaded = small.load(&key()).await.unwrap();
            let reject = RejectReason::TooLarge { bytes: size, limit: size - 1 };
            assert_eq!(loaded.provenance.rejected[0].reason, reject);
            assert_eq!(*loaded.state, folded::<Flat>());
        });
    }
    with(Postcard);
    with(Bincode);
    with(MessagePack);
    with(Json);
}

#[test]
fn bincode_writes_nothing_beyond_its_own_limit() {
    let codec = Bincode;
    let limit = 64 << 20;
    let mut out = b"before".to_vec();
    let large = "x".repeat(limit + 1);
    assert!(Codec::<String>::encode(&codec, &large, &mut out).is_err());
    let mut out = Vec::new();
    let fits = "x".repeat(limit - 64);
    Codec::<String>::encode(&codec, &fits, &mut out).unwrap();
    let back: String = codec.decode(&out, DecodeLimits::UNLIMITED).unwrap();
    assert!(back == fits);
}
