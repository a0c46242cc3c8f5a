//! A retention plan that was looked at before it is applied.
//!
//! Guards against: a plan that drops what was not there when it was made, or what must be kept by
//! now; one that is applied to another aggregate.

use std::time::Duration;

use crate::support::{Op, Store, World, at, key};
use snapfold::record::{Generation, RecordBuilder};
use snapfold::retention::{Policy, Retention, RetentionPlan, keep_last};
use snapfold::store::{Mark, MarkChange, PutOptions, Selection};
use snapfold::{AggregateKey, ErrorKind, SnapshotStore, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);
const OLD: Generation = Generation { schema_version: 0, fingerprint: 7 };

async fn world(versions: &[u64]) -> (World, AggregateKey) {
    let world = World::new();
    let key = key("a");
    world.grow(&key, *versions.last().unwrap());
    world.snapshots_at(&key, versions).await;
    (world, key)
}

async fn plan(world: &World, key: &AggregateKey, policy: &str) -> RetentionPlan {
    let policy: Policy = policy.parse().unwrap();
    world.engine.plan_retention(key, &policy).await.unwrap()
}

#[tokio::test]
async fn without_changes_a_plan_does_what_its_policy_would() {
    for policy in ["nothing", "last 1", "last 2", "last 4", "every 20 versions", "all"] {
        let (world, key) = world(&[10, 20, 30, 40, 50]).await;
        let plan = plan(&world, &key, policy).await;
        assert_eq!(plan.key(), Some(&key).filter(|_| !plan.judged.is_empty()));
        let applied = world.engine.apply_plan(&key, &plan).await.unwrap();
        assert_eq!(applied.refused, [], "{policy}");
        assert_eq!(applied.deleted.snapshots, plan.dropped().count() as u64);
        assert_eq!(applied.deleted.bytes, plan.freed_bytes());
        let left: Vec<_> = plan.kept().map(|judged| judged.id.version).collect();
        assert_eq!(world.store.versions(&key).await, left, "{policy}");
        // Again: nothing is left to do.
        let deletes = world.store.calls(Op::Delete);
        let again = world.engine.apply_plan(&key, &plan).await.unwrap();
        assert_eq!((again.deleted.snapshots, again.refused), (0, Vec::new()), "{policy}");
        assert_eq!(world.store.calls(Op::Delete), deletes);
        world.load_checked(&key).await;
    }
}

#[tokio::test]
async fn what_was_stored_since_stays() {
    let (world, key) = world(&[10, 20, 30]).await;
    let plan = plan(&world, &key, "nothing").await;
    world.grow(&key, 60);
    world.snapshots_at(&key, &[15, 40, 50, 60]).await;
    let applied = world.engine.apply_plan(&key, &plan).await.unwrap();
    assert_eq!((applied.deleted.snapshots, applied.refused), (2, Vec::new()));
    // The plan kept 30 as the newest.
    assert_eq!(world.store.versions(&key).await, [60, 50, 40, 30, 15]);
    let reason = |version| {
        let judged = applied.plan.judged.iter().find(|judged| judged.id.version == version);
        judged.unwrap().reason.clone()
    };
    assert_eq!(reason(15), "the plan that is applied keeps it");
    world.load_checked(&key).await;
}

#[tokio::test]
async fn what_must_be_kept_by_now_is_kept_and_named() {
    // Pinned since.
    let (world, key) = world(&[10, 20, 30]).await;
    let nothing = plan(&world, &key, "nothing").await;
    let pin = MarkChange::Set(&Mark::pin("audit", Timestamp::MIN));
    let lowest = [nothing.judged.last().unwrap().id];
    let one = Selection::Ids(&lowest);
    let selected = world.engine.mark(&key, one, pin).await;
    assert_eq!(selected.unwrap(), 1);
    let applied = world.engine.apply_plan(&key, &nothing).await.unwrap();
    let refused: Vec<_> =
        applied.refused.iter().map(|judged| (judged.id.version, judged.reason.as_str())).collect();
    assert_eq!((applied.deleted.snapshots, refused), (1, vec![(10, "pinned")]));
    assert_eq!(world.store.versions(&key).await, [30, 10]);

    // The one that the plan kept is gone, so another is the newest.
    let (world, key) = self::world(&[10, 20, 30]).await;
    let nothing = plan(&world, &key, "nothing").await;
    world.engine.delete(&key, 30).await.unwrap();
    let applied = world.engine.apply_plan(&key, &nothing).await.unwrap();
    let refused: Vec<_> =
        applied.refused.iter().map(|judged| (judged.id.version, judged.reason.as_str())).collect();
    assert_eq!(refused, [(20, "the newest of its generation")]);
    assert_eq!(world.store.versions(&key).await, [20]);

    // The one that the plan kept is damaged by now.
    let (world, key) = self::world(&[10, 20, 30]).await;
    let nothing = plan(&world, &key, "nothing").await;
    let damage = |mut record: Vec<u8>| {
        *record.last_mut().unwrap() ^= 1;
        record
    };
    world.store.tamper_with(&key, 30, damage).await;
    let applied = world.engine.apply_plan(&key, &nothing).await.unwrap();
    let refused: Vec<_> =
        applied.refused.iter().map(|judged| (judged.id.version, judged.reason.as_str())).collect();
    assert_eq!(refused, [(20, "the newest usable of its generation")]);
    assert_eq!(world.store.versions(&key).await, [30, 20]);
    world.load_checked(&key).await;
}

async fn put_old(store: &Store, key: &AggregateKey, version: u64, created: Timestamp) {
    let record = RecordBuilder::new(key.clone(), OLD, version, at(version)).created_at(created);
    let record = record.build(b"old").unwrap();
    store.put(vec![record], PutOptions::default()).await.unwrap();
}

/// The superseded generation of a plan goes as a whole, but only if it still is superseded.
#[tokio::test]
async fn a_generation_is_dropped_only_if_it_is_superseded_when_the_plan_is_applied() {
    for written_since in [false, true] {
        let (world, key) = world(&[10, 20, 30, 40, 50]).await;
        let now = Timestamp::from_seconds(1_000_000);
        for version in [5, 6] {
            put_old(&world.store, &key, version, Timestamp::from_seconds(900_000)).await;
        }
        world.clock.advance(3 * DAY);
        let policy = keep_last(9).keep_superseded_for(2 * DAY);
        let plan = world.engine.plan_retention(&key, &policy).await.unwrap();
        assert_eq!(plan.dropped().map(|it| it.id.version).collect::<Vec<_>>(), [6, 5]);
        if written_since {
            // An old node is still at work.
            put_old(&world.store, &key, 7, now.saturating_add(3 * DAY)).await;
        }
        let applied = world.engine.apply_plan(&key, &plan).await.unwrap();
        let left = world.store.versions(&key).await;
        let refused: Vec<_> = applied.refused.iter().map(|judged| judged.id.version).collect();
        if written_since {
            assert_eq!(left, [50, 40, 30, 20, 10, 7], "{applied:?}");
            assert_eq!(refused, [0_u64; 0]);
        } else {
            assert_eq!((left, refused), (vec![50, 40, 30, 20, 10], vec![]));
        }
    }
}

#[tokio::test]
async fn a_plan_for_another_aggregate_is_refused() {
    let (world, key) = world(&[10, 20, 30]).await;
    let plan = plan(&world, &key, "nothing").await;
    let other = crate::support::key("b");
    world.grow(&other, 30);
    world.snapshots_at(&other, &[10, 20, 30]).await;
    let error = world.engine.apply_plan(&other, &plan).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("make one for each aggregate"), "{error}");
    assert_eq!(world.store.versions(&other).await, [30, 20, 10]);
    // A plan without snapshots drops nothing anywhere.
    let applied = world.engine.apply_plan(&key, &RetentionPlan::default()).await.unwrap();
    assert_eq!(applied.deleted.snapshots, 0);
}
