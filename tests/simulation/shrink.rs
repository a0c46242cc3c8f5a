//! A run that failed, told so that it can be repeated, and cut down to what matters.

use std::fmt::Write as _;

use crate::plan::Plan;
use crate::world::{Outcome, run};

/// How many runs a shrinking may take.
const MAX_RUNS: usize = 1_000;
/// How much of a trace is shown.
const LAST_LINES: usize = 60;

/// The plan, or only those of its steps that the environment names.
pub(crate) fn chosen(mut plan: Plan) -> Plan {
    if let Ok(steps) = std::env::var("SIMULATION_STEPS") {
        let steps: Vec<usize> = steps.split(',').filter_map(|at| at.trim().parse().ok()).collect();
        plan.steps.retain(|step| steps.contains(&step.at));
    }
    if let Ok(faults) = std::env::var("SIMULATION_FAULTS") {
        plan.rates.retain(|(fault, _)| faults.split(',').any(|name| name == fault.to_string()));
    }
    plan
}

/// Everything that is needed to understand and to repeat a failed run.
pub(crate) fn story(plan: &Plan, outcome: &Outcome) -> String {
    let (shrunk, its_outcome) = shrink(plan, outcome);
    let mut story = format!("seed {} violates what is promised:\n", plan.seed);
    for violation in &outcome.violations {
        writeln!(story, "  {}: {}", violation.rule, violation.what).unwrap();
    }
    tail(&mut story, outcome);
    let steps: Vec<_> = shrunk.steps.iter().map(|step| step.at.to_string()).collect();
    let faults: Vec<_> = shrunk.rates.iter().map(|(fault, _)| fault.to_string()).collect();
    let (seed, steps, faults) = (plan.seed, steps.join(","), faults.join(","));
    let again = format!("SIMULATION_FROM={seed} SIMULATION_SEEDS=1");
    let command = "cargo test --all-features --test simulation every_promise";
    writeln!(story, "\nto repeat it:\n  {again} {command}").unwrap();
    writeln!(
        story,
        "\ncut down from {} steps to {}:\n  SIMULATION_STEPS={steps} SIMULATION_FAULTS={faults} \
         {again} {command}",
        plan.steps.len(),
        shrunk.steps.len(),
    )
    .unwrap();
    let Plan { nodes, anchors, deltas, tiers, objects, .. } = &shrunk;
    let tiers = if *tiers { ", two tiers" } else { "" };
    let objects = if *objects { ", in object storage" } else { "" };
    writeln!(story, "config: {nodes:?}, anchors: {anchors}, deltas: {deltas:?}{tiers}{objects}")
        .unwrap();
    for violation in &its_outcome.violations {
        writeln!(story, "  {}: {}", violation.rule, violation.what).unwrap();
    }
    tail(&mut story, &its_outcome);
    story
}

fn tail(story: &mut String, outcome: &Outcome) {
    let skipped = outcome.trace.len().saturating_sub(LAST_LINES);
    writeln!(story, "\nits last steps ({skipped} lines before):").unwrap();
    for line in &outcome.trace[skipped..] {
        writeln!(story, "  {line}").unwrap();
    }
}

/// The same failure with fewer faults and steps: halves, quarters and so on are left out as long
/// as the same rule is violated.
fn shrink(plan: &Plan, outcome: &Outcome) -> (Plan, Outcome) {
    let rule = outcome.violations[0].rule;
    let mut runs = 0;
    let mut best = (plan.clone(), run(plan));
    let mut attempt = |best: &mut (Plan, Outcome), smaller: Plan| {
        runs += 1;
        if runs > MAX_RUNS {
            return false;
        }
        let outcome = run(&smaller);
        let same = outcome.violations.first().is_some_and(|found| found.rule == rule);
        if same {
            *best = (smaller, outcome);
        }
        same
    };
    for at in (0..plan.rates.len()).rev() {
        let mut smaller = best.0.clone();
        smaller.rates.remove(at);
        attempt(&mut best, smaller);
    }
    let mut size = best.0.steps.len().div_ceil(2);
    while size > 0 {
        let mut at = 0;
        while at < best.0.steps.len() {
            let mut smaller = best.0.clone();
            let end = (at + size).min(smaller.steps.len());
            smaller.steps.drain(at..end);
            if !attempt(&mut best, smaller) {
                at += size;
            }
        }
        size /= 2;
    }
    best
}
