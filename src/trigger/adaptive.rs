//! By measured costs: [`Adaptive`].

use std::time::Duration;

use super::{Costs, Trigger, TriggerContext, Verdict};

/// Takes snapshots at an interval computed from what the engine has learned: the cost of a
/// snapshot, the cost of replaying an event, and how often the aggregate is loaded.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | [`floor`](Self::floor) | 2 | the minimum distance between snapshots, in events |
/// | [`ceiling`](Self::ceiling) | 10,000 | the distance at which a snapshot is always taken |
/// | [`fallback`](Self::fallback) | 100 | the interval until enough is learned |
/// | [`hysteresis`](Self::hysteresis) | 10 | the change of the interval that is ignored, in percent |
///
/// # No snapshot at a loss
/// Restoring a snapshot takes time: it is verified, decompressed and decoded. An aggregate gets no
/// first snapshot while a load can replay all events in less time. With
/// [`minimise_cost`](Self::minimise_cost), the first snapshot must save a load as much time as each
/// later one does. So the first interval is usually longer, by the number of events that can be
/// replayed while a snapshot is restored. Only the ceiling overrides this.
///
/// # What the engine learns
/// - For the kind: how long it takes to take and to restore a snapshot, by the size of the state,
///   and how long replays take. These are means over the last few samples, without outliers.
/// - For each aggregate: the number of loads per committed event. Recent loads and commits count
///   most. Aggregates share 4,096 counters by the hash of their key. A load that the hot cache
///   answers does not count, because a snapshot does not make it faster. Loads and commits of other
///   processes are not counted.
///
/// This takes about 120 KiB per engine. It is not stored: each process starts with the fallback.
///
/// ```
/// use snapfold::trigger::{Adaptive, Trigger};
/// use std::time::Duration;
///
/// // The least work, but replays of more than 5 ms are not expected.
/// let trigger = Adaptive::minimise_cost()
///     .floor(10)
///     .ceiling(5_000)
///     .or(Adaptive::recovery_under(Duration::from_millis(5)));
/// assert!(trigger.needs_costs());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Adaptive {
    goal: Goal,
    floor: u64,
    ceiling: u64,
    fallback: u64,
    hysteresis: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Cost,
    Recovery(Duration),
}

/// The interval for one context, and where it comes from.
struct Reckoned {
    /// The distance at which a snapshot is taken.
    interval: u64,
    /// The interval is computed, not the fallback.
    is_learned: bool,
    /// How many events can be replayed while a snapshot is restored; 0 if that does not matter.
    break_even: u64,
}

impl Adaptive {
    /// Creates a trigger that minimises the total time spent on taking snapshots and replaying
    /// tails.
    ///
    /// The interval is `k = sqrt(2 C / (r l))` events, where `C` is the cost of a snapshot, `r` the
    /// cost of replaying an event, and `l` the number of loads per committed event. Per event,
    /// snapshots cost `C / k` and replays cost `l r k / 2`, because the average tail is half an
    /// interval. The sum is smallest where both are equal. This is the checkpoint interval of J. W.
    /// Young, *A first order approximation to the optimum checkpoint interval*, Communications of
    /// the ACM 17(9), 1974: a load corresponds to a failure, after which the work since the last
    /// checkpoint is repeated. For a state that grows, `r` is reduced by the time per event that
    /// restoring takes longer.
    ///
    /// The formula assumes that the stream continues. If most streams of a kind end after a similar
    /// number of events, set the [`floor`](Self::floor) to that number.
    pub const fn minimise_cost() -> Self {
        Self::new(Goal::Cost)
    }

    /// Creates a trigger that keeps the expected replay time of the tail under `bound`.
    ///
    /// A snapshot is taken when the expected replay time reaches four fifths of the bound. The rest
    /// is for events that are committed while the snapshot is saved. If a single event takes longer
    /// than that, a snapshot is taken every [`floor`](Self::floor) events.
    pub const fn recovery_under(bound: Duration) -> Self {
        Self::new(Goal::Recovery(bound))
    }

    const fn new(goal: Goal) -> Self {
        Self { goal, floor: 2, ceiling: 10_000, fallback: 100, hysteresis: 10 }
    }

    /// Sets the minimum distance between snapshots, in events (inclusive); 0 is treated as 1.
    pub const fn floor(mut self, events: u64) -> Self {
        self.floor = if events == 0 { 1 } else { events };
        self
    }

    /// Sets the distance at which a snapshot is always taken, in events (inclusive). It limits the
    /// replay when an aggregate is loaded for the first time in a long while. A ceiling below the
    /// floor is treated as the floor.
    pub const fn ceiling(mut self, events: u64) -> Self {
        self.ceiling = events;
        self
    }

    /// Sets the interval that is used until enough is learned, in events, within the floor and the
    /// ceiling. [`minimise_cost`](Self::minimise_cost) uses a quarter of it while only the cost of a
    /// snapshot is unknown, which the first three snapshots of the kind show.
    pub const fn fallback(mut self, events: u64) -> Self {
        self.fallback = events;
        self
    }

    /// Sets the hysteresis, in percent: an aggregate keeps its last interval while the computed one
    /// differs from it by at most this much (inclusive). 0 switches it off.
    pub const fn hysteresis(mut self, percent: u8) -> Self {
        self.hysteresis = percent;
        self
    }

    /// Explains the decision for `seen`: the distance, the interval, and the costs it was computed
    /// from. [`Verdict::reason`] is the same text.
    pub fn explain(&self, seen: &TriggerContext) -> String {
        self.reckon(seen).explain(self.goal, seen)
    }

    fn reckon(&self, seen: &TriggerContext) -> Reckoned {
        let costs = &seen.costs;
        let ceiling = self.ceiling.max(self.floor);
        let computed = match self.goal {
            Goal::Cost => cheapest(costs),
            Goal::Recovery(bound) => longest_within(bound, costs),
        };
        let is_trial = self.goal == Goal::Cost && costs.replay_1000.is_some();
        let fallback = if is_trial { self.fallback / 4 } else { self.fallback };
        let steady = computed.map(|computed| self.steady(computed, costs.last_interval));
        let usual = steady.unwrap_or(fallback).clamp(self.floor, ceiling);
        // Once there is a snapshot, each load restores one anyway.
        let break_even = if seen.snapshot.is_none() { break_even(costs) } else { 0 };
        let interval = match (self.goal, seen.snapshot) {
            (Goal::Cost, None) => gain(usual, costs).saturating_add(break_even),
            (Goal::Cost, Some(_)) => usual,
            (Goal::Recovery(_), _) => usual.max(break_even.saturating_add(1)),
        };
        let interval = interval.clamp(self.floor, ceiling);
        Reckoned { interval, is_learned: steady.is_some(), break_even }
    }

    /// The last interval, if it is close enough to the computed one.
    fn steady(&self, computed: u64, last: Option<u64>) -> u64 {
        let close = |last: &u64| {
            let change = u128::from(computed.abs_diff(*last)) * 100;
            change <= u128::from(*last) * u128::from(self.hysteresis)
        };
        last.filter(close).unwrap_or(computed)
    }
}

impl Trigger for Adaptive {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        let reckoned = self.reckon(seen);
        let take = seen.distance() >= reckoned.interval;
        Verdict::new(take, reckoned.explain(self.goal, seen))
    }

    fn needs_costs(&self) -> bool {
        true
    }
}

impl Reckoned {
    fn explain(&self, goal: Goal, seen: &TriggerContext) -> String {
        let Costs { snapshot, restore, replay_1000, loads_per_1000, restore_growth_1000, .. } =
            seen.costs;
        let replay = time(replay_1000);
        let learned = if self.is_learned { "" } else { ", the fallback until more is learned" };
        let costs = match goal {
            Goal::Recovery(bound) => {
                format!("replaying 1000 events takes {replay}, the bound is {bound:?}")
            }
            Goal::Cost => {
                let snapshot = time(snapshot);
                let loads = match loads_per_1000 {
                    Some(loads) => loads.to_string(),
                    None => "an unknown number of".to_owned(),
                };
                let growth = match restore_growth_1000 {
                    Some(growth) if !growth.is_zero() => {
                        format!(" (restoring a snapshot {growth:?} longer after them)")
                    }
                    _ => String::new(),
                };
                format!(
                    "a snapshot takes {snapshot}, replaying 1000 events {replay}{growth}, and \
                     there are {loads} loads per 1000 events"
                )
            }
        };
        let loss = if self.break_even == 0 {
            String::new()
        } else {
            let (restore, events) = (time(restore), self.break_even);
            format!("; restoring a snapshot takes {restore}, as long as replaying {events} events")
        };
        let (distance, interval, since) = (seen.distance(), self.interval, seen.since());
        format!("{distance} of {interval} events {since}{learned}; {costs}{loss}")
    }
}

fn time(known: Option<Duration>) -> String {
    known.map_or_else(|| "an unknown time".to_owned(), |time| format!("{time:?}"))
}

/// How many events a load need not replay because of a snapshot that comes `interval` events after
/// the last one, less those that could be replayed in the time that restoring takes longer.
fn gain(interval: u64, costs: &Costs) -> u64 {
    let (Some(replay_1000), Some(growth)) = (costs.replay_1000, costs.restore_growth_1000) else {
        return interval;
    };
    let net = replay_1000.saturating_sub(growth).as_nanos();
    let gain = u128::from(interval).saturating_mul(net).checked_div(replay_1000.as_nanos());
    match gain.and_then(|gain| u64::try_from(gain).ok()) {
        Some(gain) if net > 0 => gain,
        _ => interval,
    }
}

/// The interval with the smallest total cost. `u64::MAX` if replays cost nothing, or no more than
/// restoring larger and larger snapshots.
fn cheapest(costs: &Costs) -> Option<u64> {
    let growth = costs.restore_growth_1000.unwrap_or_default();
    let replay_1000 = costs.replay_1000?.saturating_sub(growth).as_nanos();
    let loads_per_1000 = u128::from(costs.loads_per_1000?);
    // At most 2^94 nanoseconds: no overflow.
    let snapshots = costs.snapshot?.as_nanos() * 2_000_000;
    let replays = replay_1000.saturating_mul(loads_per_1000);
    if replays == 0 {
        return Some(u64::MAX);
    }
    // `k` and `k + 1` cost the same where the square of the optimum is `k (k + 1)`.
    let square = snapshots.div_ceil(replays);
    let root = square.isqrt();
    let rounded = if root.saturating_mul(root + 1) < square { root + 1 } else { root };
    Some(u64::try_from(rounded).unwrap_or(u64::MAX))
}

/// How many events can be replayed in four fifths of `bound`.
fn longest_within(bound: Duration, costs: &Costs) -> Option<u64> {
    let events = (bound.as_nanos() * 800).checked_div(costs.replay_1000?.as_nanos());
    Some(events.and_then(|events| u64::try_from(events).ok()).unwrap_or(u64::MAX))
}

/// How many events can be replayed while a snapshot is restored, rounded down; 0 if that is not
/// known.
fn break_even(costs: &Costs) -> u64 {
    let (Some(restore), Some(replay_1000)) = (costs.restore, costs.replay_1000) else { return 0 };
    if restore.is_zero() {
        return 0;
    }
    let events = (restore.as_nanos() * 1_000).checked_div(replay_1000.as_nanos());
    events.and_then(|events| u64::try_from(events).ok()).unwrap_or(u64::MAX)
}
