//! Every git repository is an event log: its commits are the events, its tree is the aggregate.
//!
//! ```text
//! cargo run --release --example git_history -- [PATH] [OPTIONS]     (--help shows them)
//! ```
//!
//! The events are the commits of a branch's first-parent history, oldest first; an event's time
//! is its committer date, which in real histories runs backwards at times. The trees that are
//! rebuilt from them are compared with what git itself has at the same commits.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use tempfile::TempDir;

use args::{Args, At};
use error::Error;
use git::Git;
use history::History;
use random::Random;
use table::Table;
use tree::Tree;

mod args;
mod demo;
mod diff;
mod error;
mod git;
mod history;
mod oracle;
mod progress;
mod random;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;
mod verify;

/// Fewer commits than this show little; without a PATH, the demo is shown instead.
const ENOUGH: u64 = 500;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Whatever a path or a revision contains, this stays one line.
            let line: String = error.to_string().chars().filter(|c| !c.is_control()).collect();
            eprintln!("git_history: {line}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run() -> Result<(), Error> {
    let Some(args) = Args::parse(std::env::args_os().skip(1))? else {
        return print(args::HELP);
    };
    let Source { history, _demo } = Source::open(&args)?;
    let table = match args.at {
        Some(at) => show_point(&history, at)?,
        None => show_history(&history, &args)?,
    };
    print(&table.to_string())
}

/// Where the history comes from.
struct Source {
    history: Arc<History>,
    /// Removed when dropped.
    _demo: Option<TempDir>,
}

impl Source {
    fn open(args: &Args) -> Result<Self, Error> {
        let rev = args.rev.clone().unwrap_or("HEAD".into());
        let open = |path: &Path| History::open(Git::new(path), &rev).map(Arc::new);
        if let Some(path) = &args.path {
            return Ok(Self { history: open(path)?, _demo: None });
        }
        let why = match open(Path::new(".")) {
            // A user who names a revision means this repository, however small it is.
            Ok(history) if history.len() >= ENOUGH || args.rev.is_some() => {
                return Ok(Self { history, _demo: None });
            }
            Ok(history) => format!("only {} commits", history.len()),
            Err(Error::NotARepository { reason, .. }) => reason,
            Err(error) => return Err(error),
        };
        print(&format!(
            "This directory: {why}\n\
             Instead: a demo history of {} commits (seed {}) in a temporary repository.\n\
             To see a repository of your own, pass its path:\n    \
             cargo run --release --example git_history -- ~/src/project\n\n",
            table::count(demo::COMMITS),
            args.seed
        ))?;
        let demo = demo::write(args.seed, demo::COMMITS)?;
        Ok(Self { history: open(demo.path())?, _demo: Some(demo) })
    }
}

/// A tree that is folded forwards from version to version.
///
/// This is where the engine plugs in: it loads any version in any order, from the nearest
/// snapshot and the commits after it. Without it, versions can be had in ascending order only.
struct Rebuilt<'a> {
    history: &'a Arc<History>,
    tree: Tree,
    version: u64,
}

impl<'a> Rebuilt<'a> {
    fn new(history: &'a Arc<History>) -> Self {
        Self { history, tree: Tree::default(), version: 0 }
    }

    /// The tree at `version`, which is not below the one asked for last.
    fn at(&mut self, version: u64, each: impl Fn()) -> Result<&Tree, Error> {
        for commit in self.history.read(self.version, version) {
            self.tree.apply(&commit?);
            self.version += 1;
            each();
        }
        Ok(&self.tree)
    }
}

/// Rebuilds the head, then checks random points of the history.
fn show_history(history: &Arc<History>, args: &Args) -> Result<Table, Error> {
    let head = history.len();
    let start = Instant::now();
    let bar = progress::bar("full replay", head);
    let files = Rebuilt::new(history).at(head, || bar.inc(1))?.len() as u64;
    drop(bar);
    let replay = start.elapsed();

    let mut random = Random::new(args.seed);
    let versions = verify::random_versions(history, args.verify, &mut random);
    let instants = verify::random_instants(history, args.verify, &mut random);
    let [v, i] = [&versions, &instants].map(|points| table::count(points.len() as u64));
    check_all(history, [versions, instants].concat())?;

    let mut table = about(history, args);
    table
        .row("files", table::count(files))
        .row("full replay", table::duration(replay))
        .row("verified", format!("{v}/{v} versions, {i}/{i} instants"));
    Ok(table)
}

/// Rebuilds each point, and compares it with git.
fn check_all(history: &Arc<History>, points: Vec<At>) -> Result<(), Error> {
    let versions: Result<Vec<u64>, Error> =
        points.into_iter().map(|at| verify::version_of(history, at)).collect();
    let mut versions = versions?;
    versions.sort_unstable();
    let bar = progress::bar("verifying", versions.len() as u64);
    let mut rebuilt = Rebuilt::new(history);
    for version in versions {
        verify::check(history, version, rebuilt.at(version, || ())?)?;
        bar.inc(1);
    }
    Ok(())
}

/// Rebuilds one point of the history, and checks it.
fn show_point(history: &Arc<History>, at: At) -> Result<Table, Error> {
    let version = verify::version_of(history, at)?;
    let start = Instant::now();
    let bar = progress::bar("full replay", version);
    let mut rebuilt = Rebuilt::new(history);
    let tree = rebuilt.at(version, || bar.inc(1))?;
    drop(bar);
    let replay = start.elapsed();
    verify::check(history, version, tree)?;

    let mut table = Table::default();
    if let At::Instant(time) = at {
        table.row("at", table::time(time));
    }
    let of = format!("{} of {}", table::count(version), table::count(history.len()));
    table.row("version", of);
    match (history.commit_id(version), history.time(version)) {
        (Some(id), Some(time)) => {
            table.row("commit", id.to_string()).row("committed", table::time(time))
        }
        _ => table.row("commit", "none yet"),
    };
    table
        .row("files", table::count(tree.len() as u64))
        .row("full replay", table::duration(replay))
        .row("verified", "the tree is the one that git ls-tree shows");
    Ok(table)
}

/// The rows that say what history this is.
fn about(history: &History, args: &Args) -> Table {
    let mut table = Table::default();
    let directory = history.git().directory();
    let shown = std::path::absolute(directory).unwrap_or(directory.to_owned());
    table.row("repository", shown.display().to_string());
    let rev = args.rev.as_ref().map_or("HEAD".into(), |rev| rev.to_string_lossy());
    match history.commit_id(history.len()) {
        Some(head) => table.row("revision", format!("{rev} ({head:.12})")),
        None => table.row("revision", format!("{rev} (no commits yet)")),
    };
    table.row("commits", table::count(history.len()));
    if let Some((first, last)) = history.time_range() {
        let early = history.backwards();
        table.row("from", table::time(first)).row("to", table::time(last)).row(
            "backwards",
            format!("{} commits are older than the one before", table::count(early)),
        );
    }
    table
}

/// Prints to standard output. That nobody reads on (`| head`) is no failure.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "printing", source: error })
        }
        _ => Ok(()),
    }
}
