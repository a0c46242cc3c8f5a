//! What the engine learns for the trigger, also from clocks, stores and applications that misbehave.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use snapfold::trigger::{Adaptive, Costs, Trigger, TriggerContext, Verdict, every_events};
use snapfold::{
    Aggregate, AggregateKey, Loaded, MemoryEvents, SnapshotEngine, SnapshotId, Timestamp,
};
use tokio::runtime::Runtime;

use super::machine::{Document, LONG, Machine, Price, Prices, engine};

const YEAR: u64 = 365 * 24 * 3_600 * 1_000_000_000;
const MINUTE: u64 = 60_000_000_000;

/// Shows what a trigger was asked with.
#[derive(Clone, Debug)]
struct Spy<T> {
    trigger: T,
    seen: Arc<Mutex<Option<TriggerContext>>>,
    needs_costs: bool,
}

impl<T: Trigger> Trigger for Spy<T> {
    fn decide(&self, seen: &TriggerContext) -> Verdict {
        *self.seen.lock().unwrap() = Some(*seen);
        self.trigger.decide(seen)
    }

    fn needs_costs(&self) -> bool {
        self.needs_costs
    }
}

struct Desk<T> {
    engine: SnapshotEngine<Document>,
    events: MemoryEvents<u64>,
    spy: Spy<T>,
    runtime: Runtime,
}

impl<T: Trigger + Clone> Desk<T> {
    fn new(prices: Prices, trigger: T) -> Self {
        Self::with(prices, trigger, true)
    }

    fn with(prices: Prices, trigger: T, needs_costs: bool) -> Self {
        Machine::start();
        Machine::set(prices);
        let spy = Spy { trigger, seen: Arc::default(), needs_costs };
        let (engine, events) = engine(spy.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { engine, events, spy, runtime }
    }

    fn load(&self, key: &AggregateKey) -> Loaded<Document> {
        self.runtime.block_on(self.engine.load(key)).unwrap()
    }

    /// Commits an event on top of `loaded`, and waits for the snapshot that may follow.
    fn commit(&self, loaded: &Loaded<Document>) {
        self.commit_growing(loaded, 0);
    }

    fn commit_growing(&self, loaded: &Loaded<Document>, bytes: u64) {
        self.runtime.block_on(async {
            let version = self.events.append(&loaded.key, Timestamp::from_micros(0), bytes);
            self.engine.committed(loaded, version);
            self.engine.flush(LONG).await.unwrap();
        });
    }

    /// Commands of one event each.
    fn commands(&self, key: &AggregateKey, commands: u64) {
        for _ in 0..commands {
            self.commit(&self.load(key));
        }
    }

    fn costs(&self) -> Costs {
        self.spy.seen.lock().unwrap().unwrap().costs
    }

    /// The versions of the stored snapshots, oldest first.
    fn snapshots(&self, key: &AggregateKey) -> Vec<u64> {
        let all = self.runtime.block_on(self.engine.snapshots(key, 0..=u64::MAX)).unwrap();
        let mut versions: Vec<_> = all.iter().map(|meta| meta.version).collect();
        versions.reverse();
        versions
    }
}

fn key(name: &str) -> AggregateKey {
    Document::key(name).unwrap()
}

fn prices() -> Prices {
    Prices {
        event: 1_000,
        get: Price(2_000, 0),
        decode: Price(3_000, 0),
        encode: Price(4_000, 0),
        put: Price(88_000, 0),
        ..Prices::default()
    }
}

#[test]
fn costs_are_those_of_the_machine() {
    let desk = Desk::new(prices(), every_events(10));
    let key = key("a:100");
    desk.commands(&key, 100);
    let costs = desk.costs();
    // Loading without the replay, encoding, decoding as a proof, the put.
    assert_eq!(costs.snapshot, Some(Duration::from_micros(2 + 3 + 4 + 3 + 88)));
    assert_eq!(costs.restore, Some(Duration::from_micros(3)));
    assert_eq!(costs.replay_1000, Some(Duration::from_millis(1)));
    assert_eq!(costs.last_interval, Some(10));
    assert!((950..=1_050).contains(&costs.loads_per_1000.unwrap()), "{costs:?}");
    // Loads of the past, and those for snapshots, do not count.
    for _ in 0..1_000 {
        desk.runtime.block_on(desk.engine.at_version(&key, 50)).unwrap();
    }
    desk.commands(&key, 1);
    assert_eq!(desk.costs().loads_per_1000, costs.loads_per_1000);
    // Those that are asked for do, also several at once.
    (0..500).for_each(|_| drop(desk.load(&key)));
    desk.commands(&key, 1);
    let alone = desk.costs().loads_per_1000.unwrap();
    assert!(alone > 5_000, "{alone}");
    let keys = [key.clone(), Document::key("b:100").unwrap()];
    for _ in 0..500 {
        desk.runtime.block_on(desk.engine.load_many(&keys));
    }
    desk.commands(&key, 1);
    let costs = desk.costs();
    assert!(costs.loads_per_1000.unwrap() > alone + 5_000, "{costs:?}");
    assert_eq!(costs.replay_1000, Some(Duration::from_millis(1)));
}

#[test]
fn nothing_is_learned_for_triggers_that_do_not_ask() {
    let desk = Desk::with(prices(), every_events(10), false);
    desk.commands(&key("a:100"), 100);
    assert_eq!(desk.costs(), Costs::default());
}

#[test]
fn a_put_of_many_costs_each_its_share() {
    let prices = Prices { put: Price(0, 0), put_call: 1_000_000, ..prices() };
    let desk = Desk::new(prices, every_events(10));
    let keys: Vec<_> = (0..20).map(|n| key(&format!("{n}:100"))).collect();
    for _ in 0..100 {
        desk.runtime.block_on(async {
            for key in &keys {
                let loaded = desk.engine.load(key).await.unwrap();
                let version = desk.events.append(key, Timestamp::from_micros(0), 0);
                desk.engine.committed(&loaded, version);
            }
            desk.engine.flush(LONG).await.unwrap();
        });
    }
    let cost = desk.costs().snapshot.unwrap();
    assert!(cost < Duration::from_micros(12 + 150), "{cost:?}");
}

#[test]
fn creates_by_hand_count_as_well() {
    let desk = Desk::new(prices(), every_events(1_000));
    let key = key("a:100");
    for _ in 0..3 {
        desk.commands(&key, 20);
        desk.runtime.block_on(desk.engine.create(&key)).unwrap();
    }
    desk.commands(&key, 1);
    assert_eq!(desk.costs().snapshot, Some(Duration::from_micros(100)));
}

/// The interval in use, by the distance of the newest snapshots.
fn interval(desk: &Desk<Adaptive>, key: &AggregateKey) -> u64 {
    let versions = desk.snapshots(key);
    versions[versions.len() - 1] - versions[versions.len() - 2]
}

#[test]
fn a_stall_of_a_minute_changes_nothing() {
    let key = key("a:100");
    // At each of the first snapshots, and later ones.
    for after in [0, 1, 24, 26, 51, 60, 90, 200] {
        for stalled in [
            |prices: &mut Prices| prices.put.0 += MINUTE,
            |prices: &mut Prices| prices.decode.0 += MINUTE,
            |prices: &mut Prices| prices.get.0 += MINUTE,
            |prices: &mut Prices| prices.event += MINUTE,
        ] {
            let desk = Desk::new(prices(), Adaptive::minimise_cost());
            desk.commands(&key, after);
            Machine::change(stalled);
            desk.commands(&key, 1);
            Machine::set(prices());
            desk.commands(&key, 400);
            // sqrt(2 * 100 us / 1 us)
            assert!(
                (12..=16).contains(&interval(&desk, &key)),
                "{after}: {}",
                interval(&desk, &key)
            );
        }
    }
}

#[test]
fn clocks_that_jump_change_nothing() {
    let key = key("a:100");
    let desk = Desk::new(prices(), Adaptive::minimise_cost());
    for n in 0..20_u64 {
        desk.commands(&key, 20);
        Machine::set_wall(if n % 2 == 0 { 31_536_000 } else { -31_536_000 });
        // No clock may do that. It shows that no difference is trusted.
        if n % 5 == 0 {
            let loaded = desk.load(&key);
            Machine::set_monotonic(if n % 2 == 0 { Machine::spent() + YEAR } else { 0 });
            desk.commit(&loaded);
        }
    }
    assert!((12..=16).contains(&interval(&desk, &key)), "{}", interval(&desk, &key));
}

#[test]
fn costs_of_zero_lead_to_the_floor_or_the_ceiling() {
    let key = key("a:100");
    let free = Desk::new(Prices::default(), Adaptive::minimise_cost().ceiling(300));
    free.commands(&key, 1_000);
    assert_eq!(interval(&free, &key), 300, "replays cost nothing");
    let replays = Prices { event: 1_000, ..Prices::default() };
    let desk = Desk::new(replays, Adaptive::minimise_cost());
    desk.commands(&key, 200);
    assert_eq!(interval(&desk, &key), 2, "snapshots cost nothing");
}

#[test]
fn an_aggregate_that_is_never_loaded_waits_for_the_ceiling() {
    let desk = Desk::new(prices(), Adaptive::minimise_cost().ceiling(3_000));
    let (hot, cold) = (key("hot:100"), key("cold:100"));
    desk.commands(&hot, 300);
    for version in 0..4_000 {
        desk.commit(&Loaded::new(cold.clone(), Document::initial(&cold), version, None));
    }
    assert_eq!(desk.snapshots(&cold), [3_000]);
    desk.commands(&hot, 100);
    assert!((12..=16).contains(&interval(&desk, &hot)), "{}", interval(&desk, &hot));
}

#[test]
fn an_aggregate_that_is_loaded_a_hundred_times_per_event_has_short_tails() {
    let desk = Desk::new(prices(), Adaptive::minimise_cost());
    let key = key("a:100");
    for _ in 0..150 {
        (0..100).for_each(|_| drop(desk.load(&key)));
        desk.commands(&key, 1);
    }
    // sqrt(2 * 100 us / 101 us) is 1.4, which the floor raises.
    assert_eq!(interval(&desk, &key), 2);
}

#[test]
fn extreme_versions_are_decided_upon() {
    let desk = Desk::new(prices(), Adaptive::minimise_cost());
    let key = key("a:100");
    desk.commands(&key, 200);
    let max = SnapshotId::MAX_VERSION;
    for (on, version) in [(0, max), (max, max), (u64::MAX, u64::MAX), (u64::MAX, 0), (7, u64::MAX)]
    {
        let loaded = Loaded::new(key.clone(), Document::initial(&key), on, None);
        let decision = desk.engine.committed(&loaded, version);
        assert!(!decision.is_queued() || version == max, "{decision}");
    }
    desk.runtime.block_on(desk.engine.flush(LONG)).unwrap();
    desk.commands(&key, 600);
    assert!(interval(&desk, &key) < 20, "{}", interval(&desk, &key));
}

#[test]
fn a_snapshot_at_a_loss_is_captured_for_its_cost_and_not_stored() {
    // Restoring one takes as long as replaying 600 events.
    let prices = Prices { decode: Price(600_000, 0), ..prices() };
    let desk = Desk::new(prices, Adaptive::minimise_cost());
    let key = key("a:100");
    desk.commands(&key, 600);
    assert_eq!(desk.snapshots(&key), [0; 0]);
    desk.commands(&key, 200);
    let first = desk.snapshots(&key)[0];
    assert!((600..700).contains(&first), "{first}");
}

#[test]
fn the_expected_tail_stays_within_the_bound() {
    let bound = Duration::from_micros(50);
    let desk = Desk::new(prices(), Adaptive::recovery_under(bound));
    let key = key("a:100");
    let mut worst = Vec::new();
    for event in [1_000, 200, 8_000, 1_000] {
        Machine::change(|prices| prices.event = event);
        desk.commands(&key, 300);
        let mut longest = Duration::ZERO;
        for _ in 0..200 {
            let loaded = desk.load(&key);
            longest = longest.max(loaded.provenance.timings.fold);
            desk.commit(&loaded);
        }
        worst.push(longest);
    }
    assert!(worst.iter().all(|longest| *longest <= bound), "{worst:?}");
    assert!(
        worst.iter().all(|longest| *longest >= bound / 2),
        "no more often than needed: {worst:?}"
    );
}

#[test]
fn noise_does_not_move_the_interval() {
    let changes = |hysteresis| {
        let prices = Prices { noise: 40, put: Price(880_000, 0), ..prices() };
        let desk = Desk::new(prices, Adaptive::minimise_cost().hysteresis(hysteresis));
        let key = key("a:100");
        desk.commands(&key, 5_000);
        let versions = desk.snapshots(&key);
        let intervals: Vec<_> = versions.windows(2).skip(20).map(|two| two[1] - two[0]).collect();
        assert!(intervals.iter().all(|interval| (33..=52).contains(interval)), "{intervals:?}");
        intervals.windows(2).filter(|two| two[0] != two[1]).count()
    };
    let [loose, usual] = [0, 10].map(changes);
    assert!(usual * 5 <= loose && loose >= 20, "{loose} without hysteresis, {usual} with");
}

#[test]
fn a_state_that_grows_faster_than_it_is_replayed_gets_no_snapshot() {
    // 64 bytes per event take longer to decode than an event takes to apply, by a half.
    let prices = Prices { decode: Price(0, 24_000), ..prices() };
    let desk = Desk::new(prices, Adaptive::minimise_cost());
    let key = key("a:0");
    for _ in 0..2_000 {
        let loaded = desk.load(&key);
        desk.commit_growing(&loaded, 64);
    }
    assert_eq!(desk.snapshots(&key), [0; 0]);
    // Few were captured to learn that.
    let spent = Duration::from_nanos(Machine::spent());
    let replays = Duration::from_millis(1_999);
    assert!(spent < replays * 11 / 10, "{spent:?} of which {replays:?} are replays");
}
