//! What the tests with random cases share.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test binary uses a part")]

pub mod coverage;

use proptest::test_runner::{Config, RngSeed, TestRunner};

/// Runs the same cases each time, unless `PROPTEST_RNG_SEED` or `PROPTEST_CASES` say otherwise.
pub fn runner(seed: u64, cases: u32, max_shrink_iters: u32) -> TestRunner {
    let seed = std::env::var("PROPTEST_RNG_SEED").is_err().then_some(RngSeed::Fixed(seed));
    let cases = std::env::var("PROPTEST_CASES").is_err().then_some(cases);
    let from_environment = Config::default();
    TestRunner::new(Config {
        rng_seed: seed.unwrap_or(from_environment.rng_seed),
        cases: cases.unwrap_or(from_environment.cases),
        failure_persistence: None,
        max_shrink_iters,
        ..from_environment
    })
}
