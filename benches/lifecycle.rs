//! What it takes to keep years of history.
//!
//! `retained` prints what snapshots take as deltas, in JSON, with a dictionary and in an archive:
//! see `support/retained_history.rs`. `lifecycle/plan` is the cost of planning retention for
//! 1,000,000 snapshots: of 10,000 aggregates with 100 each, and of one aggregate. Goals: at most one
//! second, and at most 500 MB at the peak, metadata included. The figures come first, each from one
//! run; criterion repeats the times. `history_page` is in `support/history_page.rs`.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_wrap,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "bench code"
)]

#[path = "support/history_page.rs"]
mod history_page;
#[path = "support/retained_history.rs"]
mod retained_history;
#[path = "support/states.rs"]
mod states;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, SamplingMode};
use peak_alloc::PeakAlloc;
use snapfold::file::FileStore;
use snapfold::record::{Generation, SnapshotMeta};
use snapfold::retention::{Policy, RetentionContext, RetentionPlan};
use snapfold::{AggregateKey, MemoryStore, Timestamp};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const SNAPSHOTS: u64 = 1_000_000;
const GENERATION: Generation = Generation { schema_version: 1, fingerprint: 7 };
/// 2026-11-28.
const NOW: Timestamp = Timestamp::from_seconds(1_795_824_000);
const POLICIES: [(&str, &str); 3] = [
    ("default", "last 4, daily 7, weekly 4, monthly 12"),
    (
        "many rules",
        "last 4, within 30d, hourly 24, daily 7, weekly 4, monthly 12, yearly 5, every 1000 versions, \
     reachable 1000 within 90d",
    ),
    ("all", "all"),
];

/// The snapshots of one aggregate, highest version first: one for each 10 events, over two years.
fn history(aggregate: u64, snapshots: u64) -> Vec<SnapshotMeta> {
    let key = AggregateKey::new("account", &format!("account-{aggregate}")).unwrap();
    let step = Duration::from_secs(2 * 365 * 86_400 / snapshots);
    let meta = |number: u64| {
        let age = step * u32::try_from(snapshots - number).unwrap();
        let mut meta =
            SnapshotMeta::new(key.clone(), GENERATION, number * 10, NOW.saturating_sub(age));
        meta.stored_bytes = 1_000;
        meta
    };
    (1..=snapshots).rev().map(meta).collect()
}

/// Plans each aggregate, one after the other, and returns how many snapshots are kept.
fn plan(histories: &[Vec<SnapshotMeta>], policy: &Policy) -> usize {
    let plan = |metas: &Vec<SnapshotMeta>| {
        let context = RetentionContext::new(NOW).current(GENERATION).usable(metas[0].id());
        black_box(RetentionPlan::new(metas, policy, &context)).kept().count()
    };
    histories.iter().map(plan).sum()
}

fn history_pages(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    history_page::pages(criterion, &runtime, "memory", &MemoryStore::new());
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).unwrap();
    history_page::pages(criterion, &runtime, "file", &store);
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let is_listed = std::env::args().any(|argument| argument == "--list");
    let filters: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    if !is_listed && (filters.is_empty() || filters.iter().any(|filter| filter == "retained")) {
        retained_history::print();
    }
    if filters.iter().any(|filter| filter == "retained") {
        return;
    }
    if filters.is_empty() || filters.iter().any(|filter| filter.starts_with("history_page")) {
        history_pages(&mut criterion);
    }
    for aggregates in [10_000, 1] {
        let each = SNAPSHOTS / aggregates;
        let snapshots = if is_listed { 1 } else { each };
        let histories: Vec<_> = (0..aggregates).map(|of| history(of, snapshots)).collect();
        for (name, policy) in POLICIES {
            let policy: Policy = policy.parse().unwrap();
            if !is_listed {
                MEMORY.reset_peak_usage();
                let before = MEMORY.current_usage_as_mb();
                let began = Instant::now();
                let kept = plan(&histories, &policy);
                let took = began.elapsed();
                println!(
                    "{aggregates} x {each}, {policy}:\n  {kept} of {SNAPSHOTS} kept in {took:.3?}, \
                     {:.0} MB at the peak, of which {before:.0} MB are the metadata",
                    MEMORY.peak_usage_as_mb(),
                );
            }
            let mut group =
                criterion.benchmark_group(format!("lifecycle/plan/{aggregates}x{each}"));
            group.sample_size(10).sampling_mode(SamplingMode::Flat);
            group.bench_function(name, |b| b.iter(|| plan(&histories, &policy)));
            group.finish();
        }
    }
    criterion.final_summary();
}
