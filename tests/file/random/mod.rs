//! A file store answers as an ordered map would, whatever was done to it and however it was left.
//!
//! The defect: two operations that are each right and wrong together. A delete that compaction
//! dropped too early brings a snapshot back at the next opening; a replacement is undone by the
//! order in which files are read; a put that was queued and dropped is lost; a backup changes
//! when the original is compacted; a store that was filled with other settings is cut short.
//!
//! Random sequences of every operation on a real directory, opened again in between after a close,
//! a drop and a kill, with other settings each time. After each step all answers are compared with
//! the model's. `PROPTEST_CASES` raises the number of cases, `PROPTEST_RNG_SEED` changes them.

mod model;
mod script;
mod world;

use crate::property::coverage::Coverage;
use proptest::test_runner::TestCaseError;
use tempfile::TempDir;
use world::World;

/// What a run of so many cases has to meet.
const MET: [&str; 21] = [
    "Existing { identical: false }",
    "Existing { identical: true }",
    "Replaced",
    "Stored",
    "a backup of copied files",
    "a backup of linked files",
    "a list of several pages",
    "a retired one listed",
    "a store of many files",
    "an older one by time",
    "another generation",
    "cleared",
    "deleted",
    "files removed by compaction",
    "kept because pinned",
    "keys of several pages",
    "killed",
    "marked",
    "none by time",
    "put with marks",
    "snapshots moved by compaction",
];

/// Runs `cases` random cases, the same ones each time unless the environment says otherwise.
fn answers_as_a_map(scratch: fn() -> TempDir, cases: u32, seed: u64) -> Coverage {
    let mut runner = crate::property::runner(seed, cases, 2_000);
    let coverage = Coverage::default();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let outcome = runner.run(&(script::settings(), script::steps()), |(settings, steps)| {
        runtime.block_on(async {
            let mut world = World::new(&settings, scratch(), &coverage);
            for step in &steps {
                world.step(step).await?;
            }
            world.end().await?;
            Ok::<(), TestCaseError>(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    coverage
}

#[test]
fn whatever_was_done_to_it_a_file_store_answers_as_an_ordered_map_would() {
    let coverage = answers_as_a_map(crate::support::scratch, 80, 1);
    if std::env::var("PROPTEST_CASES").is_err() {
        coverage.require(&MET);
        // Only with this feature are there deltas.
        if cfg!(feature = "conformance") {
            coverage.require(&["a delta with its base", "kept because needed"]);
        }
    }
}

/// Reads take another way where the system says whether it has to wait for a device.
#[test]
fn on_a_disk_too_it_answers_as_an_ordered_map_would() {
    answers_as_a_map(|| tempfile::tempdir().unwrap(), 24, 2);
}
