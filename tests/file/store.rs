//! What a file store says it has, it must have after the next opening too: puts, replacements and
//! deletes, over several files of the log, through threads and through tasks.

use std::fs;
use std::path::Path;

use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Lookup, PutOptions, PutOutcome, Query, Selection,
};
use snapfold::{AggregateKey, ErrorKind, SnapshotId, SnapshotStore, Timestamp};

const G1: Generation = Generation { schema_version: 1, fingerprint: 7 };
const G2: Generation = Generation { schema_version: 2, fingerprint: 8 };

fn key(id: &str) -> AggregateKey {
    AggregateKey::new("account", id).unwrap()
}

fn record(id: &str, generation: Generation, version: u64, payload: &[u8]) -> Record {
    let at = Timestamp::from_seconds(i64::try_from(version).unwrap());
    RecordBuilder::new(key(id), generation, version, at)
        .codec(CodecId::custom(1))
        .build(payload)
        .unwrap()
}

fn small(dir: &Path) -> FileStore {
    FileStore::builder(dir).segment_bytes(4096).reserve_bytes(0).background(false).open().unwrap()
}

fn found(store: &FileStore, id: &str, generation: Generation, at_most: u64) -> Option<Record> {
    let key = key(id);
    let query = Query::latest(&key, generation).at_most(at_most);
    store.get_blocking(query).unwrap().into_record()
}

fn put(store: &FileStore, record: Record) -> PutOutcome {
    store.put_blocking(vec![record], PutOptions::default()).unwrap()[0]
}

#[test]
fn everything_acknowledged_is_there_after_each_opening() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("deep/down/store");
    for round in 0..4_u64 {
        let store = small(&dir);
        for id in 0..20 {
            for version in 1..=round {
                let expected = record(&id.to_string(), G1, version, &[7; 300]);
                assert_eq!(found(&store, &id.to_string(), G1, version), Some(expected));
            }
            let outcome = put(&store, record(&id.to_string(), G1, round + 1, &[7; 300]));
            assert_eq!(outcome, PutOutcome::Stored);
        }
        if round % 2 == 0 {
            store.close().unwrap();
        }
    }
    let store = small(&dir);
    assert_eq!((store.stats().aggregates, store.stats().snapshots), (20, 80));
    assert!(store.stats().segments > 5);
}

#[test]
fn deletes_and_replacements_stay_and_what_is_put_afterwards_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path());
    for version in 1..=9 {
        put(&store, record("a", G1, version, b"first"));
        put(&store, record("a", G2, version, b"other"));
        put(&store, record("b", G1, version, &[9; 400]));
    }
    let existing = put(&store, record("a", G1, 9, b"second"));
    assert_eq!(existing, PutOutcome::Existing { identical: false });
    assert_eq!(put(&store, record("a", G1, 9, b"first")), PutOutcome::Existing { identical: true });
    let replace = PutOptions::default().replace(true);
    let outcome = store.put_blocking(vec![record("a", G1, 9, b"second")], replace).unwrap();
    assert_eq!(outcome, [PutOutcome::Replaced]);
    assert_eq!(
        store
            .delete_blocking(&key("a"), Selection::Below(8), DeleteOptions::default())
            .unwrap()
            .snapshots,
        14
    );
    let ids = [
        SnapshotId { generation: G2, version: 9 },
        SnapshotId { generation: G2, version: 9 },
        SnapshotId { generation: G2, version: 77 },
    ];
    assert_eq!(
        store
            .delete_blocking(&key("a"), Selection::Ids(&ids), DeleteOptions::default())
            .unwrap()
            .snapshots,
        1
    );
    assert_eq!(
        store
            .delete_blocking(&key("b"), Selection::All, DeleteOptions::default())
            .unwrap()
            .snapshots,
        9
    );
    assert_eq!(
        store
            .delete_blocking(&key("b"), Selection::All, DeleteOptions::default())
            .unwrap()
            .snapshots,
        0
    );
    assert_eq!(put(&store, record("b", G1, 3, b"again")), PutOutcome::Stored);
    let check = |store: &FileStore| {
        assert_eq!(found(store, "a", G1, 99), Some(record("a", G1, 9, b"second")));
        assert_eq!(found(store, "a", G1, 8), Some(record("a", G1, 8, b"first")));
        assert_eq!(found(store, "a", G1, 7), None);
        assert_eq!(found(store, "a", G2, 99), Some(record("a", G2, 8, b"other")));
        assert_eq!(found(store, "b", G1, 99), Some(record("b", G1, 3, b"again")));
        assert_eq!(found(store, "b", G1, 2), None);
        assert_eq!(store.stats().snapshots, 4);
    };
    check(&store);
    drop(store);
    check(&small(dir.path()));
    let store = small(dir.path());
    let compacted = store.compact().unwrap();
    assert!(compacted.freed_bytes > compacted.copied_bytes);
    check(&store);
    drop(store);
    check(&small(dir.path()));
    for entry in fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            fs::remove_file(path).unwrap();
        }
    }
    check(&small(dir.path()));
}

#[tokio::test]
async fn tasks_get_lists_and_keys_in_pages_and_see_other_generations() {
    let dir = tempfile::tempdir().unwrap();
    let store = small(dir.path());
    for id in 0..10 {
        let records = (1..=5).map(|v| record(&id.to_string(), G1, v, b"x")).collect();
        store.put(records, PutOptions::default()).await.unwrap();
        store.put(vec![record(&id.to_string(), G2, 3, b"y")], PutOptions::default()).await.unwrap();
    }
    let three = key("3");
    let mut request = ListRequest::new(&three).limit(2);
    let mut seen = Vec::new();
    loop {
        let page = store.list(request).await.unwrap();
        seen.extend(page.items.iter().map(|meta| (meta.version, meta.generation.schema_version)));
        let Some(next) = page.next else { break };
        request = request.after(next);
    }
    assert_eq!(seen, [(5, 1), (4, 1), (3, 2), (3, 1), (2, 1), (1, 1)]);

    let mut cursor = None;
    let mut keys = Vec::new();
    loop {
        let mut request = KeysRequest::new().limit(3);
        if let Some(cursor) = &cursor {
            request = request.after(cursor);
        }
        let page = store.keys(request).await.unwrap();
        keys.extend(page.items.iter().map(|key| key.id().to_owned()));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    keys.sort_unstable();
    assert_eq!(keys, (0..10).map(|id| id.to_string()).collect::<Vec<_>>());
    let foreign = snapfold::store::Cursor::new(*b"nonsense");
    let error = store.keys(KeysRequest::new().after(&foreign)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);

    let query = Query::latest(&three, Generation { schema_version: 9, fingerprint: 0 });
    assert_eq!(store.get(query).await.unwrap(), Lookup::OtherGeneration);
    assert_eq!(store.get(query.at_most(0)).await.unwrap(), Lookup::Absent);
    let by_time = Query::latest(&three, G1).as_of(Timestamp::from_micros(3_999_999));
    assert_eq!(store.get(by_time).await.unwrap().into_record(), Some(record("3", G1, 3, b"x")));
    let too_early = Query::latest(&three, G1).as_of(Timestamp::from_micros(999_999));
    assert_eq!(store.get(too_early).await.unwrap(), Lookup::OtherGeneration);
    store.delete(&three, Selection::All, DeleteOptions::default()).await.unwrap();
    assert_eq!(store.get(query).await.unwrap(), Lookup::Absent);
}

#[test]
fn many_threads_and_tasks_share_the_log_and_none_waits_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let store = FileStore::builder(dir.path()).segment_bytes(1 << 16).open().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = &store;
            scope.spawn(move || {
                for version in 1..=40 {
                    put(store, record(&format!("t{thread}"), G1, version, &[1; 500]));
                }
                store
                    .delete_blocking(
                        &key(&format!("t{thread}")),
                        Selection::Below(39),
                        DeleteOptions::default(),
                    )
                    .unwrap();
            });
        }
        let tasks = (0..8).map(|task| {
            let store = store.clone();
            runtime.spawn(async move {
                for version in 1..=40 {
                    let record = record(&format!("a{task}"), G1, version, &[1; 500]);
                    store.put(vec![record], PutOptions::default()).await.unwrap();
                    let dropped = self::record(&format!("d{task}"), G1, version, &[1; 500]);
                    drop(store.submit(vec![dropped], PutOptions::default()).unwrap());
                }
            })
        });
        let tasks: Vec<_> = tasks.collect();
        runtime.block_on(async {
            for task in 0..8 {
                let last = key(&format!("a{task}"));
                while store.get(Query::latest(&last, G1).at_most(40)).await.unwrap().into_record()
                    != Some(record(&format!("a{task}"), G1, 40, &[1; 500]))
                {
                    tokio::task::yield_now().await;
                }
            }
            // A task that is visible so far has not submitted its last one yet.
            for task in tasks {
                task.await.unwrap();
            }
        });
    });
    drop(runtime);
    drop(store);
    let store = FileStore::open(dir.path()).unwrap();
    for number in 0..8 {
        for version in 1..=40 {
            let id = format!("a{number}");
            assert!(found(&store, &id, G1, version).is_some());
            assert!(found(&store, &format!("d{number}"), G1, version).is_some());
        }
        assert!(found(&store, &format!("t{number}"), G1, 38).is_none());
        assert!(found(&store, &format!("t{number}"), G1, 39).is_some());
    }
    assert_eq!(store.stats().snapshots, 8 * 40 * 2 + 8 * 2);
}
