//! Every git repository is an event log: its commits are the events, its tree is the aggregate.
//!
//! ```text
//! cargo run --release --example git_history -- [PATH] [OPTIONS]     (--help shows them)
//! ```
//!
//! The events are the commits of a branch's first-parent history, oldest first. The time of an
//! event is its committer date, which sometimes runs backwards in real histories. The rebuilt trees
//! are compared with the trees that git has at the same commits.
//!
//! Snapshots are kept in files (`--store`). A run that finds snapshots compares their commits with
//! those of the history, and continues from them.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use snapfold::Loaded;
use snapfold::manager::Provenance;
use tempfile::TempDir;

use args::{Args, At};
use engine::{Rebuilder, Snapshots};
use error::Error;
use git::Git;
use history::History;
use place::Place;
use random::Random;
use table::Table;
use tree::Tree;

mod aggregate;
mod args;
mod demo;
mod diff;
mod engine;
mod error;
mod git;
mod history;
mod oracle;
mod place;
mod progress;
mod random;
#[cfg(test)]
mod second_run;
#[cfg(all(test, feature = "conformance"))]
mod source_kit;
mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
#[cfg(feature = "cli")]
mod tool;
mod tree;
mod verify;

/// With fewer commits than this and without a PATH, the demo is shown instead.
const ENOUGH: u64 = 500;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            // Keep this in one line, whatever a path or a revision contains.
            let line: String = error.to_string().chars().filter(|c| !c.is_control()).collect();
            eprintln!("git_history: {line}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run() -> Result<ExitCode, Error> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Error::io("starting the runtime"))?;
    #[cfg(feature = "cli")]
    if let Some(tool) = tool::ToolArgs::parse(&arguments)? {
        let source = Source::open(&tool.args)?;
        let place = Place::open(&tool.args.store)?;
        let code = runtime.block_on(tool.run(&source, &place))?;
        place.close()?;
        return Ok(code);
    }
    let Some(args) = Args::parse(arguments)? else {
        print(args::HELP)?;
        return Ok(ExitCode::SUCCESS);
    };
    let Source { history, _demo } = Source::open(&args)?;
    let place = Place::open(&args.store)?;
    let table = runtime.block_on(async {
        match args.at {
            Some(at) => show_point(&history, &args, &place, at).await,
            None => show_history(&history, &args, &place).await,
        }
    })?;
    place.close()?;
    print(&table.to_string())?;
    Ok(ExitCode::SUCCESS)
}

/// The source of the history.
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
            // A user who names a revision wants this repository, however small it is.
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

/// Takes the missing snapshots, rebuilds the head (both ways, if no snapshot existed), then checks
/// random points of the history.
async fn show_history(history: &Arc<History>, args: &Args, place: &Place) -> Result<Table, Error> {
    let begin = Instant::now();
    let rebuilder = Rebuilder::new(history, place.store(), args.incremental)?;
    let every = distance(history, args);
    let taken = rebuilder.take_snapshots(every, history.len()).await?;
    let taking = begin.elapsed();
    let replayed =
        if taken.found == 0 || args.replay { Some(rebuilder.replayed_head().await?) } else { None };
    let (loaded, load_time) = rebuilder.head().await?;
    for loaded in replayed.iter().map(|(replayed, _)| replayed).chain([&loaded]) {
        verify::check_loaded(history, history.len(), loaded)?;
    }

    let mut random = Random::new(args.seed);
    let versions = verify::random_versions(history, args.verify, &mut random);
    let instants = verify::random_instants(history, args.verify, &mut random);
    let [v, i] = [&versions, &instants].map(|points| table::count(points.len() as u64));
    let verifying = Instant::now();
    let bar = progress::bar("verifying", (versions.len() + instants.len()) as u64);
    for at in [versions, instants].concat() {
        let expected = verify::version_of(history, at)?;
        verify::check_loaded(history, expected, &rebuilder.at(at).await?)?;
        bar.inc(1);
    }
    drop(bar);
    let verifying = verifying.elapsed();

    let stats = rebuilder.stats().await?;
    let mut table = about(history, args);
    table.row("files", table::count(loaded.state.len() as u64));
    about_snapshots(&mut table, place, taken, taking);
    table
        .row(
            "snapshots",
            format!("{}, at most {every} commits apart", table::count(stats.snapshots)),
        )
        .row("raw", table::bytes(stats.raw_bytes))
        .row("stored", table::bytes(stats.stored_bytes));
    match &replayed {
        Some((_, time)) => table.row("full replay", table::duration(*time)),
        None => table.row("full replay", "not needed (--replay compares with it)"),
    };
    table.row("load", format!("{} ({})", table::duration(load_time), source(&loaded)));
    if let Some((_, replay_time)) = &replayed {
        table.row("speed-up", table::ratio(*replay_time, load_time));
    }
    table
        .row("verified", format!("{v}/{v} versions, {i}/{i} instants"))
        .row("whole run", whole_run(begin.elapsed(), verifying));
    Ok(table)
}

fn whole_run(whole: Duration, verifying: Duration) -> String {
    format!("{}, {} of it to verify", table::duration(whole), table::duration(verifying))
}

/// Rebuilds one point of the history, and checks it.
async fn show_point(
    history: &Arc<History>,
    args: &Args,
    place: &Place,
    at: At,
) -> Result<Table, Error> {
    let begin = Instant::now();
    let version = verify::version_of(history, at)?;
    let rebuilder = Rebuilder::new(history, place.store(), args.incremental)?;
    let taken = rebuilder.take_snapshots(distance(history, args), version).await?;
    let taking = begin.elapsed();
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
    table.row("files", table::count(loaded.state.len() as u64));
    about_snapshots(&mut table, place, taken, taking);
    table
        .row("load", format!("{} ({})", table::duration(load_time), source(&loaded)))
        .row("verified", "the tree is the one that git ls-tree shows")
        .row("whole run", table::duration(begin.elapsed()));
    Ok(table)
}

/// The maximum number of commits between snapshots, so that there are at least 20 even for a short
/// history.
fn distance(history: &History, args: &Args) -> u64 {
    args.every.unwrap_or((history.len() / 20).clamp(1, 100))
}

/// The rows about the location of the snapshots, and which of them existed before.
fn about_snapshots(table: &mut Table, place: &Place, taken: Snapshots, time: Duration) {
    let Snapshots { found, newest_found, removed, taken, read } = taken;
    let there = match found {
        0 => "no snapshots yet".to_owned(),
        _ => format!(
            "{} snapshots, up to version {}",
            table::count(found),
            table::count(newest_found)
        ),
    };
    let gone = match removed {
        0 => String::new(),
        _ => format!("; {} of a rewritten history: removed", table::count(removed)),
    };
    let (taken, read) = (table::count(taken), table::count(read));
    table.row("store", place.shown()).row("found", there + &gone).row(
        "taken",
        format!("{taken} snapshots in {}, {read} commits read", table::duration(time)),
    );
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

/// The rows that describe the history.
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

/// Prints to standard output. A closed pipe (`| head`) is not an error.
fn print(text: &str) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::Io { doing: "printing", source: error })
        }
        _ => Ok(()),
    }
}
