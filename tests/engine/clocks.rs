//! Clocks that jump, and events without times.
//!
//! Guards against: one snapshot or event from the future that stops an interval trigger for good or
//! makes a period keep everything; a clock that starts in the past and deletes what it calls the
//! future; a time invented for events that have none.

use std::time::Duration;

use crate::support::{Account, Event, Source, Store, World, at, key};
use snapfold::engine::ReplayLoader;
use snapfold::manager::Decision;
use snapfold::retention::{keep_last, keep_within};
use snapfold::trigger::every_interval;
use snapfold::{ErrorKind, Loaded, Loader, Point, SnapshotEngine, Timestamp};

const DAY: Duration = Duration::from_secs(86_400);
const YEARS: Duration = Duration::from_secs(4 * 365 * 86_400);
const LONG: Duration = Duration::from_secs(3_600);

fn start() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

#[tokio::test]
async fn an_interval_goes_on_after_the_clock_was_years_ahead_for_a_while() {
    let world = World::with(|builder| builder.trigger(every_interval(DAY)));
    let key = key("a");
    let commit = async |version: u64| {
        let loaded = world.engine.load(&key).await.unwrap();
        world.grow(&key, version);
        let decision = world.engine.committed(&loaded, version);
        world.engine.flush(LONG).await.unwrap();
        decision
    };
    world.clock.set(start().saturating_add(YEARS));
    assert!(commit(1).await.is_queued());
    world.clock.set(start());
    let decision = commit(2).await;
    assert!(decision.is_queued(), "{decision}");
    // One snapshot makes up for it.
    assert!(matches!(commit(3).await, Decision::Wait { .. }));
    world.clock.set(start().saturating_add(DAY));
    assert!(commit(4).await.is_queued());
    assert_eq!(world.store.versions(&key).await, [4, 2, 1]);
    // After a restart the times come from the store.
    let world = World::over(world.source, world.store, |b| b.trigger(every_interval(DAY)));
    world.clock.set(start());
    let loaded = world.engine.load(&key).await.unwrap();
    assert!(world.engine.committed(&loaded, 5).is_queued());
}

#[tokio::test]
async fn a_period_bounds_what_is_kept_after_one_event_from_the_future() {
    let week = keep_within(7 * DAY);
    for bad_day in [None, Some(0), Some(10), Some(90)] {
        let world = World::new();
        let key = key("a");
        for day in 0..100 {
            let now = start().saturating_add(DAY * day);
            world.clock.set(now);
            let recorded_at = if bad_day == Some(day) { now.saturating_add(YEARS) } else { now };
            world.source.events.append(&key, recorded_at, Event::Deposited(1));
            world.engine.create(&key).await.unwrap();
            world.engine.apply_retention(&key, &week).await.unwrap();
        }
        let kept = world.store.versions(&key).await;
        assert_eq!(kept, (93..=100).rev().collect::<Vec<_>>(), "bad day: {bad_day:?}");
    }
}

#[tokio::test]
async fn a_period_bounds_what_is_kept_after_the_clock_of_everything_was_ahead() {
    let world = World::new();
    let key = key("a");
    for day in 0..40 {
        // Ten days of everything in the future, in the middle.
        let ahead = if (10..20).contains(&day) { YEARS } else { Duration::ZERO };
        let now = start().saturating_add(DAY * day).saturating_add(ahead);
        world.clock.set(now);
        world.source.events.append(&key, now, Event::Deposited(1));
        world.engine.create(&key).await.unwrap();
        world.engine.apply_retention(&key, &keep_within(7 * DAY)).await.unwrap();
    }
    assert_eq!(world.store.versions(&key).await, (33..=40).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_machine_that_starts_in_1970_deletes_no_snapshot_for_its_age() {
    let world = World::new();
    let key = key("a");
    for day in 0..5 {
        world.clock.set(start().saturating_add(DAY * day));
        world.source.events.append(&key, start().saturating_add(DAY * day), Event::Deposited(1));
        world.engine.create(&key).await.unwrap();
    }
    world.clock.set(Timestamp::from_seconds(0));
    let done = world.engine.apply_retention(&key, &keep_within(30 * DAY)).await.unwrap();
    assert_eq!(done.deleted.snapshots, 0);
    assert!(done.plan.to_string().contains("check the clock"), "{}", done.plan);
    // What counts snapshots needs no clock.
    assert_eq!(
        world.engine.apply_retention(&key, &keep_last(2)).await.unwrap().deleted.snapshots,
        3
    );
}

// Events without times ----------------------------------------------------------------------------

/// The version that a history has at `time`; `None` if an event without a time is in the way.
fn version_at(history: &[Option<u64>], time: Timestamp) -> Option<u64> {
    let mut version = 0;
    for recorded in history {
        match recorded {
            Some(seconds) if at(*seconds) > time => return Some(version),
            None if time < Timestamp::MAX => return None,
            _ => version += 1,
        }
    }
    Some(version)
}

fn check(
    answer: Result<Loaded<Account>, snapfold::Error>,
    expected: Option<u64>,
    history: &[Option<u64>],
) {
    match (answer, expected) {
        (Ok(loaded), Some(version)) => {
            assert_eq!(loaded.version, version, "{history:?}");
            // The state that only events up to there give.
            assert_eq!(loaded.state.balance, i64::try_from(version * (version + 1) / 2).unwrap());
        }
        (Err(error), None) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{history:?}: {error}");
            assert!(error.to_string().contains("load a version"), "{error}");
        }
        (answer, expected) => panic!("{history:?}: {answer:?}, expected {expected:?}"),
    }
}

/// Every history of five events that have one of three times or none, every point in time, and
/// snapshots at every place.
#[tokio::test]
async fn a_point_in_time_is_unsupported_exactly_where_an_event_without_a_time_could_belong_to_it() {
    const KINDS: [Option<u64>; 4] = [None, Some(1), Some(2), Some(3)];
    let times = [Timestamp::MIN, at(1), at(2), at(3), at(9), Timestamp::MAX];
    for history in 0..KINDS.len().pow(5) {
        let history: Vec<_> =
            (0..5).map(|event| KINDS[history / KINDS.len().pow(event) % KINDS.len()]).collect();
        let (source, key) = (Source::default(), key("a"));
        for (amount, recorded) in (1..).zip(&history) {
            match recorded {
                Some(seconds) => source.append(&key, *seconds, Event::Deposited(amount)),
                None => source.events.append_untimed(&key, Event::Deposited(amount)),
            };
        }
        let replay = ReplayLoader::<Account>::new(source.clone());
        let (world, plain) = (
            World::over(source.clone(), Store::default(), |b| b),
            World::over(source, Store::default(), |b| b),
        );
        world.snapshots_at(&key, &[1, 2, 3, 4, 5]).await;
        for time in times {
            let expected = version_at(&history, time);
            check(replay.at_time(&key, time).await, expected, &history);
            check(plain.engine.at_time(&key, time).await, expected, &history);
            check(world.engine.at_time(&key, time).await, expected, &history);
            let known = world.engine.latest_known(&key, Point::Time(time)).await;
            check(known, expected, &history);
        }
        // Everything else works as ever.
        let loaded = world.load_checked(&key).await;
        assert_eq!((loaded.version, loaded.provenance.events_replayed), (5, 0), "{history:?}");
        let has_untimed = history.contains(&None);
        assert_eq!(loaded.as_of == Some(Timestamp::MAX), has_untimed, "{history:?}");
        check(world.engine.at_version(&key, 3).await, Some(3), &history);
    }
}

#[tokio::test]
async fn triggers_and_retention_go_by_the_clock_where_events_have_no_times() {
    let (source, key) = (Source::default(), key("a"));
    let world = World::over(source, Store::default(), |b| {
        b.trigger(every_interval(DAY)).without_retention()
    });
    for day in 0..60_u32 {
        world.clock.set(start().saturating_add(DAY * (day / 2)).saturating_add(LONG * (day % 2)));
        let loaded = world.engine.load(&key).await.unwrap();
        let version = world.source.events.append_untimed(&key, Event::Deposited(1));
        // One in the morning, none later that day.
        let decision = world.engine.committed(&loaded, version);
        assert_eq!(decision.is_queued(), day % 2 == 0, "{decision}");
        world.engine.flush(LONG).await.unwrap();
        world.engine.apply_retention(&key, &keep_within(7 * DAY)).await.unwrap();
    }
    let kept = world.store.versions(&key).await;
    assert_eq!(kept, (47..=59).rev().step_by(2).collect::<Vec<_>>());
    let meta = world.engine.latest_snapshot(&key).await.unwrap().usable().unwrap().meta;
    assert_eq!((meta.as_of, meta.last_recorded_at), (Timestamp::MAX, Timestamp::MAX));
    world.load_checked(&key).await;
}

/// Times that were made up for the events of old snapshots do not outlive the made-up times.
#[tokio::test]
async fn a_source_that_stops_making_up_times_is_not_answered_from_old_snapshots() {
    let (constant, honest) = (Source::default(), Source::default());
    let (store, key) = (Store::default(), key("a"));
    for amount in 1..=5 {
        constant.append(&key, 0, Event::Deposited(amount));
        honest.events.append_untimed(&key, Event::Deposited(amount));
    }
    let before = World::over(constant, store.clone(), |b| b);
    before.engine.create(&key).await.unwrap();
    let after: SnapshotEngine<Account> = World::over(honest, store, |b| b).engine;
    let error = after.at_time(&key, at(100)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(after.load(&key).await.unwrap().version, 5);
}
