//! What happens in one run: everything that is drawn from its seed in advance.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use snapfold::layer::{Fault, Faults};
use snapfold::retention::{Retention, keep_last, keep_within};
use snapfold::trigger::{Trigger, every_events, every_interval, larger_than, manual, slower_than};

use crate::states::Posted;

pub(crate) const KEYS: usize = 3;
pub(crate) const NODES: usize = 2;

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) rates: Vec<(Fault, f64)>,
    /// How often a read of events fails, and whether events carry anchors.
    pub(crate) source_failing: f64,
    pub(crate) anchors: bool,
    /// How many deltas are based on the same snapshot, if there are deltas.
    pub(crate) deltas: Option<u32>,
    /// Whether the store has two tiers, between which snapshots move.
    pub(crate) tiers: bool,
    /// Whether the store is in object storage.
    pub(crate) objects: bool,
    pub(crate) nodes: [NodeConfig; NODES],
    pub(crate) steps: Vec<Step>,
}

/// How one process is built; another one after each restart.
#[derive(Clone, Debug)]
pub(crate) struct NodeConfig {
    pub(crate) generation: u8,
    /// The time to live of cached states, in seconds.
    pub(crate) cache: Option<u64>,
    pub(crate) when: When,
    pub(crate) replays_on_failure: bool,
    pub(crate) max_queued: usize,
    /// Applied after background snapshots.
    pub(crate) retention: Option<Policy>,
}

#[derive(Clone, Debug)]
pub(crate) enum When {
    Manual,
    Events(u64),
    Interval(u64),
    Size(u64),
    Slow,
    Or(Box<When>, Box<When>),
    And(Box<When>, Box<When>),
}

#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its number in the whole plan, also in one that was cut down.
    pub(crate) at: usize,
    pub(crate) what: What,
    /// What passes of tokio's time before the next step, in milliseconds.
    pub(crate) rest: u64,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// A process begins an operation, and may give up on it after so many milliseconds.
    Begin {
        node: usize,
        key: usize,
        op: Op,
        patience: Option<u64>,
    },
    /// Events that nobody told a process about.
    Append {
        key: usize,
        events: Vec<Happened>,
    },
    /// Events up to there are forgotten; if `safe`, only what a usable snapshot makes up for.
    Truncate {
        key: usize,
        to: Place,
        safe: bool,
    },
    /// The event store is restored from a backup that ends there. The processes are restarted, or
    /// only wait.
    Restore {
        key: usize,
        to: Place,
        restart: bool,
    },
    Restart {
        node: usize,
        config: NodeConfig,
        gently: bool,
    },
    /// Old snapshots move to the cold tier, or all come back.
    Move {
        key: usize,
        back: bool,
    },
    /// A stored record rots.
    Rot {
        key: usize,
        which: usize,
        bit: usize,
    },
    Clock {
        forward: u64,
    },
    ClockBack {
        seconds: u64,
    },
    /// Store and source fail, or do not.
    Weather {
        bad: bool,
    },
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Load, append, tell: what a command does.
    Command(Vec<Happened>),
    Load(Ask),
    Fetch(Option<Place>),
    List,
    Stats,
    Create {
        at: Option<Place>,
        pinned: bool,
    },
    CreateMany,
    Plan(Policy),
    Compact(Policy),
    Delete(Place),
    DeleteBefore(Place),
    Repair(Place),
    Recompress {
        lz4: bool,
        whole: bool,
    },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Ask {
    Now,
    Version(Place),
    /// The recorded time of the event there, or so many seconds off.
    Time(Place, i64),
    Known(Place),
}

/// A version: somewhere in the stream, or up to two beyond its head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place(u16);

impl Place {
    pub(crate) fn version(self, head: u64) -> u64 {
        u64::from(self.0) % (head + 3)
    }
}

/// An event, recorded so many seconds off the clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened {
    pub(crate) off: i64,
    pub(crate) event: Posted,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Policy {
    pub(crate) last: usize,
    pub(crate) within: Option<u64>,
}

impl Policy {
    pub(crate) fn build(self) -> Arc<dyn Retention> {
        // The model has no notion of superseded generations.
        let last = keep_last(self.last).keep_superseded_for(Duration::MAX);
        match self.within {
            None => Arc::new(last),
            Some(seconds) => Arc::new(last.or(keep_within(Duration::from_secs(seconds)))),
        }
    }
}

impl When {
    pub(crate) fn build(&self) -> Arc<dyn Trigger> {
        match self {
            Self::Manual => Arc::new(manual()),
            Self::Events(events) => Arc::new(every_events(*events)),
            Self::Interval(seconds) => Arc::new(every_interval(Duration::from_secs(*seconds))),
            Self::Size(bytes) => Arc::new(larger_than(*bytes)),
            Self::Slow => Arc::new(slower_than(Duration::ZERO)),
            Self::Or(a, b) => Arc::new(a.build().or(b.build())),
            Self::And(a, b) => Arc::new(a.build().and(b.build())),
        }
    }

    fn draw(rng: &mut Rng, depth: u32) -> Self {
        match rng.u8(..if depth == 0 { 8 } else { 10 }) {
            0 => Self::Manual,
            1..4 => Self::Events(rng.u64(1..12)),
            4 => Self::Interval(rng.u64(0..60)),
            5 | 6 => Self::Size(rng.u64(0..300)),
            7 => Self::Slow,
            8 => Self::Or(Self::boxed(rng, depth), Self::boxed(rng, depth)),
            _ => Self::And(Self::boxed(rng, depth), Self::boxed(rng, depth)),
        }
    }

    fn boxed(rng: &mut Rng, depth: u32) -> Box<Self> {
        Box::new(Self::draw(rng, depth - 1))
    }
}

fn config(rng: &mut Rng) -> NodeConfig {
    NodeConfig {
        generation: rng.u8(..3),
        cache: rng.bool().then(|| rng.u64(1..300)),
        when: When::draw(rng, 2),
        replays_on_failure: rng.bool(),
        max_queued: if rng.u8(..4) == 0 { 1 } else { 64 },
        retention: (rng.u8(..4) > 0).then(|| Policy { last: rng.usize(1..6), within: None }),
    }
}

fn events(rng: &mut Rng) -> Vec<Happened> {
    let count = rng.usize(1..6);
    (0..count)
        .map(|_| {
            let event = Posted { pot: rng.u8(..6), amount: rng.i32(-2_000..2_000) };
            Happened { off: if rng.u8(..4) == 0 { rng.i64(-20..20) } else { 0 }, event }
        })
        .collect()
}

fn place(rng: &mut Rng) -> Place {
    Place(rng.u16(..))
}

fn policy(rng: &mut Rng) -> Policy {
    Policy { last: rng.usize(..4), within: (rng.u8(..3) == 0).then(|| rng.u64(..200)) }
}

fn ask(rng: &mut Rng) -> Ask {
    match rng.u8(..8) {
        0..4 => Ask::Now,
        4 | 5 => Ask::Version(place(rng)),
        6 => Ask::Time(place(rng), if rng.bool() { 0 } else { rng.i64(-30..30) }),
        _ => Ask::Known(place(rng)),
    }
}

fn op(rng: &mut Rng) -> Op {
    match rng.u8(..36) {
        0..11 => Op::Command(events(rng)),
        11..19 => Op::Load(ask(rng)),
        19..21 => Op::Fetch(rng.bool().then(|| place(rng))),
        21 => Op::List,
        22 => Op::Stats,
        23..27 => {
            let at = (rng.u8(..3) == 0).then(|| place(rng));
            Op::Create { at, pinned: rng.u8(..4) == 0 }
        }
        27 => Op::CreateMany,
        28 => Op::Plan(policy(rng)),
        29..33 => Op::Compact(policy(rng)),
        33 => Op::Delete(place(rng)),
        34 => Op::DeleteBefore(place(rng)),
        _ => Op::Repair(place(rng)),
    }
}

/// How much of a run is about one aggregate, and how much happens at once.
struct Pace {
    favourite: usize,
    favoured: f64,
    restless: f64,
}

fn what(rng: &mut Rng, pace: &Pace) -> What {
    let key = if rng.f64() < pace.favoured { pace.favourite } else { rng.usize(..KEYS) };
    let node = rng.usize(..NODES);
    match rng.u8(..64) {
        0..46 => {
            let patience = (rng.u8(..8) == 0).then(|| rng.u64(..40));
            What::Begin { node, key, op: op(rng), patience }
        }
        46..49 => What::Append { key, events: events(rng) },
        49..53 => What::Truncate { key, to: place(rng), safe: rng.u8(..16) > 0 },
        53 | 54 => What::Restore { key, to: place(rng), restart: rng.bool() },
        55 => What::Restart { node, config: config(rng), gently: rng.bool() },
        56..58 => What::Rot { key, which: rng.usize(..1_000), bit: rng.usize(..100_000) },
        58..60 => What::Clock { forward: rng.u64(..400) },
        60 => What::ClockBack { seconds: rng.u64(..1_000) },
        _ => What::Weather { bad: rng.u8(..3) > 0 },
    }
}

/// Often none, so that operations meet.
fn rest(rng: &mut Rng, pace: &Pace) -> u64 {
    if rng.f64() < pace.restless {
        return 0;
    }
    if rng.u8(..5) > 0 { rng.u64(..12) } else { rng.u64(..80) }
}

impl Plan {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let mut rates = Vec::new();
        for (fault, highest) in [
            (Fault::Delayed, 0.9),
            (Fault::Refused, 0.15),
            (Fault::Hung, 0.05),
            (Fault::Unacknowledged, 0.15),
            (Fault::Stale, 0.15),
            (Fault::Torn, 0.15),
            (Fault::Flipped, 0.15),
            (Fault::Lost, 0.05),
        ] {
            // Some runs without each fault, so that what it excuses is asked for strictly.
            if fault == Fault::Delayed || rng.u8(..5) < 2 {
                rates.push((fault, highest * rng.f64()));
            }
        }
        let source_failing = if rng.u8(..3) == 0 { 0.08 * rng.f64() } else { 0.0 };
        let anchors = rng.bool();
        let nodes = [config(rng), config(rng)];
        let count = rng.usize(20..140);
        let favoured = if rng.bool() { rng.f64() } else { 0.0 };
        let pace = Pace { favourite: rng.usize(..KEYS), favoured, restless: 0.9 * rng.f64() };
        let steps = (0..count)
            .map(|at| Step { at, what: what(rng, &pace), rest: rest(rng, &pace) })
            .collect();
        let (deltas, tiers, objects) = (None, false, false);
        Self { seed, rates, source_failing, anchors, deltas, tiers, objects, nodes, steps }
    }

    /// The same, but with snapshots in object storage, some of them as deltas.
    pub(crate) fn with_objects(self) -> Self {
        let plan = if self.seed.is_multiple_of(3) { self.with_deltas() } else { self };
        Self { objects: true, ..plan }
    }

    /// The same, but with snapshots that are stored as deltas.
    pub(crate) fn with_deltas(mut self) -> Self {
        self.deltas = Some(u32::try_from(1 + self.seed % 5).unwrap());
        self
    }

    /// The same, but snapshots also move between two tiers, and get another compression.
    pub(crate) fn with_moves(self) -> Self {
        let mut rng = Rng::with_seed(!self.seed);
        let rng = &mut rng;
        let mut plan = if rng.bool() { self.with_deltas() } else { self };
        plan.tiers = true;
        let mut steps = Vec::new();
        for step in plan.steps {
            if rng.u8(..3) == 0 {
                let (node, key) = (rng.usize(..NODES), rng.usize(..KEYS));
                let op = Op::Recompress { lz4: rng.bool(), whole: rng.bool() };
                let what = match rng.u8(..4) {
                    0 => What::Move { key, back: true },
                    1 | 2 => What::Move { key, back: false },
                    _ => What::Begin { node, key, op, patience: None },
                };
                steps.push(Step { at: 0, what, rest: rng.u64(..4) });
            }
            steps.push(step);
        }
        for (at, step) in steps.iter_mut().enumerate() {
            step.at = at;
        }
        Self { steps, ..plan }
    }

    pub(crate) fn faults(&self) -> Faults {
        let faults = Faults::new(self.seed)
            .max_delay(Duration::from_millis(15))
            .hang(Duration::from_millis(150));
        self.rates.iter().fold(faults, |all, (fault, rate)| all.rate(*fault, *rate))
    }

    pub(crate) fn meets(&self, fault: Fault) -> bool {
        self.rates.iter().any(|(met, rate)| *met == fault && *rate > 0.0)
    }
}
