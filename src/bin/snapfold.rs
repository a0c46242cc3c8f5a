//! The command `snapfold`: `snapfold --help` lists what it does.

use std::process::ExitCode;

use snapfold::manager::Kinds;

fn main() -> ExitCode {
    snapfold::cli::run(Kinds::new())
}
