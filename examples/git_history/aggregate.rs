//! What snapfold needs to know: commits are events, trees are states.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use snapfold::events::Recorded;
use snapfold::manager::StateValue;
use snapfold::store::{Cursor, KeysRequest, Page};
use snapfold::{Aggregate, AggregateKey, BoxError, EventRange, EventSource, Replay, Timestamp};

use crate::history::History;
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
pub(crate) struct Commits {
    pub(crate) history: Arc<History>,
    /// How many commits were read from git so far.
    pub(crate) read: Arc<AtomicU64>,
}

#[async_trait]
impl EventSource<Tree> for Commits {
    async fn read(
        &self,
        _: &AggregateKey,
        range: EventRange,
        replay: &mut Replay<'_, Tree>,
    ) -> Result<(), BoxError> {
        for (version, commit) in
            (range.after + 1..).zip(self.history.read(range.after, range.until))
        {
            let commit = commit?;
            self.read.fetch_add(1, Ordering::Relaxed);
            let time = Timestamp::from_seconds(commit.time);
            let recorded = Recorded::new(version, time, &commit).anchor(commit.id.as_bytes());
            if replay.push(recorded).is_break() {
                break;
            }
        }
        Ok(())
    }

    async fn head(&self, _: &AggregateKey) -> Result<Option<u64>, BoxError> {
        Ok(Some(self.history.len()))
    }

    async fn keys(&self, request: KeysRequest<'_>) -> Result<Page<AggregateKey, Cursor>, BoxError> {
        let key = Tree::key(self.history.name())?;
        let is_listed = request.after.is_none() && request.admits(&key) && self.history.len() > 0;
        Ok(Page::new(is_listed.then_some(key).into_iter().collect(), None))
    }
}

/// A tree as people read it: the entry of each path. Bytes that are no text are escaped.
pub(crate) fn view(tree: &Tree) -> Result<StateValue, BoxError> {
    let path = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(path) => path.to_owned(),
        Err(_) => bytes.escape_ascii().to_string(),
    };
    let entries: BTreeMap<_, _> =
        tree.iter().map(|(of, entry)| (path(of.as_bytes()), entry.to_string())).collect();
    StateValue::of(&entries)
}
