//! The event source: several histories of one repository.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use snapfold::{AggregateKey, BoxError, EventRange, EventSource, Replay};

use crate::aggregate::Commits;
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

    /// The commits of an aggregate, also those that were made since the last call.
    fn commits(&self, key: &AggregateKey) -> Result<Option<Commits>, Error> {
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
        Ok(Some(Commits { history: Arc::clone(history), read: Arc::default() }))
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
        match self.commits(key)? {
            Some(commits) => commits.read(key, range, replay).await,
            None => Ok(()),
        }
    }

    async fn head(&self, key: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.commits(key)?.map_or(0, |commits| commits.history.len())))
    }
}
