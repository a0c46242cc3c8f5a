//! The tables of refused types in `docs/state-types.md` are those of [`REFUSALS`].
//!
//! [`REFUSALS`]: refusals::REFUSALS

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use snapfold_types::refusals;

fn main() -> ExitCode {
    let check = || refusals::check_docs().map_err(Into::into);
    let trials = vec![Trial::test("docs/state-types.md", check)];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
