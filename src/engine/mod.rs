//! The real [`SnapshotManager`](crate::SnapshotManager): [`SnapshotEngine`].

mod admin;
mod audited;
mod builder;
mod cache;
mod capture;
mod head;
mod load;
mod load_cached;
mod maintain;
mod manager;
mod observer;
mod reader;
mod recorder;
mod replay_loader;
mod save_queue;
mod saver;
mod schedules;
mod search;
mod settle;
mod sizes;
mod statistics;
mod stopwatch;
mod verify;
mod write;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::codec::{Codec, Digester, TypeInfo, Viewer};
use crate::compress::Compression;
use crate::error::{Error, ErrorKind};
use crate::events::{EventSource, HybridSource};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::ledger::Ledger;
use crate::state::Aggregate;
use crate::store::SnapshotStore;
use crate::trigger::Trigger;

pub use builder::{EngineBuilder, StoreFailure};
pub use cache::CacheConfig;
pub use observer::{Observer, Report};
pub use replay_loader::ReplayLoader;
pub use statistics::EngineStatistics;
pub use verify::Verify;

use cache::HotCache;
use reader::Reader;
use recorder::Recorder;
use saver::Saver;
pub(crate) use sizes::Weight;
use statistics::{Counters, Trouble};
use verify::Turns;
use write::Compare;

/// Loads and keeps snapshots of one type of aggregate: the real
/// [`SnapshotManager`](crate::SnapshotManager).
///
/// Made by [`SnapshotEngine::builder`] from an event source and a store. Clones share everything,
/// the cache and the background queue too.
///
/// To shut down, stop committing, call [`flush`](Self::flush), and close the store if it is one that
/// can be closed (keep a clone of it). Without that, snapshots that are queued are not taken; nothing
/// else is lost.
///
/// The traits [`Loader`](crate::Loader), [`SnapshotAdmin`](crate::SnapshotAdmin) and
/// [`SnapshotManager`](crate::SnapshotManager) document errors and cancellation; the methods here do
/// the same and need no import. Those that change something act on the application's own behalf; to
/// pass an [`AdminContext`](crate::AdminContext), call them on [`admin`](Self::admin).
pub struct SnapshotEngine<A: Aggregate> {
    core: Arc<Core<A>>,
    saver: Arc<Saver<A>>,
}

/// What loading and capturing need; the saver's tasks hold it without holding the saver.
struct Core<A: Aggregate> {
    source: Arc<dyn EventSource<A>>,
    store: Arc<dyn SnapshotStore>,
    hybrid: Option<Arc<dyn HybridSource<A>>>,
    clock: Arc<dyn Clock>,
    codec: Arc<dyn Codec<A>>,
    type_info: TypeInfo,
    generation: Generation,
    /// The first one reads what `codec` writes now.
    readers: Vec<Reader<A>>,
    compression: Compression,
    trigger: Box<dyn Trigger>,
    observer: Option<Arc<dyn Observer>>,
    store_failure: StoreFailure,
    max_state_bytes: u64,
    origin: Option<String>,
    digester: Digester<A>,
    /// The application's own comparison of a state with what it was decoded to.
    compare: Option<Box<Compare<A>>>,
    turns: Turns,
    accept_unverified: bool,
    cache: HotCache<A>,
    /// Shows states without their type, if serde or the application knows how.
    viewer: Option<Arc<Viewer<A>>>,
    counters: Counters,
    /// Writes into the ledger, if there is one.
    recorder: Option<Arc<Recorder>>,
}

#[cfg(feature = "postcard")]
impl<A: Aggregate + serde::Serialize + serde::de::DeserializeOwned> SnapshotEngine<A> {
    /// Begins an engine that folds the events of `source` and keeps snapshots in `store`, encoded
    /// with [`Postcard`](crate::Postcard) unless the builder is told otherwise.
    pub fn builder(
        source: impl EventSource<A> + 'static,
        store: impl SnapshotStore + 'static,
    ) -> EngineBuilder<A> {
        Self::builder_with_codec(source, store, crate::codec::Postcard)
    }
}

impl<A: Aggregate> SnapshotEngine<A> {
    /// Begins an engine that encodes with `codec`: for states that serde does not know, or builds
    /// without the feature `postcard`.
    pub fn builder_with_codec(
        source: impl EventSource<A> + 'static,
        store: impl SnapshotStore + 'static,
        codec: impl Codec<A>,
    ) -> EngineBuilder<A> {
        EngineBuilder::new(Arc::new(source), Arc::new(store), Arc::new(codec))
    }

    /// The generation that this engine writes: declared schema version and traced fingerprint.
    pub fn generation(&self) -> Generation {
        self.core.generation
    }

    /// What happened in the background so far, and what went wrong there last.
    pub fn statistics(&self) -> EngineStatistics {
        self.core.counters.read()
    }

    /// Waits until no snapshot is queued or being taken in the background, and until all records of
    /// it are in the ledger; for at most `within` each: for a shutdown, or a test. Must run on a tokio
    /// runtime with time enabled.
    ///
    /// # Errors
    /// - [`ErrorKind::Timeout`] after `within`; what is queued stays queued.
    /// - [`ErrorKind::Unsupported`] if something is queued and there is no tokio runtime here.
    /// - [`ErrorKind::Store`] if the ledger cannot take the records for now; they wait on.
    pub async fn flush(&self, within: Duration) -> Result<(), Error> {
        self.saver.flush(within).await?;
        self.core.flush_records(within).await
    }

    /// The ledger that the builder was given.
    pub fn ledger(&self) -> Option<&dyn Ledger> {
        self.core.recorder.as_ref().map(|recorder| recorder.ledger())
    }
}

impl<A: Aggregate> Core<A> {
    #[inline]
    fn report(&self, report: &Report<'_>) {
        if let Some(observer) = &self.observer {
            self.tell(&**observer, report);
        }
    }

    // On its own, so that the loads without an observer stay small enough to be inlined.
    #[inline(never)]
    fn tell(&self, observer: &dyn Observer, report: &Report<'_>) {
        // What panics is the application's, and whatever it left half done is its own.
        if catch_unwind(AssertUnwindSafe(|| observer.observe(report))).is_err() {
            self.observer_panicked();
        }
    }

    #[cold]
    fn observer_panicked(&self) {
        let what = "the observer panicked; the operation went on without it";
        self.failed(Trouble::ObserverPanicked, what.to_owned());
    }

    /// Counts what went wrong out of the callers' sight.
    fn failed(&self, trouble: Trouble, what: String) {
        self.counters.failed(trouble, self.clock.now(), what);
    }
}

/// A future made in the place where it will stay; `Box::pin` would copy it there.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let place = Box::new_uninit();
    Box::into_pin(Box::write(place, make()))
}

fn check_kind<A: Aggregate>(key: &AggregateKey) -> Result<(), Error> {
    if key.kind() == A::KIND {
        return Ok(());
    }
    Err(other_kind::<A>(key))
}

#[cold]
fn other_kind<A: Aggregate>(key: &dyn fmt::Display) -> Error {
    let message = format!("{key} is not of kind \"{}\", which this engine was built for", A::KIND);
    Error::new(ErrorKind::InvalidInput, "use this engine", message)
}

impl<A: Aggregate> Clone for SnapshotEngine<A> {
    fn clone(&self) -> Self {
        Self { core: Arc::clone(&self.core), saver: Arc::clone(&self.saver) }
    }
}

impl<A: Aggregate> fmt::Debug for SnapshotEngine<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotEngine")
            .field("kind", &A::KIND)
            .field("generation", &self.core.generation)
            .field("store", &self.core.store)
            .field("trigger", &self.core.trigger)
            .finish_non_exhaustive()
    }
}
