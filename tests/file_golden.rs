//! Stores written by earlier releases must open for ever, and hold what they held. The
//! directories under `fixtures/file_store` are such stores; `SNAPFOLD_MAKE_GOLDEN=dir` writes the
//! one of this release into `dir`, for the day when the format changes.

#![cfg(feature = "file")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    missing_docs,
    reason = "test code"
)]

use std::fs;
use std::path::{Path, PathBuf};

use snapfold::{
    AggregateKey, CodecId, FileStore, Generation, PutOptions, Query, Record, RecordBuilder,
    Selection, SnapshotId, Timestamp,
};

const G1: Generation = Generation { schema_version: 1, fingerprint: 0x0123_4567_89ab_cdef };
const G2: Generation = Generation { schema_version: 2, fingerprint: 9 };

fn key(id: &str) -> AggregateKey {
    AggregateKey::from_parts("north", "account", id).unwrap()
}

fn record(id: &str, generation: Generation, version: u64) -> Record {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    let payload = format!("{id} at {version} ").repeat(20);
    RecordBuilder::new(key(id), generation, version, at)
        .codec(CodecId::custom(1))
        .label("month-end")
        .build(payload.as_bytes())
        .unwrap()
}

fn open(dir: &Path) -> FileStore {
    FileStore::builder(dir).segment_bytes(4096).reserve_bytes(0).background(false).open().unwrap()
}

fn make(dir: &Path) {
    let store = open(dir);
    for version in 1..=6 {
        let records = ["a", "b", "c"].map(|id| record(id, G1, version)).to_vec();
        store.put_blocking(records, PutOptions::default()).unwrap();
        store.put_blocking(vec![record("a", G2, version)], PutOptions::default()).unwrap();
    }
    store.delete_blocking(&key("a"), Selection::Below(5)).unwrap();
    store.delete_blocking(&key("b"), Selection::All).unwrap();
    let ids = [1, 3].map(|version| SnapshotId { generation: G1, version });
    store.delete_blocking(&key("c"), Selection::Ids(&ids)).unwrap();
    store.compact().unwrap();
    store.put_blocking(vec![record("b", G1, 2)], PutOptions::default()).unwrap();
    store.close().unwrap();
}

fn check(dir: &Path) {
    let store = open(dir);
    let there = [
        ("a", G1, vec![5, 6]),
        ("a", G2, vec![5, 6]),
        ("b", G1, vec![2]),
        ("c", G1, vec![2, 4, 5, 6]),
    ];
    for (id, generation, versions) in there {
        let key = key(id);
        for version in 1..=6 {
            let query = Query::latest(&key, generation).at_most(version);
            let found = store.get_blocking(query).unwrap().into_record();
            let newest = versions.iter().rev().find(|there| **there <= version);
            assert_eq!(found, newest.map(|version| record(id, generation, *version)));
        }
    }
    assert_eq!(store.stats().snapshots, 9);
}

fn copy(name: &str, to: &Path) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/file_store").join(name);
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::write(to.join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
    to.to_owned()
}

#[test]
fn stores_of_earlier_releases_open_and_hold_what_they_held() {
    if let Ok(dir) = std::env::var("SNAPFOLD_MAKE_GOLDEN") {
        make(Path::new(&dir));
    }
    for name in ["v1", "v1_crashed"] {
        let dir = tempfile::tempdir().unwrap();
        check(&copy(name, dir.path()));
        // And are written to as any other.
        let store = open(dir.path());
        store.put_blocking(vec![record("d", G1, 1)], PutOptions::default()).unwrap();
        drop(store);
        assert_eq!(FileStore::verify(dir.path()).unwrap().problems, []);
    }
}

#[test]
fn a_store_written_now_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    make(dir.path());
    check(dir.path());
}

#[test]
fn the_bytes_lie_where_the_format_document_says() {
    let dir = tempfile::tempdir().unwrap();
    copy("v1", dir.path());
    let file = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let u32_at =
        |bytes: &[u8], at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let u64_at =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let manifest = file("MANIFEST");
    assert_eq!(manifest[..8], *b"snfman\x01\x00");
    assert_eq!(u32_at(&manifest, 12) as usize, manifest.len());
    let entries = u32_at(&manifest, 60) as usize;
    assert_eq!(manifest.len(), 72 + entries * 24 + 4 * u32_at(&manifest, 64) as usize);
    let mut puts = 0;
    for entry in manifest[72..72 + entries * 24].chunks(24) {
        let segment = file(&format!("{:08}.seg", u32_at(entry, 0)));
        assert_eq!(u64_at(entry, 16) as usize, segment.len());
        assert_eq!(segment[..8], *b"snfseg\x01\x00");
        assert_eq!(segment[8..24], manifest[16..32]);
        assert_eq!(u64_at(&segment, 32), u64_at(entry, 8));
        let mut at = 48;
        let mut last = 0;
        while at < segment.len() {
            let body = u32_at(&segment, at + 8) as usize;
            last = segment[at + 16] & 0x7f;
            if last == 1 {
                let record = Record::from_bytes(segment[at + 24..at + 24 + body].to_vec());
                record.verify().unwrap();
                puts += 1;
            }
            at += 24 + body.next_multiple_of(8);
        }
        assert_eq!((at, last == 3), (segment.len(), u32_at(entry, 4) == 1));
    }
    assert!(puts >= 9);
}
