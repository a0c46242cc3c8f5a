//! Rolling back to an older snapshot, erasing all of them, and states that the application refuses to
//! store.

use std::time::Duration;

use snapfold::manager::{AdminContext, Fetched, Origin, ROLLBACK};
use snapfold::store::{Mark, MarkChange, MarkKind, Remains, Selection};
use snapfold::trigger::{every_events, manual};
use snapfold::{AggregateKey, ErrorKind};

use crate::support::{World, at, key};

async fn world() -> (World, AggregateKey) {
    let (world, key) = (World::with(|builder| builder.trigger(manual())), key("a"));
    world.grow(&key, 55);
    world.snapshots_at(&key, &[10, 20, 30, 40, 50]).await;
    (world, key)
}

fn by_ops() -> AdminContext {
    AdminContext::new("ops").reason("refunds were folded wrongly since May")
}

async fn used(world: &World, key: &AggregateKey) -> u64 {
    world.load_checked(key).await.provenance.snapshot.unwrap().id.version
}

#[tokio::test]
async fn after_a_rollback_loads_start_from_that_snapshot_until_it_is_undone() {
    let (world, key) = world().await;
    let admin = world.engine.admin();
    assert_eq!(admin.rollback(&key, 30, &by_ops()).await.unwrap(), 2);
    assert_eq!(used(&world, &key).await, 30);
    // Again, with nothing left to do.
    assert_eq!(admin.rollback(&key, 30, &by_ops()).await.unwrap(), 0);
    // The others stay readable, and say who retired them and why.
    let Fetched::Usable(snapshot) = world.engine.snapshot(&key, 50).await.unwrap() else {
        panic!("the snapshot is readable")
    };
    let mark = snapshot.meta.marks.find(MarkKind::Retirement, ROLLBACK).unwrap();
    assert_eq!((mark.actor.as_str(), mark.note.as_str()), ("ops", by_ops().reason.as_str()));
    // A snapshot that is taken afterwards is used.
    world.snapshots_at(&key, &[52]).await;
    assert_eq!(used(&world, &key).await, 52);
    assert_eq!(admin.rollback(&key, 20, &by_ops()).await.unwrap(), 2);
    assert_eq!(used(&world, &key).await, 20);
    assert_eq!(admin.undo_rollback(&key, &by_ops()).await.unwrap(), 4);
    assert_eq!(used(&world, &key).await, 52);
}

#[tokio::test]
async fn a_rollback_clears_no_other_retirement() {
    let (world, key) = world().await;
    let admin = world.engine.admin();
    let other = Mark::retirement("wrong", at(1));
    let id = world.engine.snapshot(&key, 40).await.unwrap().usable().unwrap().meta.id();
    let set = MarkChange::Set(&other);
    admin.mark(&key, Selection::Ids(&[id]), set, &by_ops()).await.unwrap();
    assert_eq!(admin.rollback(&key, 20, &by_ops()).await.unwrap(), 2);
    assert_eq!(admin.undo_rollback(&key, &by_ops()).await.unwrap(), 2);
    let metas = admin.snapshots(&key, 0..=100).await.unwrap();
    let retired: Vec<_> = metas.iter().filter(|m| m.is_retired()).map(|m| m.version).collect();
    assert_eq!(retired, [40]);
}

#[tokio::test]
async fn a_rollback_to_nothing_or_against_the_expectation_changes_nothing() {
    let (world, key) = world().await;
    let admin = world.engine.admin();
    for version in [0, 25, 60, u64::MAX] {
        let error = admin.rollback(&key, version, &by_ops()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    }
    admin.rollback(&key, 40, &by_ops()).await.unwrap();
    let retired = admin.rollback(&key, 50, &by_ops()).await.unwrap_err();
    assert_eq!(retired.kind(), ErrorKind::InvalidInput, "{retired}");
    let conflict = admin.rollback(&key, 30, &by_ops().expect_version(40)).await.unwrap_err();
    assert_eq!(conflict.kind(), ErrorKind::Conflict);
    assert_eq!(used(&world, &key).await, 40);
}

#[tokio::test]
async fn a_state_that_the_application_refuses_is_never_stored_and_still_loaded() {
    let world = World::with(|builder| {
        builder.trigger(every_events(10)).validate(|account| match account.balance {
            ..=1_000 => Ok(()),
            balance => Err(format!("{balance} is too much").into()),
        })
    });
    let key = key("a");
    world.grow(&key, 40);
    world.snapshots_at(&key, &[40]).await;
    world.grow(&key, 60);
    let error = world.engine.create(&key).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encode);
    assert!(format!("{error:#}").ends_with("refused the account state: 1830 is too much"));
    let loaded = world.load_checked(&key).await;
    assert_eq!((loaded.version, loaded.provenance.origin), (60, Origin::Snapshot));
    world.grow(&key, 80);
    assert!(world.engine.committed(&loaded, 80).is_queued());
    world.engine.flush(Duration::from_secs(3_600)).await.unwrap();
    assert_eq!(world.store.versions(&key).await, [40]);
    assert_eq!(world.engine.statistics().saved, 0);
}

#[tokio::test]
async fn an_erased_aggregate_has_no_snapshot_and_no_cached_state() {
    let store = snapfold::MemoryStore::new();
    let ledger = snapfold::ledger::StoreLedger::new(store);
    let world = World::with(|builder| {
        let builder = builder.trigger(manual()).ledger(ledger);
        #[cfg(feature = "cache")]
        let builder = builder.cache(snapfold::engine::CacheConfig::default());
        builder
    });
    let (erased, other) = (key("a"), key("b"));
    for key in [&erased, &other] {
        world.grow(key, 30);
        world.snapshots_at(key, &[10, 20]).await;
        world.load_checked(key).await;
    }
    let admin = world.engine.admin();
    let pin = Mark::pin("p", at(1));
    admin.mark(&erased, Selection::All, MarkChange::Set(&pin), &by_ops()).await.unwrap();
    let receipt = admin.erase(&erased, &by_ops()).await.unwrap();
    assert_eq!(receipt.snapshots, 2);
    assert!(receipt.remains.contains(&Remains::Ledger), "{receipt}");
    assert!(receipt.remains.contains(&Remains::Events), "{receipt}");
    let loaded = world.load_checked(&erased).await;
    assert_eq!(loaded.provenance.origin, Origin::Replay);
    assert_ne!(world.load_checked(&other).await.provenance.origin, Origin::Replay);
    assert_eq!(admin.erase(&erased, &by_ops()).await.unwrap().snapshots, 0);
    let foreign = AggregateKey::new("other", "a").unwrap();
    let refused = admin.erase(&foreign, &by_ops()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidInput);
}
