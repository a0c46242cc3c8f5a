//! Lists while snapshots are moved between their pages.

use std::collections::BTreeMap;

use snapfold::layer::TieredStore;
use snapfold::record::{RecordBuilder, SnapshotMeta};
use snapfold::store::{Cursor, KeysRequest, ListRequest, Query, Selection, SnapshotStoreExt};
use snapfold::{AggregateKey, ErrorKind, MemoryStore, SnapshotStore, Timestamp};

use super::steps::poll_once;
use super::{NEW, Tiers, at, builder, id, key, put, versions};
use crate::support::Store;

#[tokio::test]
async fn each_snapshot_is_listed_once_while_snapshots_move_between_pages() {
    let mut moved = 0;
    for seed in 0..300 {
        let mut random = fastrand::Rng::with_seed(seed);
        let tiers = Tiers::new();
        let versions: Vec<u64> = (1..=40).filter(|_| random.bool()).collect();
        put(&tiers.store, versions.iter().map(|version| builder(*version).build(b"").unwrap()))
            .await;
        let key = key();
        let limit = random.usize(1..8);
        let mut pages = tiers.store.list_pages(ListRequest::new(&key).limit(limit));
        let mut listed = Vec::new();
        while let Some(page) = pages.next().await.unwrap() {
            assert!(page.len() <= limit);
            listed.extend(page.iter().map(|meta| meta.version));
            if random.bool() {
                let cut = at(random.u64(1..60));
                moved += tiers.store.archive(&key, cut).await.unwrap().moved;
            } else {
                let cold = tiers.cold.list_all(ListRequest::new(&key)).await.unwrap();
                let ids = cold.iter().map(SnapshotMeta::id).filter(|_| random.bool());
                let ids: Vec<_> = ids.collect();
                moved += tiers.store.restore(&key, Selection::Ids(&ids)).await.unwrap().deleted;
            }
        }
        listed.reverse();
        assert_eq!(listed, versions, "seed {seed}");
    }
    assert!(moved > 1_000, "{moved}");
}

/// The read asked the hot tier before the snapshot was copied there. It must still find it in the
/// cold one.
#[tokio::test]
async fn a_restore_deletes_nothing_that_a_read_is_looking_for() {
    let (hot, cold) = (MemoryStore::new(), Store::default());
    put(&hot, [builder(30).build(b"").unwrap()]).await;
    put(&cold.inner, [builder(20).build(b"").unwrap()]).await;
    let store = TieredStore::new(hot.clone(), cold.clone());
    let key = key();
    cold.get_gate.close();
    let mut read = Box::pin(store.get(Query::exact(&key, id(20))));
    assert!(poll_once(read.as_mut()).await.is_none());
    assert_eq!(cold.get_gate.waiting(), 1);
    cold.get_gate.let_pass(5);
    let mut restore = Box::pin(store.restore(&key, Selection::All));
    assert!(poll_once(restore.as_mut()).await.is_none());
    assert_eq!(versions(&hot).await, [20, 30]);
    cold.get_gate.open();
    assert!(read.await.unwrap().into_record().is_some());
    assert_eq!(restore.await.unwrap().deleted, 1);
    assert_eq!(versions(&cold.inner).await, [0; 0]);
}

fn key_of(number: u64) -> AggregateKey {
    AggregateKey::new("account", &format!("{number:03}")).unwrap()
}

async fn put_versions(store: &MemoryStore, number: u64, versions: &[u64]) {
    let record = |version: &u64| {
        let builder = RecordBuilder::new(key_of(number), NEW, *version, at(*version));
        builder.created_at(at(*version)).build(b"").unwrap()
    };
    put(store, versions.iter().map(record)).await;
}

#[tokio::test]
async fn each_key_is_listed_once_while_snapshots_are_archived_between_pages() {
    for seed in 0..100 {
        let mut random = fastrand::Rng::with_seed(seed);
        let tiers = Tiers::new();
        let mut expected = BTreeMap::new();
        for number in 0..60 {
            // In one tier, in both, or in none.
            let (is_hot, is_cold) = (random.bool(), random.bool());
            if is_hot {
                put_versions(&tiers.hot, number, &[2, 3]).await;
            }
            if is_cold {
                put_versions(&tiers.cold, number, &[1]).await;
            }
            if is_hot || is_cold {
                expected.insert(key_of(number), 1);
            }
        }
        let limit = random.usize(1..70);
        let mut pages = tiers.store.key_pages(KeysRequest::new().limit(limit));
        let mut listed = BTreeMap::new();
        while let Some(page) = pages.next().await.unwrap() {
            assert!(page.len() <= limit);
            for key in page {
                *listed.entry(key).or_insert(0) += 1;
            }
            let number = random.u64(..60);
            tiers.store.archive(&key_of(number), Timestamp::MAX).await.unwrap();
        }
        assert_eq!(listed, expected, "seed {seed}");
    }
}

#[tokio::test]
async fn a_foreign_cursor_of_keys_is_refused() {
    let tiers = Tiers::with(&[1], &[]).await;
    put_versions(&tiers.hot, 1, &[1]).await;
    let page = tiers.hot.keys(KeysRequest::new().limit(1)).await.unwrap();
    for cursor in [page.next.unwrap(), Cursor::new(&b""[..]), Cursor::new(&b"\xa0"[..])] {
        let error = tiers.store.keys(KeysRequest::new().after(&cursor)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
    }
}

#[tokio::test]
async fn archiving_all_aggregates_continues_from_its_cursor() {
    let tiers = Tiers::new();
    for number in 0..25 {
        put_versions(&tiers.hot, number, &[1, 2, 3]).await;
    }
    let (mut cursor, mut pages, mut moved) = (None, 0, 0);
    loop {
        let mut request = KeysRequest::new().limit(10);
        request.after = cursor.as_ref();
        // A new handle each time, as in another process.
        let store = TieredStore::new(tiers.hot.clone(), tiers.cold.clone());
        let report = store.archive_all(request, at(3)).await.unwrap();
        (pages, moved) = (pages + 1, moved + report.moved);
        assert_eq!(report.keys, if pages == 3 { 5 } else { 10 });
        cursor = report.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((pages, moved), (3, 50));
}
