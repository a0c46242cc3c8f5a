//! Background snapshots that are compared with the events: what is found, what it costs, and what
//! holds it off.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use snapfold::engine::{
    CacheConfig, EngineBuilder, Observation, Observer, SharedLimits, SpotChecks, Trouble,
};
use snapfold::ledger::{AuditRequest, Ledger as _, StoreLedger};
use snapfold::manager::{FoldComparison, Origin, REFOLD};
use snapfold::record::SnapshotMeta;
use snapfold::store::MarkKind;
use snapfold::trigger::every_events;
use snapfold::{AggregateKey, MemoryStore};

use crate::support::{Account, World, key, until};

/// The comparisons and failures that an engine reports.
#[derive(Clone, Default)]
struct Checks(Arc<Mutex<Vec<Result<FoldComparison, String>>>>);

impl Checks {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// Waits until there are `count`, and returns the last one.
    async fn nth(&self, count: usize) -> Result<FoldComparison, String> {
        until("a check", || self.count() >= count).await;
        self.0.lock().unwrap().last().cloned().unwrap()
    }
}

impl Observer for Checks {
    fn observe(&self, observation: &Observation<'_>) {
        let checked = match observation {
            Observation::SpotChecked { comparison, .. } => Ok(FoldComparison::clone(comparison)),
            Observation::SpotCheckFailed { error, .. } => Err(format!("{error:#}")),
            _ => return,
        };
        self.0.lock().unwrap().push(checked);
    }
}

fn world(
    checks: SpotChecks,
    change: impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account>,
) -> (World, Checks) {
    let log = Checks::default();
    let world = World::with(|builder| {
        let builder = builder.trigger(every_events(10)).without_retention();
        change(builder.spot_checks(checks).observer(log.clone()))
    });
    (world, log)
}

/// Commits up to `version`, and waits for the snapshot.
async fn commit(world: &World, key: &AggregateKey, version: u64) {
    let loaded = world.engine.load(key).await.unwrap();
    world.grow(key, version);
    world.engine.committed(&loaded, version);
    world.engine.flush(Duration::from_secs(9)).await.unwrap();
}

fn retired(meta: &SnapshotMeta) -> Option<String> {
    meta.marks.find(MarkKind::Retirement, REFOLD).map(|mark| mark.note.clone())
}

#[tokio::test]
async fn snapshots_that_differ_are_retired_and_the_next_load_equals_a_replay() {
    let ledger = StoreLedger::new(MemoryStore::new());
    let (world, checks) = world(SpotChecks::one_in(1), |builder| builder.ledger(ledger.clone()));
    let key = key("a");
    for (at, version) in [10, 20, 30].into_iter().enumerate() {
        commit(&world, &key, version).await;
        let checked = checks.nth(at + 1).await.unwrap();
        assert_eq!((checked.equal.len(), checked.is_clean()), (at + 1, true), "{checked}");
    }
    // Later snapshots are built on those that are wrong now.
    world.edit(&key, 30, 15);
    commit(&world, &key, 40).await;
    let checked = checks.nth(4).await.unwrap();
    let different: Vec<_> = checked.different.iter().map(|d| (d.equal_at, d.id.version)).collect();
    assert_eq!(different, [(10, 20), (10, 30), (10, 40)], "{checked}");
    assert_eq!((checked.began_at, checked.folded_to), (0, 40));

    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 10);
    let notes: Vec<_> =
        world.engine.snapshots(&key, 0..=40).await.unwrap().iter().map(retired).collect();
    let [Some(newest), Some(_), Some(_), None] = &notes[..] else { panic!("{notes:?}") };
    assert!(newest.contains("parts from the events after 10: its state differs at balance"));
    let statistics = world.engine.statistics();
    assert_eq!((statistics.spot_checks, statistics.snapshots_that_differ), (4, 3));
    let last = &world.engine.health().last_errors[0];
    assert_eq!(last.trouble, Trouble::SnapshotDiffers, "{last}");

    world.engine.flush(Duration::from_secs(9)).await.unwrap();
    let trail = ledger.entries(AuditRequest::new().key(&key)).await.unwrap();
    let [entry] = &trail.items[..] else { panic!("{trail:?}") };
    assert_eq!((entry.entry.actor.as_str(), entry.entry.action.as_str()), {
        ("spot-check", "retire_different")
    });
    assert!(entry.entry.reason.contains("1 equal, 3 different"), "{}", entry.entry.reason);

    // The next snapshot is built on the one that is right.
    commit(&world, &key, 50).await;
    assert!(checks.nth(5).await.unwrap().is_clean());
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 50);
}

#[tokio::test]
async fn a_state_in_the_cache_is_dropped_with_the_snapshot_that_it_came_from() {
    let (world, checks) =
        world(SpotChecks::one_in(1), |builder| builder.cache(CacheConfig::default()));
    let key = key("a");
    commit(&world, &key, 10).await;
    checks.nth(1).await.unwrap();
    world.edit(&key, 10, 5);
    commit(&world, &key, 20).await;
    assert_eq!(checks.nth(2).await.unwrap().different.len(), 2);
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.origin, Origin::Replay);
}

#[tokio::test]
async fn a_long_history_is_checked_from_the_lowest_snapshot_within_the_limit() {
    let (world, checks) = world(SpotChecks::one_in(1).max_events(25), |builder| builder);
    let key = key("a");
    for version in [10, 20, 30, 40, 50] {
        commit(&world, &key, version).await;
    }
    let checked = checks.nth(5).await.unwrap();
    let equal: Vec<_> = checked.equal.iter().map(|id| id.version).collect();
    assert_eq!((checked.began_at, equal), (30, vec![40, 50]), "{checked}");

    // Nothing from which the snapshot could be reached.
    let other = crate::support::key("b");
    commit(&world, &other, 40).await;
    commit(&world, &key, 60).await;
    let checked = checks.nth(6).await.unwrap();
    assert_eq!((checked.began_at, checks.count()), (40, 6), "{checked}");
}

/// Lets everything that can run do so.
async fn settle() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_check_waits_for_no_replay() {
    let limits = SharedLimits::new().replays(1);
    let (world, checks) = world(SpotChecks::one_in(1), |builder| builder.limits(limits.clone()));
    let (key, other) = (key("a"), key("b"));
    commit(&world, &key, 10).await;
    checks.nth(1).await.unwrap();
    world.grow(&other, 5);
    world.source.start_gate.close();
    let engine = world.engine.clone();
    let slow = tokio::spawn(async move { engine.load(&other).await });
    until("a replay", || limits.replays_running() == 1).await;
    commit(&world, &key, 20).await;
    settle().await;
    assert_eq!((checks.count(), limits.replays_waiting()), (1, 0));
    world.source.start_gate.open();
    slow.await.unwrap().unwrap();
    commit(&world, &key, 30).await;
    assert_eq!(checks.nth(2).await.unwrap().equal.len(), 3);
}

#[tokio::test]
async fn checks_take_one_percent_of_the_time_and_no_flush_waits_for_them() {
    let (world, checks) = world(SpotChecks::one_in(1), |builder| builder);
    let key = key("a");
    commit(&world, &key, 10).await;
    checks.nth(1).await.unwrap();
    world.source.start_gate.close();
    commit(&world, &key, 20).await;
    until("a check", || world.source.start_gate.waiting() == 1).await;
    world.clock.advance(Duration::from_secs(1));
    // One at a time.
    commit(&world, &key, 30).await;
    settle().await;
    assert_eq!(world.source.start_gate.waiting(), 1);
    world.source.start_gate.open();
    checks.nth(2).await.unwrap();
    for (advance, version, count) in [(0, 40, 2), (99, 50, 2), (1, 60, 3)] {
        world.clock.advance(Duration::from_secs(advance));
        commit(&world, &key, version).await;
        settle().await;
        assert_eq!(checks.count(), count, "at {version}");
    }
}

#[tokio::test]
async fn a_check_that_fails_is_reported_and_nothing_else_happens() {
    let (world, checks) = world(SpotChecks::one_in(1), |builder| builder);
    let key = key("a");
    commit(&world, &key, 10).await;
    checks.nth(1).await.unwrap();
    world.source.fail_at_first();
    commit(&world, &key, 20).await;
    let error = checks.nth(2).await.unwrap_err();
    assert!(error.contains("the archive is down"), "{error}");
    assert_eq!(world.engine.statistics().spot_checks_failed, 1);
    world.source.heal();
    let loaded = world.load_checked(&key).await;
    assert_eq!(loaded.provenance.snapshot.unwrap().id.version, 20);
}

#[tokio::test]
async fn none_is_made_if_they_are_off() {
    let (world, checks) = world(SpotChecks::one_in(1), EngineBuilder::without_spot_checks);
    let key = key("a");
    for version in [10, 20] {
        commit(&world, &key, version).await;
    }
    settle().await;
    assert_eq!((checks.count(), world.engine.statistics().spot_checks), (0, 0));
}
