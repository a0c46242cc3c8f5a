//! L-04: repeats the folds in another process, which runs the same test again.
//!
//! [`VARIABLE`] contains the check to answer, and the path to write the answer to. When the second
//! process reaches that check, it folds the histories, writes the result, and exits. Earlier checks
//! judge nothing there.

use std::env;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use twox_hash::XxHash3_64;

use super::law_case::LawCase;
use super::panics::catch;
use super::report::{FailingHistory, LawFinding, LawOutcome};
use crate::state::Aggregate;

/// The environment variable: `<identity of the check> <path of the answer>`.
const VARIABLE: &str = "SNAPFOLD_SECOND_PROCESS";
/// The time limit of the second process.
const PATIENCE: Duration = Duration::from_secs(60);

/// The role of this process for a check.
pub(super) enum Role {
    Judge,
    /// This is the second process, and it was started for this check.
    Answer(PathBuf),
    /// This is the second process, and it was started for another check.
    Bystander,
}

/// Returns the role of this process for the check with this identity.
pub(super) fn role(identity: u64) -> Role {
    let Some(order) = env::var_os(VARIABLE) else { return Role::Judge };
    let order = order.to_string_lossy().into_owned();
    match order.split_once(' ') {
        Some((wanted, path)) if wanted == format!("{identity:016x}") => {
            Role::Answer(PathBuf::from(path))
        }
        _ => Role::Bystander,
    }
}

/// The result of folding one history up to one version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fold {
    history: u32,
    version: u64,
    /// The digest of the event, or 0 if events cannot be formatted.
    event: u64,
    state: Option<u64>,
}

fn folds<A: Aggregate>(case: &LawCase<A>) -> Vec<Fold> {
    let mut folds = Vec::new();
    for history in &case.histories {
        let Ok(mut state) = case.subject.initial() else { return folds };
        let event = |event: &A::Event| {
            let shown = case.show.as_ref().and_then(|show| catch(|| show(event)).ok());
            shown.map_or(0, |text| XxHash3_64::oneshot(text.as_bytes()))
        };
        for (version, next) in (1..).zip(&history.events) {
            if catch(|| state.apply(next)).is_err() {
                return folds;
            }
            let state = case.subject.digest(&state);
            folds.push(Fold { history: history.number, version, event: event(next), state });
        }
    }
    folds
}

/// Writes the answer and ends the process.
pub(super) fn answer<A: Aggregate>(case: &LawCase<A>, path: &Path) -> ! {
    let mut text = String::new();
    for Fold { history, version, event, state } in folds(case) {
        let state = state.map_or_else(|| "-".to_owned(), |state| state.to_string());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{history} {version} {event} {state}");
    }
    text.push_str("end\n");
    // The first process created the file. If writing fails, the first process reports it.
    let file = OpenOptions::new().write(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    process::exit(i32::from(written.is_err()))
}

fn parse(text: &str) -> Option<Vec<Fold>> {
    let lines = text.strip_suffix("end\n")?.lines();
    let parse = |line: &str| {
        let mut words = line.split(' ');
        let mut word = || words.next();
        Some(Fold {
            history: word()?.parse().ok()?,
            version: word()?.parse().ok()?,
            event: word()?.parse().ok()?,
            state: word()?.parse().ok(),
        })
    };
    lines.map(parse).collect()
}

/// L-04.
pub(super) fn another_process<A: Aggregate>(
    case: &LawCase<A>,
    identity: u64,
    test: Option<&str>,
) -> LawOutcome {
    let there = test_name(test).and_then(|test| ask(identity, &test));
    let there = match there {
        Ok(there) => there,
        Err(why) => return LawOutcome::Unjudged { why },
    };
    let here = folds(case);
    let other_events = || {
        LawOutcome::unjudged(
            "the generator returns different events in another process: make it depend on its \
             arguments only",
        )
    };
    for (here, there) in here.iter().zip(&there) {
        let same_place = (here.history, here.version) == (there.history, there.version);
        if !same_place || here.event != there.event {
            return other_events();
        }
        if here.state != there.state {
            return LawOutcome::Broken(differs(case, here));
        }
    }
    if here.len() == there.len() { LawOutcome::HOLDS } else { other_events() }
}

fn differs<A: Aggregate>(case: &LawCase<A>, fold: &Fold) -> LawFinding {
    let history = case.histories.iter().find(|history| history.number == fold.history);
    let events = history.map(|history| history.events.as_slice()).unwrap_or_default();
    let kept = events.iter().zip(1..=fold.version);
    let shown = kept.clone().filter_map(|(event, _)| {
        let show = case.show.as_ref()?;
        catch(|| show(event)).ok()
    });
    let unless = if case.show.is_some() {
        ""
    } else {
        ", unless the generator returns different events there: call show_events() to find out"
    };
    LawFinding {
        text: format!(
            "folding the same events in another process gives a different state at version \
             {}{unless}",
            fold.version
        ),
        history: Some(FailingHistory {
            number: fold.history,
            seed: case.seed,
            length: events.len() as u64,
            shown: shown.collect(),
            versions: kept.map(|(_, version)| version).collect(),
        }),
    }
}

/// Returns the name of the current test in the test harness.
fn test_name(given: Option<&str>) -> Result<String, String> {
    if let Some(name) = given {
        return Ok(name.to_owned());
    }
    let unknown = "the name of the test is unknown, so no second process can run it: set the name \
                   with second_process_runs(\"module::test\")";
    // Only test binaries of cargo are started, because the arguments mean something else to other
    // programs.
    let exe = env::current_exe().map_err(|_| unknown.to_owned())?;
    if exe.parent().and_then(Path::file_name).is_none_or(|folder| folder != "deps") {
        return Err(unknown.to_owned());
    }
    // The harness names the thread of a test after the test, unless it runs tests one at a time.
    // nextest passes the name in the arguments.
    let thread = thread::current();
    let named = thread.name().filter(|name| *name != "main").map(str::to_owned);
    let arguments: Vec<String> = env::args().skip(1).collect();
    let exact = arguments.iter().any(|argument| argument == "--exact");
    let argument = arguments.into_iter().find(|argument| exact && !argument.starts_with('-'));
    named.or(argument).ok_or_else(|| unknown.to_owned())
}

fn ask(identity: u64, test: &str) -> Result<Vec<Fold>, String> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let failed = |what: &str| format!("the second process {what}");
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("snapfold-laws-{}-{count}-{identity:016x}", process::id());
    let file = ChildAnswer(env::temp_dir().join(name));
    let made = OpenOptions::new().write(true).create_new(true).open(&file.0);
    made.map_err(|error| failed(&format!("has no file to write to: {error}")))?;
    let exe = env::current_exe().map_err(|error| {
        failed(&format!("cannot be started, because the path of this program is unknown: {error}"))
    })?;
    let mut child = Command::new(exe)
        .args([test, "--exact", "--include-ignored"])
        .env(VARIABLE, format!("{identity:016x} {}", file.0.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&format!("cannot be started: {error}")))?;
    let started = Instant::now();
    let ended = loop {
        match child.try_wait() {
            Ok(None) if started.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(2)),
            Ok(ended) => break ended,
            Err(error) => return Err(failed(&format!("cannot be waited for: {error}"))),
        }
    };
    if ended.is_none() {
        // The process may already have ended.
        let _ = child.kill();
        let _ = child.wait();
        return Err(failed(&format!("took more than {} seconds", PATIENCE.as_secs())));
    }
    let answer = fs::read_to_string(&file.0).unwrap_or_default();
    parse(&answer).ok_or_else(|| {
        format!(
            "the second process ran the test \"{test}\" and did not reach this check: set the \
             name of the test with second_process_runs(\"module::test\")"
        )
    })
}

/// The file for the answer, which is removed on drop.
struct ChildAnswer(PathBuf);

impl Drop for ChildAnswer {
    fn drop(&mut self) {
        // If this fails, a small temporary file remains.
        let _ = fs::remove_file(&self.0);
    }
}
