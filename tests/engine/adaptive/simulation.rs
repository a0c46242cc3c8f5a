//! The adaptive trigger against fixed intervals: twelve workloads, run through the real engine on a
//! simulated machine.

use snapfold::trigger::{Adaptive, Trigger, every_events};
use snapfold::{Aggregate, AggregateKey, Timestamp};

use super::machine::{Document, LONG, Machine, engine};
use super::mixes::{Mix, Step, mixes, sizes, trace};
use super::oracle;

/// What a run came to.
struct Run {
    work: u64,
    snapshots: u64,
    /// The reason of the last decision.
    reason: String,
}

fn run(mix: &Mix, steps: &[Step], trigger: impl Trigger) -> Run {
    Machine::start();
    let (engine, events) = engine(trigger);
    let key = |(n, bytes): (usize, u64)| Document::key(&format!("{n}:{bytes}")).unwrap();
    let keys: Vec<AggregateKey> = sizes(mix).into_iter().enumerate().map(key).collect();
    let mut reason = String::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for step in steps {
            Machine::set(mix.phases[step.phase].prices);
            let key = &keys[step.aggregate];
            for _ in 0..step.reads {
                engine.load(key).await.unwrap();
            }
            let loaded = engine.load(key).await.unwrap();
            for _ in 0..step.batch {
                events.append(key, Timestamp::from_micros(0), step.growth);
            }
            reason = engine.committed(&loaded, loaded.version + step.batch).to_string();
            engine.flush(LONG).await.unwrap();
        }
    });
    Run { work: Machine::spent(), snapshots: engine.statistics().saved, reason }
}

/// The goals: total work against the best fixed interval in hindsight, and against every 100.
const TO_BEST: f64 = 1.10;
const TO_HUNDRED: f64 = 1.02;

/// More seeds: `ADAPTIVE_SEEDS=20 cargo test --all-features --test engine adaptive -- --nocapture`.
#[test]
fn total_work_is_near_the_best_fixed_interval_in_hindsight() {
    let seeds = std::env::var("ADAPTIVE_SEEDS").map_or(1, |seeds| seeds.parse().unwrap());
    println!("| workload | against best fixed | against every 100 | best | Young | snapshots |");
    println!("|---|--:|--:|--:|--:|--:|");
    let mut missed = Vec::new();
    for (seed, mix) in (0..seeds).flat_map(|seed| mixes().into_iter().map(move |mix| (seed, mix))) {
        let steps = trace(&mix, seed);
        let (interval, best) = oracle::best(&mix, &steps);
        let hundred = oracle::work(&mix, &steps, 100);
        let run = run(&mix, &steps, Adaptive::minimise_cost());
        let [to_best, to_hundred] = [best, hundred].map(|other| run.work as f64 / other as f64);
        let intervals: Vec<_> = (0..mix.phases.len())
            .map(|phase| format!("{:.0}", oracle::young(&mix, phase)))
            .collect();
        let row = format!(
            "| {} | {to_best:.3}x | {to_hundred:.3}x | {interval} | {} | {} |",
            mix.name,
            intervals.join(", "),
            run.snapshots,
        );
        println!("{row}");
        if to_best > TO_BEST || to_hundred > TO_HUNDRED {
            missed.push(format!("seed {seed}: {row} {}", run.reason));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[test]
fn the_oracle_and_the_engine_agree_on_fixed_intervals() {
    for mut mix in mixes() {
        mix.phases.iter_mut().for_each(|phase| phase.prices.noise = 0);
        let steps = trace(&mix, 7);
        let steps = &steps[steps.len() / 3..steps.len() * 2 / 3];
        for interval in [20, 100] {
            let run = run(&mix, steps, every_events(interval)).work as f64;
            let ratio = run / oracle::work(&mix, steps, interval) as f64;
            assert!((ratio - 1.0).abs() < 0.002, "{} every {interval}: {ratio}", mix.name);
        }
    }
}

/// Where nothing changes and no restore is dear, the best interval is Young's, and the trigger finds
/// it.
#[test]
fn the_interval_is_that_of_the_formula() {
    for name in ["small states in memory", "slow handlers, file", "bulk import, network"] {
        let mix = mixes().into_iter().find(|mix| mix.name == name).unwrap();
        let steps = trace(&mix, 7);
        let (young, batch) = (oracle::young(&mix, 0), mix.phases[0].groups[0].batch as f64);
        let (best, work) = oracle::best(&mix, &steps);
        assert!((best as f64 - young).abs() <= young * 0.1 + batch, "{name}: {best}, {young}");
        let run = run(&mix, &steps, Adaptive::minimise_cost().hysteresis(0));
        let interval = run.reason.split(" of ").nth(1).unwrap().split(' ').next().unwrap();
        let interval: f64 = interval.parse().unwrap();
        assert!((interval - young).abs() <= young * 0.1 + 1.0, "{name}: {}, {young}", run.reason);
        assert!(run.work as f64 <= work as f64 * 1.02, "{name}: {} and {work}", run.work);
    }
}
