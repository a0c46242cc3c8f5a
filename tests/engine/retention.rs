//! Retention that runs by itself, after background snapshots.
//!
//! Guards against: snapshots that pile up; a policy that runs on the command's path, or for each
//! snapshot; a failure of it that hurts commands or goes unnoticed; a deploy that deletes what
//! other code still needs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::support::{Account, OldAccount, Op, Source, Store, World, key};
use snapfold::engine::{EngineBuilder, Observation, Observer};
use snapfold::record::{Generation, RecordBuilder, SnapshotMeta};
use snapfold::retention::{Disposition, Retention, keep_last};
use snapfold::store::{ListRequest, Mark, MarkChange, PutOptions, Selection, SnapshotStoreExt};
use snapfold::trigger::every_events;
use snapfold::{AggregateKey, SnapshotEngine, SnapshotStore, Timestamp};

const LONG: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// What was reported about retention.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Observer for Log {
    fn observe(&self, observation: &Observation<'_>) {
        let line = match observation {
            Observation::Retained { key, retained } => {
                format!("{} lost {}", key.id(), retained.deleted.snapshots)
            }
            Observation::RetentionFailed { key, error } => {
                format!("{}: {:?}", key.id(), error.kind())
            }
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

fn every_ten(
    change: impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account>,
) -> (World, Log) {
    let log = Log::default();
    let observer = log.clone();
    let world = World::with(|builder| change(builder.trigger(every_events(10)).observer(observer)));
    (world, log)
}

/// Commits ten events and waits for the snapshot, so many times.
async fn snapshots(world: &World, key: &AggregateKey, times: u64) {
    for _ in 0..times {
        let loaded = world.engine.load(key).await.unwrap();
        let version = loaded.version + 10;
        world.grow(key, version);
        assert!(world.engine.committed(&loaded, version).is_queued());
        world.engine.flush(LONG).await.unwrap();
    }
}

#[tokio::test]
async fn by_default_the_newest_four_are_kept_and_at_most_three_more() {
    let (world, _) = every_ten(|builder| builder);
    let key = key("a");
    for saved in 1..=40 {
        snapshots(&world, &key, 1).await;
        world.load_checked(&key).await;
        let stored = world.store.versions(&key).await;
        assert!(stored.len() <= 7 && stored.len() >= saved.min(4), "{stored:?}");
        let newest: Vec<_> = (1..=u64::try_from(saved).unwrap()).rev().map(|n| n * 10).collect();
        assert_eq!(stored, newest[..stored.len()]);
    }
    // It is asked after each fourth snapshot, and then deletes all that is too much at once.
    assert_eq!(world.store.calls(Op::List), 10);
    assert!(world.store.calls(Op::Delete) <= 10);
    let statistics = world.engine.statistics();
    let stored = u64::try_from(world.store.versions(&key).await.len()).unwrap();
    assert_eq!((statistics.saved, statistics.deleted_by_retention), (40, 40 - stored));
}

#[tokio::test]
async fn without_retention_and_by_hand_nothing_goes_by_itself() {
    let (world, log) = every_ten(EngineBuilder::without_retention);
    snapshots(&world, &key("a"), 12).await;
    assert_eq!(world.store.versions(&key("a")).await.len(), 12);
    assert_eq!((world.store.calls(Op::List), world.store.calls(Op::Delete)), (0, 0));
    let (world, _) = every_ten(|builder| builder);
    world.grow(&key("b"), 50);
    world.snapshots_at(&key("b"), &(1..=20).collect::<Vec<_>>()).await;
    world.engine.flush(LONG).await.unwrap();
    assert_eq!(world.store.versions(&key("b")).await.len(), 20);
    assert!(log.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn what_was_just_saved_is_not_read_again_to_see_that_it_is_usable() {
    for keep in [1, 2, 4, 9] {
        let (world, _) = every_ten(|builder| builder.retention(keep_last(keep)));
        snapshots(&world, &key("a"), 12).await;
        let stored = world.store.versions(&key("a")).await.len();
        assert!((keep..keep + 4).contains(&stored), "{stored}");
        // One for the load of each command, and one for that of each snapshot.
        assert_eq!(world.store.calls(Op::Get), 24, "{keep}");
    }
}

#[tokio::test]
async fn a_failure_is_reported_and_made_up_for_and_hurts_no_command() {
    for op in [Op::List, Op::Delete] {
        let (world, log) = every_ten(|builder| builder.retention(keep_last(1)));
        let key = key("a");
        snapshots(&world, &key, 4).await;
        world.store.fail(op, 1);
        log.0.lock().unwrap().clear();
        snapshots(&world, &key, 4).await;
        // Once, and then it is due after the next snapshot.
        let lines = log.0.lock().unwrap().clone();
        assert_eq!(
            lines.iter().filter(|line| **line == "a: Store").count(),
            1,
            "{op:?}: {lines:?}"
        );
        let statistics = world.engine.statistics();
        assert_eq!((statistics.saved, statistics.retention_failures), (8, 1));
        assert_eq!(statistics.saves_failed, 0);
        assert!(statistics.last_error.unwrap().1.contains("was not applied to account \"a\""));
        snapshots(&world, &key, 4).await;
        assert!(world.store.versions(&key).await.len() <= 4);
    }
}

#[tokio::test]
async fn a_policy_that_panics_and_a_store_that_does_are_contained() {
    #[derive(Debug)]
    struct Explosive;
    impl Retention for Explosive {
        fn judge(&self, _: &[SnapshotMeta], _: Timestamp) -> Vec<Disposition> {
            panic!("the policy panicked")
        }
    }
    let (world, log) = every_ten(|builder| builder.retention(Explosive));
    snapshots(&world, &key("a"), 8).await;
    assert_eq!(world.store.versions(&key("a")).await.len(), 8);
    // After the first failure it is due after each snapshot.
    assert!(log.0.lock().unwrap().len() >= 2);
    let (world, log) = every_ten(|builder| builder);
    world.store.panic(Op::List, 1);
    snapshots(&world, &key("a"), 12).await;
    assert!(world.store.versions(&key("a")).await.len() <= 7);
    assert_eq!(log.0.lock().unwrap().iter().filter(|line| line.contains(':')).count(), 1);
}

#[cfg(feature = "cache")]
#[tokio::test]
async fn a_cached_state_stays_when_old_snapshots_go() {
    let (world, _) = every_ten(|builder| {
        builder.retention(keep_last(1)).cache(snapfold::engine::CacheConfig::default())
    });
    snapshots(&world, &key("a"), 12).await;
    assert!(world.engine.statistics().deleted_by_retention > 0);
    // The first load of the command, which finds nothing.
    assert_eq!(world.store.calls(Op::Get), 1);
}

#[tokio::test]
async fn pinned_snapshots_and_the_one_above_the_floor_stay() {
    let (world, _) = every_ten(|builder| builder.retention(keep_last(1)));
    let key = key("a");
    world.grow(&key, 6);
    world.snapshots_at(&key, &[3, 4, 5]).await;
    let pin = Mark::pin("audit", Timestamp::MIN);
    let third = world.engine.snapshots(&key, 3..=3).await.unwrap().remove(0).id();
    world.engine.mark(&key, Selection::Ids(&[third]), MarkChange::Set(&pin)).await.unwrap();
    world.source.events.truncate_below(&key, 4);
    snapshots(&world, &key, 4).await;
    let stored = world.store.versions(&key).await;
    assert_eq!(stored[stored.len() - 2..], [4, 3], "{stored:?}");
    // Nothing is left of the events before it.
    assert_eq!(world.engine.at_version(&key, 5).await.unwrap().version, 5);
}

/// Which schema versions are stored, for how many snapshots each.
async fn schemas(store: &Store, key: &AggregateKey) -> Vec<(u32, usize)> {
    let metas = store.inner.list_all(ListRequest::new(key)).await.unwrap();
    let of = |schema| metas.iter().filter(|m| m.generation.schema_version == schema).count();
    [0, 1, 9].map(|schema| (schema, of(schema))).into_iter().filter(|(_, n)| *n > 0).collect()
}

#[tokio::test]
async fn a_deploy_leaves_the_snapshots_of_old_code_for_a_week_and_those_of_newer_code_for_ever() {
    let (source, store, key) = (Source::default(), Store::default(), key("a"));
    source.grow(&key, 100);
    let events = source.events.clone();
    let world = World::over(source, store, |b| b.trigger(every_events(10)));
    let old = SnapshotEngine::<OldAccount>::builder(events, world.store.clone());
    let old = old.clock(world.clock.clone()).build().unwrap();
    for version in [50, 60, 70] {
        let options = snapfold::manager::CreateOptions::new().at_version(version);
        old.create_with(&key, options).await.unwrap();
    }
    let newer = Generation { schema_version: 9, fingerprint: 9 };
    let record = RecordBuilder::new(key.clone(), newer, 80, Timestamp::MIN).build(b"newer");
    world.store.put(vec![record.unwrap()], PutOptions::default()).await.unwrap();
    // Long after the old code was last used, the new one comes.
    world.clock.advance(DAY * 300);
    snapshots(&world, &key, 8).await;
    let counts = schemas(&world.store, &key).await;
    assert!(matches!(counts[..], [(0, 3), (1, 5..=8), (9, 1)]), "{counts:?}");
    world.clock.advance(DAY * 6);
    snapshots(&world, &key, 8).await;
    assert_eq!(schemas(&world.store, &key).await[0], (0, 3));
    assert_eq!(old.load(&key).await.unwrap().provenance.snapshot.unwrap().id.version, 70);
    world.clock.advance(DAY * 2);
    snapshots(&world, &key, 8).await;
    let counts = schemas(&world.store, &key).await;
    assert!(matches!(counts[..], [(1, 4..=7), (9, 1)]), "{counts:?}");
    // Old code that runs nevertheless is slower, and right.
    let loaded = old.load(&key).await.unwrap();
    assert_eq!((loaded.version, loaded.provenance.snapshot), (340, None));
}
