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

use snapfold::{Loaded, Provenance};
use tempfile::TempDir;

use args::{Args, At};
use engine::Rebuilder;
use error::Error;
use git::Git;
use history::History;
use random::Random;
use table::Table;
use tree::Tree;

mod args;
mod demo;
mod diff;
mod engine;
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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("starting the runtime"))?;
    let table = runtime.block_on(async {
        match args.at {
            Some(at) => show_point(&history, &args, at).await,
            None => show_history(&history, &args).await,
        }
    })?;
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

/// Takes snapshots, rebuilds the head both ways, then checks random points of the history.
async fn show_history(history: &Arc<History>, args: &Args) -> Result<Table, Error> {
    let rebuilder = Rebuilder::new(history)?;
    // At least 20 snapshots, however short the history is.
    let every = args.every.unwrap_or((history.len() / 20).clamp(1, 100));
    rebuilder.take_snapshots(every, history.len()).await?;
    let [(replayed, replay_time), (loaded, load_time)] = rebuilder.head_twice().await?;
    verify::check_loaded(history, history.len(), &replayed)?;
    verify::check_loaded(history, history.len(), &loaded)?;

    let mut random = Random::new(args.seed);
    let versions = verify::random_versions(history, args.verify, &mut random);
    let instants = verify::random_instants(history, args.verify, &mut random);
    let [v, i] = [&versions, &instants].map(|points| table::count(points.len() as u64));
    let bar = progress::bar("verifying", (versions.len() + instants.len()) as u64);
    for at in [versions, instants].concat() {
        let expected = verify::version_of(history, at)?;
        verify::check_loaded(history, expected, &rebuilder.at(at).await?)?;
        bar.inc(1);
    }
    drop(bar);

    let stats = rebuilder.stats().await?;
    let mut table = about(history, args);
    table
        .row("files", table::count(loaded.state.len() as u64))
        .row("full replay", table::duration(replay_time))
        .row("load", format!("{} ({})", table::duration(load_time), source(&loaded)))
        .row("speed-up", table::ratio(replay_time, load_time))
        .row("snapshots", format!("{}, every {every} commits", table::count(stats.snapshots)))
        .row("raw", table::bytes(stats.raw_bytes))
        .row("stored", table::bytes(stats.stored_bytes))
        .row("verified", format!("{v}/{v} versions, {i}/{i} instants"));
    Ok(table)
}

/// Rebuilds one point of the history, and checks it.
async fn show_point(history: &Arc<History>, args: &Args, at: At) -> Result<Table, Error> {
    let version = verify::version_of(history, at)?;
    let rebuilder = Rebuilder::new(history)?;
    let every = args.every.unwrap_or((history.len() / 20).clamp(1, 100));
    rebuilder.take_snapshots(every, version).await?;
    let start = Instant::now();
    let loaded = rebuilder.at(at).await?;
    let load_time = start.elapsed();
    verify::check_loaded(history, version, &loaded)?;

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
        .row("files", table::count(loaded.state.len() as u64))
        .row("load", format!("{} ({})", table::duration(load_time), source(&loaded)))
        .row("verified", "the tree is the one that git ls-tree shows");
    Ok(table)
}

/// What a tree was built from.
fn source(loaded: &Loaded<Tree>) -> String {
    let Provenance { snapshot, events_replayed, .. } = &loaded.provenance;
    let commits = table::count(*events_replayed);
    match snapshot {
        Some(used) => format!("snapshot {} + {commits} commits", table::count(used.id.version)),
        None => format!("{commits} commits"),
    }
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
