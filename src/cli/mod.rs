//! The command `snapfold`, for operators, and the same command with an application's aggregates.
//!
//! The binary `snapfold` works on any store by its URL and knows no application. An application gets
//! the whole tool with its own aggregates in a binary of a few lines: see [`run`] and
//! [`CommandLine`]. The guide to the [command line](crate::guide::command_line) describes the
//! commands.

mod arguments;
#[cfg(feature = "clouds")]
mod bucket;
mod command_line;
mod commands;
mod database;
mod failure;
mod output;
mod session;
mod store_url;

use std::process::ExitCode;

use crate::manager::Kinds;

pub use command_line::CommandLine;

/// Runs the command that the arguments of the process ask for, with the application's kinds of
/// aggregates, on a runtime of its own. Returns the exit code.
///
/// Must not be called on a tokio runtime: use [`CommandLine::execute`] there. If the engines of
/// `kinds` use a store in files, pass that store too, with [`CommandLine::store`].
///
/// ```no_run
/// use std::process::ExitCode;
/// use snapfold::manager::Kinds;
///
/// fn main() -> ExitCode {
///     // The tool without an application: what the binary `snapfold` is.
///     snapfold::cli::run(Kinds::new())
/// }
/// ```
pub fn run(kinds: Kinds) -> ExitCode {
    CommandLine::new().kinds(kinds).run()
}
