//! Stores written by earlier releases must open for ever, and hold what they held. The
//! directories under `fixtures/file_store` are such stores; `SNAPFOLD_MAKE_GOLDEN=dir` writes those
//! of this release into `dir`, for the day when the format changes.

use std::fs;
use std::path::{Path, PathBuf};

use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, ListRequest, Lookup, Mark, MarkChange, MarkKind, Marks, PutOptions, Query,
    Selection,
};
use snapfold::{AggregateKey, SnapshotId, SnapshotStore, Timestamp};

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
    store.delete_blocking(&key("a"), Selection::Below(5), DeleteOptions::default()).unwrap();
    store.delete_blocking(&key("b"), Selection::All, DeleteOptions::default()).unwrap();
    let ids = [1, 3].map(|version| SnapshotId { generation: G1, version });
    store.delete_blocking(&key("c"), Selection::Ids(&ids), DeleteOptions::default()).unwrap();
    store.compact().unwrap();
    store.put_blocking(vec![record("b", G1, 2)], PutOptions::default()).unwrap();
    store.close().unwrap();
}

fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: G1, version }
}

fn pin() -> Mark {
    Mark::pin("audit", Timestamp::from_seconds(9)).actor("ops").note("until it is closed")
}

/// A store with marks: set at a put and later, cleared, and carried by compaction.
fn make_marks(dir: &Path) {
    let store = open(dir);
    let retired = Marks::new([Mark::retirement("wrong", Timestamp::from_micros(-1))]).unwrap();
    let put = |id, version, marks: &Marks| {
        let options = PutOptions::default().marks(marks.clone());
        store.put_blocking(vec![record(id, G1, version)], options).unwrap();
    };
    put("a", 1, &retired);
    put("a", 2, &Marks::NONE);
    put("a", 3, &Marks::NONE);
    let all = Selection::Below(4);
    store.mark_blocking(&key("a"), all, MarkChange::Set(&pin())).unwrap();
    let clear = MarkChange::Clear { kind: MarkKind::Pin, name: "audit" };
    store.mark_blocking(&key("a"), Selection::Ids(&[id(3)]), clear).unwrap();
    for version in 4..=40 {
        put("a", version, &Marks::NONE);
    }
    store.delete_blocking(&key("a"), Selection::Below(40), DeleteOptions::default()).unwrap();
    assert!(store.compact().unwrap().copied_bytes > 0);
    put("b", 1, &retired);
    store.close().unwrap();
}

fn check_marks(dir: &Path) {
    let store = open(dir);
    let retirement = Mark::retirement("wrong", Timestamp::from_micros(-1));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let marks = |id: &str| -> Vec<_> {
        let key = key(id);
        let page = runtime.block_on(store.list(ListRequest::new(&key))).unwrap();
        page.items.into_iter().map(|meta| (meta.version, meta.marks)).collect()
    };
    let set = |marks: &[Mark]| Marks::new(marks.iter().cloned()).unwrap();
    let a = [(40, Marks::NONE), (2, set(&[pin()])), (1, set(&[pin(), retirement.clone()]))];
    assert_eq!(marks("a"), a);
    assert_eq!(marks("b"), [(1, set(&[retirement]))]);
    let query = |id| store.get_blocking(Query::latest(&key(id), G1).at_most(39)).unwrap();
    assert_eq!(query("a").into_record(), Some(record("a", G1, 2)));
    assert_eq!(query("b").into_record(), None);
    assert_eq!(store.stats().snapshots, 4);
}

/// Returns a record that names a base.
#[cfg(feature = "conformance")]
fn delta(id: &str, version: u64, base: u64) -> Record {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    RecordBuilder::new(key(id), G1, version, at)
        .codec(CodecId::custom(1))
        .base(snapfold::record::Base { version: base, checksum: 7 })
        .build(format!("{id}, {base} to {version}").as_bytes())
        .unwrap()
}

/// A store with deltas: chains over several files, a base that a delete kept, and one that a
/// compaction moved.
#[cfg(feature = "conformance")]
fn make_bases(dir: &Path) {
    let store = open(dir);
    let put = |record: Record, replace: bool| {
        let options = PutOptions::default().replace(replace);
        store.put_blocking(vec![record], options).unwrap();
    };
    put(record("a", G1, 1), false);
    for version in 2..=40 {
        put(record("a", G1, version), false);
    }
    put(delta("a", 300, 1), false);
    put(delta("a", 301, 300), false);
    put(record("b", G1, 1), false);
    put(delta("b", 2, 1), false);
    put(record("b", G1, 2), true);
    put(delta("b", 3, 2), false);
    let deleted =
        store.delete_blocking(&key("a"), Selection::Below(300), DeleteOptions::default()).unwrap();
    assert_eq!((deleted.snapshots, deleted.needed), (39, 1));
    assert!(store.compact().unwrap().copied_bytes > 0);
    store.close().unwrap();
}

fn check_bases(dir: &Path) {
    let store = open(dir);
    let bases = |id: &str, version: u64| -> Vec<_> {
        let key = key(id);
        let query =
            Query::exact(&key, SnapshotId { generation: G1, version }).include_retired(false);
        let Lookup::Found(found) = store.get_blocking(query).unwrap() else {
            panic!("{id} at {version} is not there")
        };
        found.bases.iter().map(|base| base.header().unwrap().version).collect()
    };
    assert_eq!(bases("a", 301), [300, 1]);
    assert_eq!(bases("a", 1), [0; 0]);
    assert_eq!(bases("b", 3), [2]);
    assert_eq!(bases("b", 2), [0; 0]);
    let delete = |id, version| {
        let ids = [SnapshotId { generation: G1, version }];
        let ids = Selection::Ids(&ids);
        let deleted = store.delete_blocking(&key(id), ids, DeleteOptions::default()).unwrap();
        (deleted.snapshots, deleted.needed)
    };
    assert_eq!((delete("a", 1), delete("a", 300), delete("b", 2)), ((0, 1), (0, 1), (0, 1)));
    // The whole snapshot that replaced a delta needs no base.
    assert_eq!(delete("b", 1), (1, 0));
    store.close().unwrap();
}

/// A closed store, and one that looks as if the power had failed while it wrote on: torn bytes and
/// zeros behind the last frame, and no index file of that segment.
fn make_golden(dir: &Path) {
    let (whole, crashed) = (dir.join("v1"), dir.join("v1_crashed"));
    make(&whole);
    make_marks(&dir.join("v1_marks"));
    let _ = fs::remove_file(dir.join("v1_marks/LOCK"));
    #[cfg(feature = "conformance")]
    {
        make_bases(&dir.join("v1_bases"));
        let _ = fs::remove_file(dir.join("v1_bases/LOCK"));
    }
    let _ = fs::remove_file(whole.join("LOCK"));
    fs::create_dir(&crashed).unwrap();
    copy(&whole, &crashed);
    let manifest = fs::read(whole.join("MANIFEST")).unwrap();
    let open = manifest[72..].chunks_exact(24).find(|entry| entry[4] == 0).unwrap();
    let open = format!("{:08}", u32_at(open, 0));
    fs::remove_file(crashed.join(format!("{open}.idx"))).unwrap();
    let path = crashed.join(format!("{open}.seg"));
    let torn = [&[0xab; 100][..], &[0; 60]].concat();
    fs::write(&path, [fs::read(&path).unwrap(), torn].concat()).unwrap();
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

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/file_store").join(name)
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::write(to.join(entry.file_name()), fs::read(entry.path()).unwrap()).unwrap();
    }
}

#[test]
fn stores_of_earlier_releases_open_and_hold_what_they_held() {
    if let Ok(dir) = std::env::var("SNAPFOLD_MAKE_GOLDEN") {
        make_golden(Path::new(&dir));
    }
    let all: [(_, fn(&Path)); 8] = [
        ("v1", check),
        ("v1_crashed", check),
        ("v1_marks", check_marks),
        // Those before have index files in format 1, which are made anew.
        ("v1_index_2", check),
        ("v1_marks_index_2", check_marks),
        // Those in format 2 are made anew too, because they do not tell which snapshots are deltas.
        ("v1_index_3", check),
        ("v1_marks_index_3", check_marks),
        ("v1_bases", check_bases),
    ];
    for (name, check) in all {
        let dir = tempfile::tempdir().unwrap();
        copy(&fixture(name), dir.path());
        if name != "v1_crashed" {
            // Index files of earlier releases are not damage.
            assert_eq!(FileStore::verify(dir.path()).unwrap().problems, [], "{name}");
            let repaired = FileStore::repair(dir.path()).unwrap();
            assert_eq!(repaired.problems, [], "{name}");
        }
        check(dir.path());
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
    let dir = tempfile::tempdir().unwrap();
    make_marks(dir.path());
    check_marks(dir.path());
    #[cfg(feature = "conformance")]
    {
        let dir = tempfile::tempdir().unwrap();
        make_bases(dir.path());
        check_bases(dir.path());
    }
}

/// The index files are only a copy of what the log tells.
#[cfg(feature = "conformance")]
#[test]
fn bases_are_found_without_index_files() {
    let dir = tempfile::tempdir().unwrap();
    make_bases(dir.path());
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            fs::remove_file(path).unwrap();
        }
    }
    check_bases(dir.path());
}

#[test]
fn the_bytes_lie_where_the_format_document_says() {
    assert!(read_as_documented("v1")[1] >= 9);
    let [_, puts, deletes, .., marks] = read_as_documented("v1_marks");
    assert!(puts >= 4 && deletes >= 1 && marks >= 3, "{puts} {deletes} {marks}");
}

/// How many frames of each kind there are.
fn read_as_documented(name: &str) -> [u32; 6] {
    let dir = tempfile::tempdir().unwrap();
    copy(&fixture(name), dir.path());
    let file = |name: &str| fs::read(dir.path().join(name)).unwrap();
    let u64_at =
        |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let manifest = file("MANIFEST");
    assert_eq!(manifest[..8], *b"snfman\x01\x00");
    assert_eq!(u32_at(&manifest, 12) as usize, manifest.len());
    let entries = u32_at(&manifest, 60) as usize;
    assert_eq!(manifest.len(), 72 + entries * 24 + 4 * u32_at(&manifest, 64) as usize);
    let mut kinds = [0; 6];
    for entry in manifest[72..72 + entries * 24].chunks(24) {
        let segment = file(&format!("{:08}.seg", u32_at(entry, 0)));
        assert_eq!(u64_at(entry, 16) as usize, segment.len());
        assert_eq!(segment[..8], *b"snfseg\x01\x00");
        assert_eq!(segment[8..24], manifest[16..32]);
        assert_eq!(u64_at(&segment, 32), u64_at(entry, 8));
        let mut at = 48;
        let mut last = 0;
        while at < segment.len() {
            let body = &segment[at + 20..at + 20 + u32_at(&segment, at + 4) as usize];
            let place = [&segment[32..40], &(at as u64).to_le_bytes()].concat();
            let proven = [&place, &segment[at + 4..at + 28]].concat();
            assert_eq!(u32_at(&segment, at), crc32fast::hash(&proven));
            last = segment[at + 12] & 0x7f;
            if last == 1 {
                Record::from_bytes(body.to_vec()).verify().unwrap();
            } else {
                assert_eq!((u32_at(body, 0), u32_at(body, 4)), (0, crc32fast::hash(&body[8..])));
            }
            if last == 5 {
                let len = |at: usize| usize::from(u16::from_le_bytes([body[at], body[at + 1]]));
                let end = 38 + len(12) + len(14) + len(16);
                assert_eq!(u32_at(body, 8), crc32fast::hash(&body[12..end]));
                assert_eq!(&body[38..43], b"north");
                assert!(body[end] <= 2);
            }
            kinds[usize::from(last)] += 1;
            at += (20 + body.len()).next_multiple_of(8);
        }
        assert_eq!((at, last == 3), (segment.len(), u32_at(entry, 4) == 1));
    }
    kinds
}
