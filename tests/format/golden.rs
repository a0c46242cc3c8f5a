//! Records that were written once must stay readable for ever, and the writer must go on writing
//! the same bytes: a format that drifts unnoticed turns every stored snapshot into a miss, or
//! worse, into another state.
//!
//! The files in `fixtures/format` were written by the release that introduced what they show.
//! `SNAPFOLD_WRITE_GOLDEN=1 cargo test --all-features --test format golden` writes those that are
//! missing; a file that is there is never changed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use snapfold::codec::{
    Bincode, Codec, CodecId, Compression, Json, MessagePack, Postcard, SealContext,
};
use snapfold::engine::EngineBuilder;
use snapfold::ledger::AuditHash;
use snapfold::manager::{CreateOptions, Origin};
use snapfold::record::{
    ChangeSummary, Generation, Record, RecordBuilder, SigningKeys, SnapshotDetails, SnapshotSource,
};
use snapfold::store::PutOptions;
use snapfold::{
    Aggregate, AggregateKey, MemoryEvents, MemoryStore, SnapshotEngine, SnapshotId, SnapshotStore,
    Timestamp,
};

use crate::own_coding::NoCipher;

/// One of each: what a state is usually made of.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Order {
    customer: String,
    lines: Vec<Line>,
    notes: BTreeMap<String, Option<i64>>,
    status: Status,
    digest: [u8; 4],
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Line {
    sku: u32,
    price: (i64, char),
    weight: f64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
enum Status {
    #[default]
    Open,
    Paid(u64),
    Returned {
        reason: String,
    },
}

impl Aggregate for Order {
    type Event = u64;
    const KIND: &'static str = "order";
    const SCHEMA_VERSION: u32 = 2;

    fn initial(_: &AggregateKey) -> Self {
        Self::default()
    }

    fn apply(&mut self, event: &u64) {
        self.customer = "Ada".into();
        self.lines.push(Line { sku: 7, price: (-1_999, 'e'), weight: 0.25 });
        self.notes.insert(format!("n{event}"), event.is_multiple_of(2).then_some(-1));
        self.status = match event % 3 {
            0 => Status::Open,
            1 => Status::Paid(u64::MAX),
            _ => Status::Returned { reason: "too small".into() },
        };
        self.digest = [1, 2, 3, 0xff];
    }
}

fn golden(name: &str, written_now: &Record) -> Record {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/format").join(name);
    if std::env::var_os("SNAPFOLD_WRITE_GOLDEN").is_some() && !path.exists() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, written_now.as_bytes()).unwrap();
    }
    Record::from_bytes(std::fs::read(&path).expect("a golden file is missing"))
}

fn builder() -> RecordBuilder {
    let key = AggregateKey::from_parts("north", "account", "al\u{ed}ce").unwrap();
    let generation = Generation { schema_version: 3, fingerprint: 0x0123_4567_89ab_cdef };
    RecordBuilder::new(key, generation, 42, Timestamp::from_micros(1_000_001))
        .created_at(Timestamp::from_micros(-5))
}

#[test]
fn the_fixed_part_of_a_header_is_where_the_format_says() {
    let record = builder().codec(CodecId::custom(9)).build(b"state").unwrap();
    assert_eq!(golden("1-plain.bin", &record), record);

    let bytes = golden("1-plain.bin", &record);
    let bytes = bytes.as_bytes();
    let number = |at: usize, len: usize| {
        bytes[at..at + len].iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte))
    };
    assert_eq!(&bytes[..4], b"SNF\x01");
    assert_eq!(number(4, 4), u64::from(crc32fast::hash(&bytes[8..60])));
    assert_eq!(number(8, 4), u64::from(crc32fast::hash(b"state")));
    assert_eq!((number(12, 8), number(20, 8)), (0x0123_4567_89ab_cdef, 1_000_001), "as-of time");
    assert_eq!(number(28, 1), 60, "header length");
    assert_eq!((number(29, 1), number(30, 1), number(31, 1)), (5, 7, 6), "key lengths");
    assert_eq!(&bytes[32..50], "northaccountal\u{ed}ce".as_bytes());
    assert_eq!((number(50, 1), number(51, 1)), (1, 0), "checksum and compression");
    assert_eq!(number(52, 2), 0x8009, "codec");
    assert_eq!((number(54, 1), number(55, 1)), (3, 42), "schema version, version");
    // -5 lies 1,000,006 before the as-of time: zigzag makes that 2,000,011.
    assert_eq!(bytes[56..59], [0x80 | 0x0b, 0x80 | 0x09, 0x7a], "creation time");
    assert_eq!(0x0b | 0x09 << 7 | 0x7a << 14, 2_000_011);
    assert_eq!(number(59, 1), 5, "payload length; no raw length");
    assert_eq!(&bytes[60..], b"state");
}

#[test]
fn a_compressed_payload_has_its_raw_length_too() {
    let record = builder().compression(Compression::lz4()).build(&vec![7; 1 << 16]).unwrap();
    let bytes = record.as_bytes();
    let header = record.verify().unwrap();
    let payload = u8::try_from(header.payload_bytes - 256).unwrap();
    assert!(payload < 0x80, "two bytes: {}", header.payload_bytes);
    assert_eq!(bytes[51], 1, "LZ4");
    assert_eq!(bytes[59..61], [0x80 | payload, 2], "payload length");
    assert_eq!(bytes[61..64], [0x80, 0x80, 4], "raw length");
    assert_eq!((bytes[28], header.header_bytes(), header.raw_bytes), (64, 64, 1 << 16));
}

/// The example in `docs/format.md` is a golden record, byte by byte.
#[test]
fn the_example_of_the_documentation_is_a_golden_record() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/format.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (_, example) = page.split_once("## Example").unwrap();
    let example = example.split("```").nth(1).unwrap();
    let bytes: Vec<u8> = example
        .lines()
        .skip(1)
        .flat_map(|line| line.split("  ").next().unwrap().split(' '))
        .filter(|byte| !byte.is_empty())
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect();
    let record = builder().codec(CodecId::custom(9)).build(b"state").unwrap();
    assert_eq!(bytes, golden("1-plain.bin", &record).as_bytes());
}

#[test]
fn extensions_follow_the_key_in_the_order_of_their_tags() {
    let record = builder()
        .origin("node-7")
        .label("month-end")
        .label("pinned")
        .anchor(*b"event-42")
        .last_recorded_at(Timestamp::from_micros(999))
        .build(b"state")
        .unwrap();
    let read = golden("1-extensions.bin", &record);
    assert_eq!(read, record);
    let expected = b"\x01\x08\0event-42\x02\x09\0month-end\x02\x06\0pinned\x03\x06\0node-7\
        \x04\x08\0\xe7\x03\0\0\0\0\0\0";
    assert_eq!(&read.as_bytes()[60..60 + expected.len()], expected);
    let header = read.verify().unwrap();
    assert_eq!(header.labels().collect::<Vec<_>>(), ["month-end", "pinned"]);
    assert_eq!(header.last_recorded_at, Timestamp::from_micros(999));
}

#[test]
fn details_follow_the_time_of_the_last_event() {
    let mut details = SnapshotDetails::default();
    details.source = SnapshotSource::Import;
    let generation = Generation { schema_version: 2, fingerprint: 0x0807_0605_0403_0201 };
    details.predecessor = Some(SnapshotId { generation, version: 40 });
    details.producer = Some("bank 1.4.2".into());
    details.created_by = Some("ada".into());
    details.idempotency_key = Some("r-1".into());
    details.fields = vec![("from".into(), "registry".into()), ("n".into(), String::new())];
    details.warnings = vec!["old".into(), "\u{ed}".into()];
    let mut changes = ChangeSummary::default();
    (changes.added, changes.changed, changes.removed) = (1, 300, 0);
    changes.paths = vec!["lots[0]".into(), "name".into()];
    details.changes = Some(changes);
    let record = builder().origin("n").details(details.clone()).build(b"state").unwrap();
    let read = golden("1-details.bin", &record);
    assert_eq!(read, record);
    let expected = b"\x03\x01\0n\x05\x01\0\x03\x06\x0a\0\x02\x02\x01\x02\x03\x04\x05\x06\x07\x08\
        \x07\x0a\0bank 1.4.2\x08\x03\0ada\x09\x03\0r-1\x0a\x0d\0\x04fromregistry\x0a\x02\0\x01n\
        \x0b\x03\0old\x0b\x02\0\xc3\xad\x0c\x11\0\x01\xac\x02\0\x07lots[0]\x04name";
    let header = read.verify().unwrap();
    let extensions = &read.as_bytes()[..header.header_bytes()];
    assert_eq!(&extensions[extensions.len() - expected.len()..], expected);
    assert_eq!(header.details(), details);

    // In the same generation, the predecessor is only a distance.
    let mut details = SnapshotDetails::default();
    details.predecessor = Some(SnapshotId { generation: header.generation, version: 41 });
    let record = builder().details(details.clone()).build(b"state").unwrap();
    let header = record.verify().unwrap();
    assert_eq!(
        record.as_bytes()[..header.header_bytes()][header.header_bytes() - 4..],
        [6, 1, 0, 1]
    );
    assert_eq!(header.details(), details);
}

/// The hash was computed with Python's `hmac`, over bytes put together by hand from `docs/format.md`.
#[test]
fn a_signature_covers_the_record_as_documented() {
    let secret: [u8; 32] = std::array::from_fn(|at| u8::try_from(at).unwrap());
    let keys = SigningKeys::new("k1", secret).unwrap();
    let record = builder().codec(CodecId::custom(9)).signing_keys(&keys).build(b"state").unwrap();
    let read = golden("1-signed.bin", &record);
    assert_eq!(read, record);
    let header = read.verify_signed(&keys).unwrap();
    assert_eq!((header.signing_key, header.header_bytes()), (Some("k1"), 97));
    let bytes = read.as_bytes();
    assert_eq!(bytes[60..63], [0x0d, 34, 0], "tag and length");
    let mac = AuditHash::from_bytes(bytes[63..95].try_into().unwrap());
    assert_eq!(mac.to_string(), "72935099fbefee4b4d7fac8e1542bcd2cf639563388af5c3334e70a56116be08");
    assert_eq!(&bytes[95..97], b"k1");
}

/// Each golden record is found by an engine of today, and is the state that today's fold gives.
async fn loads(name: &str, codec: impl Codec<Order> + Clone, compression: Compression) {
    loads_with(name, codec, compression, |builder| builder).await;
}

async fn loads_with(
    name: &str,
    codec: impl Codec<Order> + Clone,
    compression: Compression,
    change: impl Fn(EngineBuilder<Order>) -> EngineBuilder<Order> + Send + Sync,
) -> Record {
    let events = MemoryEvents::new();
    let key = Order::key("o-1").unwrap();
    for i in 1..=40 {
        events.append(&key, Timestamp::from_seconds(i), i.unsigned_abs());
    }
    let engine = |store: &MemoryStore| {
        let (events, store) = (events.clone(), store.clone());
        let builder = SnapshotEngine::<Order>::builder_with_codec(events, store, codec.clone())
            .compression(compression.clone())
            .clock(snapfold::engine::ManualClock::at(Timestamp::from_seconds(1_000)));
        change(builder).build().unwrap()
    };

    let fresh = MemoryStore::new();
    let writer = engine(&fresh);
    // Says as little about itself as the golden one.
    let options = CreateOptions::new().source(SnapshotSource::Trigger);
    writer.create_with(&key, options).await.unwrap();
    let query = snapfold::store::Query::latest(&key, writer.generation());
    let written = fresh.get(query).await.unwrap().into_record().unwrap();

    let read = golden(name, &written);
    let (then, now) = (read.verify().unwrap(), written.verify().unwrap());
    assert_eq!(then.generation, now.generation, "{name}: the traced fingerprint has changed");
    if compression == Compression::none() {
        // Another release of the compressor may compress better; the rest must not change.
        assert_eq!(read, written, "{name}");
    }

    let store = MemoryStore::new();
    store.put(vec![read.clone()], PutOptions::default()).await.unwrap();
    let loaded = engine(&store).load(&key).await.unwrap();
    assert_eq!(loaded.provenance.origin, Origin::Snapshot, "{name}: {}", loaded.provenance);
    let mut folded = Order::initial(&key);
    (1..=40).for_each(|i| folded.apply(&i));
    assert_eq!(*loaded.state, folded, "{name}");
    read
}

/// The seal is one of the tests. What the header tells about it, and what it is given, are not.
#[tokio::test]
async fn a_sealed_record_is_opened_as_it_was_written() {
    let sealed = |compression| {
        let seal = NoCipher::new("k1");
        (compression, move |builder: EngineBuilder<Order>| builder.seal(seal.clone()))
    };
    let (compression, seal) = sealed(Compression::none());
    let record = loads_with("1-sealed.bin", Postcard, compression, seal).await;
    let header = record.verify().unwrap();
    assert_eq!(header.seal_key, Some("k1"));
    assert_eq!(header.payload_bytes, header.raw_bytes + 16, "the number and the checksum");
    let extension = [&[0x83, 6, 0], &header.raw_bytes.to_le_bytes()[..], b"k1"].concat();
    assert_eq!(record.as_bytes()[..header.header_bytes()][header.header_bytes() - 9..], extension);

    let (compression, seal) = sealed(Compression::lz4());
    let record = loads_with("1-sealed-lz4.bin", Postcard, compression, seal).await;
    let header = record.verify().unwrap();
    assert!(header.payload_bytes < header.raw_bytes);
    let extension = [&[0x83, 6, 0], &(header.payload_bytes - 16).to_le_bytes()[..], b"k1"].concat();
    assert_eq!(record.as_bytes()[..header.header_bytes()][header.header_bytes() - 9..], extension);
}

/// What a seal binds stays what it was, or no release could open what an earlier one sealed.
#[test]
fn the_context_of_a_seal_is_as_documented() {
    let key = AggregateKey::from_parts("north", "account", "al\u{ed}ce").unwrap();
    let generation = Generation { schema_version: 3, fingerprint: 0x0123_4567_89ab_cdef };
    let expected = b"\x05\0\0\0\0\0\0\0north\x07\0\0\0\0\0\0\0account\
        \x06\0\0\0\0\0\0\0al\xc3\xadce\x03\0\0\0\xef\xcd\xab\x89\x67\x45\x23\x01\
        \x2a\0\0\0\0\0\0\0";
    assert_eq!(SealContext::new(&key, generation, 42).to_bytes(), expected);
}

#[tokio::test]
async fn states_of_every_codec_and_compression_are_read_as_they_were_written() {
    loads("1-postcard.bin", Postcard, Compression::none()).await;
    loads("1-postcard-lz4.bin", Postcard, Compression::lz4()).await;
    loads("1-msgpack.bin", MessagePack, Compression::none()).await;
    loads("1-json.bin", Json, Compression::none()).await;
    loads("1-json-lz4.bin", Json, Compression::lz4()).await;
    loads("1-bincode.bin", Bincode, Compression::none()).await;
}
