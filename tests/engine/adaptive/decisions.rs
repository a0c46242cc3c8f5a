//! What the trigger decides: as a pure function of arbitrary contexts.

use std::sync::Arc;
use std::time::Duration;

use proptest::option;
use proptest::prelude::*;
use snapfold::Timestamp;
use snapfold::trigger::{
    Adaptive, Costs, LastSnapshot, Trigger, TriggerContext, all, any, every_events, manual,
};

use crate::property::runner;

/// Numbers of all magnitudes, the extremes included.
fn numbers() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => (0_u32..64, proptest::num::u64::ANY).prop_map(|(bits, n)| n >> bits),
        1 => Just(0),
        1 => Just(u64::MAX),
    ]
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![4 => numbers().prop_map(Duration::from_nanos), 1 => Just(Duration::MAX)]
}

fn triggers() -> impl Strategy<Value = (Adaptive, u64, u64)> {
    let goal = option::of(durations());
    (goal, numbers(), numbers(), numbers(), proptest::num::u8::ANY).prop_map(
        |(bound, floor, ceiling, fallback, hysteresis)| {
            let trigger = match bound {
                Some(bound) => Adaptive::recovery_under(bound),
                None => Adaptive::minimise_cost(),
            };
            let trigger =
                trigger.floor(floor).ceiling(ceiling).fallback(fallback).hysteresis(hysteresis);
            (trigger, floor.max(1), ceiling.max(floor).max(1))
        },
    )
}

fn contexts() -> impl Strategy<Value = TriggerContext> {
    let costs = (
        option::of(durations()),
        option::of(durations()),
        option::of(durations()),
        option::of(durations()),
        option::of(numbers()),
        option::of(numbers()),
    );
    (numbers(), option::of(numbers()), numbers(), costs).prop_map(
        |(version, snapshot, bytes, costs)| {
            let time = Timestamp::from_seconds(0);
            let mut seen = TriggerContext::new(version, time);
            seen.snapshot = snapshot.map(|version| LastSnapshot::new(version, time, bytes));
            let known = &mut seen.costs;
            (known.snapshot, known.restore, known.replay_1000, ..) = costs;
            (.., known.restore_growth_1000, _, _) = costs;
            (.., known.loads_per_1000, known.last_interval) = costs;
            seen
        },
    )
}

#[test]
fn floor_and_ceiling_hold_and_more_events_never_turn_a_yes_into_a_no() {
    let cases = (triggers(), contexts(), numbers());
    runner(0xada9, 4_096, 10_000)
        .run(&cases, |((trigger, floor, ceiling), seen, more)| {
            let verdict = trigger.decide(&seen);
            prop_assert_eq!(&verdict, &trigger.decide(&seen));
            prop_assert_eq!(&verdict.reason, &trigger.explain(&seen));
            let distance = seen.distance();
            prop_assert!(!verdict.take || (distance > 0 && distance >= floor), "{}", verdict);
            prop_assert!(verdict.take || distance < ceiling, "{}", verdict);
            let mut later = seen;
            later.version = seen.version.saturating_add(more);
            let later = trigger.decide(&later);
            prop_assert!(later.take >= verdict.take, "{}, then {}", verdict, later);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_reason_contains_the_numbers() {
    runner(0x4ea5, 2_048, 10_000)
        .run(&contexts(), |seen| {
            let reason = Adaptive::minimise_cost().explain(&seen);
            let Costs { snapshot, restore, replay_1000, loads_per_1000, .. } = seen.costs;
            let mut numbers = vec![seen.distance().to_string()];
            numbers.extend(seen.snapshot.map(|snapshot| snapshot.version.to_string()));
            numbers.extend([snapshot, replay_1000].iter().flatten().map(|t| format!("{t:?}")));
            numbers.extend(loads_per_1000.map(|loads| format!("{loads} loads per 1000 events")));
            if reason.contains("; restoring") {
                numbers.extend(
                    restore.map(|restore| format!("restoring a snapshot takes {restore:?}")),
                );
            }
            for number in numbers {
                prop_assert!(reason.contains(&number), "{} is not in: {}", number, reason);
            }
            let bound = Duration::from_millis(5);
            let recovery = Adaptive::recovery_under(bound).explain(&seen);
            prop_assert!(recovery.contains("the bound is 5ms"), "{}", recovery);
            Ok(())
        })
        .unwrap();
}

/// The lowest version at which the trigger says yes.
fn interval(trigger: Adaptive, mut seen: TriggerContext) -> u64 {
    let (mut no, mut yes) = (0, u64::MAX);
    while yes - no > 1 {
        seen.version = no.midpoint(yes);
        if trigger.decide(&seen).take { yes = seen.version } else { no = seen.version }
    }
    yes
}

/// By another road than the trigger's: what an interval costs, summed up in floating point.
fn cost(snapshot: u64, replay_1000: u64, loads_per_1000: u64, interval: u64) -> f64 {
    let [snapshot, replay, loads, k] =
        [snapshot, replay_1000, loads_per_1000, interval].map(|n| n as f64);
    snapshot / k + replay / 1_000.0 * loads / 1_000.0 * (k - 1.0) / 2.0
}

#[test]
fn no_other_interval_costs_less() {
    let cases = (1_u64..1_000_000_000, 1_000_u64..10_000_000, 1_u64..1_000_000);
    runner(0x1974, 2_048, 10_000)
        .run(&cases, |(snapshot, replay_1000, loads_per_1000)| {
            let mut seen = TriggerContext::new(0, Timestamp::from_seconds(0));
            seen.costs.snapshot = Some(Duration::from_nanos(snapshot));
            seen.costs.replay_1000 = Some(Duration::from_nanos(replay_1000));
            seen.costs.loads_per_1000 = Some(loads_per_1000);
            let trigger = Adaptive::minimise_cost().floor(1).ceiling(u64::MAX);
            let interval = interval(trigger, seen);
            let at = |k| cost(snapshot, replay_1000, loads_per_1000, k);
            let best = at(interval);
            for other in [interval - 1, interval + 1, interval / 2, interval * 2] {
                prop_assert!(other == 0 || at(other) >= best * 0.999_999, "{} {}", interval, other);
            }
            Ok(())
        })
        .unwrap();
}

fn known() -> TriggerContext {
    let mut seen = TriggerContext::new(0, Timestamp::from_seconds(0));
    seen.costs.snapshot = Some(Duration::from_micros(200));
    seen.costs.replay_1000 = Some(Duration::from_millis(1));
    seen.costs.loads_per_1000 = Some(1_000);
    seen
}

#[test]
fn a_snapshot_at_a_loss_is_not_taken() {
    let trigger = Adaptive::minimise_cost();
    let mut seen = known();
    assert_eq!(interval(trigger, seen), 20);
    // Restoring takes as long as replaying 500 events.
    seen.costs.restore = Some(Duration::from_micros(500));
    assert_eq!(interval(trigger, seen), 520);
    assert_eq!(interval(trigger.ceiling(300), seen), 300);
    assert_eq!(interval(Adaptive::recovery_under(Duration::from_micros(50)), seen), 501);
    let first = trigger.explain(&seen);
    let restore = Duration::from_micros(500);
    let says = format!("takes {restore:?}, as long as replaying 500 events");
    assert!(first.contains("0 of 520 events") && first.ends_with(&says), "{first}");
    // Once there is a snapshot, each load restores one anyway.
    seen = seen.snapshot(LastSnapshot::new(400, Timestamp::from_seconds(0), 1));
    assert_eq!(interval(trigger, seen), 420);
    // The fallback knows as much.
    let mut new = known();
    new.costs.snapshot = None;
    assert_eq!(interval(trigger.fallback(40), new), 10, "a quarter, to learn");
    new.costs.restore = Some(Duration::from_micros(500));
    assert_eq!(interval(trigger.fallback(40), new), 510);
    new.costs = Costs::default();
    assert_eq!(interval(trigger.fallback(40), new), 40);
}

#[test]
fn a_state_that_grows_is_replayed_for_longer() {
    let mut seen = known();
    seen.costs.restore_growth_1000 = Some(Duration::from_micros(750));
    // The first one saves 10 microseconds per load; each later one does so after 40 events.
    assert_eq!(interval(Adaptive::minimise_cost(), seen), 10);
    seen.costs.restore = Some(Duration::from_micros(90));
    assert_eq!(interval(Adaptive::minimise_cost(), seen), 100);
    seen = seen.snapshot(LastSnapshot::new(100, Timestamp::from_seconds(0), 1));
    assert_eq!(interval(Adaptive::minimise_cost(), seen), 140);
    seen.snapshot = None;
    seen.costs.restore_growth_1000 = Some(Duration::from_millis(1));
    assert_eq!(interval(Adaptive::minimise_cost(), seen), 10_000);
    seen.costs.restore_growth_1000 = Some(Duration::MAX);
    assert_eq!(interval(Adaptive::minimise_cost().ceiling(70), seen), 70);
}

#[test]
fn a_small_change_leaves_the_interval_as_it_was() {
    let mut seen = known();
    for (last, hysteresis, expected) in
        [(22, 10, 22), (18, 10, 20), (18, 12, 18), (22, 0, 20), (23, 10, 20), (0, 255, 20)]
    {
        seen.costs.last_interval = Some(last);
        let trigger = Adaptive::minimise_cost().hysteresis(hysteresis);
        assert_eq!(interval(trigger, seen), expected, "{last} {hysteresis}");
    }
    seen.costs.last_interval = Some(22);
    assert_eq!(interval(Adaptive::minimise_cost().ceiling(21), seen), 21);
}

#[test]
fn recovery_leaves_a_fifth_for_the_time_of_the_save() {
    let trigger = Adaptive::recovery_under(Duration::from_millis(1));
    assert_eq!(interval(trigger, known()), 800);
    assert_eq!(interval(trigger.ceiling(500), known()), 500);
    let mut slow = known();
    slow.costs.replay_1000 = Some(Duration::from_secs(9));
    assert_eq!(interval(trigger, slow), 2);
    assert_eq!(interval(trigger.floor(7), slow), 7);
    slow.costs.replay_1000 = None;
    assert_eq!(interval(trigger, slow), 100);
    assert_eq!(interval(trigger.fallback(7), slow), 7);
}

#[test]
fn combinations_and_shared_triggers_ask_for_costs_too() {
    let adaptive = || Adaptive::recovery_under(Duration::ZERO);
    assert!(adaptive().needs_costs() && Arc::new(adaptive()).needs_costs());
    assert!(every_events(9).or(adaptive()).needs_costs());
    assert!(every_events(9).and(manual().or(Arc::new(adaptive()))).needs_costs());
    assert!(!every_events(9).or(manual()).and(manual()).needs_costs());
    assert!(!any(vec![]).needs_costs() && !all(vec![]).needs_costs());
}
