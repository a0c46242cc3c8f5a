//! A store that is opened read-only shows what was committed, changes nothing on the disk, and is
//! not disturbed by the process that has the store open.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::SystemTime;

use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Lookup, Mark, MarkChange, PutOptions, Query, Rewrite,
    Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotId, SnapshotStore, Timestamp};

use crate::support::{read, scratch, write};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("k", id).unwrap()
}

/// The record that is put under this id and version, in every test but one.
fn record(id: &str, version: u64) -> Record {
    let len = usize::try_from(version * 7919 % 1500).unwrap();
    filled(id, version, &vec![u8::try_from(version % 251).unwrap(); len])
}

fn filled(id: &str, version: u64, payload: &[u8]) -> Record {
    RecordBuilder::new(key(id), GENERATION, version, Timestamp::from_seconds(1))
        .codec(CodecId::custom(1))
        .build(payload)
        .unwrap()
}

fn open(dir: &Path) -> FileStore {
    let builder = FileStore::builder(dir).segment_bytes(8192).reserve_bytes(0).compact_at(0.2);
    builder.background(false).open().unwrap()
}

fn put(store: &FileStore, records: Vec<Record>) {
    store.put_blocking(records, PutOptions::default()).unwrap();
}

fn found(store: &FileStore, id: &str, at_most: u64) -> Result<Option<Record>, Error> {
    let key = key(id);
    let lookup = store.get_blocking(Query::latest(&key, GENERATION).at_most(at_most))?;
    Ok(lookup.into_record())
}

fn version(record: &Record) -> u64 {
    record.header().unwrap().version
}

fn versions(store: &FileStore, id: &str) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let key = key(id);
    let listed = runtime.block_on(store.list(ListRequest::new(&key).limit(10_000))).unwrap();
    listed.items.iter().map(|meta| meta.version).collect()
}

/// The files of a directory with all that a change would show in.
fn state_of(dir: &Path) -> BTreeMap<String, (Vec<u8>, SystemTime)> {
    let files = fs::read_dir(dir).unwrap().map(|entry| {
        let entry = entry.unwrap();
        let changed = entry.metadata().unwrap().modified().unwrap();
        (entry.file_name().into_string().unwrap(), (fs::read(entry.path()).unwrap(), changed))
    });
    files
        .chain([(".".to_owned(), (Vec::new(), fs::metadata(dir).unwrap().modified().unwrap()))])
        .collect()
}

/// Reads everything of a store that was opened read-only, tries every change, and returns the
/// snapshots of `a`.
fn use_it(store: &FileStore) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(store.is_read_only());
    let seen = versions(store, "a");
    for version in &seen {
        assert_eq!(found(store, "a", *version).unwrap(), Some(record("a", *version)));
    }
    runtime.block_on(store.keys(KeysRequest::new())).unwrap();
    let (key, at) = (key("a"), Timestamp::from_seconds(1));
    let (pin, options) = (Mark::pin("p", at), DeleteOptions::default());
    let rewrite = Rewrite::new(record("a", 1), record("a", 1));
    let ids: &[(&AggregateKey, &[SnapshotId])] = &[(&key, &[])];
    let refused: [(&str, Error); 10] = [
        ("put", store.put_blocking(vec![record("a", 99)], PutOptions::default()).unwrap_err()),
        ("put nothing", store.put_blocking(Vec::new(), PutOptions::default()).unwrap_err()),
        ("submit", store.submit(Vec::new(), PutOptions::default()).err().unwrap()),
        ("delete", store.delete_blocking(&key, Selection::All, options).unwrap_err()),
        ("delete below", store.delete_below_blocking(&[(key.clone(), 5)]).unwrap_err()),
        ("delete many", runtime.block_on(store.delete_many(ids, options)).unwrap_err()),
        ("mark", store.mark_blocking(&key, Selection::All, MarkChange::Set(&pin)).unwrap_err()),
        ("rewrite", runtime.block_on(store.rewrite(vec![rewrite])).unwrap_err()),
        ("compact", store.compact().unwrap_err()),
        ("backup", store.backup(store.dir().join("backup")).unwrap_err()),
    ];
    for (what, error) in refused {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{what}: {error}");
        assert!(error.to_string().contains("read-only"), "{what}: {error}");
    }
    assert!(!store.capabilities().rewrites);
    assert_eq!(versions(store, "a"), seen);
    seen
}

/// The remains of a process that was killed in the middle of a write: a file without its end, and
/// temporary files. The store was never closed.
fn crashed(dir: &Path) {
    let scratch = scratch();
    let store = open(scratch.path());
    for version in 1..=30 {
        put(&store, vec![record("a", version), record("b", version)]);
    }
    store.delete_blocking(&key("a"), Selection::Below(4), DeleteOptions::default()).unwrap();
    put(&store, vec![record("a", 31), record("b", 31)]);
    let mut files = read(scratch.path());
    store.close().unwrap();
    let closed = read(scratch.path());
    // The unsealed segment is the last one. Its end is what a close leaves.
    let name = files.keys().rfind(|name| name.ends_with(".seg")).unwrap().clone();
    let mut torn = closed[&name].clone();
    torn.truncate(torn.len() - 40);
    torn.extend([0; 5000]);
    files.insert(name, torn);
    files.insert("MANIFEST.tmp".to_owned(), b"snf".to_vec());
    files.insert("00000099.seg.tmp".to_owned(), vec![7; 500]);
    files.insert("00000001.idx.tmp".to_owned(), vec![7; 50]);
    files.remove("00000001.idx");
    write(dir, &files);
}

#[test]
fn reading_a_store_changes_nothing_on_the_disk_not_even_after_a_crash() {
    let scratch = scratch();
    for (name, is_crashed) in [("closed", false), ("crashed", true)] {
        let dir = scratch.path().join(name);
        let expected: Vec<u64> = if is_crashed {
            crashed(&dir);
            // The batch of version 31 is not whole.
            (4..=30).rev().collect()
        } else {
            let store = open(&dir);
            for version in 1..=30 {
                put(&store, vec![record("a", version)]);
            }
            store.close().unwrap();
            (1..=30).rev().collect()
        };
        let before = state_of(&dir);
        let store = FileStore::open_read_only(&dir).unwrap();
        assert_eq!(use_it(&store), expected, "{name}");
        let clone = store.clone();
        store.close().unwrap();
        assert_eq!(found(&clone, "a", 9).unwrap_err().kind(), ErrorKind::Store);
        drop(clone);
        let verified = FileStore::verify(&dir).unwrap();
        assert_eq!(verified.problems, [], "{name}");
        assert_eq!(verified.torn_bytes > 0, is_crashed, "{name}");
        FileStore::inspect(&dir).unwrap();
        assert!(state_of(&dir) == before, "{name}: the directory was changed");
        // The same state is what an open for writing finds.
        let store = open(&dir);
        assert_eq!(versions(&store, "a"), expected, "{name}");
        assert!(!store.is_read_only());
        assert!(state_of(&dir) != before, "{name}: an open for writing takes the lock");
    }
}

#[cfg(unix)]
#[test]
fn a_directory_without_the_permission_to_write_is_readable() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = scratch();
    let dir = scratch.path().join("store");
    crashed(&dir);
    let all = || fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    for path in all() {
        mode(&path, 0o444).unwrap();
    }
    mode(&dir, 0o555).unwrap();
    let store = FileStore::open_read_only(&dir).unwrap();
    assert_eq!(use_it(&store).len(), 27);
    assert_eq!(FileStore::verify(&dir).unwrap().problems, []);
    mode(&dir, 0o755).unwrap();
}

#[test]
fn what_is_no_store_or_a_damaged_one_is_refused_and_stays_as_it_is() {
    let scratch = scratch();
    let dir = scratch.path().join("store");
    let missing = FileStore::open_read_only(&dir).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::Store, "{missing}");
    assert!(!dir.exists());
    fs::create_dir(&dir).unwrap();
    let error = FileStore::open_read_only(&dir).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);

    crashed(&dir);
    let files = read(&dir);
    let refused = |change: &dyn Fn(&mut crate::support::Files)| {
        let mut files = files.clone();
        change(&mut files);
        write(&dir, &files);
        let error = FileStore::open_read_only(&dir).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptStore, "{error}");
        assert!(read(&dir) == files);
        error.to_string()
    };
    let gone = refused(&|files| drop(files.remove("00000002.seg").unwrap()));
    assert!(gone.contains("the file is missing"), "{gone}");
    let strange = refused(&|files| drop(files.insert("00000098.seg".to_owned(), vec![7; 90])));
    assert!(strange.contains("00000098.seg is not listed"), "{strange}");
    // Behind these bytes there are frames that show that they were durable.
    let last = files.keys().rfind(|name| name.ends_with(".seg")).unwrap().clone();
    let torn = refused(&|files| files.get_mut(&last).unwrap()[100] ^= 1);
    assert!(torn.contains("damaged at offset 48"), "{torn}");
    // A segment under its temporary name, as a crash leaves it, belongs to the store.
    let mut files = files;
    let bytes = files.remove(&last).unwrap();
    files.insert(format!("{last}.tmp"), bytes);
    write(&dir, &files);
    assert_eq!(use_it(&FileStore::open_read_only(&dir).unwrap()).len(), 27);
    assert!(read(&dir) == files);
}

/// A writer that fails in the middle of a write, or a crash, makes the next writer overwrite what a
/// reader has found at the end of the log.
#[test]
fn a_write_that_was_taken_back_is_an_error_and_not_another_snapshot() {
    let scratch = scratch();
    let (live, other) = (scratch.path().join("live"), scratch.path().join("other"));
    let store = open(&live);
    put(&store, vec![record("a", 1)]);
    let before = read(&live);
    put(&store, vec![record("a", 2)]);
    let name = "00000001.seg";
    // What another writer makes of the state before: the same length, another content.
    write(&other, &before);
    let fork = open(&other);
    let len = record("a", 2).header().unwrap().raw_bytes;
    let changed = filled("a", 2, &vec![200; usize::try_from(len).unwrap()]);
    assert_eq!(changed.as_bytes().len(), record("a", 2).as_bytes().len());
    put(&fork, vec![changed.clone()]);
    let forked = read(&other)[name].clone();
    assert_eq!(found(&fork, "a", 9).unwrap(), Some(changed));

    for bytes in [before[name].clone(), forked] {
        let reader = FileStore::open_read_only(&live).unwrap();
        assert_eq!(found(&reader, "a", 9).unwrap(), Some(record("a", 2)));
        let whole = fs::read(live.join(name)).unwrap();
        let overwrite = |bytes: &[u8]| {
            let mut file = OpenOptions::new().write(true).open(live.join(name)).unwrap();
            file.write_all(bytes).unwrap();
        };
        overwrite(&bytes);
        let error = found(&reader, "a", 9).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Store, "{error}");
        assert!(error.to_string().contains("open it again"), "{error}");
        assert_eq!(found(&reader, "a", 1).unwrap(), Some(record("a", 1)));
        overwrite(&whole);
    }
}

#[test]
fn readers_beside_a_writer_that_puts_deletes_and_compacts_see_what_was_committed() {
    const OPENS: usize = 300;
    let scratch = scratch();
    let dir = scratch.path();
    // With its background thread, on whose removals nobody waits.
    let builder = FileStore::builder(dir).segment_bytes(16 << 10).reserve_bytes(0).compact_at(0.2);
    let writer = builder.open().unwrap();
    put(&writer, vec![record("a", 1), record("b", 1)]);
    let (done, acknowledged) = (AtomicBool::new(false), AtomicU64::new(1));
    // The first reader keeps what it found, whatever becomes of the files.
    let first = FileStore::open_read_only(dir).unwrap();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            let mut version = 1;
            while !done.load(Ordering::SeqCst) {
                version += 1;
                put(&writer, vec![record("a", version), record("b", version)]);
                acknowledged.store(version, Ordering::SeqCst);
                if version % 7 == 0 {
                    let below = Selection::Below(version - 5);
                    for key in [key("a"), key("b")] {
                        writer.delete_blocking(&key, below, DeleteOptions::default()).unwrap();
                    }
                }
                if version % 50 == 0 {
                    writer.compact().unwrap();
                }
            }
            version
        });
        // A failure must not leave the writer running.
        let stop = SetOnDrop(&done);
        let mut kept = Vec::new();
        for number in 0..OPENS {
            let at_least = acknowledged.load(Ordering::SeqCst);
            let reader = FileStore::open_read_only(dir).unwrap();
            let at_most = acknowledged.load(Ordering::SeqCst) + 1;
            let newest = found(&reader, "a", u64::MAX).unwrap().unwrap();
            let newest = version(&newest);
            assert!((at_least..=at_most).contains(&newest), "{at_least} {newest} {at_most}");
            check(&reader, newest);
            if number % 10 == 0 {
                kept.push((reader, newest));
                assert_eq!(FileStore::verify(dir).unwrap().problems, []);
                let segments = FileStore::inspect(dir).unwrap().segments;
                assert!(segments.iter().all(|segment| segment.bytes.is_some()), "{segments:?}");
            }
        }
        drop(stop);
        let last = writing.join().unwrap();
        assert!(last > 100, "the writer did only {last} rounds");
        // Most of their files are gone.
        for (reader, newest) in &kept {
            check(reader, *newest);
        }
        assert_eq!(found(&first, "a", u64::MAX).unwrap(), Some(record("a", 1)));
        assert_eq!(found(&writer, "a", 1).unwrap(), None);
    });
}

struct SetOnDrop<'a>(&'a AtomicBool);

impl Drop for SetOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Checks that a reader shows one state of the writer above: both aggregates end at the same version,
/// because they were put together, and every snapshot is the one that was put.
fn check(reader: &FileStore, newest: u64) {
    assert_eq!(found(reader, "b", u64::MAX).unwrap(), Some(record("b", newest)));
    for id in ["a", "b"] {
        let versions = versions(reader, id);
        assert_eq!(versions.first(), Some(&newest));
        assert!((1..=13).contains(&versions.len()), "{versions:?}");
        assert!(versions.windows(2).all(|two| two[0] == two[1] + 1), "{versions:?}");
        for version in versions {
            let (key, id) = (key(id), SnapshotId { generation: GENERATION, version });
            let query = Query::exact(&key, id);
            let Lookup::Found(found) = reader.get_blocking(query).unwrap() else {
                panic!("{key} at {id} is listed and not found")
            };
            assert_eq!(found.record, record(key.id(), version));
        }
    }
}
