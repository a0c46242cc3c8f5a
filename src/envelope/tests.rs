//! A damaged record must be rejected with a reason, never decoded: every byte flipped, every
//! prefix cut, every length made to lie.

use super::header::{CHECKED_FROM, FIXED_BYTES};
use super::*;
use crate::checksum::crc32;
use crate::codec::CodecId;
use crate::compress::Compression;
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::timestamp::Timestamp;

const RAW: &[u8] = b"the encoded state, long enough to compress compress compress compress";

fn builder() -> RecordBuilder {
    let key = AggregateKey::from_parts("north", "account", "alice").unwrap();
    let generation = Generation { schema_version: 3, fingerprint: 0x0123_4567_89ab_cdef };
    RecordBuilder::new(key, generation, 42, Timestamp::from_micros(1_000_001))
        .created_at(Timestamp::from_micros(-5))
        .last_recorded_at(Timestamp::from_micros(999))
        .anchor(*b"event-42")
        .label("month-end")
        .label(SnapshotMeta::PINNED)
        .origin("node-7")
}

fn resealed(mut bytes: Vec<u8>) -> Record {
    let len = u32::from_le_bytes(bytes[8..12].try_into().unwrap()) as usize;
    let sum = crc32(&bytes[CHECKED_FROM..len.clamp(CHECKED_FROM, bytes.len())]);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    Record::from_bytes(bytes)
}

fn open(record: &Record) -> Result<Vec<u8>, Reject> {
    let header = record.header()?;
    record.open(&header, 1 << 20, |raw| Ok(raw.to_vec()))
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
    assert!(meta.is_pinned());
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
        assert_eq!(open(&record), Err(Reject::Truncated), "cut to {len} bytes");
    }
    let longer = [whole.as_bytes(), b"x"].concat();
    assert_eq!(open(&Record::from_bytes(longer)), Err(Reject::TrailingBytes));
}

#[test]
fn a_header_that_lies_about_a_length_is_rejected_even_under_a_right_checksum() {
    let whole = builder().build(RAW).unwrap();
    let lengths = [(8, 4), (16, 4), (20, 4), (66, 2), (68, 2), (70, 2)];
    for (at, width) in lengths {
        for lie in [0_u64, 1, 71, 0x7f, 0xffff, 0x7fff_ffff, 0xffff_ffff] {
            let mut bytes = whole.as_bytes().to_vec();
            let lie = &lie.to_le_bytes()[..width];
            if &bytes[at..at + width] == lie {
                continue;
            }
            bytes[at..at + width].copy_from_slice(lie);
            let record = resealed(bytes);
            let key = AggregateKey::from_parts("north", "account", "alice").unwrap();
            let accepted = open(&record).is_ok() && record.header().unwrap().is_of(&key);
            assert!(!accepted, "length at {at} set to {lie:?}");
        }
    }
}

#[test]
fn a_payload_is_never_expanded_beyond_the_limit_or_the_truth() {
    let zeros = vec![0; 1 << 16];
    let record = builder().compression(Compression::lz4()).build(&zeros).unwrap();
    let header = record.header().unwrap();
    assert_eq!(
        record.open(&header, 1000, |_| Ok(())),
        Err(Reject::TooLarge { bytes: 1 << 16, limit: 1000 })
    );
    let mut bytes = record.as_bytes().to_vec();
    bytes[20..24].copy_from_slice(&((1_u32 << 16) - 1).to_le_bytes());
    assert_eq!(open(&resealed(bytes)), Err(Reject::Decompress));
}

#[test]
fn newer_formats_and_unknown_critical_extensions_are_refused_and_others_skipped() {
    let whole = builder().build(RAW).unwrap().as_bytes().to_vec();
    let mut newer = whole.clone();
    newer[3] = 2;
    assert_eq!(open(&Record::from_bytes(newer)), Err(Reject::NewerFormat(2)));
    assert_eq!(open(&Record::from_bytes(vec![0; 200])), Err(Reject::Foreign));

    let first_extension = FIXED_BYTES + "northaccountalice".len();
    for (tag, fine) in [(0x7f, true), (0xff, false)] {
        let mut bytes = whole.clone();
        bytes[first_extension] = tag;
        let record = resealed(bytes);
        assert_eq!(open(&record).is_ok(), fine, "tag {tag:#x}");
    }
    let delta = builder().base(Base { version: 1, checksum: 2 }).build(RAW).unwrap();
    assert_eq!(open(&delta), Err(Reject::NeedsOther("a base snapshot")));
    let trained = builder().dictionary(9).build(RAW).unwrap();
    assert_eq!(open(&trained), Err(Reject::NeedsOther("a dictionary")));
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

/// A store cuts the rest of a torn write off, and nothing else.
#[cfg(feature = "file")]
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
        // Behind the start, which says what it is.
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
        let other = resealed(bytes);
        match Record::check(other.as_bytes()) {
            Ok(_) => understood += 1,
            Err(Reject::PayloadChecksum) => {}
            Err(reject) => assert!(was_written_so(other.as_bytes()), "byte {at}: {reject}"),
        }
    }
    assert!(understood < header / 2);
    assert!(was_written_so(&[whole, b"x"].concat()));
    assert!(was_written_so(&whole[..whole.len() - 1]));
}
