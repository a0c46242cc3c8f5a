//! Defects covered here: a second run that reads the whole history again, and a second run that
//! trusts snapshots of a history that has been rewritten since, or of another history.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use crate::args::{Args, At, Store};
use crate::engine::{Rebuilder, Snapshots};
use crate::history::History;
use crate::place::Place;
use crate::testing::{Repo, commits_at, open};
use crate::{Table, demo, show_history, show_point, verify};

fn args(store: Store, options: &str) -> Args {
    let mut args = Args::parse(options.split_whitespace()).unwrap().unwrap();
    args.store = store;
    args
}

fn in_directory(directory: &TempDir, options: &str) -> Args {
    args(Store::Directory(directory.path().join("snapshots")), options)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The output of a whole run.
fn run(history: &Arc<History>, args: &Args) -> Vec<String> {
    let place = Place::open(&args.store).unwrap();
    let table: Table = match args.at {
        Some(at) => block_on(show_point(history, args, &place, at)).unwrap(),
        None => block_on(show_history(history, args, &place)).unwrap(),
    };
    place.close().unwrap();
    table.to_string().lines().map(str::to_owned).collect()
}

fn row<'a>(lines: &'a [String], label: &str) -> &'a str {
    let row = lines.iter().find_map(|line| line.strip_prefix(label));
    row.unwrap_or_else(|| panic!("no {label} in {lines:#?}")).trim()
}

/// The snapshots that a run finds and takes; every version that it can rebuild is compared with
/// git.
fn take(history: &Arc<History>, directory: &TempDir, every: u64) -> Snapshots {
    let place = Place::open(&in_directory(directory, "").store).unwrap();
    let taken = block_on(async {
        let rebuilder = Rebuilder::new(history, place.store(), false).unwrap();
        let taken = rebuilder.take_snapshots(every, history.len()).await.unwrap();
        for version in 0..=history.len() {
            let loaded = rebuilder.at(At::Version(version)).await.unwrap();
            verify::check_loaded(history, version, &loaded).unwrap();
        }
        taken
    });
    place.close().unwrap();
    taken
}

fn commit_more(repo: &Repo, times: &[i64]) -> Arc<History> {
    for time in times {
        let tree = repo.git(&["write-tree"]);
        let head = repo.git(&["rev-parse", "HEAD"]);
        let id = repo.git(&["commit-tree", "-p", &head, "-m", &time.to_string(), &tree]);
        repo.git(&["update-ref", "HEAD", &id]);
    }
    repo.history()
}

#[test]
fn a_second_run_finds_the_snapshots_of_the_first_and_verifies_the_same() {
    let demo = demo::write(5, 700).unwrap();
    let history = open(demo.path(), "HEAD").unwrap();
    let directory = TempDir::new().unwrap();
    let args = in_directory(&directory, "--verify 25");
    let first = run(&history, &args);
    assert_eq!(row(&first, "found"), "no snapshots yet");
    assert!(row(&first, "taken").starts_with("20 snapshots in "), "{first:#?}");
    assert!(row(&first, "speed-up").ends_with('x'));

    let second = run(&history, &args);
    assert_eq!(row(&second, "found"), "20 snapshots, up to version 700");
    let taken = row(&second, "taken");
    assert!(taken.starts_with("0 snapshots in ") && taken.ends_with(", 0 commits read"), "{taken}");
    assert!(row(&second, "full replay").starts_with("not needed"));
    assert!(row(&second, "load").ends_with("(snapshot 700 + 0 commits)"));
    for label in ["commits", "files", "snapshots", "raw", "stored", "verified"] {
        assert_eq!(row(&second, label), row(&first, label), "{label}");
    }
    assert_eq!(row(&second, "verified"), "25/25 versions, 25/25 instants");

    let compared = run(&history, &in_directory(&directory, "--verify 0 --replay"));
    assert!(row(&compared, "speed-up").ends_with('x'));
    for line in [first, second, compared].concat() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_point_is_rebuilt_from_the_snapshots_of_a_run_before() {
    let demo = demo::write(6, 300).unwrap();
    let history = open(demo.path(), "HEAD").unwrap();
    let directory = TempDir::new().unwrap();
    let first = run(&history, &in_directory(&directory, "--at 101 --every 50"));
    assert!(row(&first, "taken").starts_with("2 snapshots in "), "{first:#?}");
    let second = run(&history, &in_directory(&directory, "--at 120 --every 50"));
    assert_eq!(row(&second, "found"), "2 snapshots, up to version 100");
    assert!(row(&second, "taken").ends_with(", 0 commits read"), "{second:#?}");
    assert!(row(&second, "load").ends_with("(snapshot 100 + 20 commits)"));
    for line in [first, second].concat() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn without_a_directory_nothing_is_found_and_nothing_is_left() {
    let demo = demo::write(7, 60).unwrap();
    let history = open(demo.path(), "HEAD").unwrap();
    for store in [Store::Memory, Store::Temporary] {
        for _ in 0..2 {
            let lines = run(&history, &args(store.clone(), "--verify 5"));
            assert_eq!(row(&lines, "found"), "no snapshots yet", "{store:?}");
            assert!(row(&lines, "taken").starts_with("20 snapshots in "), "{lines:#?}");
        }
    }
    let place = Place::open(&Store::Temporary).unwrap();
    let path = place.directory().unwrap().to_owned();
    assert!(path.join("MANIFEST").exists());
    place.close().unwrap();
    assert!(!path.exists());
}

#[test]
fn new_commits_are_read_once_and_no_old_one_again() {
    let repo = Repo::import(commits_at(&(0..95).collect::<Vec<_>>()).as_bytes());
    let directory = TempDir::new().unwrap();
    let first = take(&repo.history(), &directory, 10);
    assert_eq!((first.found, first.taken), (0, 9));
    // Each snapshot but the first is compared with the commit that it was taken of.
    assert_eq!(first.read, 90 + 8);
    let longer = commit_more(&repo, &[100; 27]);
    let second = take(&longer, &directory, 10);
    let expected = Snapshots { found: 9, newest_found: 90, taken: 3, read: 33, removed: 0 };
    assert_eq!(second, expected);
    // Fewer or more of them may be wanted than before.
    assert_eq!(take(&longer, &directory, 40).taken, 0);
    assert_eq!(take(&longer, &directory, 5).taken, 12);
}

#[test]
fn snapshots_of_a_history_that_was_rewritten_are_replaced() {
    let repo = Repo::import(commits_at(&(0..60).collect::<Vec<_>>()).as_bytes());
    let directory = TempDir::new().unwrap();
    assert_eq!(take(&repo.history(), &directory, 10).taken, 6);
    // Back to version 35, and on from there.
    repo.git(&["update-ref", "HEAD", "main~25"]);
    let shorter = take(&repo.history(), &directory, 10);
    assert_eq!((shorter.found, shorter.removed, shorter.taken), (3, 3, 0));
    let other = take(&commit_more(&repo, &[7; 20]), &directory, 10);
    assert_eq!((other.found, other.removed, other.taken), (3, 0, 2));
    // The same number of commits, of which only the first 25 are the same.
    repo.git(&["update-ref", "HEAD", "main~30"]);
    let rewritten = take(&commit_more(&repo, &[8; 30]), &directory, 10);
    assert_eq!((rewritten.found, rewritten.removed, rewritten.taken), (2, 3, 3));
}

#[test]
fn histories_share_a_directory_without_meeting() {
    let directory = TempDir::new().unwrap();
    let one = Repo::import(commits_at(&(0..30).collect::<Vec<_>>()).as_bytes());
    let other = Repo::import(commits_at(&(9..39).collect::<Vec<_>>()).as_bytes());
    one.git(&["update-ref", "refs/heads/side", "main~7"]);
    let histories = [one.history(), other.history(), one.open("side").unwrap()];
    let taken: Vec<_> = histories.iter().map(|it| take(it, &directory, 10)).collect();
    assert!(taken.iter().all(|taken| (taken.found, taken.removed) == (0, 0)), "{taken:?}");
    let again: Vec<_> = histories.iter().map(|it| take(it, &directory, 10)).collect();
    assert!(again.iter().all(|taken| (taken.taken, taken.removed) == (0, 0)), "{again:?}");
    // HEAD is the branch it names; a copy of the repository has the same history.
    assert_eq!(take(&one.open("main").unwrap(), &directory, 10).found, 3);
    let copy = Repo::init(&[]);
    copy.git(&["fetch", "--quiet", one.path().to_str().unwrap(), "main:main", "--update-head-ok"]);
    assert_eq!(take(&copy.history(), &directory, 10).found, 3);
}

#[test]
fn a_directory_that_is_in_use_or_no_directory_is_refused_in_one_line() {
    let directory = TempDir::new().unwrap();
    let store = in_directory(&directory, "").store;
    let held = Place::open(&store).unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "text").unwrap();
    for store in [store, Store::Directory(file)] {
        let Err(error) = Place::open(&store) else { panic!("{store:?} was opened") };
        assert_eq!((error.exit_code(), error.to_string().lines().count()), (2, 1), "{error}");
    }
    assert!(held.directory().is_some_and(Path::exists));
}
