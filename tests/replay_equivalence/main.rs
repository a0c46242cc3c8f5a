//! A load equals a full replay (R1).
//!
//! The defect: a snapshot that is used although it is not the fold of the events: taken from
//! another aggregate, from a version or a time beyond the one asked for, from a stream that was
//! rewound since, from damaged bytes; or a tail that begins one event too early or too late. The
//! application then goes on from a wrong balance, and nothing ever says so.
//!
//! Random streams, engines, faults and questions; each answer is compared with a fold by hand.
//! `PROPTEST_CASES` raises the number of cases, `PROPTEST_RNG_SEED` changes them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test may panic"
)]

mod faulty_store;
#[path = "../own_coding/mod.rs"]
mod own_coding;
#[path = "../property/mod.rs"]
mod property;
mod script;
mod states;
mod world;

use std::sync::Arc;

use property::coverage::Coverage;
use proptest::test_runner::TestCaseError;
use snapfold::{MemoryStore, SnapshotStore};
use states::{Forest, Ledger, Page, Subject, Tally};
use world::World;

/// Takes some seconds in a debug build.
const CASES: u32 = 192;

/// An empty store, and what removes its files.
type Fresh = (Arc<dyn SnapshotStore>, Option<tempfile::TempDir>);

fn equals_a_replay<S: Subject>(seed: u64) {
    equals_a_replay_in::<S>(seed, CASES, || (Arc::new(MemoryStore::new()), None));
}

/// Runs the property on random cases, the same ones each time unless the environment says
/// otherwise.
fn equals_a_replay_in<S: Subject>(seed: u64, cases: u32, fresh: fn() -> Fresh) {
    let mut runner = property::runner(seed, cases, 2_000);
    let coverage = Coverage::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let outcome = runner.run(&(script::config(), script::turns()), |(config, turns)| {
        runtime.block_on(async {
            let (store, _dir) = fresh();
            let mut world = World::<S>::new(&config, &coverage, store);
            for turn in &turns {
                world.turn(turn).await?;
            }
            Ok::<(), TestCaseError>(())
        })
    });
    if let Err(failure) = outcome {
        panic!("{failure}");
    }
    if runner.config().cases >= CASES {
        coverage.require(&MET);
    }
    coverage.require(&["from a snapshot"]);
}

/// What a run of so many cases has to meet.
const MET: [&str; 21] = [
    "from a snapshot",
    "from the cache",
    "by replay",
    "a delta",
    "a sealed delta",
    "SealKey",
    "a background snapshot",
    "a snapshot dropped by retention",
    "a floor bridged by a snapshot",
    "unrecoverable",
    "beyond the head",
    "Ahead",
    "BelowFloor",
    "Diverged",
    "HeaderChecksum",
    "PayloadChecksum",
    "StoreFailed",
    "TrailingBytes",
    "Truncated",
    "WrongAggregate",
    "WrongVersion",
];

#[test]
fn a_load_of_a_struct_with_an_ordered_map_equals_a_full_replay() {
    equals_a_replay::<Ledger>(1);
}

#[test]
fn a_load_of_an_unordered_map_equals_a_full_replay() {
    equals_a_replay::<Tally>(2);
}

#[test]
fn a_load_of_a_type_that_contains_itself_equals_a_full_replay() {
    equals_a_replay::<Forest>(3);
}

#[test]
fn a_load_of_one_large_text_equals_a_full_replay() {
    equals_a_replay::<Page>(4);
}

/// In small files, so that a delta and its base are in different ones.
#[cfg(feature = "file")]
#[test]
fn a_load_from_files_equals_a_full_replay() {
    use snapfold::file::{Durability, FileStore};

    equals_a_replay_in::<Ledger>(5, CASES / 4, || {
        let memory = std::path::Path::new("/dev/shm");
        let dir = tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap();
        let store = FileStore::builder(dir.path().join("store")).segment_bytes(4 << 10);
        let store = store.durability(Durability::Os).reserve_bytes(0).open().unwrap();
        (Arc::new(store), Some(dir))
    });
}
