//! Snapshots larger than a file of the log. The defects: a length or an offset that is kept in too
//! few bits, a record that is read in part, a file of the log of its own that is begun again and
//! again or never given back, and a record beyond the limit that is taken and cannot be read.

use std::path::Path;

use bytes::Bytes;
use snapfold::codec::CodecId;
use snapfold::file::FileStore;
use snapfold::record::{Generation, Record, RecordBuilder};
use snapfold::store::{DeleteOptions, Lookup, PutOptions, PutOutcome, Query, Selection};
use snapfold::{AggregateKey, ErrorKind, SnapshotId, SnapshotStore, Timestamp};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
const MIB: usize = 1 << 20;

fn key() -> AggregateKey {
    AggregateKey::new("k", "large").unwrap()
}

/// No two pages of the payload are alike.
fn record(version: u64, bytes: usize) -> Record {
    let mut payload = vec![0; bytes];
    for (number, page) in payload.chunks_mut(4096).enumerate() {
        let number = (number as u64 + version).to_le_bytes();
        for (byte, digit) in page.iter_mut().zip(number) {
            *byte = digit;
        }
    }
    RecordBuilder::new(key(), GENERATION, version, Timestamp::from_seconds(1))
        .codec(CodecId::custom(1))
        .build(&payload)
        .unwrap()
}

fn open(dir: &Path) -> FileStore {
    FileStore::builder(dir).reserve_bytes(0).background(false).open().unwrap()
}

fn put(store: &FileStore, record: Record) -> PutOutcome {
    store.put_blocking(vec![record], PutOptions::default()).unwrap()[0]
}

/// Versions and sizes: among them a file of the log (64 MiB) and a byte more.
const SIZES: [(u64, usize); 5] = [(1, 1), (2, 40 * MIB), (3, 1), (4, 64 * MIB + 1), (5, 3 * MIB)];

fn check(store: &FileStore, versions: &[u64]) {
    for (version, bytes) in SIZES {
        let key = key();
        let query = Query::latest(&key, GENERATION).at_most(version);
        let found = store.get_blocking(query).unwrap().into_record();
        if versions.contains(&version) {
            assert!(found == Some(record(version, bytes)), "version {version}");
        } else {
            let found = found.map(|record| record.header().unwrap().version);
            assert_eq!(found, versions.iter().copied().filter(|there| *there < version).max());
        }
    }
}

#[test]
fn snapshots_that_fill_files_of_the_log_are_kept_deleted_and_compacted_away() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for (version, bytes) in SIZES {
        assert_eq!(put(&store, record(version, bytes)), PutOutcome::Stored);
    }
    let existing = put(&store, record(4, 64 * MIB + 1));
    assert_eq!(existing, PutOutcome::Existing { identical: true });
    store.close().unwrap();

    let store = open(dir.path());
    check(&store, &[1, 2, 3, 4, 5]);
    let ids = [SnapshotId { generation: GENERATION, version: 4 }];
    let deleted =
        store.delete_blocking(&key(), Selection::Ids(&ids), DeleteOptions::default()).unwrap();
    assert!(deleted.snapshots == 1 && deleted.bytes > 64 << 20);
    let before = store.stats();
    let compacted = store.compact().unwrap();
    assert!(compacted.freed_bytes > 64 << 20, "{compacted:?}");
    assert!(store.stats().log_bytes + (64 << 20) < before.log_bytes);
    drop(store);

    let store = open(dir.path());
    check(&store, &[1, 2, 3, 5]);
    assert_eq!(
        store
            .delete_blocking(&key(), Selection::Below(3), DeleteOptions::default())
            .unwrap()
            .snapshots,
        2
    );
    let compacted = store.compact().unwrap();
    assert!(compacted.freed_bytes > 40 << 20 && compacted.copied_bytes < 4 << 20, "{compacted:?}");
    drop(store);

    let store = open(dir.path());
    check(&store, &[3, 5]);
    assert!(store.stats().log_bytes < 4 << 20);
    assert_eq!(FileStore::verify(dir.path()).unwrap().problems, []);
    drop(store);
    assert_eq!(FileStore::verify(dir.path()).unwrap().problems, []);
}

#[tokio::test]
async fn a_record_beyond_the_limit_is_refused_by_its_length_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let limit = store.capabilities().max_record_bytes;
    // Zeros that nobody looks at take no memory.
    let beyond = Bytes::from(vec![0; usize::try_from(limit).unwrap() + 1]);
    let all = || vec![record(1, 1), Record::from_bytes(beyond.clone())];
    let options = PutOptions::default();
    for error in [
        store.put(all(), options.clone()).await.unwrap_err(),
        store.put_blocking(all(), options.clone()).unwrap_err(),
        store.submit(all(), options.clone()).err().unwrap(),
    ] {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let text = error.to_string();
        assert!(text.contains(&limit.to_string()), "{text}");
        assert!(text.contains(&(limit + 1).to_string()), "{text}");
    }
    assert_eq!(store.get(Query::latest(&key(), GENERATION)).await.unwrap(), Lookup::Absent);
    assert_eq!(put(&store, record(1, 1)), PutOutcome::Stored);
}
