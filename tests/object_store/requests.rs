//! How many requests each call takes. They are what object storage costs, in time and in money.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};
use snapfold::object_store::{ObjectStoreOptions, ObjectStoreSnapshots};
use snapfold::record::{Base, Record, RecordBuilder};
use snapfold::store::{
    DeleteOptions, KeysRequest, ListRequest, Lookup, Mark, MarkChange, PutOptions, Query, Rewrite,
    Selection,
};
use snapfold::{SnapshotId, SnapshotStore, Timestamp};

use crate::support::counted::Counted;
use crate::support::{ROOT, bytes, get, id, index_of, key, opened, put, record, run};

const LARGE: usize = 100_000;

fn bucket() -> Counted {
    Counted::new(Arc::new(InMemory::new()))
}

#[track_caller]
fn takes(objects: &Counted, expected: &[(&'static str, u64)]) {
    let taken: Vec<_> = objects.take().into_iter().collect();
    assert_eq!(taken, expected);
}

async fn newest(store: &ObjectStoreSnapshots, id_of: &str, id: SnapshotId) -> Record {
    let key = key(id_of);
    match store.get(Query::latest(&key, id.generation)).await.unwrap() {
        Lookup::Found(found) => found.record,
        other => panic!("{other:?}"),
    }
}

fn delta(base: &Record) -> Record {
    let header = base.header().unwrap();
    let id = id(header.version + 1);
    let at = Timestamp::from_seconds(id.version.cast_signed());
    let builder = RecordBuilder::new(key("a"), id.generation, id.version, at);
    builder.base(Base { version: header.version, checksum: 7 }).build(b"delta").unwrap()
}

#[test]
fn loads_take_one_request_or_two() {
    run(0, async {
        let objects = bucket();
        let writer = opened(&objects).await;
        put(&writer, &record(&key("a"), id(1), 1, 50)).await;
        put(&writer, &record(&key("a"), id(2), 1, 50)).await;
        put(&writer, &record(&key("large"), id(1), 1, LARGE)).await;
        for is_warm in [false, true] {
            let store = opened(&objects).await;
            if is_warm {
                store.list(ListRequest::new(&key("a"))).await.unwrap();
                store.list(ListRequest::new(&key("large"))).await.unwrap();
            }
            objects.take();
            newest(&store, "a", id(2)).await;
            takes(&objects, &[("get", 1)]);
            newest(&store, "large", id(1)).await;
            takes(&objects, &[("get", 2)]);
            // A record does not change: it stays in memory.
            newest(&store, "large", id(1)).await;
            takes(&objects, &[("get", 1)]);
            // An older one, and one that there is not.
            get(&store, &key("a"), id(1)).await.unwrap();
            takes(&objects, &[("get", 2)]);
            assert_eq!(get(&store, &key("none"), id(1)).await, None);
            takes(&objects, &[("get", 1)]);
        }
    });
}

#[test]
fn a_delta_takes_two_requests_and_at_an_older_version_three() {
    run(0, async {
        let objects = bucket();
        let base = record(&key("a"), id(1), 1, 50);
        let writer = opened(&objects).await;
        put(&writer, &base).await;
        put(&writer, &delta(&base)).await;
        let store = opened(&objects).await;
        objects.take();
        let Lookup::Found(found) =
            store.get(Query::latest(&key("a"), id(2).generation)).await.unwrap()
        else {
            panic!("it is not there");
        };
        assert_eq!(found.bases, [base]);
        takes(&objects, &[("get", 2)]);
        put(&writer, &record(&key("a"), id(3), 1, 50)).await;
        let store = opened(&objects).await;
        objects.take();
        get(&store, &key("a"), id(2)).await.unwrap();
        takes(&objects, &[("get", 3)]);
    });
}

#[test]
fn a_put_takes_two_requests_or_three() {
    run(0, async {
        let objects = bucket();
        let store = opened(&objects).await;
        objects.take();
        put(&store, &record(&key("a"), id(1), 1, 50)).await;
        takes(&objects, &[("get", 1), ("put", 1), ("put if", 1)]);
        put(&store, &record(&key("a"), id(2), 1, 50)).await;
        takes(&objects, &[("put", 1), ("put if", 1)]);
        // Several snapshots of an aggregate are one change.
        let batch = (3..6).map(|version| record(&key("a"), id(version), 1, 50)).collect();
        store.put(batch, PutOptions::default()).await.unwrap();
        takes(&objects, &[("put", 3), ("put if", 1)]);
        // One that is there already is not sent again, and the newest can be compared with its copy.
        put(&store, &record(&key("a"), id(5), 1, 50)).await;
        takes(&objects, &[("get", 1)]);
        // A replaced record is deleted.
        let options = PutOptions::default().replace(true);
        store.put(vec![record(&key("a"), id(5), 2, 50)], options).await.unwrap();
        takes(&objects, &[("delete", 1), ("put", 1), ("put if", 1)]);
        let old = record(&key("a"), id(5), 2, 50);
        let rewrite = Rewrite::new(old, record(&key("a"), id(5), 3, 50));
        assert_eq!(store.rewrite(vec![rewrite]).await.unwrap(), [true]);
        takes(&objects, &[("delete", 1), ("put", 1), ("put if", 1)]);
        // Above 16 MiB in parts.
        put(&store, &record(&key("a"), id(9), 1, 17 << 20)).await;
        takes(&objects, &[("multipart", 1), ("put if", 1)]);
    });
}

#[test]
fn what_another_process_has_changed_costs_one_failed_write_and_one_read() {
    run(0, async {
        let objects = bucket();
        let [store, other] = [opened(&objects).await, opened(&objects).await];
        put(&store, &record(&key("a"), id(1), 1, 50)).await;
        put(&other, &record(&key("a"), id(2), 1, 50)).await;
        objects.take();
        put(&store, &record(&key("a"), id(3), 1, 50)).await;
        takes(&objects, &[("get", 1), ("put", 1), ("put if", 2)]);
    });
}

#[test]
fn lists_deletes_and_marks_take_one_request_and_the_deletion_of_records() {
    run(0, async {
        let objects = bucket();
        let store = opened(&objects).await;
        let batch = (1..=2_500).map(|version| record(&key("a"), id(version), 1, 8)).collect();
        store.put(batch, PutOptions::default()).await.unwrap();
        let other = opened(&objects).await;
        objects.take();
        other.list(ListRequest::new(&key("a"))).await.unwrap();
        takes(&objects, &[("get", 1)]);
        let mark = Mark::pin("audit", Timestamp::from_seconds(1));
        let change = MarkChange::Set(&mark);
        other.mark(&key("a"), Selection::Ids(&[id(7)]), change).await.unwrap();
        takes(&objects, &[("put if", 1)]);
        // Nothing changes, which only a read finds out.
        other.mark(&key("a"), Selection::Ids(&[id(7)]), change).await.unwrap();
        takes(&objects, &[("get", 1)]);
        let options = DeleteOptions::default();
        let deleted = other.delete(&key("a"), Selection::Ids(&[id(1)]), options).await.unwrap();
        assert_eq!(deleted.snapshots, 1);
        takes(&objects, &[("delete", 1), ("put if", 1)]);
        other.delete(&key("none"), Selection::All, options).await.unwrap();
        takes(&objects, &[("get", 1)]);
        // One that has nothing in memory.
        let cold = opened(&objects).await;
        objects.take();
        cold.delete(&key("a"), Selection::Ids(&[id(2)]), options).await.unwrap();
        takes(&objects, &[("delete", 1), ("get", 1), ("put if", 1)]);
    });
}

#[test]
fn many_gets_take_as_many_requests_as_single_ones() {
    run(0, async {
        let objects = bucket();
        let store = opened(&objects).await;
        let keys: Vec<_> = (0..50).map(|at| key(&format!("a{at}"))).collect();
        let batch = keys.iter().map(|key| record(key, id(1), 1, 50)).collect();
        objects.take();
        store.put(batch, PutOptions::default()).await.unwrap();
        takes(&objects, &[("get", 50), ("put", 50), ("put if", 50)]);
        let queries: Vec<_> = keys.iter().map(|key| Query::latest(key, id(1).generation)).collect();
        let found = store.get_many(&queries).await.unwrap();
        assert!(found.iter().all(|lookup| matches!(lookup, Lookup::Found(_))));
        takes(&objects, &[("get", 50)]);
        let requests: Vec<_> = keys.iter().map(ListRequest::new).collect();
        store.list_many(&requests).await.unwrap();
        takes(&objects, &[("get", 50)]);
    });
}

#[test]
fn a_test_of_the_server_takes_five_writes_and_its_cleaning() {
    run(0, async {
        let objects = bucket();
        drop(opened(&objects).await);
        // The marker and the list of the root come only the first time.
        takes(&objects, &[("delete", 1), ("get", 1), ("list", 1), ("put if", 5)]);
        drop(opened(&objects).await);
        takes(&objects, &[("delete", 1), ("get", 1), ("put if", 4)]);
        let options = ObjectStoreOptions::new().read_only(true);
        let store = ObjectStoreSnapshots::open_with(Arc::new(objects.clone()), ROOT, options);
        drop(store.await.unwrap());
        takes(&objects, &[("get", 1)]);
    });
}

#[test]
fn a_sweep_lists_a_thousand_records_for_each_request_and_reads_nothing_that_is_young() {
    run(0, async {
        let objects = bucket();
        let store = opened(&objects).await;
        let batch = (1..=2_500).map(|version| record(&key("a"), id(version), 1, 8)).collect();
        store.put(batch, PutOptions::default()).await.unwrap();
        objects.take();
        let swept = store.sweep().await.unwrap();
        assert_eq!((swept.listed, swept.deleted), (2_500, 0));
        takes(&objects, &[("delete", 1), ("get", 1), ("list", 3), ("put", 1)]);
    });
}

#[test]
fn the_keys_of_100_000_aggregates_take_a_request_for_each_1_000() {
    run(0, async {
        let inner = Arc::new(InMemory::new());
        let objects = Counted::new(inner.clone());
        let store = opened(&objects).await;
        put(&store, &record(&key("first"), id(1), 1, 8)).await;
        let index = Bytes::from(bytes(&inner, &index_of(&key("first"))).await);
        inner.delete(&index_of(&key("first"))).await.unwrap();
        for at in 0..100_000 {
            // A list looks at names and lengths only.
            let path = Path::from(format!("{ROOT}/x/t/account/a{at:06}"));
            let put =
                inner.put_opts(&path, index.clone().into(), object_store::PutOptions::default());
            put.now_or_never().unwrap().unwrap();
        }
        objects.take();
        for limit in [1_000, 256] {
            let (mut after, mut count) = (None, 0);
            loop {
                let mut request = KeysRequest::new().limit(limit);
                request.after = after.as_ref();
                let page = store.keys(request).await.unwrap();
                count += page.items.len();
                after = page.next;
                if after.is_none() {
                    break;
                }
            }
            assert_eq!(count, 100_000);
            takes(&objects, &[("list", 100)]);
        }
        // A list that is left alone for a while is read anew.
        let page = store.keys(KeysRequest::new().limit(10)).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_secs(11)).await;
        let request = KeysRequest::new().limit(10).after(page.next.as_ref().unwrap());
        let next = store.keys(request).await.unwrap();
        assert_eq!(next.items.len(), 10);
        assert!(next.items[0] > page.items[9]);
        takes(&objects, &[("list", 2)]);
    });
}
