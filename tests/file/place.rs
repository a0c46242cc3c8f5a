//! Where a store lies, and what others do to that place meanwhile. The defects: a directory that
//! was removed and made anew gets the files of a store that is still open somewhere, and loses its
//! own; a process that changes its directory takes its store along; a store of linked files is
//! taken for an empty one; closing, copying or compacting waits for as long as the compaction in
//! the background likes to rest; a failure is told without saying what to do.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use snapfold::codec::CodecId;
use snapfold::file::{FileStore, FileStoreConfig};
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{DeleteOptions, PutOptions, PutOutcome, Query, Selection};
use snapfold::{AggregateKey, Error, ErrorKind, Retry, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("k", id).unwrap()
}

fn record(id: &str, version: u64, bytes: usize) -> Record {
    RecordBuilder::new(key(id), GENERATION, version, Timestamp::from_seconds(1))
        .codec(CodecId::custom(1))
        .build(&vec![7; bytes])
        .unwrap()
}

fn small(dir: &Path) -> FileStoreConfig {
    FileStore::builder(dir).segment_bytes(4096).reserve_bytes(0).background(false)
}

fn put(store: &FileStore, id: &str, version: u64) -> Result<Vec<PutOutcome>, Error> {
    store.put_blocking(vec![record(id, version, 300)], PutOptions::default())
}

fn fill(store: &FileStore, id: &str, versions: std::ops::RangeInclusive<u64>) {
    for version in versions {
        put(store, id, version).unwrap();
    }
}

fn found(store: &FileStore, id: &str, version: u64) -> bool {
    let key = key(id);
    let query = Query::latest(&key, GENERATION).at_most(version);
    store.get_blocking(query).unwrap().into_record() == Some(record(id, version, 300))
}

#[test]
fn a_store_whose_directory_was_removed_or_replaced_stops_and_leaves_the_new_one_alone() {
    let scratch = crate::support::scratch();
    let dir = scratch.path().join("store");
    // By a put that needs a new file, by compaction, by closing, by dropping.
    for way in 0..4 {
        let old = small(&dir).open().unwrap();
        fill(&old, "old", 1..=20);
        old.delete_blocking(&key("old"), Selection::Below(15), DeleteOptions::default()).unwrap();
        fs::remove_dir_all(&dir).unwrap();
        let new = small(&dir).open().unwrap();
        fill(&new, "new", 1..=20);
        let before = crate::support::read(&dir);
        let told = match way {
            0 => (21..=60).find_map(|version| put(&old, "old", version).err()),
            1 => old.compact().err(),
            2 => old.clone().close().err(),
            _ => None,
        };
        if let Some(error) = told {
            assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
            assert!(error.to_string().contains("was removed or replaced"), "{error}");
        } else {
            assert_eq!(way, 3);
        }
        if way < 2 {
            let error = put(&old, "old", 99).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Poisoned);
            // What it holds can still be read, and rescued.
            assert!(found(&old, "old", 20));
            let rescued = scratch.path().join(format!("rescued {way}"));
            old.backup(&rescued).unwrap();
            assert!(found(&small(&rescued).open().unwrap(), "old", 20));
        }
        drop(old);
        assert!(crate::support::read(&dir) == before, "way {way}");
        fill(&new, "new", 21..=40);
        new.close().unwrap();
        let new = small(&dir).open().unwrap();
        assert!((1..=40).all(|version| found(&new, "new", version)));
        drop(new);
        fs::remove_dir_all(&dir).unwrap();
    }
    // Removed, and not replaced.
    let store = small(&dir).open().unwrap();
    fill(&store, "a", 1..=5);
    fs::remove_dir_all(&dir).unwrap();
    assert!((6..=60).any(|version| put(&store, "a", version).is_err()));
    drop(store);
    assert!(!dir.exists());
}

/// Whoever opens it next takes the lock that nobody has. What the old handle still writes into
/// the file that it had begun, nobody can tell from its own: it only stops at the next.
#[test]
fn a_store_whose_lock_file_was_removed_stops_and_opens_again() {
    let scratch = crate::support::scratch();
    let store = small(scratch.path()).open().unwrap();
    fill(&store, "a", 1..=20);
    fs::remove_file(scratch.path().join("LOCK")).unwrap();
    let mut stored = 20;
    let error = loop {
        match put(&store, "a", stored + 1) {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("or its lock file was removed"), "{error}");
    drop(store);
    let store = small(scratch.path()).open().unwrap();
    assert!(stored < 40 && (1..=stored).all(|version| found(&store, "a", version)));
    fill(&store, "a", stored + 1..=40);
}

#[test]
fn a_closed_store_opens_again_while_other_handles_are_still_there() {
    let scratch = crate::support::scratch();
    let store = small(scratch.path()).background(true).open().unwrap();
    let other = store.clone();
    fill(&store, "a", 1..=20);
    store.close().unwrap();
    let next = small(scratch.path()).open().unwrap();
    let before = crate::support::read(scratch.path());
    for error in [
        put(&other, "a", 21).unwrap_err(),
        other.compact().unwrap_err(),
        other.delete_blocking(&key("a"), Selection::All, DeleteOptions::default()).unwrap_err(),
    ] {
        assert!(error.to_string().contains("was closed"), "{error}");
    }
    drop(other);
    assert!(crate::support::read(scratch.path()) == before);
    assert!((1..=20).all(|version| found(&next, "a", version)));
}

#[test]
fn a_directory_of_links_is_the_store_that_they_lead_to() {
    let scratch = crate::support::scratch();
    let dir = scratch.path().join("store");
    let store = small(&dir).open().unwrap();
    fill(&store, "a", 1..=20);
    store.close().unwrap();
    let link = scratch.path().join("link");
    symlink(&dir, &link).unwrap();
    let farm = scratch.path().join("farm");
    fs::create_dir(&farm).unwrap();
    for name in crate::support::read(&dir).keys() {
        symlink(dir.join(name), farm.join(name)).unwrap();
    }
    for linked in [&link, &farm] {
        assert_eq!(FileStore::verify(linked).unwrap().problems, []);
        let store = small(linked).open().unwrap();
        assert!((1..=20).all(|version| found(&store, "a", version)));
        assert_eq!(small(&dir).open().unwrap_err().kind(), ErrorKind::Locked);
    }
    let nowhere = scratch.path().join("nowhere");
    symlink(scratch.path().join("missing"), &nowhere).unwrap();
    let error = small(&nowhere).open().unwrap_err();
    assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Never));
    assert!(error.to_string().contains("not a directory"), "{error}");
}

/// No other test here has a relative path.
#[test]
fn a_store_stays_where_it_was_opened_when_the_process_changes_its_directory() {
    let scratch = tempfile::tempdir().unwrap();
    let (here, there) = (scratch.path().join("here"), scratch.path().join("there"));
    fs::create_dir(&here).unwrap();
    fs::create_dir(&there).unwrap();
    std::env::set_current_dir(&here).unwrap();
    let store = small(Path::new("store")).open().unwrap();
    std::env::set_current_dir(&there).unwrap();
    fill(&store, "a", 1..=40);
    store.close().unwrap();
    std::env::set_current_dir("/").unwrap();
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    assert!(found(&small(&here.join("store")).open().unwrap(), "a", 40));
}

#[test]
fn whoever_only_reads_a_store_is_not_taken_for_the_process_that_had_it_before() {
    let scratch = crate::support::scratch();
    let store = small(scratch.path()).open().unwrap();
    let lock = scratch.path().join("LOCK");
    assert_eq!(fs::read_to_string(&lock).unwrap(), format!("{}\n", std::process::id()));
    store.close().unwrap();
    assert_eq!(fs::read_to_string(&lock).unwrap(), "");
}

#[test]
fn a_backup_is_not_made_into_a_directory_that_another_is_just_using() {
    let scratch = crate::support::scratch();
    let store = small(&scratch.path().join("store")).open().unwrap();
    fill(&store, "a", 1..=20);
    let to = scratch.path().join("to");
    fs::create_dir(&to).unwrap();
    let lock = fs::File::create(to.join("LOCK")).unwrap();
    lock.lock().unwrap();
    assert_eq!(store.backup(&to).unwrap_err().kind(), ErrorKind::Locked);
    // A process that another test is just starting may have a copy of the handle.
    lock.unlock().unwrap();
    drop(lock);
    store.backup(&to).unwrap();
    assert!(found(&small(&to).open().unwrap(), "a", 20));
    assert_eq!(store.backup(&to).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// Compaction in the background that has copied a part and rests for days.
fn resting(dir: &Path) -> FileStore {
    let config = FileStore::builder(dir).segment_bytes(4 << 20).reserve_bytes(0);
    let store = config.compact_bytes_per_second(1).open().unwrap();
    for version in 1..=14 {
        let records = vec![record("stays", version, 500_000), record("goes", version, 500_000)];
        store.put_blocking(records, PutOptions::default()).unwrap();
    }
    store.delete_blocking(&key("goes"), Selection::All, DeleteOptions::default()).unwrap();
    let begun = |entry: fs::DirEntry| {
        let name = entry.file_name().into_string().unwrap();
        // One that was prepared for puts has a head only.
        name.ends_with(".seg.tmp") && entry.metadata().is_ok_and(|it| it.len() > 1 << 20)
    };
    while !fs::read_dir(dir).unwrap().any(|entry| begun(entry.unwrap())) {
        std::thread::yield_now();
    }
    store
}

#[test]
fn nobody_waits_for_compaction_in_the_background_that_rests() {
    let scratch = crate::support::scratch();
    let dir = scratch.path().join("store");
    let store = resting(&dir);
    let backup = scratch.path().join("backup");
    assert_eq!(store.backup(&backup).unwrap().snapshots, 14);
    let compacted = store.compact().unwrap();
    assert!(compacted.removed > 1, "{compacted:?}");
    let other = resting(&scratch.path().join("other"));
    let clone = other.clone();
    other.close().unwrap();
    drop(clone);
    drop(resting(&scratch.path().join("third")));
}

const FEW_FILES: &str = "SNAPFOLD_FEW_FILES";

#[test]
fn a_process_out_of_open_files_is_told_and_loses_nothing() {
    if let Ok(dir) = std::env::var(FEW_FILES) {
        let store = small(Path::new(&dir)).open().unwrap();
        let error = (1..).find_map(|version| put(&store, "a", version).err()).unwrap();
        assert_eq!((error.kind(), error.retry()), (ErrorKind::Store, Retry::Later));
        assert!(error.to_string().contains("too many files are open"), "{error}");
        let stored = store.stats().snapshots;
        assert!(found(&store, "a", stored));
        store.close().unwrap();
        // The last file may grow now: it is not full.
        let store = small(Path::new(&dir)).segment_bytes(1 << 20).open().unwrap();
        assert!((1..=stored).all(|version| found(&store, "a", version)));
        store
            .delete_blocking(&key("a"), Selection::Below(stored), DeleteOptions::default())
            .unwrap();
        assert!(store.compact().unwrap().removed > 5);
        fill(&store, "a", stored + 1..=stored + 9);
        return;
    }
    let scratch = crate::support::scratch();
    let name = "place::a_process_out_of_open_files_is_told_and_loses_nothing";
    let status = Command::new("sh")
        .args(["-c", "ulimit -n 60 && exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(FEW_FILES, scratch.path())
        .status()
        .unwrap();
    assert!(status.success());
}
