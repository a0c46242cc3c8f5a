//! Marks in a file store: what a damaged file makes of them, what several threads at a time make of
//! them, and what goes with a copy of the store.

use std::fs;
use std::path::Path;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support::{read, scratch, write};
use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, ListRequest, Lookup, Mark, MarkChange, MarkKind, Marks, PutOptions, Query,
    Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId, SnapshotStore, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("k", id).unwrap()
}

const fn id(version: u64) -> SnapshotId {
    SnapshotId { generation: GENERATION, version }
}

fn record(id: &str, version: u64) -> Record {
    RecordBuilder::new(key(id), GENERATION, version, Timestamp::from_seconds(1))
        .codec(CodecId::custom(1))
        .build(&[1; 100])
        .unwrap()
}

fn open(dir: &Path) -> Result<FileStore, Error> {
    FileStore::builder(dir).segment_bytes(4096).reserve_bytes(0).background(false).open()
}

fn put(store: &FileStore, id: &str, version: u64, marks: &Marks) {
    let options = PutOptions::default().marks(marks.clone());
    store.put_blocking(vec![record(id, version)], options).unwrap();
}

fn pin() -> Mark {
    Mark::pin("audit", Timestamp::from_seconds(5)).actor("ops").note("until it is closed")
}

fn retirement() -> Mark {
    Mark::retirement("wrong", Timestamp::from_seconds(6))
}

fn both() -> Marks {
    Marks::new([pin(), retirement()]).unwrap()
}

/// The versions and marks of all snapshots of an aggregate.
fn marks(store: &FileStore, id: &str) -> Vec<(u64, Marks)> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = key(id);
    let page = runtime.block_on(store.list(ListRequest::new(&key))).unwrap();
    page.items.into_iter().map(|meta| (meta.version, meta.marks)).collect()
}

/// A sealed file and an active one, each with marks in force and marks that were changed since.
fn fill(store: &FileStore) {
    put(store, "a", 1, &both());
    put(store, "a", 2, &Marks::NONE);
    let key = key("a");
    store.mark_blocking(&key, Selection::Ids(&[id(2)]), MarkChange::Set(&pin())).unwrap();
    for version in 1..=20 {
        put(store, "fills", version, &Marks::NONE);
    }
    let clear = MarkChange::Clear { kind: MarkKind::Pin, name: "audit" };
    store.mark_blocking(&key, Selection::Ids(&[id(2)]), clear).unwrap();
    put(store, "a", 3, &Marks::new([retirement()]).unwrap());
}

fn expected() -> Vec<(u64, Marks)> {
    let retired = Marks::new([retirement()]).unwrap();
    vec![(3, retired), (2, Marks::NONE), (1, both())]
}

#[test]
fn whatever_byte_is_damaged_a_store_opens_with_all_its_marks_or_not_at_all() {
    let dir = scratch();
    let original = dir.path().join("original");
    let store = open(&original).unwrap();
    fill(&store);
    assert!(store.stats().segments > 1);
    assert_eq!(marks(&store, "a"), expected());
    store.close().unwrap();
    let files = read(&original);
    let found = FileStore::verify(&original).unwrap();
    assert_eq!((found.problems, found.records, found.marks), (vec![], 23, 4));
    let dir = dir.path().join("damaged");
    let (mut fine, mut refused, mut named) = (0, 0, 0);
    for (name, bytes) in &files {
        for at in (0..bytes.len()).filter(|at| at % 3 == 0) {
            let what = format!("{name}, byte {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            write(&dir, &files);
            fs::write(dir.join(name), changed).unwrap();
            match open(&dir) {
                Ok(store) => {
                    // The header of a snapshot may be damaged, so that it is not listed.
                    let there = marks(&store, "a");
                    let all = expected();
                    assert!(there.iter().all(|one| all.contains(one)), "{what}: {there:?}");
                    assert!(there.len() >= 2, "{what}: {there:?}");
                    fine += 1;
                }
                Err(error) => {
                    let kinds = [ErrorKind::CorruptStore, ErrorKind::Unsupported];
                    assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
                    refused += 1;
                }
            }
            if at % 21 != 0 {
                continue;
            }
            write(&dir, &files);
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(dir.join(name), changed).unwrap();
            let Ok(report) = FileStore::repair(&dir) else { continue };
            let store = open(&dir).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let there = marks(&store, "a");
            if there != expected() {
                assert!(!report.problems.is_empty(), "{what}");
                // What is damaged is named, if it still says whose it is.
                let of_a = |one: &(AggregateKey, SnapshotId)| one.0 == key("a");
                named += report
                    .problems
                    .iter()
                    .filter_map(|one| one.snapshot.as_ref())
                    .filter(|one| of_a(one))
                    .count();
            }
            // And a snapshot that was lost does not leave its marks to the next one.
            drop(store);
            assert_eq!(FileStore::verify(&dir).unwrap().problems, [], "{what}");
        }
    }
    assert!(fine > 500 && refused > 50 && named > 10, "{fine} {refused} {named}");
}

/// The frame of marks says whose they are even if the marks in it are damaged.
#[test]
fn a_damaged_mark_is_named_and_repaired_away_alone() {
    let dir = scratch();
    let dir = dir.path().join("0");
    let store = open(&dir).unwrap();
    put(&store, "a", 1, &both());
    put(&store, "b", 1, &both());
    store.close().unwrap();
    let path = dir.join("00000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    let note = b"until it is closed";
    let at = bytes.windows(note.len()).position(|part| part == note).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    // The index file has them too.
    let store = open(&dir).unwrap();
    assert_eq!(marks(&store, "a"), [(1, both())]);
    drop(store);
    let problems = FileStore::verify(&dir).unwrap().problems;
    // The other one is the index file, which has what the segment has no more.
    let [problem, index] = problems.as_slice() else { panic!("{problems:?}") };
    assert_eq!(index.file, "00000001.idx");
    assert_eq!(problem.snapshot, Some((key("a"), id(1))));
    let report = FileStore::repair(&dir).unwrap();
    assert!(report.problems.contains(problem), "{report:?}");
    assert_eq!((report.kept, report.replaced.len()), (2, 1));
    let store = open(&dir).unwrap();
    assert_eq!(marks(&store, "a"), [(1, Marks::NONE)]);
    assert_eq!(marks(&store, "b"), [(1, both())]);
}

/// The marks of a snapshot that was lost are still there after the repair.
#[test]
fn a_snapshot_that_is_put_in_the_place_of_a_lost_one_has_none_of_its_marks() {
    let dir = scratch();
    let dir = dir.path().join("0");
    let store = open(&dir).unwrap();
    put(&store, "a", 1, &both());
    store.close().unwrap();
    let path = dir.join("00000001.seg");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(100).position(|part| part == [1; 100]).unwrap();
    bytes[at] ^= 1;
    fs::write(&path, &bytes).unwrap();
    FileStore::repair(&dir).unwrap();
    let store = open(&dir).unwrap();
    assert_eq!(store.stats().snapshots, 0);
    let get = |store: &FileStore| store.get_blocking(Query::latest(&key("a"), GENERATION)).unwrap();
    assert_eq!(get(&store), Lookup::Absent);
    put(&store, "a", 1, &Marks::NONE);
    for reopen in [false, true] {
        let store = if reopen { open(&dir).unwrap() } else { store.clone() };
        assert_eq!(marks(&store, "a"), [(1, Marks::NONE)]);
        assert!(matches!(get(&store), Lookup::Found(_)));
        if !reopen {
            store.close().unwrap();
        }
    }
}

#[test]
fn a_pin_is_either_before_a_delete_or_finds_nothing() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    let (mut pinned_first, mut deleted_first) = (0, 0);
    for round in 0..400_u64 {
        let name = format!("{round}");
        let key = key(&name);
        put(&store, &name, 1, &Marks::NONE);
        let together = Barrier::new(2);
        let (marked, deleted) = std::thread::scope(|scope| {
            let marked = scope.spawn(|| {
                together.wait();
                store.mark_blocking(&key, Selection::All, MarkChange::Set(&pin())).unwrap()
            });
            together.wait();
            let options = DeleteOptions::default();
            let deleted = store.delete_blocking(&key, Selection::All, options).unwrap();
            (marked.join().unwrap(), deleted)
        });
        let left = marks(&store, &name).len() as u64;
        assert_eq!((deleted.snapshots, deleted.pinned, left), (1 - marked, marked, marked));
        *(if marked == 1 { &mut pinned_first } else { &mut deleted_first }) += 1;
    }
    println!("{pinned_first} pinned first, {deleted_first} deleted first");
}

/// Neither when it appears, nor while it goes.
#[test]
fn no_reader_ever_finds_a_retired_snapshot() {
    let dir = scratch();
    let store = open(dir.path()).unwrap();
    let key = key("a");
    let retired = Marks::new([retirement()]).unwrap();
    put(&store, "a", 1, &Marks::NONE);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let found = store.get_blocking(Query::latest(&key, GENERATION)).unwrap();
                    let Lookup::Found(found) = found else { panic!("{found:?}") };
                    assert_eq!(found.version, 1);
                }
            });
        }
        for _ in 0..3000 {
            put(&store, "a", 2, &retired);
            let options = DeleteOptions::default();
            store.delete_blocking(&key, Selection::Ids(&[id(2)]), options).unwrap();
        }
        over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn deletes_of_many_aggregates_spare_what_is_pinned_and_backups_hold_marks() {
    let dir = scratch();
    let store = open(&dir.path().join("0")).unwrap();
    for name in ["a", "b", "c"] {
        for version in 1..=4 {
            let pins = Marks::new([pin()]).unwrap();
            put(
                &store,
                name,
                version,
                if name == "b" && version == 2 { &pins } else { &Marks::NONE },
            );
        }
    }
    let bounds: Vec<_> = ["a", "b", "c", "d"].map(|name| (key(name), 4)).to_vec();
    let deleted = store.delete_below_blocking(&bounds).unwrap();
    assert_eq!((deleted.snapshots, deleted.pinned, deleted.needed), (8, 1, 0));
    store.compact().unwrap();
    let pins = Marks::new([pin()]).unwrap();
    let expected = [(4, Marks::NONE), (2, pins)];
    assert_eq!(marks(&store, "b"), expected);
    let to = dir.path().join("backup");
    store.backup(&to).unwrap();
    let all = DeleteOptions::default().overrule_pins(true);
    let deleted = store.delete_blocking(&key("b"), Selection::Below(4), all).unwrap();
    assert_eq!((deleted.snapshots, deleted.pinned), (1, 0));
    assert_eq!(marks(&open(&to).unwrap(), "b"), expected);
    assert_eq!(marks(&store, "b"), expected[..1]);
}
