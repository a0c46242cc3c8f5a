//! The event source of both kinds: several histories of one repository.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use snapfold::events::Recorded;
use snapfold::{AggregateKey, BoxError, EventRange, EventSource, Replay, Timestamp};

use crate::aggregate::Commits;
use crate::authors::Authors;
use crate::error::Error;
use crate::git::Git;
use crate::history::History;
use crate::tree::Tree;

/// Histories of one repository by their revisions. Clones share them.
#[derive(Clone)]
pub(crate) struct Repository {
    directory: PathBuf,
    histories: Arc<Mutex<BTreeMap<String, Arc<History>>>>,
}

impl Repository {
    /// Lists the commits of each revision, or of HEAD if none is given.
    pub(crate) fn open(directory: OsString, revisions: Vec<OsString>) -> Result<Self, Error> {
        let directory = PathBuf::from(directory);
        let revisions = if revisions.is_empty() { vec!["HEAD".into()] } else { revisions };
        let mut histories = BTreeMap::new();
        for revision in revisions {
            let history = Arc::new(History::open(Git::new(&directory), &revision)?);
            histories.insert(revision.to_string_lossy().into_owned(), history);
        }
        Ok(Self { directory, histories: Arc::new(Mutex::new(histories)) })
    }

    /// The ids of the aggregates and their versions.
    pub(crate) fn heads(&self) -> Vec<(String, u64)> {
        let histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        histories.iter().map(|(id, history)| (id.clone(), history.len())).collect()
    }

    /// The history of an aggregate, also the commits that were made since the last call.
    fn history(&self, key: &AggregateKey) -> Result<Option<Arc<History>>, Error> {
        let mut histories = self.histories.lock().unwrap_or_else(PoisonError::into_inner);
        let history = histories.get_mut(key.id()).filter(|_| key.tenant().is_empty());
        let Some(history) = history else { return Ok(None) };
        let commit = OsString::from(format!("{}^{{commit}}", key.id()));
        let args = [OsStr::new("rev-parse"), OsStr::new("--verify"), &commit];
        let head = history.commit_id(history.len()).map(|id| id.to_string());
        let now = history.git().ask(&args)?.ok();
        if now.as_deref().map(<[u8]>::trim_ascii_end) != head.as_deref().map(str::as_bytes) {
            *history = Arc::new(History::open(Git::new(&self.directory), &key.id().into())?);
        }
        Ok(Some(Arc::clone(history)))
    }

    fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.history(key)?.map_or(0, |history| history.len())))
    }
}

#[async_trait]
impl EventSource<Tree> for Repository {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Tree>,
    ) -> Result<(), BoxError> {
        let Some(history) = self.history(key)? else { return Ok(()) };
        Commits { history, read: Arc::default() }.read(key, range, replay).await
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.head(key)
    }
}

#[async_trait]
impl EventSource<Authors> for Repository {
    async fn read(
        &self,
        key: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Authors>,
    ) -> Result<(), BoxError> {
        let Some(history) = self.history(key)? else { return Ok(()) };
        for (version, author) in (range.after + 1..).zip(authors(&history, range)?) {
            let (Some(id), Some(time)) = (history.commit_id(version), history.time(version)) else {
                break;
            };
            let time = Timestamp::from_seconds(time);
            if replay.push(Recorded::new(version, time, &author).anchor(id.as_bytes())).is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        self.head(key)
    }
}

/// The names of the authors of a range of commits, oldest first.
fn authors(history: &History, range: EventRange) -> Result<Vec<String>, BoxError> {
    let Some(until) = history.commit_id(range.until.min(history.len())) else {
        return Ok(Vec::new());
    };
    let mut args = ["rev-list", "--first-parent", "--reverse", "--encoding=UTF-8", "--format=%an"]
        .map(str::to_owned)
        .to_vec();
    args.push(until.to_string());
    args.extend(history.commit_id(range.after).map(|after| format!("^{after}")));
    args.push("--".to_owned());
    let listed = history.git().ask(&args)??;
    // A line with the id of the commit stands before each name.
    let names = listed.split(|byte| *byte == b'\n').skip(1).step_by(2);
    Ok(names.map(|name| String::from_utf8_lossy(name).into_owned()).collect())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_authors_of_a_range_are_those_that_git_names() {
        let folder = tempfile::tempdir().unwrap();
        let git = |args: &[&str], author: &str| {
            let mut command = Command::new("git");
            command.arg("-C").arg(folder.path()).args(args).env("GIT_AUTHOR_NAME", author);
            command.env("GIT_AUTHOR_EMAIL", "").env("GIT_COMMITTER_NAME", "c");
            let run = command.env("GIT_COMMITTER_EMAIL", "c@example.org").output().unwrap();
            assert!(run.status.success(), "{run:?}");
        };
        git(&["init", "--quiet", "--initial-branch=main"], "");
        let names = ["Ada", "J\u{f6}rg", "Ada", "Grace  Hopper", "Ada"];
        for (n, name) in names.iter().enumerate() {
            if n == 3 {
                // A branch that is merged: its own commits are no part of the history.
                git(&["checkout", "--quiet", "-b", "side"], "");
                git(&["commit", "--quiet", "--allow-empty", "-m", "side"], "Side");
                git(&["checkout", "--quiet", "main"], "");
                git(&["merge", "--quiet", "--no-ff", "-m", "merge", "side"], name);
            } else {
                git(&["commit", "--quiet", "--allow-empty", "-m", name], name);
            }
        }
        let history = History::open(Git::new(folder.path()), &"HEAD".into()).unwrap();
        for after in 0..=5 {
            for until in after..=6 {
                let expected = &names[after..until.min(5).max(after)];
                let found = authors(&history, EventRange::new(after as u64, until as u64));
                assert_eq!(found.unwrap(), expected, "{after} {until}");
            }
        }
    }
}
