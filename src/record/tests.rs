//! Damaged records must be rejected with a reason and never decoded: every byte flipped, every
//! prefix cut, every length falsified.

use std::ops::Range;

use super::layout::{CHECKED_FROM, FIXED_BYTES, MAX_EXTENSION_BYTES, MAX_HEADER_BYTES};
use super::wire::{WireReader, put_varint, varint_bytes};
use super::*;
use crate::checksum::crc32;
use crate::codec::CodecId;
use crate::compress::{Compression, DictionaryId};
use crate::digest::{DigestKind, StateDigest};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

const RAW: &[u8] = b"the encoded state, long enough to compress compress compress compress";
const ZEROS: &[u8] = &[0; 1 << 16];

fn builder() -> RecordBuilder {
    let key = AggregateKey::from_parts("north", "account", "alice").unwrap();
    let generation = Generation { schema_version: 3, fingerprint: 0x0123_4567_89ab_cdef };
    RecordBuilder::new(key, generation, 42, Timestamp::from_micros(1_000_001))
        .created_at(Timestamp::from_micros(-5))
        .last_recorded_at(Timestamp::from_micros(999))
        .anchor(*b"event-42")
        .label("month-end")
        .label("pinned")
        .origin("node-7")
}

/// The fields of the header that `builder` writes, at the offsets of `docs/format.md`.
mod at {
    use std::ops::Range;

    pub(super) const HEADER_LENGTH: Range<usize> = 28..29;
    pub(super) const TENANT_LENGTH: Range<usize> = 29..30;
    pub(super) const KIND_LENGTH: Range<usize> = 30..31;
    pub(super) const ID_LENGTH: Range<usize> = 31..32;
    pub(super) const SCHEMA_VERSION: Range<usize> = 53..54;
    pub(super) const VERSION: Range<usize> = 54..55;
    pub(super) const CREATED: Range<usize> = 55..58;
    pub(super) const PAYLOAD_LENGTH: Range<usize> = 58..59;
    pub(super) const EXTENSIONS: usize = 59;

    /// With `ZEROS`, compressed.
    pub(super) const PACKED_LENGTH: Range<usize> = 58..60;
    pub(super) const RAW_LENGTH: Range<usize> = 60..63;
}

fn varint(value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_varint(&mut bytes, value);
    bytes
}

/// Replaces the bytes at `at` in `whole` and corrects the header checksum. The header length (one
/// byte) is corrected too, unless it is the field to replace.
fn changed(whole: &Record, at: Range<usize>, field: &[u8]) -> Record {
    let mut bytes = whole.as_bytes().to_vec();
    let mut len = usize::from(bytes[at::HEADER_LENGTH.start]);
    assert!(len < 0x80);
    bytes.splice(at.clone(), field.iter().copied());
    if at == at::HEADER_LENGTH {
        len = usize::try_from(WireReader(field).varint().unwrap_or(0)).unwrap_or(usize::MAX);
    } else {
        len = len + field.len() - at.len();
        assert!(len < 0x80);
        bytes[at::HEADER_LENGTH.start] = u8::try_from(len).unwrap();
    }
    let sum = crc32(&bytes[CHECKED_FROM..len.clamp(CHECKED_FROM, bytes.len())]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    Record::from_bytes(bytes)
}

fn open(record: &Record) -> Result<Vec<u8>, RejectReason> {
    let header = record.header()?;
    record.open(&header, OpenWith::nothing(1 << 20), |raw| Ok(raw.to_vec()))
}

#[test]
fn everything_put_into_a_record_comes_out_of_it() {
    let record = builder().build(RAW).unwrap();
    let meta = SnapshotMeta::from_header(&record.verify().unwrap()).unwrap();
    assert_eq!(meta.key, AggregateKey::from_parts("north", "account", "alice").unwrap());
    assert_eq!((meta.version, meta.as_of), (42, Timestamp::from_micros(1_000_001)));
    assert_eq!(meta.last_recorded_at, Timestamp::from_micros(999));
    assert_eq!(meta.created_at, Timestamp::from_micros(-5));
    assert_eq!(meta.anchor.as_deref(), Some(&b"event-42"[..]));
    assert_eq!(meta.labels, ["month-end", "pinned"]);
    assert!(!meta.is_pinned(), "a label pins nothing");
    assert_eq!(meta.origin.as_deref(), Some("node-7"));
    assert_eq!(meta.stored_bytes, record.as_bytes().len() as u64);
    assert_eq!(open(&record).unwrap(), RAW);
}

#[test]
fn a_record_with_any_byte_changed_is_rejected() {
    for compression in [Compression::none(), Compression::lz4().min_bytes(0)] {
        let whole = builder().compression(compression).build(RAW).unwrap();
        for at in 0..whole.as_bytes().len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.as_bytes().to_vec();
                bytes[at] ^= flip;
                let record = Record::from_bytes(bytes);
                assert!(open(&record).is_err(), "byte {at} flipped by {flip:#x}");
                assert!(record.verify().is_err(), "byte {at} flipped by {flip:#x}");
            }
        }
    }
}

#[test]
fn a_record_cut_short_or_with_bytes_added_is_rejected() {
    let whole = builder().build(RAW).unwrap();
    for len in 0..whole.as_bytes().len() {
        let record = Record::from_bytes(whole.as_bytes()[..len].to_vec());
        assert_eq!(open(&record), Err(RejectReason::Truncated), "cut to {len} bytes");
    }
    let longer = [whole.as_bytes(), b"x"].concat();
    assert_eq!(open(&Record::from_bytes(longer)), Err(RejectReason::TrailingBytes));
}

#[test]
fn a_header_that_lies_about_a_length_is_rejected_even_under_a_right_checksum() {
    let plain = builder().build(RAW).unwrap();
    let packed = builder().compression(Compression::lz4()).build(ZEROS).unwrap();
    let lengths = [
        (&plain, at::HEADER_LENGTH),
        (&plain, at::TENANT_LENGTH),
        (&plain, at::KIND_LENGTH),
        (&plain, at::ID_LENGTH),
        (&plain, at::PAYLOAD_LENGTH),
        (&packed, at::PACKED_LENGTH),
        (&packed, at::RAW_LENGTH),
    ];
    let key = AggregateKey::from_parts("north", "account", "alice").unwrap();
    for (whole, at) in lengths {
        let right = WireReader(&whole.as_bytes()[at.clone()]).varint().unwrap();
        let near = (0..70).flat_map(|by| [right.saturating_sub(by), right + by]);
        let far = [0xffff, 0x1_0000, 0x7fff_ffff, 0xffff_ffff, 1 << 32, u64::MAX];
        for lie in near.chain(far).filter(|lie| *lie != right) {
            let record = changed(whole, at.clone(), &varint(lie));
            let accepted = open(&record).is_ok() && record.header().unwrap().is_of(&key);
            assert!(!accepted, "length at {at:?} set to {lie}");
        }
    }
}

#[test]
fn a_number_has_one_encoding() {
    let plain = builder().build(RAW).unwrap();
    let packed = builder().compression(Compression::lz4()).build(ZEROS).unwrap();
    for (whole, at) in [
        (&plain, at::HEADER_LENGTH),
        (&plain, at::TENANT_LENGTH),
        (&plain, at::KIND_LENGTH),
        (&plain, at::ID_LENGTH),
        (&plain, at::SCHEMA_VERSION),
        (&plain, at::VERSION),
        (&plain, at::CREATED),
        (&plain, at::PAYLOAD_LENGTH),
        (&packed, at::PACKED_LENGTH),
        (&packed, at::RAW_LENGTH),
    ] {
        let right = &whole.as_bytes()[at.clone()];
        assert_eq!(&changed(whole, at.clone(), right), whole);
        let rejected = |bytes: &[u8]| {
            let reject = changed(whole, at.clone(), bytes).header().unwrap_err();
            assert!(matches!(reject, RejectReason::Malformed(_)), "{bytes:x?} at {at:?}: {reject}");
        };
        for longer in right.len() + 1..=10 {
            let mut bytes = right.to_vec();
            bytes[right.len() - 1] |= 0x80;
            bytes.resize(longer - 1, 0x80);
            bytes.push(0);
            rejected(&bytes);
        }
        // Above 64 bits, and without an end.
        for last in [2, 3, 0x7f, 0x80, 0xff] {
            rejected(&[&[0x80; 9][..], &[last]].concat());
            rejected(&[&[0xff; 9][..], &[last]].concat());
        }
    }
}

#[test]
fn numbers_without_a_meaning_are_rejected_and_others_are_read_as_they_are() {
    let whole = builder().build(RAW).unwrap();
    let read = |at: Range<usize>, value: u64| changed(&whole, at, &varint(value));
    let malformed = |record: Record| matches!(record.header(), Err(RejectReason::Malformed(_)));
    assert!(malformed(read(at::VERSION, 0)));
    assert!(malformed(read(at::SCHEMA_VERSION, 1 << 32)));
    assert!(malformed(read(at::SCHEMA_VERSION, u64::MAX)));
    for value in (0..64).flat_map(|bit| [1 << bit, u64::MAX >> bit]) {
        assert_eq!(read(at::VERSION, value).verify().unwrap().version, value);
        if let Ok(value) = u32::try_from(value) {
            let record = read(at::SCHEMA_VERSION, value.into());
            assert_eq!(record.verify().unwrap().generation.schema_version, value);
        }
    }
}

#[test]
fn any_two_times_come_back() {
    let times = [i64::MIN, i64::MIN + 1, -64, -1, 0, 1, 63, 64, i64::MAX - 1, i64::MAX];
    for (as_of, created_at) in times.iter().flat_map(|a| times.iter().map(move |b| (*a, *b))) {
        let (as_of, created_at) =
            (Timestamp::from_micros(as_of), Timestamp::from_micros(created_at));
        let key = AggregateKey::new("k", "i").unwrap();
        let generation = Generation { schema_version: 0, fingerprint: 0 };
        let record = RecordBuilder::new(key, generation, 1, as_of).created_at(created_at);
        let record = record.build(RAW).unwrap();
        let header = record.verify().unwrap();
        assert_eq!((header.as_of, header.created_at), (as_of, created_at));
        assert_eq!(header.last_recorded_at, as_of);
    }
}

/// Where the header length needs one more byte: headers of 127 and 129 bytes are written, never of
/// 128, although a length of 128 could describe the fields of the 127-byte header.
#[test]
fn the_header_length_counts_itself() {
    let key = AggregateKey::new("k", "i").unwrap();
    let generation = Generation { schema_version: 0, fingerprint: 0 };
    let sized = |id: usize| {
        let key = AggregateKey::from_parts("", "", &"x".repeat(id)).unwrap();
        RecordBuilder::new(key, generation, 1, Timestamp::from_micros(0)).build(b"").unwrap()
    };
    let mut lens = Vec::new();
    for id in (0..300).chain(16_200..16_500).chain([65_535]) {
        let record = sized(id);
        let header = record.verify().unwrap();
        assert_eq!((header.header_bytes(), header.id.len()), (record.as_bytes().len(), id));
        assert!(!header.is_of(&key));
        lens.push(header.header_bytes());
    }
    assert_eq!(lens[0], 40, "the shortest header");
    for (absent, width) in [(128, 1), (16_384, 2)] {
        assert!(lens.contains(&(absent - 1)) && !lens.contains(&absent));
        assert!(lens.contains(&(absent + 1)));
        // The same fields with a length that takes one more byte.
        let id = lens.iter().position(|len| *len == absent - 1).unwrap();
        let id = if id < 300 { id } else { id - 300 + 16_200 };
        let whole = sized(id);
        let mut bytes = whole.as_bytes().to_vec();
        let longer = varint(absent as u64);
        assert_eq!(longer.len(), width + 1);
        bytes.splice(FIXED_BYTES..FIXED_BYTES + width, longer);
        let sum = crc32(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(bytes.len(), absent);
        let shorter = RejectReason::Malformed("the header length is not in its shortest form");
        assert_eq!(Record::from_bytes(bytes).header().unwrap_err(), shorter);
    }
}

#[test]
fn the_largest_header_has_the_length_that_is_allowed() {
    let part = "x".repeat(AggregateKey::MAX_PART_BYTES);
    let key = AggregateKey::from_parts(&part, &part, &part).unwrap();
    let generation = Generation { schema_version: u32::MAX, fingerprint: 0 };
    // Tag and length, then a text of this many bytes.
    let labels = |last: usize| {
        let builder =
            RecordBuilder::new(key.clone(), generation, u64::MAX, Timestamp::from_micros(0))
                .created_at(Timestamp::from_micros(i64::MIN))
                .compression(Compression::lz4())
                .digest(StateDigest::new(DigestKind::Free, [7; 16]));
        let builder = (0..4).fold(builder, |builder, _| builder.label("x".repeat(65_500)));
        builder.label("x".repeat(last))
    };
    let last = MAX_EXTENSION_BYTES - 4 * 65_503 - 3;
    let largest = labels(last).build(ZEROS).unwrap();
    let header = largest.verify().unwrap();
    // For a payload and a state of 256 MiB or more, the lengths take 5 bytes each.
    let lens = [header.payload_bytes, header.raw_bytes].map(|len| varint_bytes(len.into()));
    assert_eq!(header.header_bytes() + (5 - lens[0]) + (5 - lens[1]), MAX_HEADER_BYTES);
    assert!(labels(last + 1).build(ZEROS).is_err());
    let one_more = {
        let mut bytes = largest.as_bytes()[..header.header_bytes()].to_vec();
        bytes.extend_from_slice(&[0x7f, 0, 0]);
        let len = varint(bytes.len() as u64);
        bytes.splice(FIXED_BYTES..FIXED_BYTES + len.len(), len);
        let sum = crc32(&bytes[CHECKED_FROM..]);
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        bytes
    };
    let too_long = RejectReason::Malformed("the extensions are too long");
    assert_eq!(Header::parse(&one_more).unwrap_err(), too_long);
}

#[test]
fn the_start_of_a_record_tells_its_key_and_how_long_its_header_is() {
    for id in ["", "alice", &"x".repeat(200), &"x".repeat(20_000)] {
        let key = AggregateKey::from_parts("north", "account", id).unwrap();
        let generation = Generation { schema_version: 0, fingerprint: 0 };
        let at = Timestamp::from_micros(0);
        let record = RecordBuilder::new(key.clone(), generation, 1, at).build(RAW).unwrap();
        let bytes = record.as_bytes();
        let own = record.header().unwrap().header_bytes();
        let length = FIXED_BYTES + varint_bytes(own as u64);
        for end in 0..=bytes.len() {
            let claimed = Header::claimed_bytes(&bytes[..end]).map(|claimed| claimed as usize);
            assert_eq!(claimed, (end >= length).then_some(own), "{end} bytes of {own}");
            let key_end =
                length + 2 + varint_bytes(id.len() as u64) + "northaccount".len() + id.len();
            assert_eq!(Header::names(&bytes[..end], &key), end >= key_end, "{end} bytes of {own}");
        }
        for other in [
            AggregateKey::from_parts("north", "account", &format!("{id}x")).unwrap(),
            AggregateKey::from_parts("north", "accoun", &format!("t{id}")).unwrap(),
            AggregateKey::from_parts("nort", "haccount", id).unwrap(),
            AggregateKey::from_parts("", "northaccount", id).unwrap(),
            AggregateKey::from_parts("NORTH", "account", id).unwrap(),
        ] {
            assert!(!Header::names(bytes, &other), "{other:?}");
        }
        let nonsense = [&bytes[..FIXED_BYTES], &varint(1 << 30), &bytes[length..]].concat();
        assert_eq!(Header::claimed_bytes(&nonsense), None);
    }
}

#[test]
fn a_payload_is_never_expanded_beyond_the_limit_or_the_truth() {
    let record = builder().compression(Compression::lz4()).build(ZEROS).unwrap();
    let header = record.header().unwrap();
    assert_eq!(
        record.open(&header, OpenWith::nothing(1000), |_| Ok(())),
        Err(RejectReason::TooLarge { bytes: 1 << 16, limit: 1000 })
    );
    let shorter = changed(&record, at::RAW_LENGTH, &varint((1 << 16) - 1));
    assert_eq!(open(&shorter), Err(RejectReason::Decompress));
}

#[test]
fn newer_formats_and_unknown_critical_extensions_are_refused_and_others_skipped() {
    let whole = builder().build(RAW).unwrap();
    let mut newer = whole.as_bytes().to_vec();
    newer[3] = 2;
    assert_eq!(open(&Record::from_bytes(newer.clone())), Err(RejectReason::NewerFormat(2)));
    // Not newer, but nonexistent.
    newer[3] = 0;
    assert_eq!(open(&Record::from_bytes(newer)), Err(RejectReason::Foreign));
    assert_eq!(open(&Record::from_bytes(vec![0; 200])), Err(RejectReason::Foreign));

    for (tag, fine) in [(0x7f, true), (0xff, false)] {
        let record = changed(&whole, at::EXTENSIONS..at::EXTENSIONS + 1, &[tag]);
        assert_eq!(open(&record).is_ok(), fine, "tag {tag:#x}");
    }
    let delta = builder().base(Base { version: 1, checksum: 2 }).build(RAW).unwrap();
    assert_eq!(open(&delta), Err(RejectReason::NeedsOther("the snapshot that it is based on")));
    let trained = builder().dictionary(9).build(RAW).unwrap();
    let id = DictionaryId::from_u64(9);
    assert_eq!(open(&trained), Err(RejectReason::Dictionary(id)));
}

#[cfg(feature = "lz4")]
#[test]
fn a_delta_opens_with_its_base_and_with_nothing_else() {
    let states: Vec<Vec<u8>> =
        (0..2).map(|n| (0..=255).cycle().take(2_000 + n).collect()).collect();
    let lz4 = || builder().compression(Compression::lz4());
    let base = lz4().build(&states[0]).unwrap();
    let header = base.header().unwrap();
    let (generation, at) = (header.generation, header.as_of);
    let key =
        AggregateKey::new(header.kind, header.id).unwrap().with_tenant(header.tenant).unwrap();
    let newer = |key: AggregateKey, generation| {
        RecordBuilder::new(key, generation, header.version + 1, at).compression(Compression::lz4())
    };
    let named = (header.version, states[0].as_slice());
    let build = || newer(key.clone(), generation).build_delta(&states[1], named, 1_000);
    let delta = build().unwrap().unwrap();
    let open = |delta: &Record, bases: &[Record]| {
        let header = delta.verify().unwrap();
        let with = OpenWith { bases, ..OpenWith::nothing(1 << 20) };
        delta.open(&header, with, |raw| Ok(raw.to_vec()))
    };
    assert_eq!(open(&delta, std::slice::from_ref(&base)), Ok(states[1].clone()));
    // Compressed differently, it is still the base.
    let recompressed = builder().build(&states[0]).unwrap();
    assert_eq!(open(&delta, &[recompressed]), Ok(states[1].clone()));

    let missing = Err(RejectReason::NeedsOther("the snapshot that it is based on"));
    let rewritten = lz4().build(&states[1]).unwrap();
    let other_key = AggregateKey::new("account", "another").unwrap();
    let of_another = RecordBuilder::new(other_key.clone(), generation, header.version, at);
    let other_generation = Generation { fingerprint: 0, ..generation };
    for base in [
        rewritten,
        delta.clone(),
        of_another.build(&states[0]).unwrap(),
        RecordBuilder::new(key.clone(), other_generation, header.version, at)
            .build(&states[0])
            .unwrap(),
        RecordBuilder::new(key.clone(), generation, header.version + 2, at)
            .build(&states[0])
            .unwrap(),
    ] {
        assert_eq!(open(&delta, &[base]), missing);
    }
    assert_eq!(open(&delta, &[]), missing);
    let mut damaged = base.as_bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let damaged = Record::from_bytes(damaged);
    assert_eq!(open(&delta, &[damaged]), Err(RejectReason::PayloadChecksum));
    // Equal bytes mean another state with another base.
    let nothing = |base: &[u8]| {
        let named = (header.version, base);
        newer(key.clone(), generation).build_delta(base, named, 0).unwrap().unwrap()
    };
    assert_eq!(open(&nothing(&states[0]), std::slice::from_ref(&base)), Ok(states[0].clone()));
    assert!(!nothing(&states[0]).has_state_of(&nothing(&states[1])));
    assert!(newer(key.clone(), generation).build_delta(&states[1], named, 3).unwrap().is_none());
}

#[test]
fn impossible_snapshots_are_not_built() {
    let key = AggregateKey::new("k", "i").unwrap();
    let generation = Generation { schema_version: 0, fingerprint: 0 };
    let at = Timestamp::from_micros(0);
    assert!(RecordBuilder::new(key.clone(), generation, 0, at).build(b"").is_err());
    let long = "x".repeat(70_000);
    let fine = RecordBuilder::new(key, generation, u64::MAX, at).codec(CodecId::custom(1));
    assert!(fine.clone().label(long.clone()).build(b"").is_err());
    assert!(fine.clone().anchor(long).build(b"").is_err());
    assert_eq!(fine.build(b"").unwrap().verify().unwrap().version, u64::MAX);
}

/// A store truncates only what a torn write left.
#[test]
fn a_rejected_record_is_told_from_one_of_which_a_part_is_missing() {
    let whole = builder().build(RAW).unwrap();
    let header = whole.header().unwrap().header_bytes();
    let was_written_so = |bytes: &[u8]| {
        let reject = Record::check(bytes).unwrap_err();
        Record::was_written_so(bytes, &reject)
    };
    let whole = whole.as_bytes();
    for at in 0..whole.len() {
        // After the start of the record, which identifies it.
        if at >= CHECKED_FROM {
            let mut zeros = whole.to_vec();
            zeros[at..].fill(0);
            assert!(!was_written_so(&zeros), "zeros from {at} on");
            let mut changed = whole.to_vec();
            changed[at] ^= 0x55;
            assert!(!was_written_so(&changed), "byte {at} changed");
        }
    }
    let mut understood = 0;
    for at in CHECKED_FROM + 4..header {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 0x90;
        // A header of another length has no room for its checksum.
        let len = Header::claimed_bytes(&bytes).map_or(0, |len| len as usize);
        let Some(checked) = bytes.get(CHECKED_FROM..len) else { continue };
        let sum = crc32(checked);
        bytes[4..CHECKED_FROM].copy_from_slice(&sum.to_le_bytes());
        let other = Record::from_bytes(bytes);
        match Record::check(other.as_bytes()) {
            Ok(_) => understood += 1,
            Err(RejectReason::PayloadChecksum) => {}
            Err(reject) => assert!(was_written_so(other.as_bytes()), "byte {at}: {reject}"),
        }
    }
    assert!(understood < header / 2);
    assert!(was_written_so(&[whole, b"x"].concat()));
    assert!(was_written_so(&whole[..whole.len() - 1]));
}
