//! The whole system, under every fault at once, does what is promised.
//!
//! The defects are those that no test of one thing at a time meets: a snapshot that was put while
//! its acknowledgement was lost and that is deleted as if it were not there; a load that reads a
//! snapshot, waits, and reads events that were truncated meanwhile; a compaction that looks at a
//! damaged answer and deletes the last snapshot that works; a process that dies with a put in
//! flight; old code that goes on beside new code in one store, after the event store was restored
//! from a backup.
//!
//! A seed decides everything: two processes with three generations of code, their operations, the
//! faults of the store ([`snapfold::layer::FaultyStore`]) and of the event store, restarts, restores,
//! truncations, rot, and both clocks. All runs on one thread, so the same seed gives the same trace.
//! A model holds each answer against what really happened (R1, R2, R4, R6, R10, R11, R14); a write
//! that failed is unknown, never absent. In the end all faults stop, and everything must work.
//!
//! More seeds, or one again:
//!
//! ```text
//! SIMULATION_FROM=0 SIMULATION_SEEDS=100000 cargo test --release --all-features --test simulation
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test may panic"
)]
#![cfg(all(
    feature = "conformance",
    feature = "memory",
    feature = "postcard",
    feature = "lz4",
    feature = "cache",
    feature = "object-store"
))]

mod checks;
mod disk;
mod finale;
mod model;
mod node;
mod objects;
mod plan;
mod schedules;
mod shrink;
mod source;
mod states;
#[path = "../object_store/support/unreliable.rs"]
#[allow(dead_code, reason = "other tests use more of it")]
mod unreliable;
mod world;

use std::collections::BTreeMap;

use plan::Plan;

/// How many seeds every test run goes through.
const SEEDS: u64 = 200;

fn from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {text:?}")))
}

#[test]
fn every_promise_holds_whatever_fails() {
    simulate(SEEDS, |plan| plan, &MET);
}

/// A delta is no less right than a whole snapshot, and no less there. What the model cannot know is
/// whether its base is: so less is asked for than without deltas.
#[test]
fn every_promise_holds_with_deltas_whatever_fails() {
    let met = ["NeedsOther", "a base that stayed", "a delta", "a load from Snapshot", "a repair"];
    simulate(SEEDS / 2, Plan::with_deltas, &met);
}

/// Archived snapshots and those that get another form are there like any other.
#[test]
fn every_promise_holds_while_snapshots_move_whatever_fails() {
    let met = [
        "a delta made whole",
        "a load from Snapshot",
        "a repair",
        "a restore",
        "a rewritten snapshot",
        "snapshots archived",
        "snapshots restored",
    ];
    simulate(SEEDS / 2, Plan::with_moves, &met);
}

/// Snapshots in object storage are no less there, although a request that failed may have had its
/// effect, or have it later.
#[test]
fn every_promise_holds_in_object_storage_whatever_fails() {
    let met = [
        "a load from Snapshot",
        "a repair",
        "a restore",
        "a snapshot dropped by retention",
        "an operation given up",
        "objects: a conflict with nobody",
        "objects: a late request",
        "objects: a repeated request",
        "objects: a success that was reported as a conflict",
        "objects: an answer that was lost",
        "objects: hung",
        "objects: refused",
    ];
    simulate(SEEDS / 2, Plan::with_objects, &met);
}

fn simulate(usual: u64, with: fn(Plan) -> Plan, expected: &[&str]) {
    let first = from_environment("SIMULATION_FROM").unwrap_or(0);
    let seeds = from_environment("SIMULATION_SEEDS").unwrap_or(usual);
    let mut met: BTreeMap<String, u64> = BTreeMap::new();
    let (mut steps, mut faults) = (0, 0);
    for seed in first..first.saturating_add(seeds) {
        let plan = shrink::chosen(with(Plan::of(seed)));
        let outcome = world::run(&plan);
        let holds = outcome.violations.is_empty();
        assert!(holds, "{}", shrink::story(&plan, &outcome));
        steps += plan.steps.len();
        faults += outcome.faults;
        for (what, count) in outcome.coverage {
            *met.entry(what).or_default() += count;
        }
    }
    println!(
        "simulation: {seeds} seeds from {first}, {steps} steps, {faults} faults, no violation"
    );
    for (what, count) in &met {
        println!("  {count:>9} {what}");
    }
    if seeds >= usual {
        for what in expected {
            assert!(met.contains_key(*what), "no run met \"{what}\", only {met:#?}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut lines = 0;
    let seeds = from_environment("SIMULATION_TWICE").unwrap_or(20);
    for seed in 1_000_000..1_000_000 + seeds {
        let plan = Plan::of(seed);
        let plan = if seed % 4 == 0 { plan.with_objects() } else { plan };
        let (once, again) = (world::run(&plan), world::run(&plan));
        let pairs = once.trace.iter().zip(&again.trace);
        for (at, (once, again)) in pairs.enumerate() {
            assert_eq!(once, again, "seed {seed}, line {at}");
        }
        assert_eq!(once.hash(), again.hash(), "seed {seed}");
        lines += once.trace.len();
    }
    println!("simulation: {seeds} seeds twice, {lines} lines of trace each time, the same");
    assert!(lines > 1_000, "{lines} lines of trace are too few to tell");
}

/// What a run of so many seeds has to meet.
const MET: [&str; 40] = [
    "Ahead",
    "BelowFloor",
    "Diverged",
    "HeaderChecksum",
    "PayloadChecksum",
    "Stale",
    "StoreFailed",
    "Truncated",
    "a background snapshot dropped: backing off",
    "a background snapshot dropped: queue full",
    "a background snapshot failed",
    "a background snapshot queued",
    "a background snapshot saved",
    "a command that lost against another one",
    "a create that failed",
    "a background retention that deleted something",
    "a finale with a background snapshot",
    "a finale with a snapshot",
    "a load from Cache",
    "a load from Replay",
    "a load from Snapshot",
    "a load that failed with the store",
    "a record that rots",
    "a repair",
    "a restart",
    "a restore",
    "a snapshot created",
    "a snapshot dropped by retention",
    "a truncation",
    "an operation given up",
    "fault: delayed",
    "fault: flipped",
    "fault: hung",
    "fault: lost",
    "fault: refused",
    "fault: stale",
    "fault: torn",
    "fault: unacknowledged",
    "three generations in one store",
    "unrecoverable",
];
