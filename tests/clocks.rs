//! Clocks that jump, and events without times.
//!
//! Guards against: one snapshot or event from the future that stops an interval trigger for good or
//! makes a period keep everything; a clock that starts in the past and deletes what it calls the
//! future; a time invented for events that have none.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "tests"
)]
#![cfg(all(feature = "memory", feature = "postcard"))]

mod support;

use std::time::Duration;

use snapfold::retention::{keep_last, keep_within};
use snapfold::trigger::every_interval;
use snapfold::{Decision, SnapshotManager, Timestamp};
use support::{Event, World, key};

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
            world.engine.compact(&key, &week).await.unwrap();
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
        world.engine.compact(&key, &keep_within(7 * DAY)).await.unwrap();
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
    let done = world.engine.compact(&key, &keep_within(30 * DAY)).await.unwrap();
    assert_eq!(done.deleted.snapshots, 0);
    assert!(done.plan.to_string().contains("is the clock right?"), "{}", done.plan);
    // What counts snapshots needs no clock.
    assert_eq!(world.engine.compact(&key, &keep_last(2)).await.unwrap().deleted.snapshots, 3);
}
