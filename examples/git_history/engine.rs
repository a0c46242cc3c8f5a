//! snapfold at work: snapshots are taken as the history is read, and any point of it is rebuilt from
//! the nearest one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use snapfold::codec::Compression;
use snapfold::engine::{Incremental, ReplayLoader};
use snapfold::manager::{AggregateStats, CreateOptions};
use snapfold::record::SnapshotMeta;
use snapfold::trigger::manual;
use snapfold::{Aggregate, AggregateKey, Loaded, Loader, SnapshotEngine, SnapshotStore, Timestamp};

use crate::aggregate::{Commits, view};
use crate::args::At;
use crate::error::Error;
use crate::history::History;
use crate::progress;
use crate::tree::{ObjectId, Tree};

/// Rebuilds trees of one history.
pub(crate) struct Rebuilder {
    history: Arc<History>,
    key: AggregateKey,
    engine: SnapshotEngine<Tree>,
    replay: ReplayLoader<Tree>,
    /// How many commits the engine has read.
    read: Arc<AtomicU64>,
}

/// The snapshots that were there, and those that were taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshots {
    /// How many snapshots of this history were there before.
    pub(crate) found: u64,
    /// The highest version of those; 0 if there are none.
    pub(crate) newest_found: u64,
    /// How many were of another history (a branch that was rewritten), and are gone now.
    pub(crate) removed: u64,
    /// How many were taken.
    pub(crate) taken: u64,
    /// How many commits were read for that.
    pub(crate) read: u64,
}

impl Rebuilder {
    pub(crate) fn new(
        history: &Arc<History>,
        store: Arc<dyn SnapshotStore>,
        incremental: bool,
    ) -> Result<Self, Error> {
        let read = Arc::default();
        let commits = |read: &Arc<AtomicU64>| Commits {
            history: Arc::clone(history),
            read: Arc::clone(read),
        };
        let mut builder = SnapshotEngine::builder(commits(&read), store);
        if incremental {
            builder = builder.compression(Compression::zstd()).incremental(Incremental::zstd());
        }
        Ok(Self {
            key: Tree::key(history.name())?,
            engine: builder.viewer(view).trigger(manual()).build()?,
            replay: ReplayLoader::new(commits(&Arc::default())),
            history: Arc::clone(history),
            read,
        })
    }

    #[cfg(feature = "cli")]
    pub(crate) fn engine(&self) -> SnapshotEngine<Tree> {
        self.engine.clone()
    }

    #[cfg(feature = "cli")]
    pub(crate) fn key(&self) -> &AggregateKey {
        &self.key
    }

    /// Sees to it that there are snapshots up to `until`, at most `every` commits apart. The ones
    /// that are there are not taken again; each of the others is built on the one before, so that
    /// only commits that no snapshot covers yet are read, once.
    pub(crate) async fn take_snapshots(&self, every: u64, until: u64) -> Result<Snapshots, Error> {
        self.take_above(0, every, until).await
    }

    /// As [`take_snapshots`](Self::take_snapshots), but none below the newest one that is there. So
    /// those that a command deleted or moved are not taken again.
    #[cfg(feature = "cli")]
    pub(crate) async fn take_new_snapshots(
        &self,
        every: u64,
        until: u64,
    ) -> Result<Snapshots, Error> {
        let newest = self.found(&mut Snapshots::default()).await?.last().copied();
        self.take_above(newest.unwrap_or(0), every, until).await
    }

    async fn take_above(&self, above: u64, every: u64, until: u64) -> Result<Snapshots, Error> {
        let mut taken = Snapshots::default();
        let found = self.found(&mut taken).await?;
        let before = self.commits_read();
        let bar = progress::bar("snapshots", until);
        for version in missing(&found, every, until).into_iter().filter(|due| *due > above) {
            self.engine.create_with(&self.key, CreateOptions::new().at_version(version)).await?;
            taken.taken += 1;
            bar.set_position(version);
        }
        taken.read = self.commits_read() - before;
        Ok(taken)
    }

    /// The versions of which there are snapshots. A snapshot holds the id of its commit: where
    /// the history now has another one, or none, it was rewritten, and the snapshot is removed,
    /// else it would stand in the way of the one that belongs there.
    async fn found(&self, taken: &mut Snapshots) -> Result<BTreeSet<u64>, Error> {
        let metas = self.engine.snapshots(&self.key, 0..=u64::MAX).await?;
        let readable = |meta: &SnapshotMeta| meta.generation == self.engine.generation();
        let mut versions = BTreeSet::new();
        for meta in metas.into_iter().filter(readable) {
            let commit = self.history.commit_id(meta.version);
            if commit.is_some() && commit.as_ref().map(ObjectId::as_bytes) == meta.anchor.as_deref()
            {
                versions.insert(meta.version);
            } else {
                self.engine.delete(&self.key, meta.version).await?;
                taken.removed += 1;
            }
        }
        taken.found = versions.len() as u64;
        taken.newest_found = versions.last().copied().unwrap_or(0);
        Ok(versions)
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

    /// The newest tree through the newest snapshot, and how long that took.
    pub(crate) async fn head(&self) -> Result<(Loaded<Tree>, Duration), Error> {
        let start = Instant::now();
        let loaded = self.engine.load(&self.key).await?;
        Ok((loaded, start.elapsed()))
    }

    /// The newest tree from all commits, and how long that took.
    pub(crate) async fn replayed_head(&self) -> Result<(Loaded<Tree>, Duration), Error> {
        let _bar = progress::bar("full replay", self.history.len());
        let start = Instant::now();
        let replayed = self.replay.load(&self.key).await?;
        Ok((replayed, start.elapsed()))
    }

    pub(crate) async fn stats(&self) -> Result<AggregateStats, Error> {
        Ok(self.engine.stats(&self.key).await?)
    }

    /// How many commits the engine has read from git so far.
    pub(crate) fn commits_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

/// The versions up to `until` that need a snapshot, besides those that are `found`, for them to
/// be at most `every` commits apart.
fn missing(found: &BTreeSet<u64>, every: u64, until: u64) -> Vec<u64> {
    let mut missing = Vec::new();
    let mut last = 0;
    while until - last >= every {
        let due = last + every;
        last = found.range(last + 1..=due).next_back().copied().unwrap_or_else(|| {
            missing.push(due);
            due
        });
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gaps_that_are_too_wide_are_filled() {
        let versions =
            |found: &[u64], every, until| missing(&found.iter().copied().collect(), every, until);
        assert_eq!(versions(&[], 10, 35), [10, 20, 30]);
        assert_eq!(versions(&[10, 20, 30], 10, 35), [0_u64; 0]);
        assert_eq!(versions(&[10, 20, 30], 10, 40), [40]);
        assert_eq!(versions(&[3, 7, 20], 10, 25), [17]);
        assert_eq!(versions(&[10, 20], 5, 20), [5, 15]);
        assert_eq!(versions(&[99], 10, 9), [0_u64; 0]);
        assert_eq!(versions(&[], u64::MAX, u64::MAX), [u64::MAX]);
        assert_eq!(versions(&[], 1, 0), [0_u64; 0]);
    }
}
