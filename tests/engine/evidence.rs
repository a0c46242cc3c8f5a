//! The records that are replaced are kept in a store of their own.

use snapfold::engine::{EngineBuilder, Incremental};
use snapfold::manager::{AdminContext, CreateOptions, CreateOutcome, REPLACED};
use snapfold::record::{Record, SnapshotMeta};
use snapfold::retention::keep_last;
use snapfold::store::{DeleteOptions, ListRequest, Mark, MarkChange, MarkKind, Query, Selection};
use snapfold::{AggregateKey, ErrorKind, MemoryStore, SnapshotStore as _};

use crate::support::{Account, Op, Store, World, at, key};

fn keeping(
    evidence: &Store,
) -> impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account> + use<> {
    let evidence = evidence.clone();
    move |builder| builder.evidence(evidence)
}

async fn listed(store: &MemoryStore, key: &AggregateKey) -> Vec<SnapshotMeta> {
    store.list(ListRequest::new(key)).await.unwrap().items
}

async fn kept(evidence: &Store, key: &AggregateKey) -> Vec<u64> {
    listed(&evidence.inner, key).await.iter().map(|meta| meta.version).collect()
}

/// Snapshots at 10 and 20, and then the fifth event is edited: both are wrong.
async fn edited(evidence: &Store, key: &AggregateKey) -> (World, Record) {
    let world = World::with(keeping(evidence));
    world.grow(key, 20);
    world.snapshots_at(key, &[10, 20]).await;
    world.edit(key, 20, 5);
    let wrong = world.store.record(key, 20).await;
    (world, wrong)
}

#[tokio::test]
async fn every_way_to_replace_keeps_the_record() {
    let (evidence, context) = (Store::default(), AdminContext::default());
    let mark = Mark::retirement("doubted", at(1));
    for way in 0..3 {
        let key = key(&way.to_string());
        let (world, wrong) = edited(&evidence, &key).await;
        let replaced = match way {
            0 => matches!(world.engine.refold(&key, None).await, Ok(CreateOutcome::Replaced(_))),
            1 => world.engine.admin().rebuild(&key, 20, &context).await.unwrap().replaced,
            _ => {
                let options = CreateOptions::new().at_version(20).or_replace();
                let retired = MarkChange::Set(&mark);
                world.store.mark(&key, Selection::All, retired).await.unwrap();
                let created = world.engine.create_with(&key, options).await;
                let used = MarkChange::Clear { kind: MarkKind::Retirement, name: "doubted" };
                world.store.mark(&key, Selection::All, used).await.unwrap();
                matches!(created, Ok(CreateOutcome::Replaced(_)))
            }
        };
        assert!(replaced, "{way}");
        assert_ne!(world.store.record(&key, 20).await, wrong);
        world.load_checked(&key).await;
        assert_eq!(kept(&evidence, &key).await, [20], "{way}");
        assert_eq!(evidence.record(&key, 20).await, wrong);
    }
}

#[tokio::test]
async fn the_first_record_stays_until_its_pin_is_cleared() {
    let (evidence, key) = (Store::default(), key("a"));
    let (world, wrong) = edited(&evidence, &key).await;
    world.engine.rebuild(&key, 20).await.unwrap();
    // Equal states are not evidence, and a second wrong one does not replace the first.
    world.engine.rebuild(&key, 20).await.unwrap();
    world.edit(&key, 20, 7);
    world.engine.rebuild(&key, 20).await.unwrap();
    assert_eq!(evidence.record(&key, 20).await, wrong);

    let delete = || evidence.delete(&key, Selection::All, DeleteOptions::default());
    assert_eq!(delete().await.unwrap().pinned, 1);
    let clear = MarkChange::Clear { kind: MarkKind::Pin, name: REPLACED };
    assert_eq!(evidence.mark(&key, Selection::All, clear).await.unwrap(), 1);
    assert_eq!(delete().await.unwrap().snapshots, 1);
}

#[tokio::test]
async fn what_cannot_be_kept_is_not_replaced() {
    let (evidence, key) = (Store::default(), key("a"));
    let (world, wrong) = edited(&evidence, &key).await;
    evidence.fail(Op::Put, 1);
    let error = world.engine.rebuild(&key, 20).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Store, "{error}");
    assert_eq!(world.store.record(&key, 20).await, wrong);
    world.engine.rebuild(&key, 20).await.unwrap();
    assert_eq!(evidence.record(&key, 20).await, wrong);
}

#[tokio::test]
async fn a_delta_is_kept_with_its_base() {
    let (evidence, key) = (Store::default(), key("a"));
    let keeping = keeping(&evidence);
    let world = World::with(|builder| {
        let builder = builder
            .incremental(Incremental::lz4().min_bytes(1).max_percent(100))
            .retention(keep_last(10));
        keeping(builder)
    });
    let mut version = 0;
    let delta = loop {
        version += 10;
        world.grow(&key, version);
        world.engine.create(&key).await.unwrap();
        let record = world.store.record(&key, version).await;
        if record.header().unwrap().base.is_some() {
            break record;
        }
        assert!(version < 200, "no delta was made");
    };
    world.edit(&key, version, 5);
    world.engine.rebuild(&key, version).await.unwrap();
    let base = delta.header().unwrap().base.unwrap();
    assert_eq!(kept(&evidence, &key).await, [version, base.version]);
    let id = listed(&evidence.inner, &key).await[0].id();
    let found = evidence.get(Query::exact(&key, id)).await.unwrap();
    assert_eq!(found.into_record(), Some(delta));
}

#[tokio::test]
async fn an_erasure_reaches_the_evidence() {
    let (evidence, key) = (Store::default(), key("a"));
    let (world, _) = edited(&evidence, &key).await;
    world.engine.rebuild(&key, 20).await.unwrap();
    let erased = world.engine.admin().erase(&key, &AdminContext::new("dpo")).await.unwrap();
    assert_eq!(erased.snapshots, 3);
    assert!(kept(&evidence, &key).await.is_empty());
}
