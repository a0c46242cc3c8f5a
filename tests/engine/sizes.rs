//! The sizes of a store are the sums of what it lists.
//!
//! Guards against: a page or an aggregate that is counted twice or not at all; shares of deltas,
//! duplicates and dictionaries that are made up.

use crate::support::{at, key};
use snapfold::record::{Base, Generation, RecordBuilder};
use snapfold::service::{SnapshotSizes, StoreSizes, store_sizes};
use snapfold::store::{KeysRequest, Mark, Marks, PutOptions};
use snapfold::{AggregateKey, MemoryStore, SnapshotStore};

const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };

/// Puts a snapshot and returns the size of its record.
async fn put(
    store: &dyn SnapshotStore,
    key: &AggregateKey,
    version: u64,
    change: impl FnOnce(RecordBuilder) -> (RecordBuilder, &'static [u8]),
    marks: Marks,
) -> u64 {
    let builder = RecordBuilder::new(key.clone(), GENERATION, version, at(5));
    let (builder, state) = change(builder.created_at(at(version)));
    let record = builder.build(state).unwrap();
    let bytes = record.as_bytes().len() as u64;
    store.put(vec![record], PutOptions::default().marks(marks)).await.unwrap();
    bytes
}

#[tokio::test]
async fn everything_is_counted_once_by_tenant_and_kind() {
    #[cfg(feature = "file")]
    let dir = tempfile::tempdir().unwrap();
    let stores: Vec<Box<dyn SnapshotStore>> = vec![
        Box::new(MemoryStore::new()),
        #[cfg(feature = "file")]
        Box::new(snapfold::file::FileStore::open(dir.path().join("store")).unwrap()),
    ];
    for store in stores {
        let store = &*store;
        assert_eq!(store_sizes(store, KeysRequest::new(), 9).await.unwrap(), StoreSizes::default());
        // More than a page of a list, and more than a batch of keys.
        let mut large = 0;
        for version in 1..=600 {
            large += put(store, &key("large"), version, |b| (b, b"state"), Marks::NONE).await;
        }
        let mut small = 0;
        for n in 0..150 {
            small +=
                put(store, &key(&format!("{n}")), 7, |b| (b, b"0123456789"), Marks::NONE).await;
        }
        let order = AggregateKey::from_parts("north", "order", "o").unwrap();
        let pin = Marks::new([Mark::pin("audit", at(1))]).unwrap();
        let whole = put(store, &order, 1, |b| (b.dictionary(9), b"a state"), pin).await;
        let base = Base { version: 1, checksum: 3 };
        let retired = Marks::new([Mark::retirement("bad", at(1))]).unwrap();
        let delta = put(store, &order, 2, |b| (b.base(base), b"delta"), retired).await;
        let equal = put(store, &order, 3, |b| (b.base(base), b""), Marks::NONE).await;

        let sizes = store_sizes(store, KeysRequest::new(), 2).await.unwrap();
        let of = |tenant: &str, kind: &str| sizes.by_kind[&(tenant.into(), kind.into())];
        let accounts = of("", "account");
        assert_eq!((accounts.aggregates, accounts.snapshots), (151, 750));
        assert_eq!(accounts.stored_bytes, large + small);
        assert_eq!(accounts.raw_bytes, 600 * 5 + 150 * 10);
        assert_eq!((accounts.oldest, accounts.newest), (Some(at(1)), Some(at(600))));
        assert_eq!((accounts.deltas, accounts.pinned, accounts.retired), (0, 0, 0));

        let orders = of("north", "order");
        assert_eq!(orders, sizes.of_tenant("north"));
        assert_eq!((orders.aggregates, orders.snapshots), (1, 3));
        assert_eq!((orders.deltas, orders.delta_bytes, orders.duplicates), (2, delta + equal, 1));
        assert_eq!((orders.with_dictionary, orders.dictionary_bytes), (1, whole));
        assert_eq!((orders.pinned, orders.retired), (1, 1));
        assert_eq!(sizes.total(), accounts.and(&orders));
        assert_eq!(sizes.by_kind.len(), 2);

        let largest: Vec<_> = sizes.largest.iter().map(|(key, of)| (key, of.snapshots)).collect();
        assert_eq!(largest, [(&key("large"), 600), (&order, 3)]);
        let text = sizes.to_string();
        assert!(text.contains("north/order: 3 snapshots of 1 aggregates"), "{text}");
        assert!(text.contains("2 deltas, 1 without a change, 1 with a dictionary"), "{text}");
        assert_eq!(SnapshotSizes::default().stored_percent(), None);

        let only = store_sizes(store, KeysRequest::new().kind("order"), 0).await.unwrap();
        assert_eq!((only.total(), only.largest.len()), (orders, 0));

        // These stores list all keys, whatever the times: only the snapshots are selected.
        let within = KeysRequest::new().created_from(at(3)).created_before(at(8));
        let within = store_sizes(store, within, 9).await.unwrap();
        let orders = within.of_tenant("north");
        assert_eq!((orders.snapshots, orders.stored_bytes), (1, equal));
        let accounts = within.by_kind[&(String::new(), "account".into())];
        assert_eq!((accounts.aggregates, accounts.snapshots), (151, 5 + 150));
    }
}
