//! The event log: the first-parent history of a revision, oldest commit first.
//!
//! [`History`] contains the id and the time of every commit, 28 bytes each. This is enough to find
//! the commit of a version and to resolve a time without calling git again. Changes of commits are
//! never stored; [`History::read`] streams them for any range of versions.

use std::ffi::{OsStr, OsString};
use std::io::BufRead;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};

use crate::diff::DiffTree;
use crate::error::Error;
use crate::git::{Git, printable};
use crate::tree::{Commit, ObjectId};

/// The end of the year 9999, in seconds: git accepts later times, RFC 3339 does not.
const LATEST: i64 = 253_402_207_200;

/// The maximum length of a revision in the name of its history, in characters. Two revisions that
/// differ only after that share their snapshots, as far as their commits are the same.
const LONGEST_NAME: usize = 500;

/// The commits of a history, numbered from 1: version `v` is the tree of commit `v`, and
/// version 0 is the empty tree before the first one.
#[derive(Debug)]
pub(crate) struct History {
    git: Git,
    name: String,
    /// The ids of all commits, one after the other.
    ids: Vec<u8>,
    id_len: usize,
    times: Vec<i64>,
    /// Running `git diff-tree`s that wait for their next reader: starting one takes longer than
    /// reading the few commits after a snapshot.
    idle: Mutex<Vec<DiffTree>>,
}

impl History {
    /// Lists the first-parent history of `rev`. It is empty for a repository without commits.
    pub(crate) fn open(git: Git, rev: &OsString) -> Result<Self, Error> {
        let (ids, times, idle) = (Vec::new(), Vec::new(), Mutex::default());
        let mut history = Self { git, name: String::new(), ids, id_len: 0, times, idle };
        if let Some(head) = resolve(&history.git, rev)? {
            history.list(&head)?;
        }
        history.name = history.named(rev)?;
        Ok(history)
    }

    fn list(&mut self, head: &str) -> Result<(), Error> {
        let args = ["rev-list", "--first-parent", "--reverse", "--timestamp", head, "--"];
        let mut rev_list = self.git.start(&args, Stdio::null())?;
        let mut line = Vec::new();
        while rev_list.stdout.read_until(b'\n', &mut line).map_err(Error::io("reading git"))? > 0 {
            let Some((time, id)) = parse_listed(&line) else {
                return Err(rev_list.failed("its output makes no sense"));
            };
            self.id_len = id.as_bytes().len();
            self.ids.extend_from_slice(id.as_bytes());
            self.times.push(time);
            line.clear();
        }
        rev_list.finish()
    }

    /// Identifies this history: its first commit, which differs in an incomplete clone, and the
    /// full name of the branch or tag, or `rev` itself if it is something else.
    fn named(&self, rev: &OsString) -> Result<String, Error> {
        let full =
            self.git.ask(&[OsStr::new("rev-parse"), OsStr::new("--symbolic-full-name"), rev])?;
        let full = full.map_or_else(|_| String::new(), |name| printable(name.trim_ascii()));
        let name = if full.is_empty() { printable(rev.as_encoded_bytes()) } else { full };
        let first = self.commit_id(1).map_or("none".to_owned(), |id| id.to_string());
        Ok(format!("{first} {}", name.chars().take(LONGEST_NAME).collect::<String>()))
    }

    /// The name of this history's snapshots in a store.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn git(&self) -> &Git {
        &self.git
    }

    /// The number of commits, which is also the version of the head.
    pub(crate) fn len(&self) -> u64 {
        self.times.len() as u64
    }

    /// The commit of `version`; `None` for version 0 and beyond the head.
    pub(crate) fn commit_id(&self, version: u64) -> Option<ObjectId> {
        let index = usize::try_from(version).ok()?.checked_sub(1)?;
        let start = index.checked_mul(self.id_len)?;
        ObjectId::new(self.ids.get(start..start.checked_add(self.id_len)?)?)
    }

    /// The committer's clock at `version`, in seconds; `None` as for [`Self::commit_id`].
    pub(crate) fn time(&self, version: u64) -> Option<i64> {
        self.times.get(usize::try_from(version).ok()?.checked_sub(1)?).copied()
    }

    /// The version at `time`: the highest version at which *all* commits were made at or before
    /// that time. A commit with a fast clock hides all later ones until its time has come, so an
    /// answer never depends on commits that were made afterwards.
    pub(crate) fn version_at(&self, time: i64) -> u64 {
        self.times.iter().take_while(|&&made| made <= time).count() as u64
    }

    /// The lowest and the highest time of all commits; `None` without commits.
    pub(crate) fn time_range(&self) -> Option<(i64, i64)> {
        Some((*self.times.iter().min()?, *self.times.iter().max()?))
    }

    /// The number of commits that are older than the previous one, by their clocks.
    pub(crate) fn backwards(&self) -> u64 {
        self.times.iter().zip(self.times.iter().skip(1)).filter(|(a, b)| b < a).count() as u64
    }

    /// The commits after version `after`, up to and including version `until` or the head.
    pub(crate) fn read(self: &Arc<Self>, after: u64, until: u64) -> Commits {
        let until = until.min(self.len());
        let after = after.min(until);
        Commits { history: Arc::clone(self), diff_tree: None, asked: after, answered: after, until }
    }
}

/// The full id of the commit that `rev` names; `None` if the repository has no commits yet.
fn resolve(git: &Git, rev: &OsString) -> Result<Option<String>, Error> {
    let path = || git.directory().display().to_string();
    git.ask(&["rev-parse", "--git-dir"])?
        .map_err(|reason| Error::NotARepository { path: path(), reason })?;
    let unknown = || Error::UnknownRevision { rev: rev.display().to_string(), path: path() };
    // Revisions do not start with a dash, but options do.
    if rev.as_encoded_bytes().starts_with(b"-") {
        return Err(unknown());
    }
    let verify = |rev: OsString| {
        let args = ["rev-parse", "--quiet", "--verify"].map(OsString::from);
        git.ask(&[&args[..], &[rev]].concat())
    };
    let mut commit = rev.clone();
    commit.push("^{commit}");
    if let Ok(id) = verify(commit)? {
        return Ok(Some(printable(id.trim_ascii_end())));
    }
    // The branch of HEAD is created with its first commit. If the branch exists, its commit is
    // lost.
    let unborn = rev == "HEAD"
        && verify(rev.clone())?.is_err()
        && git.ask(&["symbolic-ref", "--quiet", "HEAD"])?.is_ok();
    if unborn { Ok(None) } else { Err(unknown()) }
}

/// `<seconds> <id>`
fn parse_listed(line: &[u8]) -> Option<(i64, ObjectId)> {
    let (time, id) = std::str::from_utf8(line.trim_ascii_end()).ok()?.split_once(' ')?;
    // Times that do not fit are in the far future; git reads an unreadable time as 0.
    let time = i64::try_from(time.parse::<u64>().ok()?).map_or(LATEST, |time| time.min(LATEST));
    Some((time, ObjectId::from_hex(id.as_bytes())?))
}

/// A range of commits, oldest first, streamed from git. Ends after the first error.
#[derive(Debug)]
pub(crate) struct Commits {
    history: Arc<History>,
    diff_tree: Option<DiffTree>,
    /// Versions up to this one were requested from git,
    asked: u64,
    /// up to this one were received,
    answered: u64,
    /// and up to this one are wanted.
    until: u64,
}

impl Commits {
    fn receive(&mut self) -> Result<Commit, Error> {
        let diff_tree = match &mut self.diff_tree {
            Some(running) => running,
            none => none.insert(match lock(&self.history.idle).pop() {
                Some(idle) => idle,
                None => DiffTree::start(&self.history.git)?,
            }),
        };
        if self.asked - self.answered <= DiffTree::AHEAD / 2 {
            let wanted = self.until.min(self.answered + DiffTree::AHEAD);
            let pairs = (self.asked + 1..=wanted)
                .filter_map(|v| Some((self.history.commit_id(v)?, self.history.commit_id(v - 1))));
            diff_tree.request(pairs)?;
            self.asked = wanted;
        }
        let version = self.answered + 1;
        let (Some(id), Some(time)) = (self.history.commit_id(version), self.history.time(version))
        else {
            return Err(Error::BeyondHead { version, head: self.history.len() });
        };
        let changes = diff_tree.receive(id)?;
        self.answered = version;
        Ok(Commit { id, time, changes })
    }
}

impl Iterator for Commits {
    type Item = Result<Commit, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.answered >= self.until {
            return None;
        }
        let received = self.receive();
        if received.is_err() {
            self.diff_tree = None;
            self.until = self.answered;
        } else if self.answered == self.until {
            // All answers were read, so the next reader starts with a clean connection.
            lock(&self.history.idle).extend(self.diff_tree.take());
        }
        Some(received)
    }
}

/// A list of idle processes is valid even if its lock is poisoned.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
