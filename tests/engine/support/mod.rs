//! What the integration tests share: a bank account, an event source and a store that count what
//! is asked of them and misbehave on demand, and ways to wait that do not look at a clock.

mod account;
mod gate;
mod limited;
mod source;
mod store;

use std::future::Future;
use std::task::{Context, Poll, Waker};

use snapfold::engine::{EngineBuilder, ManualClock, Observation, Observer, ReplayLoader};
use snapfold::{Aggregate, AggregateKey, Loader, SnapshotEngine, Timestamp};
use std::sync::{Arc, Mutex};

pub use account::{Account, Event, OldAccount};
pub use gate::{Gate, Yields};
pub use limited::Limited;
pub use source::Source;
pub use store::{Op, Store};

/// An engine over a [`Source`] and a [`Store`], by a clock that stands still.
pub struct World {
    pub source: Source,
    pub store: Store,
    pub clock: ManualClock,
    pub engine: SnapshotEngine<Account>,
}

impl World {
    pub fn new() -> Self {
        Self::with(|builder| builder)
    }

    pub fn with(change: impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account>) -> Self {
        Self::over(Source::default(), Store::default(), change)
    }

    /// Another engine over what is there already: as after a restart.
    pub fn over(
        source: Source,
        store: Store,
        change: impl FnOnce(EngineBuilder<Account>) -> EngineBuilder<Account>,
    ) -> Self {
        let clock = ManualClock::at(Timestamp::from_seconds(1_000_000));
        let builder = SnapshotEngine::builder(source.clone(), store.clone()).clock(clock.clone());
        let engine = change(builder).build().unwrap();
        Self { source, store, clock, engine }
    }

    /// Appends deposits of 1, 2, 3 and so on up to `version`, recorded at that many seconds.
    pub fn grow(&self, key: &AggregateKey, version: u64) {
        self.source.grow(key, version);
    }

    /// Replaces the events by those that [`grow`](Self::grow) appends, except that one differs.
    pub fn edit(&self, key: &AggregateKey, versions: u64, edited: u64) {
        self.source.events.rewind(key, 0);
        for version in 1..=versions {
            let amount = i64::try_from(version).unwrap() + i64::from(version == edited) * 1_000;
            self.source.append(key, version, Event::Deposited(amount));
        }
    }

    /// Takes snapshots at these versions.
    pub async fn snapshots_at(&self, key: &AggregateKey, versions: &[u64]) {
        for version in versions {
            let options = snapfold::manager::CreateOptions::new().at_version(*version);
            self.engine.create_with(key, options).await.unwrap();
        }
    }

    /// The state by full replay of what the source holds: what every load must equal.
    pub async fn truth(&self, key: &AggregateKey) -> Account {
        let replay = ReplayLoader::<Account>::new(self.source.events.clone());
        Account::clone(&replay.load(key).await.unwrap().state)
    }

    /// Loads, and compares with a full replay.
    pub async fn load_checked(&self, key: &AggregateKey) -> snapfold::Loaded<Account> {
        let loaded = self.engine.load(key).await.unwrap();
        assert_eq!(*loaded.state, self.truth(key).await);
        loaded
    }
}

pub fn key(id: &str) -> AggregateKey {
    Account::key(id).unwrap()
}

pub fn at(seconds: u64) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(seconds).unwrap())
}

/// Polls `future` at most `times` times; `None` if it was not ready by then. It is dropped then.
pub fn poll_times<T>(future: impl Future<Output = T>, times: usize) -> Option<T> {
    let mut future = Box::pin(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..times {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
    }
    None
}

/// Lets other tasks run until `condition` holds. Fails after so many turns that it never will.
pub async fn until(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1_000_000 {
        if condition() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to this: {what}");
}

/// Writes down what an engine reports about background saves.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, prefix: &str) -> usize {
        self.lines().iter().filter(|line| line.starts_with(prefix)).count()
    }
}

impl Observer for Log {
    fn observe(&self, report: &Observation<'_>) {
        let line = match report {
            Observation::Saved { key, created, .. } => {
                format!("saved {} {:?}", key.id(), created.meta().map(|meta| meta.version))
            }
            Observation::SaveFailed { key, error, backing_off } => {
                format!("failed {} {:?} {backing_off:?}", key.id(), error.kind())
            }
            Observation::SaveDropped { key, reason } => format!("dropped {} {reason}", key.id()),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}
