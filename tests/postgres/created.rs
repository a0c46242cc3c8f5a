//! Keys that are selected by the creation time of their snapshots: exactly those that a look at each
//! snapshot finds, on pages of any size, with the index or without it.
//!
//! Guards against: an aggregate that is missing from an incremental backup because its index entry
//! was missed at a bound or between two pages; an index that was built in vain, because the server
//! never takes it or the migration takes a broken one for it.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::TestDb;
use snapfold::postgres::{PostgresOptions, PostgresStore};
use snapfold::record::{Base, Generation, Record, RecordBuilder};
use snapfold::service::transfer::{
    ExportOptions, TransferFilter, TransferOptions, check_archive, export, merge,
};
use snapfold::store::{
    DeleteOptions, KeysRequest, PutOptions, PutOutcome, Selection, SnapshotStoreExt,
};
use snapfold::{AggregateKey, MemoryStore, SnapshotId, SnapshotStore, Timestamp};

const OLD: Generation = Generation { schema_version: 1, fingerprint: 7 };
const NEW: Generation = Generation { schema_version: 2, fingerprint: u64::MAX };

async fn store(db: &TestDb) -> PostgresStore {
    let options = PostgresOptions::new().schema(&db.schema);
    let store = PostgresStore::with_options(db.pool.clone(), &options).unwrap();
    store.migrations().run().await.unwrap();
    store
}

fn key(random: &mut fastrand::Rng) -> AggregateKey {
    let tenant = random.choice(["", "north", "north\0", "z"]).unwrap();
    let kind = random.choice(["account", "order", "orders", "snapfold.lease"]).unwrap();
    let id = format!("{}{}", random.choice(["", "\u{1}", "x"]).unwrap(), random.u32(..8));
    AggregateKey::from_stored(tenant, kind, &id).unwrap()
}

fn time(random: &mut fastrand::Rng) -> Timestamp {
    match random.u32(..20) {
        0 => Timestamp::MIN,
        1 => Timestamp::MAX,
        _ => Timestamp::from_micros(random.i64(-20..20)),
    }
}

/// A snapshot whose times have nothing to do with each other.
fn snapshot(random: &mut fastrand::Rng, key: &AggregateKey, id: SnapshotId) -> (Record, Timestamp) {
    let (as_of, created) = (time(random), time(random));
    let builder = RecordBuilder::new(key.clone(), id.generation, id.version, as_of);
    (builder.created_at(created).build(b"state").unwrap(), created)
}

fn request(random: &mut fastrand::Rng) -> KeysRequest<'static> {
    let mut request = KeysRequest::new().limit(random.usize(1..8)).reserved(random.bool());
    if random.bool() {
        request.created_from = Some(time(random));
    }
    if random.bool() {
        request.created_before = Some(time(random));
    }
    if random.bool() {
        request.tenant = random.choice(["", "north", "north\0", "nobody"]);
    }
    if random.bool() {
        request.kind = random.choice(["account", "order", "snapfold.lease", "none"]);
    }
    request
}

/// All keys of a request, each once, and in the order of the pages.
async fn listed(store: &dyn SnapshotStore, request: KeysRequest<'_>) -> BTreeSet<AggregateKey> {
    let mut listed = BTreeSet::new();
    let mut pages = store.key_pages(request);
    while let Some(page) = pages.next().await.unwrap() {
        assert!(page.len() <= request.limit);
        for key in page {
            assert!(listed.last().is_none_or(|last| *last < key), "{key} again");
            listed.insert(key);
        }
    }
    listed
}

#[tokio::test]
async fn the_listed_keys_are_those_that_a_look_at_each_snapshot_finds() {
    let mut random = fastrand::Rng::with_seed(5);
    let db = TestDb::new().await;
    let store = store(&db).await;
    let mut model: BTreeMap<(AggregateKey, SnapshotId), Timestamp> = BTreeMap::new();
    let (mut some, mut few, mut pages) = (0, 0, 0);
    for step in 0..1_500 {
        if step % 500 == 250 {
            // What the planner knows decides between two ways.
            db.run("ANALYZE {schema}.snapfold_snapshots").await;
        }
        if step == 1_000 {
            // Without the index, the same is found.
            db.run("DROP INDEX {schema}.snapfold_snapshots_by_created").await;
        }
        match random.u32(..10) {
            0..3 => {
                let options = PutOptions::default().replace(random.bool());
                let key = key(&mut random);
                let generation = if random.bool() { OLD } else { NEW };
                let id = SnapshotId { generation, version: random.u64(1..5) };
                let (record, created) = snapshot(&mut random, &key, id);
                let outcomes = store.put(vec![record], options).await.unwrap();
                if !matches!(outcomes[..], [PutOutcome::Existing { .. }]) {
                    model.insert((key, id), created);
                }
            }
            3 => {
                let key = key(&mut random);
                let below = random.u64(1..6);
                let selection = Selection::Below(below);
                store.delete(&key, selection, DeleteOptions::default()).await.unwrap();
                model.retain(|(of, id), _| *of != key || id.version >= below);
            }
            _ => {
                let request = request(&mut random);
                let within = model.iter().filter(|((key, _), created)| {
                    request.admits(key)
                        && request.created_from.is_none_or(|from| **created >= from)
                        && request.created_before.is_none_or(|before| **created < before)
                });
                let expected: BTreeSet<_> = within.map(|((key, _), _)| key.clone()).collect();
                assert_eq!(listed(&store, request).await, expected, "step {step}: {request:?}");
                let all = model.keys().filter(|(key, _)| request.admits(key));
                let all = all.map(|(key, _)| key).collect::<BTreeSet<_>>().len();
                some += usize::from(!expected.is_empty());
                few += usize::from(expected.len() < all);
                pages += expected.len() / request.limit;
            }
        }
    }
    assert!(some > 300 && few > 300 && pages > 1_000, "{some} {few} {pages}");
    db.close().await;
}

/// Puts the same snapshots in both stores: of each aggregate one that is whole, and deltas of it.
async fn fill(stores: [&dyn SnapshotStore; 2]) {
    let mut random = fastrand::Rng::with_seed(9);
    for n in 0..150 {
        let tenant = random.choice(["", "north"]).unwrap();
        let kind = random.choice(["account", "order"]).unwrap();
        let key = AggregateKey::from_parts(tenant, kind, &format!("{n:03}")).unwrap();
        let records: Vec<_> = (1..random.u64(2..6))
            .map(|version| {
                let created = Timestamp::from_seconds(random.i64(0..100));
                let builder = RecordBuilder::new(key.clone(), OLD, version, created);
                let base = Base { version: 1, checksum: 1 };
                let builder = if version > 1 { builder.base(base) } else { builder };
                builder.created_at(created).build(b"state").unwrap()
            })
            .collect();
        for store in stores {
            store.put(records.clone(), PutOptions::default()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_export_of_some_times_equals_that_of_a_store_that_lists_all_keys() {
    let db = TestDb::new().await;
    let (postgres, memory) = (store(&db).await, MemoryStore::new());
    fill([&postgres, &memory]).await;
    let filter = TransferFilter::new;
    let at = Timestamp::from_seconds;
    let mut sizes = BTreeSet::new();
    for filter in [
        filter(),
        filter().created_from(at(98)),
        filter().created_from(at(30)).created_before(at(40)),
        filter().created_before(at(5)).tenant("north"),
        filter().created_from(at(90)).kind("order"),
        filter().created_from(at(100)),
    ] {
        let options = ExportOptions::new().filter(filter.clone()).created_at(at(7));
        let mut archives = [Vec::new(), Vec::new()];
        let [from_postgres, from_memory] = &mut archives;
        export(&postgres, from_postgres, &options).await.unwrap();
        export(&memory, from_memory, &options).await.unwrap();
        assert_eq!(archives[0], archives[1], "{filter:?}");
        let exported = check_archive(&archives[0][..]).await.unwrap();
        let target = MemoryStore::new();
        let options = TransferOptions::new().filter(filter.clone());
        let report = merge(&postgres, &target, &options).await.unwrap();
        assert_eq!(report.stored, exported.snapshots, "{filter:?}");
        sizes.insert(exported.snapshots);
    }
    assert!(sizes.len() > 4 && sizes.first() == Some(&0), "{sizes:?}");
    db.close().await;
}

const INDEX: &str = "SELECT coalesce(max(i.indexrelid::int8), 0) FROM pg_index AS i \
     JOIN pg_class AS c ON c.oid = i.indexrelid \
     WHERE c.relnamespace = '{schema}'::regnamespace AND c.relname = 'snapfold_snapshots_by_created'";

#[tokio::test]
async fn an_index_that_was_created_by_hand_is_kept_and_a_broken_one_is_refused() {
    let db = TestDb::new().await;
    let store = store(&db).await;
    let migrations = store.migrations();
    assert!(db.number(INDEX).await > 0);
    let create = "CREATE INDEX CONCURRENTLY snapfold_snapshots_by_created \
         ON {schema}.snapfold_snapshots";
    // As docs/postgres.md says, while an older release runs.
    migrations.run_to(4).await.unwrap();
    assert_eq!(db.number(INDEX).await, 0);
    db.run(&format!("{create} (created_at)")).await;
    let by_hand = db.number(INDEX).await;
    migrations.run().await.unwrap();
    assert_eq!(db.number(INDEX).await, by_hand);
    store.check().await.unwrap();

    // Of other columns, of some rows, and one whose construction failed.
    for (index, spoil) in [
        ("(as_of)", ""),
        ("(created_at) WHERE created_at > 0", ""),
        (
            "(created_at)",
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = \
             '{schema}.snapfold_snapshots_by_created'::regclass",
        ),
    ] {
        migrations.run_to(4).await.unwrap();
        db.run(&format!("{create} {index}")).await;
        if !spoil.is_empty() {
            db.run(spoil).await;
        }
        let error = migrations.run().await.unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("snapfold_snapshots_by_created"), "{source}");
        assert!(source.contains("drop it"), "{source}");
        assert_eq!(migrations.current().await.unwrap(), 4);
        db.run("DROP INDEX {schema}.snapfold_snapshots_by_created").await;
        migrations.run().await.unwrap();
        assert!(db.number(INDEX).await > 0);
    }
    // One that was dropped is missed by no migration.
    db.run("DROP INDEX {schema}.snapfold_snapshots_by_created").await;
    migrations.run_to(0).await.unwrap();
    db.close().await;
}
