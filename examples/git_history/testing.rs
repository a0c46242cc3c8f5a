//! Repositories for the tests, independent of user settings.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::error::Error;
use crate::git::Git;
use crate::history::History;
use crate::tree::{Commit, Tree};
use crate::verify;

#[derive(Debug)]
pub(crate) struct Repo {
    directory: TempDir,
}

impl Repo {
    /// Runs `git init` with these options.
    pub(crate) fn init(options: &[&str]) -> Self {
        let repo = Self { directory: TempDir::new().unwrap() };
        repo.git(&[&["init", "--quiet", "--template=", "--initial-branch=main"], options].concat());
        repo
    }

    /// A repository with the history that `git fast-import` reads from `stream`.
    pub(crate) fn import(stream: &[u8]) -> Self {
        Self::init(&[]).and_import(stream)
    }

    pub(crate) fn and_import(self, stream: &[u8]) -> Self {
        self.feed(&["fast-import", "--quiet"], stream);
        self
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The output of `git`, without the last newline. Fails the test if `git` fails.
    pub(crate) fn git(&self, args: &[&str]) -> String {
        self.feed(args, b"")
    }

    pub(crate) fn feed(&self, args: &[&str], input: &[u8]) -> String {
        let mut child = Command::new("git")
            .current_dir(self.path())
            .args(args)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")])
            .envs([("GIT_AUTHOR_NAME", "A"), ("GIT_AUTHOR_EMAIL", "a@example.com")])
            .envs([("GIT_COMMITTER_NAME", "C"), ("GIT_COMMITTER_EMAIL", "c@example.com")])
            .envs([("GIT_AUTHOR_DATE", "1700000000 +0000")])
            .envs([("GIT_COMMITTER_DATE", "1700000000 +0000")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "git {args:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    pub(crate) fn open(&self, rev: &str) -> Result<Arc<History>, Error> {
        open(self.path(), rev)
    }

    /// The history of HEAD.
    pub(crate) fn history(&self) -> Arc<History> {
        self.open("HEAD").unwrap()
    }
}

pub(crate) fn open(path: &Path, rev: &str) -> Result<Arc<History>, Error> {
    History::open(Git::new(path), &rev.into()).map(Arc::new)
}

/// The commits of a range of versions.
pub(crate) fn read(history: &Arc<History>, after: u64, until: u64) -> Vec<Commit> {
    history.read(after, until).map(|commit| commit.unwrap()).collect()
}

/// Folds the history, and compares every version with git. Returns the tree of the head.
pub(crate) fn check_every_version(history: &Arc<History>) -> Tree {
    let mut tree = Tree::default();
    verify::check(history, 0, &tree).unwrap();
    for (version, commit) in (1..).zip(history.read(0, u64::MAX)) {
        tree.apply(&commit.unwrap());
        verify::check(history, version, &tree).unwrap();
    }
    tree
}

/// One commit to `branch` for [`Repo::import`]; `body` contains its links and changes.
pub(crate) fn commit(branch: &str, time: i64, body: &str) -> String {
    format!(
        "commit refs/heads/{branch}\ncommitter C <c@example.com> {time} +0000\ndata 0\n{body}\n"
    )
}

/// Commits to main at these times, each of which changes the same file.
pub(crate) fn commits_at(times: &[i64]) -> String {
    let body = |n: usize| format!("M 100644 inline file\ndata <<END\nrevision {n}\nEND\n");
    times.iter().enumerate().map(|(n, &time)| commit("main", time, &body(n))).collect()
}
