//! A damaged file must never give a wrong snapshot, nor lose one without a word: every byte of a
//! small store is flipped, every file cut at every length, every file removed. What a store does
//! not understand in a directory it refuses, with a reason.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::{Files, read, scratch, write};
use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{DeleteOptions, Lookup, PutOptions, Query, Selection};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotStore, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("k", id).unwrap()
}

fn record(id: &str, version: u64, payload: &[u8]) -> Record {
    RecordBuilder::new(key(id), GENERATION, version, Timestamp::from_seconds(1))
        .codec(CodecId::custom(1))
        .build(payload)
        .unwrap()
}

fn open(dir: &Path) -> Result<FileStore, Error> {
    FileStore::builder(dir).segment_bytes(4096).reserve_bytes(0).background(false).open()
}

fn put(store: &FileStore, records: Vec<Record>) {
    store.put_blocking(records, PutOptions::default()).unwrap();
}

fn expected() -> Vec<(&'static str, u64, Record)> {
    let mut all = Vec::new();
    for version in 3..=5 {
        all.push(("a", version, record("a", version, &[1; 700])));
        all.push(("b", version, record("b", version, &[2; 300])));
    }
    all
}

/// A closed store of a sealed segment and an active one.
fn store(dir: &Path) -> Files {
    let store = open(dir).unwrap();
    for version in 1..=2 {
        put(&store, vec![record("a", version, &[1; 300]), record("b", version, &[2; 300])]);
    }
    for key in [key("a"), key("b")] {
        store.delete_blocking(&key, Selection::Below(3), DeleteOptions::default()).unwrap();
    }
    for (_, _, record) in expected() {
        put(&store, vec![record]);
    }
    assert_eq!(store.stats().segments, 2);
    store.close().unwrap();
    read(dir)
}

/// Whether each snapshot is as it was put (true), or noticed to be damaged (false).
fn check(store: &FileStore, what: &str) -> Vec<bool> {
    let mut whole = Vec::new();
    for (id, version, expected) in expected() {
        let key = key(id);
        let query = Query::latest(&key, GENERATION).at_most(version);
        match store.get_blocking(query).unwrap() {
            Lookup::Found(found) => {
                assert_eq!(found.version, version, "{what}");
                assert!(found.record == expected || found.record.verify().is_err(), "{what}");
                whole.push(found.record == expected);
            }
            other => panic!("{what}: {id} {version} is lost: {other:?}"),
        }
    }
    for id in ["a", "b"] {
        let key = key(id);
        let deleted = store.get_blocking(Query::latest(&key, GENERATION).at_most(2)).unwrap();
        assert_eq!(deleted, Lookup::Absent, "{what}");
    }
    whole
}

fn must_be_refused(error: &Error, what: &str) {
    let fine = matches!(error.kind(), ErrorKind::CorruptStore | ErrorKind::Unsupported);
    assert!(fine, "{what}: {error:?}");
}

#[test]
fn every_flipped_byte_is_harmless_or_noticed_and_a_repair_keeps_all_the_rest() {
    let dir = scratch();
    let files = store(&dir.path().join("original"));
    let dir = dir.path().join("damaged");
    let (mut refused, mut noticed, mut harmless) = (0, 0, 0);
    write(&dir, &files);
    assert_eq!(FileStore::verify(&dir).unwrap().problems, []);
    for (name, bytes) in &files {
        for at in 0..bytes.len() {
            let what = format!("{name}, byte {at}");
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            write(&dir, &files);
            fs::write(dir.join(name), changed).unwrap();
            if at % 4 == 0 && name != "LOCK" {
                match FileStore::verify(&dir) {
                    Ok(found) => assert_ne!(found.problems, [], "{what}"),
                    Err(error) => must_be_refused(&error, &what),
                }
            }
            match open(&dir).map(|store| check(&store, &what)) {
                Ok(whole) if whole.contains(&false) => noticed += 1,
                Ok(_) => {
                    harmless += 1;
                    continue;
                }
                Err(error) => {
                    must_be_refused(&error, &what);
                    refused += 1;
                }
            }
            if at % 16 != 0 {
                continue;
            }
            let repaired = match FileStore::repair(&dir) {
                Ok(repaired) => repaired,
                // A newer format is for a newer release to repair.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}");
                    continue;
                }
            };
            assert_ne!(repaired.problems, [], "{what}");
            let store = open(&dir).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            let all = expected();
            let kept = all.iter().filter(|(id, version, expected)| {
                let key = key(id);
                let query = Query::latest(&key, GENERATION).at_most(*version);
                let found = store.get_blocking(query).unwrap().into_record();
                found.as_ref() == Some(expected)
            });
            let kept = kept.count();
            assert!(kept + 1 >= expected().len(), "{what}: {kept} kept");
            drop(store);
            assert_eq!(FileStore::verify(&dir).unwrap().problems, [], "{what}");
        }
    }
    println!("{refused} flips refused, {noticed} noticed on reading, {harmless} harmless");
    assert!(refused > 100 && noticed > 100);
}

#[test]
fn every_file_cut_at_every_length_or_removed_is_harmless_or_refused() {
    let dir = scratch();
    let files = store(&dir.path().join("original"));
    let dir = dir.path().join("damaged");
    for (name, bytes) in &files {
        let cuts = (0..bytes.len()).map(Some).chain([None]);
        for cut in cuts {
            let what = format!("{name} cut to {cut:?}");
            write(&dir, &files);
            match cut {
                Some(len) => fs::write(dir.join(name), &bytes[..len]).unwrap(),
                None => fs::remove_file(dir.join(name)).unwrap(),
            }
            match open(&dir) {
                Ok(store) => {
                    assert!(name == "LOCK" || name.ends_with(".idx"), "{what} is accepted");
                    assert!(!check(&store, &what).contains(&false), "{what}");
                }
                Err(error) => must_be_refused(&error, &what),
            }
        }
    }
}

#[test]
fn a_damaged_snapshot_is_named_by_verify_and_repair() {
    let dir = tempfile::tempdir().unwrap();
    let files = store(dir.path());
    let name = "00000001.seg";
    let mut bytes = files[name].clone();
    let at = bytes.windows(700).position(|window| window == [1; 700]).unwrap();
    bytes[at + 50] ^= 1;
    fs::write(dir.path().join(name), bytes).unwrap();
    let found = FileStore::verify(dir.path()).unwrap();
    let (damaged, id) = found.problems[0].snapshot.clone().unwrap();
    assert_eq!((damaged, id.version), (key("a"), 3));
    let repaired = FileStore::repair(dir.path()).unwrap();
    assert_eq!(repaired.problems[0].snapshot.as_ref().unwrap().0, key("a"));
    assert!(dir.path().join("00000001.seg.damaged").exists());
    let text = repaired.problems[0].to_string();
    assert!(text.starts_with("00000001.seg at offset ") && text.contains("version 3"), "{text}");
}

/// What is in the log cannot be told from damage later, so it never gets there.
#[tokio::test]
async fn a_record_that_does_not_verify_is_refused_and_nothing_of_its_call_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    put(&store, vec![record("a", 1, &[1; 300])]);
    let before = read(dir.path());
    let whole = record("a", 2, &[2; 300]).as_bytes().to_vec();
    let payload = whole.len() - 7;
    let changed = |at: usize, by: u8| {
        let mut bytes = whole.clone();
        bytes[at] ^= by;
        bytes
    };
    let longer = [&whole[..], &[0]].concat();
    let shorter = whole[..whole.len() - 1].to_vec();
    for bad in [changed(payload, 1), changed(9, 1), changed(3, 8), longer, shorter, vec![0; 200]] {
        let records = || vec![record("a", 3, b"x"), Record::from_bytes(bad.clone())];
        let options = PutOptions::default();
        for error in [
            store.put(records(), options.clone()).await.unwrap_err(),
            store.put_blocking(records(), options.clone()).unwrap_err(),
            store.submit(records(), options.clone()).err().unwrap(),
        ] {
            assert_eq!(error.kind(), ErrorKind::InvalidInput);
            assert!(error.to_string().contains("is invalid"), "{error}");
        }
    }
    assert!(read(dir.path()) == before);
    drop(store);
    let store = open(dir.path()).unwrap();
    assert_eq!(store.stats().snapshots, 1);
}

#[test]
fn a_copied_or_backed_up_directory_opens_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let original = dir.path().join("original");
    let files = store(&original);
    let copy = dir.path().join("copy");
    write(&copy, &files);
    check(&open(&copy).unwrap(), "copy");

    let store = open(&original).unwrap();
    let backup = dir.path().join("backup");
    let done = store.backup(&backup).unwrap();
    assert_eq!((done.snapshots, done.linked), (6, 1));
    assert_eq!(store.backup(&backup).unwrap_err().kind(), ErrorKind::InvalidInput);
    // What comes later is not in it, and does not change it.
    for version in 6..20 {
        put(&store, vec![record("a", version, &[3; 700])]);
    }
    store.delete_blocking(&key("b"), Selection::All, DeleteOptions::default()).unwrap();
    store.compact().unwrap();
    assert_eq!(FileStore::verify(&backup).unwrap().problems, []);
    let backup = open(&backup).unwrap();
    assert!(!check(&backup, "backup").contains(&false));
    assert_eq!(backup.stats().snapshots, 6);
    put(&backup, vec![record("a", 6, b"x")]);
}

#[test]
fn a_store_is_opened_once_and_the_other_is_told_by_whom() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains(&std::process::id().to_string()), "{error}");
    let error = FileStore::repair(dir.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    // These only read.
    assert_eq!(FileStore::verify(dir.path()).unwrap().problems, []);
    FileStore::inspect(dir.path()).unwrap();
    FileStore::open_read_only(dir.path()).unwrap();
    drop(store);
    open(dir.path()).unwrap();
}

#[test]
fn directories_that_are_none_or_of_others_are_refused_and_foreign_files_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"x").unwrap();
    assert_eq!(open(&file).unwrap_err().kind(), ErrorKind::Store);
    assert_eq!(open(&file.join("below")).unwrap_err().kind(), ErrorKind::Store);

    let good = dir.path().join("good");
    let files = store(&good);
    for name in ["notes.txt", "1.seg", "00000009.segment", "x.seg", "00000003.seg.damaged"] {
        fs::write(good.join(name), b"mine").unwrap();
    }
    check(&open(&good).unwrap(), "foreign files");
    let inspection = FileStore::inspect(&good).unwrap();
    assert_eq!(inspection.foreign.len(), 5);
    assert_eq!(inspection.segments.len(), 2);
    assert!(inspection.segments[0].sealed && inspection.segments[0].indexed);

    fs::write(good.join("00000077.seg"), &files["00000001.seg"]).unwrap();
    let error = open(&good).unwrap_err();
    assert!(error.to_string().contains("00000077.seg"), "{error}");

    // A crash while the store was created leaves one of these.
    for leftovers in [vec![], vec!["LOCK"], vec!["LOCK", "MANIFEST.tmp"]] {
        let young = dir.path().join("young");
        write(&young, &leftovers.iter().map(|name| ((*name).into(), b"half".to_vec())).collect());
        put(&open(&young).unwrap(), vec![record("a", 1, b"x")]);
    }
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = store(dir.path());
    files.get_mut("MANIFEST").unwrap()[6] = 9;
    write(dir.path(), &files);
    for error in [open(dir.path()).unwrap_err(), FileStore::repair(dir.path()).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("format 9"), "{error}");
    }
}

/// The defect: a repair by the older release left the newer segment out, and the store opened
/// without its snapshots.
#[test]
fn a_segment_of_a_newer_format_is_left_to_a_newer_release() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = store(dir.path());
    let segment = files.get_mut("00000001.seg").unwrap();
    segment[6] = 9;
    let sum = crc32fast::hash(&segment[..44]);
    segment[44..48].copy_from_slice(&sum.to_le_bytes());
    write(dir.path(), &files);
    for error in [open(dir.path()).unwrap_err(), FileStore::repair(dir.path()).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let text = error.to_string();
        assert!(text.contains("format 9") && text.contains("00000001.seg"), "{text}");
    }
    let after = read(dir.path());
    for name in ["MANIFEST", "00000001.seg", "00000002.seg"] {
        assert!(after[name] == files[name], "{name}");
    }
}

#[tokio::test]
async fn ids_of_every_length_and_byte_are_kept_apart_and_longer_ones_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut ids: Vec<String> = (0..=1024).step_by(31).map(|len| "x".repeat(len)).collect();
    ids.push("y".repeat(1024));
    ids.extend((0..128_u8).map(|byte| char::from(byte).to_string()));
    ids.extend(["\u{202e}a", "../../etc", "a/b", "NUL"].map(Into::into));
    let store = open(dir.path()).unwrap();
    let records = ids.iter().map(|id| record(id, 1, id.as_bytes())).collect();
    store.put(records, PutOptions::default()).await.unwrap();
    drop(store);
    let store = open(dir.path()).unwrap();
    for id in &ids {
        let key = key(id);
        let found = store.get(Query::latest(&key, GENERATION)).await.unwrap().into_record();
        assert_eq!(found, Some(record(id, 1, id.as_bytes())));
    }
    let long = "x".repeat(1025);
    let error = store.put(vec![record(&long, 1, b"")], PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("1025"), "{error}");
    let long = key(&long);
    assert_eq!(store.get(Query::latest(&long, GENERATION)).await.unwrap(), Lookup::Absent);
    assert_eq!(
        store.delete(&long, Selection::All, DeleteOptions::default()).await.unwrap().snapshots,
        0
    );
}

#[test]
fn payloads_from_nothing_to_many_segments_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).unwrap();
    let sizes = [0, 1, 7, 8, 4000, 4096, 5000, 1 << 20];
    let payload = |size: usize| (0..size).map(|i| (i % 251) as u8).collect::<Vec<_>>();
    for (version, size) in sizes.iter().enumerate() {
        put(&store, vec![record("a", version as u64 + 1, &payload(*size))]);
    }
    drop(store);
    let store = open(dir.path()).unwrap();
    for (version, size) in sizes.iter().enumerate() {
        let version = version as u64 + 1;
        let key = key("a");
        let found = store.get_blocking(Query::latest(&key, GENERATION).at_most(version)).unwrap();
        assert!(found.into_record() == Some(record("a", version, &payload(*size))));
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_written_to_is_refused_and_can_be_verified() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    store(dir.path());
    let set = |path: PathBuf, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set(dir.path().join("LOCK"), 0o444).unwrap();
    set(dir.path().into(), 0o555).unwrap();
    // Whoever may do everything, may do this too.
    let powerful = fs::write(dir.path().join("probe"), b"").is_ok();
    if powerful {
        fs::remove_file(dir.path().join("probe")).unwrap();
    } else {
        assert_eq!(open(dir.path()).unwrap_err().kind(), ErrorKind::Store);
    }
    assert_eq!(FileStore::verify(dir.path()).unwrap().problems, []);
    set(dir.path().into(), 0o755).unwrap();
}

#[test]
fn settings_out_of_bounds_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let builder = || FileStore::builder(dir.path());
    for config in [
        builder().segment_bytes(0),
        builder().segment_bytes((1 << 30) + 1),
        builder().compact_at(0.0),
        builder().compact_at(f64::NAN),
        builder().reserve_bytes(u64::MAX),
    ] {
        assert_eq!(config.open().unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}

/// What the thread in the background meets, nobody called for: it is told, once, and counted.
#[test]
fn damage_that_compaction_meets_is_told_and_in_the_statistics() {
    let scratch = scratch();
    let dir = scratch.path();
    let (told, heard) = std::sync::mpsc::channel();
    let store = FileStore::builder(dir)
        .segment_bytes(4096)
        .reserve_bytes(0)
        .compact_at(0.2)
        .on_background_error(move |error| {
            told.send((error.kind(), error.to_string())).unwrap();
            panic!("the application's own trouble");
        })
        .open()
        .unwrap();
    for version in 1..=8 {
        put(&store, vec![record("a", version, &[1; 700])]);
    }
    let stats = store.stats();
    assert_eq!((stats.background_errors, stats.damaged_files), (0, Vec::new()));

    // The middle of the first file, where nothing is deleted.
    let first = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let first =
        first.filter(|path| path.extension().is_some_and(|ext| ext == "seg")).min().unwrap();
    let mut bytes = fs::read(&first).unwrap();
    let len = bytes.len();
    bytes[len / 2..len / 2 + 400].fill(0x55);
    fs::write(&first, bytes).unwrap();
    let ids = [1, 2].map(|version| snapfold::SnapshotId { generation: GENERATION, version });
    store.delete_blocking(&key("a"), Selection::Ids(&ids), DeleteOptions::default()).unwrap();

    let (kind, what) = heard.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    assert_eq!(kind, ErrorKind::CorruptStore, "{what}");
    let stats = store.stats();
    assert_eq!(stats.damaged_files.len(), 1, "{stats:?}");
    assert!(what.contains(&stats.damaged_files[0]), "{what}");
    assert!(stats.background_errors >= 1);
    assert!(stats.last_background_error.unwrap().contains("FileStore::repair()"));
    store.close().unwrap();
    assert!(heard.try_recv().is_err(), "told twice");
}
