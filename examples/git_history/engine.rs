//! snapfold at work: commits are events, trees are states, snapshots are taken as the history is
//! read, and any point of it is rebuilt from the nearest one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use snapfold::trigger::manual;
use snapfold::{
    Aggregate, AggregateKey, AggregateStats, BoxError, CreateOptions, EventRange, EventSource,
    Loaded, MemoryStore, Recorded, Replay, ReplayManager, SnapshotEngine, SnapshotManager,
    Timestamp,
};

use crate::args::At;
use crate::error::Error;
use crate::history::History;
use crate::progress;
use crate::tree::{Commit, Tree};

impl Aggregate for Tree {
    type Event = Commit;
    const KIND: &'static str = "tree";
    const SCHEMA_VERSION: u32 = 1;

    fn initial(_: &AggregateKey) -> Self {
        Tree::default()
    }

    fn apply(&mut self, commit: &Commit) {
        Tree::apply(self, commit);
    }
}

/// The event source: git, asked for a range of commits. The id of a commit is its anchor, so that
/// a snapshot of a history that was rewritten since is found out.
struct Commits(Arc<History>);

#[async_trait]
impl EventSource<Tree> for Commits {
    async fn read(
        &self,
        _: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Tree>,
    ) -> Result<(), BoxError> {
        for (version, commit) in (range.after + 1..).zip(self.0.read(range.after, range.until)) {
            let commit = commit?;
            let time = Timestamp::from_seconds(commit.time);
            let recorded = Recorded::new(version, time, &commit).anchor(commit.id.as_bytes());
            if replay.push(recorded).is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn head(&self, _: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.0.len()))
    }
}

/// Rebuilds trees of one history.
pub(crate) struct Rebuilder {
    history: Arc<History>,
    key: AggregateKey,
    engine: SnapshotEngine<Tree>,
    replay: ReplayManager<Tree>,
}

impl Rebuilder {
    pub(crate) fn new(history: &Arc<History>) -> Result<Self, Error> {
        let builder = SnapshotEngine::builder(Commits(Arc::clone(history)), MemoryStore::new());
        Ok(Self {
            history: Arc::clone(history),
            key: Tree::key("history")?,
            engine: builder.trigger(manual()).build()?,
            replay: ReplayManager::new(Commits(Arc::clone(history))),
        })
    }

    /// Takes a snapshot every `every` commits up to `until`, each built on the one before: one
    /// pass over the history, with one tree in memory.
    pub(crate) async fn take_snapshots(&self, every: u64, until: u64) -> Result<(), Error> {
        let bar = progress::bar("snapshots", until);
        for version in (every..=until).step_by(usize::try_from(every).unwrap_or(usize::MAX)) {
            self.engine.create_with(&self.key, CreateOptions::default().version(version)).await?;
            bar.set_position(version);
        }
        Ok(())
    }

    /// The tree at a point of the history, from the nearest snapshot.
    pub(crate) async fn at(&self, at: At) -> Result<Loaded<Tree>, Error> {
        Ok(match at {
            At::Version(version) => self.engine.at_version(&self.key, version).await?,
            At::Instant(seconds) => {
                self.engine.at_time(&self.key, Timestamp::from_seconds(seconds)).await?
            }
        })
    }

    /// The newest tree by full replay and through the newest snapshot, and how long each took.
    pub(crate) async fn head_twice(&self) -> Result<[(Loaded<Tree>, Duration); 2], Error> {
        let bar = progress::bar("full replay", self.history.len());
        let start = Instant::now();
        let replayed = self.replay.load(&self.key).await?;
        let replay_time = start.elapsed();
        drop(bar);
        let start = Instant::now();
        let loaded = self.engine.load(&self.key).await?;
        Ok([(replayed, replay_time), (loaded, start.elapsed())])
    }

    pub(crate) async fn stats(&self) -> Result<AggregateStats, Error> {
        Ok(self.engine.stats(&self.key).await?)
    }
}
