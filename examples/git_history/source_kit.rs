//! Runs the conformance kit over the event source of this example. Each aggregate is a repository,
//! and each event is a commit of a file whose name is a number.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use snapfold::conformance::{self, EventSite, NewEvent, event_sites};
use snapfold::{AggregateKey, BoxError, EventRange, EventSource, Replay};

use crate::aggregate::Commits;
use crate::testing::{Repo, commit};
use crate::tree::{Commit, Tree};

type Repos = Arc<Mutex<BTreeMap<AggregateKey, Repo>>>;

struct Site(Repos);

/// Opens the history of the key for each call, as a new run of the example does.
struct Source(Repos);

impl Source {
    fn commits(&self, key: &AggregateKey) -> Result<Option<Commits>, BoxError> {
        let repos = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(repo) = repos.get(key) else { return Ok(None) };
        Ok(Some(Commits { history: repo.open("HEAD")?, read: Arc::default() }))
    }
}

#[async_trait]
impl EventSource<Tree> for Source {
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
        match self.commits(key)? {
            Some(commits) => commits.head(key).await,
            None => Ok(Some(0)),
        }
    }
}

#[async_trait]
impl EventSite<Tree> for Site {
    fn source(&self) -> Arc<dyn EventSource<Tree>> {
        Arc::new(Source(Arc::clone(&self.0)))
    }

    async fn append(&self, key: &AggregateKey, events: &[NewEvent]) -> Result<(), BoxError> {
        let mut stream = String::new();
        let mut repos = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for event in events {
            let time = event.recorded_at.ok_or("a commit has a time")?.as_micros() / 1_000_000;
            if time < 0 {
                return Err("git has no times before 1970".into());
            }
            let is_first = stream.is_empty() && event.version > 1;
            let from = if is_first { "from refs/heads/main^0\n" } else { "" };
            // One file that every commit replaces, and one whose name is the number.
            let mut body = format!("{from}deleteall\n");
            write!(body, "M 100644 inline {}\ndata 0\n", event.number)?;
            stream += &commit("main", time, &body);
        }
        let repo = repos.entry(key.clone()).or_insert_with(|| Repo::init(&[]));
        repo.feed(&["fast-import", "--quiet"], stream.as_bytes());
        Ok(())
    }

    fn number(&self, commit: &Commit) -> Option<u64> {
        let added = commit.changes.iter().find(|change| change.entry.is_some())?;
        std::str::from_utf8(added.path.as_bytes()).ok()?.parse().ok()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_are_events_as_the_kit_wants_them() {
    let sites = event_sites(|| Site(Arc::default()));
    let card = conformance::event_source(&sites).await;
    println!("{card:#}");
    let card = card.into_result().unwrap();
    let missing: BTreeSet<_> = card.skipped().map(|(_, needs)| needs).collect();
    let explained = [
        "EventSite::fail",
        "EventSite::hybrid",
        "EventSite::truncate",
        "EventSource::keys",
        // The ids of commits are their anchors, which the kit cannot choose.
        "Kept::anchors",
        "Kept::untimed",
        "recorded times before 1970",
    ];
    assert_eq!(missing, BTreeSet::from(explained));
}
