//! [`CommandLine`]: the tool, with what an application adds to it.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{CommandFactory as _, FromArgMatches as _};

use super::arguments::Arguments;
use super::failure::{CliFailure, CliFinding};
use super::output::{Screen, shown_error, tell};
use super::session::{CliSession, OpenStore};
use super::store_url::without_secrets;
use crate::backend::postgres::PostgresOptions;
use crate::clock::{Clock as _, SystemClock};
use crate::ledger::{Ledger, StoreLedger};
use crate::manager::{AdminContext, Kinds};
use crate::store::SnapshotStore;

/// How long the last entries for a ledger may take.
const FLUSH: Duration = Duration::from_secs(30);

/// The commands that need the code of aggregates.
const WITH_KINDS: [&str; 8] =
    ["verify", "rebuild", "explain", "diff", "bisect", "refold", "rollback", "bench"];

/// The command `snapfold`, with what an application adds to it: its kinds of aggregates, and a store
/// that it has open.
///
/// Without a store, the commands use the one of the option `--store` or of the environment variable
/// `SNAPFOLD_STORE`. A store in files can be opened for writing only once. Pass the application's own
/// store, so that the commands and the engines of its kinds share it.
///
/// ```no_run
/// use std::process::ExitCode;
/// use snapfold::cli::CommandLine;
/// use snapfold::file::FileStore;
/// use snapfold::manager::Kinds;
///
/// # fn kinds_over(store: FileStore) -> Result<Kinds, snapfold::Error> { Ok(Kinds::new()) }
/// fn main() -> ExitCode {
///     let Ok(store) = FileStore::open("snapshots") else { return ExitCode::FAILURE };
///     let Ok(kinds) = kinds_over(store.clone()) else { return ExitCode::FAILURE };
///     CommandLine::new().kinds(kinds).store(store).run()
/// }
/// ```
#[derive(Clone, Default)]
pub struct CommandLine {
    kinds: Kinds,
    store: Option<Arc<dyn SnapshotStore>>,
    ledger: Option<Arc<dyn Ledger>>,
}

impl CommandLine {
    /// Creates the tool without kinds and without a store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the application's kinds of aggregates. They add commands that read states and events,
    /// and `prune` and the marks go through them.
    pub fn kinds(mut self, kinds: Kinds) -> Self {
        self.kinds = kinds;
        self
    }

    /// Sets the store that all commands use. The option `--store` then takes precedence only if it is
    /// given.
    pub fn store(mut self, store: impl SnapshotStore + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Sets the ledger of [`store`](Self::store). By default it is a [`StoreLedger`] in that store.
    pub fn ledger(mut self, ledger: impl Ledger + 'static) -> Self {
        self.ledger = Some(Arc::new(ledger));
        self
    }

    /// Runs the command that the arguments of the process ask for, on a runtime of its own.
    ///
    /// Must not be called on a tokio runtime: use [`execute`](Self::execute) there.
    pub fn run(self) -> ExitCode {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                ExitCode::from(runtime.block_on(self.execute(std::env::args_os().collect())))
            }
            Err(error) => {
                tell(&format!("error: cannot start: {error}"));
                ExitCode::from(3)
            }
        }
    }

    /// Runs the command that `arguments` ask for, and returns the exit code. The first argument is
    /// the name of the program.
    ///
    /// Prints to standard output and standard error. Must run on a tokio runtime with time and I/O
    /// enabled. Files are read and written without leaving the thread.
    pub async fn execute(self, arguments: Vec<OsString>) -> u8 {
        let mut tool = Arguments::command();
        for name in WITH_KINDS {
            // Without the code of aggregates they could only fail.
            let hide = self.kinds.iter().next().is_none();
            tool = tool.mut_subcommand(name, |command| command.hide(hide));
        }
        let parsed = tool.clone().try_get_matches_from(arguments);
        match parsed.and_then(|matches| Arguments::from_arg_matches(&matches)) {
            Ok(arguments) => self.execute_parsed(arguments, tool).await,
            // Without a command the help is more useful than the list of names.
            Err(error) if error.kind() == clap::error::ErrorKind::MissingSubcommand => {
                tell(&tool.render_help().to_string());
                2
            }
            Err(error) => refuse(&error),
        }
    }

    async fn execute_parsed(self, arguments: Arguments, tool: clap::Command) -> u8 {
        let mut session = self.session(&arguments);
        let result = match arguments.command.run(&mut session, tool).await {
            Ok(finding) => session.screen.flush().map(|()| finding).map_err(CliFailure::from),
            Err(failure) => {
                // What was printed before belongs to the report. The failure counts for more.
                let _ = session.screen.flush();
                Err(failure)
            }
        };
        let flushed = flush(&session).await;
        let result = result.and_then(|finding| flushed.map(|()| finding));
        let result = result.and_then(|finding| session.close().map(|()| finding));
        match result {
            Ok(CliFinding::Fine) => 0,
            Ok(CliFinding::Wrong) => 1,
            Err(failure) => {
                if let Some(message) = message(&failure) {
                    tell(&without_secrets(&format!("error: {message}"), &session.secrets));
                }
                failure.exit_code()
            }
        }
    }

    fn session(self, arguments: &Arguments) -> CliSession {
        let user =
            || ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok());
        let actor =
            arguments.actor.clone().or_else(user).unwrap_or_else(|| "unknown user".to_owned());
        let options = PostgresOptions::new()
            .schema(arguments.schema.as_str())
            .table(arguments.table.as_str())
            .transaction_pooler(arguments.pooler);
        let own = self.store.filter(|_| arguments.store.is_none()).map(|store| {
            let ledger = self.ledger.unwrap_or_else(|| Arc::new(StoreLedger::new(store.clone())));
            OpenStore { store, ledger, file: None }
        });
        let mut session = CliSession {
            screen: Screen::stdout(),
            json: arguments.json,
            now: SystemClock::new().now(),
            tenant: arguments.tenant.clone(),
            context: AdminContext::new(actor),
            kinds: self.kinds,
            options,
            url: arguments.store.clone(),
            secrets: Vec::new(),
            opened: own,
            second: None,
        };
        session.limit(arguments.timeout);
        session
    }
}

/// Waits until the audit entries of the application's engines are stored.
async fn flush(session: &CliSession) -> Result<(), CliFailure> {
    for admin in session.kinds.iter() {
        admin.flush(FLUSH).await?;
    }
    Ok(())
}

/// Prints what clap says about the arguments: help, or why they are wrong.
fn refuse(error: &clap::Error) -> u8 {
    if error.use_stderr() {
        // It repeats the arguments, and one of them may be a URL.
        let text = error.render().to_string();
        let printable = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
        let text: String = text.trim_end().chars().map(printable).collect();
        tell(&without_secrets(&text, &[]));
        return 2;
    }
    let _ = error.print();
    0
}

fn message(failure: &CliFailure) -> Option<String> {
    match failure {
        CliFailure::Closed => None,
        CliFailure::Absent(text) | CliFailure::Usage(text) | CliFailure::Failed(text) => {
            Some(text.clone())
        }
        CliFailure::Error(error) => Some(shown_error(error)),
    }
}

impl fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CommandLine")
            .field("kinds", &self.kinds)
            .field("store", &self.store)
            .field("ledger", &self.ledger)
            .finish()
    }
}
