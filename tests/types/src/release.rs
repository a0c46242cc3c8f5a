//! Two releases of an application over one store: [`judge_change`].

use std::sync::Arc;

use snapfold::engine::ReplayLoader;
use snapfold::manager::Origin;
use snapfold::trigger::manual;
use snapfold::{Aggregate as _, Loader as _, MemoryEvents, MemoryStore, SnapshotEngine, Timestamp};

use crate::judge::{chain, quietly, short};
use crate::{AnyState, Erased, Outcome, SharedCodec};

/// A release: its codec, and the states that it folds from the same histories as the other one.
#[derive(Clone, Debug)]
pub struct Release {
    /// The codec for the release's state type.
    pub codec: SharedCodec,
    /// The state of each aggregate.
    pub states: Vec<Arc<dyn AnyState>>,
    /// Whether the engine is given the states as samples.
    pub has_samples: bool,
}

impl Release {
    /// Gives the engine the states as samples.
    #[must_use]
    pub fn with_samples(mut self) -> Self {
        self.has_samples = true;
        self
    }
}

/// What became of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Each load of the new release was a miss.
    Miss,
    /// Loads came from snapshots of the old release, at least once, and equalled a replay.
    Read,
    /// A release does not get as far as that: the text of the refusal.
    Refused(String),
    /// Something is wrong.
    Fault(Outcome),
}

struct Running {
    engine: SnapshotEngine<Erased>,
    replay: ReplayLoader<Erased>,
}

impl Running {
    fn start(release: &Release, store: &MemoryStore) -> Result<Self, String> {
        let events = MemoryEvents::new();
        for (at, state) in release.states.iter().enumerate() {
            events.append(&key(at), Timestamp::from_seconds(1), Arc::clone(state));
        }
        let codec = release.codec;
        let engine = SnapshotEngine::builder_with_codec(events.clone(), store.clone(), codec);
        let mut engine = engine.trigger(manual());
        if release.has_samples {
            for state in &release.states {
                engine = engine.sample(Erased(Some(Arc::clone(state))));
            }
        }
        let engine = engine.build().map_err(|error| chain(&error))?;
        Ok(Self { engine, replay: ReplayLoader::new(events) })
    }

    /// Whether a load comes from a snapshot; `Err` if it is wrong.
    async fn load(&self, at: usize, when: &str) -> Result<bool, Outcome> {
        let loaded = self.engine.load(&key(at)).await;
        let loaded = loaded.map_err(|error| Outcome::Unread(chain(&error)))?;
        let replayed = self.replay.load(&key(at)).await.expect("memory does not fail");
        let (got, want) = (loaded.state.0.as_deref(), replayed.state.0.as_deref());
        let (Some(got), Some(want)) = (got, want) else {
            return Err(Outcome::Unread("no state".to_owned()));
        };
        if !got.same_as(want) {
            let text = format!("{when}: loaded {}, replayed {}", short(got), short(want));
            return Err(Outcome::Wrong(text));
        }
        Ok(loaded.provenance.origin == Origin::Snapshot)
    }
}

fn key(at: usize) -> snapfold::AggregateKey {
    Erased::key(&at.to_string()).expect("a key")
}

/// The old release saves, the new one loads; the new one saves too, and both load.
pub fn judge_change(old: &Release, new: &Release) -> Change {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    match quietly(|| runtime.block_on(run(old, new))) {
        Err(panic) => Change::Fault(Outcome::Panic(panic)),
        Ok(Err(change)) => change,
        Ok(Ok(true)) => Change::Read,
        Ok(Ok(false)) => Change::Miss,
    }
}

async fn run(old: &Release, new: &Release) -> Result<bool, Change> {
    let store = MemoryStore::new();
    let old = Running::start(old, &store).map_err(Change::Refused)?;
    let count = new.states.len();
    let new = Running::start(new, &store).map_err(Change::Refused)?;
    let (mut read, mut first, mut written) = (false, String::new(), 0);
    for at in 0..count {
        if let Err(error) = old.engine.create(&key(at)).await {
            first = chain(&error);
            continue;
        }
        written += 1;
        read |= new.load(at, "the new release").await.map_err(Change::Fault)?;
        // Refused if the old release's snapshot is in the way and differs.
        let _ = new.engine.create(&key(at)).await;
        new.load(at, "the new release, after its own save").await.map_err(Change::Fault)?;
        old.load(at, "the old release, after the new one's save").await.map_err(Change::Fault)?;
    }
    if written == 0 { Err(Change::Refused(first)) } else { Ok(read) }
}
