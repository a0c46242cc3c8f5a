//! Erased snapshots are in no file of the directory, whatever happened to them before.

use std::path::Path;

use snapfold::codec::Compression;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Header, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, ListRequest, Lookup, Mark, MarkChange, PutOptions, Query, Remains, Selection,
    SnapshotStoreExt as _,
};
use snapfold::{AggregateKey, SnapshotStore as _, Timestamp};
use tempfile::TempDir;

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
/// Long enough to be found in a compressed state too.
const SECRET: &[u8] = b"the diagnosis of alice: 4711-0815-zebra";

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("patient", id).unwrap()
}

fn record(id: &str, version: u64, label: &str, compressed: bool) -> Record {
    let mut state = if id == "alice" { SECRET.to_vec() } else { b"somebody else".to_vec() };
    state.extend((0..2_000_u64).map(|n| (n * n * version % 251) as u8));
    let compression = if compressed { Compression::lz4() } else { Compression::none() };
    RecordBuilder::new(key(id), GENERATION, version, Timestamp::from_seconds(5))
        .compression(compression)
        .label(label)
        .build(&state)
        .unwrap()
}

fn open(dir: &Path) -> FileStore {
    FileStore::builder(dir).segment_bytes(1 << 16).background(false).open().unwrap()
}

/// Looks for the secret in the bytes of all files, and for each record at any place in them.
/// Returns how many of alice's records there are, also damaged ones, and whether the secret is
/// somewhere else.
fn scan(dir: &Path) -> (usize, bool) {
    let (mut records, mut secret) = (0, false);
    for entry in std::fs::read_dir(dir).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        secret |= bytes.windows(SECRET.len()).any(|window| window == SECRET);
        for at in 0..bytes.len().saturating_sub(4) {
            if &bytes[at..at + 3] != b"SNF" {
                continue;
            }
            if let Ok(header) = Header::parse(&bytes[at..]) {
                records += usize::from(header.id == "alice");
            }
        }
    }
    (records, secret)
}

fn all(store: &FileStore, id: &str) -> Vec<Record> {
    let key = key(id);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut records = Vec::new();
        for meta in store.list_all(ListRequest::new(&key)).await.unwrap() {
            let found = store.get(Query::exact(&key, meta.id())).await.unwrap();
            records.push(found.into_record().unwrap());
        }
        records
    })
}

/// Several files, in which records of three aggregates alternate: pinned, replaced and deleted ones.
fn filled(dir: &Path) -> FileStore {
    let store = open(dir);
    let put = |record, replace| {
        let options = PutOptions::default().replace(replace);
        store.put_blocking(vec![record], options).unwrap();
    };
    for version in 1..=60 {
        for id in ["alice", "bob", "carol"] {
            put(record(id, version, "first", version % 2 == 0), false);
        }
        if version % 5 == 0 {
            put(record("alice", version, "replaced", false), true);
            let pin = Mark::pin("legal", Timestamp::from_seconds(1));
            let ids = [snapfold::SnapshotId { generation: GENERATION, version }];
            let set = MarkChange::Set(&pin);
            store.mark_blocking(&key("alice"), Selection::Ids(&ids), set).unwrap();
        }
        if version % 20 == 0 {
            let below = Selection::Below(version - 10);
            store.delete_blocking(&key("alice"), below, DeleteOptions::default()).unwrap();
        }
    }
    store
}

#[test]
fn no_file_contains_what_was_erased() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path());
    let (before, secret) = scan(dir.path());
    assert!(before > 60 && secret, "the scanner finds {before}");
    let others = [all(&store, "bob"), all(&store, "carol")];
    let pinned = all(&store, "alice").len() as u64;

    let erased = store.erase_blocking(&key("alice")).unwrap();
    assert_eq!(erased.snapshots, pinned);
    assert!(erased.rewritten_files > 3, "{erased}");
    assert_eq!(erased.remains, [Remains::Backups, Remains::FreedBlocks]);
    assert_eq!(scan(dir.path()), (0, false));
    assert_eq!([all(&store, "bob"), all(&store, "carol")], others);
    let alice = key("alice");
    let query = Query::latest(&alice, GENERATION);
    assert!(matches!(store.get_blocking(query).unwrap(), Lookup::Absent));

    let again = store.erase_blocking(&key("alice")).unwrap();
    assert_eq!((again.snapshots, again.bytes, again.rewritten_files), (0, 0, 0));
    store.close().unwrap();
    let store = open(dir.path());
    assert_eq!([all(&store, "bob"), all(&store, "carol")], others);
    assert_eq!(all(&store, "alice"), []);
    assert_eq!(scan(dir.path()), (0, false));
    store.close().unwrap();
    assert!(FileStore::verify(dir.path()).unwrap().problems.is_empty());
}

#[test]
fn an_erasure_that_was_interrupted_is_completed_by_the_next_one() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path());
    let options = DeleteOptions::default().overrule_pins(true);
    store.delete_blocking(&key("alice"), Selection::All, options).unwrap();
    drop(store);
    let (left, secret) = scan(dir.path());
    assert!(left > 0 && secret, "a delete alone leaves the bytes");
    let store = open(dir.path());
    let erased = store.erase_blocking(&key("alice")).unwrap();
    assert_eq!(erased.snapshots, 0);
    assert!(erased.rewritten_files > 0);
    assert_eq!(scan(dir.path()), (0, false));
    // What comes later is not affected by it.
    store.put_blocking(vec![record("alice", 1, "new", false)], PutOptions::default()).unwrap();
    drop(store);
    assert_eq!(all(&open(dir.path()), "alice").len(), 1);
}

#[test]
fn others_write_and_read_meanwhile() {
    let dir = TempDir::new().unwrap();
    let store = filled(dir.path());
    let writer = store.clone();
    let writing = std::thread::spawn(move || {
        for version in 61..=160 {
            writer
                .put_blocking(vec![record("bob", version, "later", false)], PutOptions::default())
                .unwrap();
        }
    });
    for _ in 0..3 {
        store.erase_blocking(&key("alice")).unwrap();
    }
    writing.join().unwrap();
    assert_eq!(scan(dir.path()), (0, false));
    assert_eq!((all(&store, "bob").len(), all(&store, "carol").len()), (160, 60));
}
