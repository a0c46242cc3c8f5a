//! Recovery of a file store whose files are any bytes: looking at it, opening it and repairing it
//! end, with an answer. What opens can be used; what was repaired opens, and all of it verifies.

use std::path::Path;

use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Lookup, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, Error, ErrorKind, SnapshotStore, Timestamp};

use super::packed;
use super::scratch::Scratch;

/// The input is a directory as [`packed`] has it.
pub fn run(input: &[u8]) {
    let files = packed::unpack(input);
    let dir = Scratch::new();
    dir.write(&files);
    let sound = is_sound(&dir.0);
    match open(&dir.0) {
        Ok(store) => {
            read_all(&store, sound);
            is_of_use(store, &dir.0, sound);
        }
        Err(error) => must_be_of_the_files(&error),
    }

    dir.write(&files);
    match FileStore::repair(&dir.0) {
        Ok(report) => {
            for problem in &report.problems {
                assert!(!problem.to_string().is_empty());
            }
            let store = open(&dir.0).expect("a repaired store opens");
            read_all(&store, true);
            drop(store);
            assert_eq!(FileStore::verify(&dir.0).unwrap().problems, [], "after a repair");
            let again = FileStore::repair(&dir.0).unwrap();
            assert_eq!(again.problems, [], "a second repair finds nothing");
            is_of_use(open(&dir.0).unwrap(), &dir.0, true);
        }
        Err(error) => must_be_of_the_files(&error),
    }
}

/// What an outside look says of the directory: whether nothing is wrong with it.
fn is_sound(dir: &Path) -> bool {
    match FileStore::inspect(dir) {
        Ok(inspection) => assert!(!format!("{inspection:?}").is_empty()),
        Err(error) => must_be_of_the_files(&error),
    }
    match FileStore::verify(dir) {
        Ok(found) => {
            for problem in &found.problems {
                assert!(!problem.to_string().is_empty());
            }
            found.problems.is_empty()
        }
        Err(error) => {
            must_be_of_the_files(&error);
            false
        }
    }
}

fn must_be_of_the_files(error: &Error) {
    let fine = matches!(error.kind(), ErrorKind::CorruptStore | ErrorKind::Unsupported);
    assert!(fine, "{error:?}");
}

fn open(dir: &Path) -> Result<FileStore, Error> {
    FileStore::builder(dir).segment_bytes(4096).reserve_bytes(0).background(false).open()
}

/// Reads everything there is. A damaged record is handed out as it is or is a typed error, and
/// neither where all is `sound`.
fn read_all(store: &FileStore, sound: bool) {
    let mut snapshots = 0;
    let fails = |error: &Error| {
        must_be_of_the_files(error);
        assert!(!sound, "{error:?}");
    };
    let mut after = None;
    loop {
        let mut request = KeysRequest::new().limit(3);
        if let Some(after) = &after {
            request = request.after(after);
        }
        let page = match now(store.keys(request)) {
            Ok(page) => page,
            Err(error) => return fails(&error),
        };
        for key in &page.items {
            match now(store.list(ListRequest::new(key).limit(usize::MAX))) {
                Ok(page) => {
                    for meta in &page.items {
                        let query = Query::latest(key, meta.generation).at_most(meta.version);
                        let found = match store.get_blocking(query) {
                            Ok(Lookup::Found(found)) => found,
                            Ok(_) => {
                                assert!(!sound, "{key} {} is listed and not found", meta.id());
                                continue;
                            }
                            Err(error) => return fails(&error),
                        };
                        let whole = found.record.verify().is_ok();
                        assert!(whole || !sound, "{key} {} is damaged", meta.id());
                        assert!(found.version == meta.version || !sound, "{key} {}", meta.id());
                        snapshots += 1;
                    }
                }
                Err(error) => fails(&error),
            }
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert!(snapshots == store.stats().snapshots || !sound, "{:?}", store.stats());
}

/// The store takes snapshots, gives them back, deletes, compacts, and opens again with all it had.
fn is_of_use(store: FileStore, dir: &Path, sound: bool) {
    let before = store.stats().snapshots;
    let key = AggregateKey::from_parts("", "fuzz", "own").unwrap();
    let generation = Generation { schema_version: 99, fingerprint: 99 };
    let record = |version| {
        let at = Timestamp::from_seconds(1);
        let builder = RecordBuilder::new(key.clone(), generation, version, at);
        builder.codec(CodecId::custom(1)).build(&[9; 3000]).unwrap()
    };
    let get = |store: &FileStore, version| -> Option<Record> {
        store.get_blocking(Query::latest(&key, generation).at_most(version)).unwrap().into_record()
    };
    let put = store.put_blocking(vec![record(1), record(2)], PutOptions::default());
    match put {
        Ok(outcomes) => assert_eq!(outcomes, [PutOutcome::Stored; 2]),
        // The files may claim that the store has no numbers left.
        Err(error) => return assert_eq!(error.kind(), ErrorKind::OutOfSpace, "{error:?}"),
    }
    assert_eq!(get(&store, 2), Some(record(2)));
    let deleted =
        store.delete_blocking(&key, Selection::Below(2), DeleteOptions::default()).unwrap();
    assert_eq!(deleted.snapshots, 1);
    if let Err(error) = store.compact() {
        must_be_of_the_files(&error);
    }
    assert_eq!((get(&store, 1), get(&store, 2)), (None, Some(record(2))));
    store.close().unwrap();
    let store = open(dir).expect("what was open and in use opens again");
    assert_eq!((get(&store, 1), get(&store, 2)), (None, Some(record(2))));
    read_all(&store, sound);
    assert!(store.stats().snapshots == before + 1 || !sound, "{:?}", store.stats());
}

/// Runs a future of the store on this thread.
fn now<T>(future: impl Future<Output = T>) -> T {
    // Without a runtime the store reads here and does not wait.
    super::ready(future)
}
