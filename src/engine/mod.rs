//! The real [`SnapshotManager`](crate::SnapshotManager): [`SnapshotEngine`].

mod builder;
mod cache;
mod capture;
mod head;
mod load;
mod load_cached;
mod maintain;
mod observer;
mod reader;
mod replay_manager;
mod save_queue;
mod saver;
mod search;
mod settle;
mod sizes;
mod stopwatch;
mod verify;
mod write;

use std::fmt;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::codec::{Codec, Digester, TypeInfo};
use crate::compress::Compression;
use crate::envelope::SnapshotMeta;
use crate::error::{Error, ErrorKind};
use crate::events::{EventSource, HybridSource};
use crate::generation::Generation;
use crate::key::AggregateKey;
use crate::manager::{
    AggregateStats, Compaction, CreateOptions, Created, Decision, Fetched, Loaded, Point, Repaired,
    SnapshotManager,
};
use crate::retention::{Retention, RetentionPlan};
use crate::state::Aggregate;
use crate::store::{Deleted, SnapshotStore};
use crate::timestamp::Timestamp;
use crate::trigger::Trigger;

pub use builder::{EngineBuilder, StoreFailure};
pub use cache::CacheConfig;
pub use observer::{Observer, Report};
pub use replay_manager::ReplayManager;
pub use verify::Verify;

use cache::HotCache;
use load::reached;
use reader::Reader;
use saver::Saver;
pub(crate) use sizes::Weight;
use verify::Turns;
use write::Compare;

/// Loads and keeps snapshots of one type of aggregate: the real
/// [`SnapshotManager`](crate::SnapshotManager).
///
/// Made by [`SnapshotEngine::builder`] from an event source and a store. Clones share everything,
/// the cache and the background queue too.
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

    fn stored(&self, created: &Created) {
        if let Some(meta) = created.meta() {
            self.saver.stored(meta);
        }
    }

    /// Waits until no snapshot is queued or being taken in the background, for at most `within`:
    /// for a shutdown, or a test. Must run on a tokio runtime with time enabled.
    ///
    /// # Errors
    /// - [`ErrorKind::Timeout`] after `within`; what is queued stays queued.
    /// - [`ErrorKind::Unsupported`] if something is queued and there is no tokio runtime here.
    pub async fn flush(&self, within: Duration) -> Result<(), Error> {
        self.saver.flush(within).await
    }
}

impl<A: Aggregate> Core<A> {
    fn report(&self, report: &Report<'_>) {
        if let Some(observer) = &self.observer {
            observer.observe(report);
        }
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
    Err(Error::new(
        ErrorKind::InvalidInput,
        "use this engine",
        format!("{key} is not of kind \"{}\", which this engine was built for", A::KIND),
    ))
}

#[async_trait]
impl<A: Aggregate> SnapshotManager<A> for SnapshotEngine<A> {
    // Written out, so that each way has a future of its own size: the hot one is small.
    fn load<'s: 'f, 'k: 'f, 'f>(
        &'s self,
        key: &'k AggregateKey,
    ) -> Pin<Box<dyn Future<Output = Result<Loaded<A>, Error>> + Send + 'f>> {
        if self.core.cache.is_enabled() {
            boxed(|| self.core.load_cached(key))
        } else {
            boxed(|| self.core.reconstruct(key, Point::Now))
        }
    }

    async fn at_version(&self, key: &AggregateKey, version: u64) -> Result<Loaded<A>, Error> {
        let loaded = self.core.reconstruct(key, Point::Version(version)).await?;
        reached(loaded, version).map(Loaded::from)
    }

    async fn at_time(&self, key: &AggregateKey, time: Timestamp) -> Result<Loaded<A>, Error> {
        self.core.reconstruct(key, Point::Time(time)).await
    }

    async fn latest_known(&self, key: &AggregateKey, point: Point) -> Result<Loaded<A>, Error> {
        self.core.reconstruct(key, point).await
    }

    async fn create_with(
        &self,
        key: &AggregateKey,
        options: CreateOptions,
    ) -> Result<Created, Error> {
        let created = self.core.create(key, &options).await?;
        self.stored(&created);
        Ok(created)
    }

    async fn create_many(&self, keys: &[AggregateKey]) -> Vec<Result<Created, Error>> {
        let created = self.core.create_many(keys).await;
        created.iter().flatten().for_each(|created| self.stored(created));
        created
    }

    async fn snapshot(&self, key: &AggregateKey, version: u64) -> Result<Fetched<A>, Error> {
        self.core.fetch(key, Some(version)).await
    }

    async fn latest_snapshot(&self, key: &AggregateKey) -> Result<Fetched<A>, Error> {
        self.core.fetch(key, None).await
    }

    async fn snapshots(
        &self,
        key: &AggregateKey,
        versions: RangeInclusive<u64>,
    ) -> Result<Vec<SnapshotMeta>, Error> {
        self.core.list(key, versions).await
    }

    async fn delete(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error> {
        let _forgets = self.saver.forgets(key);
        self.core.delete(key, version).await
    }

    async fn delete_before(&self, key: &AggregateKey, version: u64) -> Result<Deleted, Error> {
        let _forgets = self.saver.forgets(key);
        self.core.delete_before(key, version).await
    }

    async fn repair(&self, key: &AggregateKey, version: u64) -> Result<Repaired, Error> {
        let repaired = self.core.repair(key, version).await?;
        self.saver.stored(&repaired.meta);
        Ok(repaired)
    }

    async fn stats(&self, key: &AggregateKey) -> Result<AggregateStats, Error> {
        self.core.stats(key).await
    }

    fn committed(&self, loaded: &Loaded<A>, version: u64) -> Decision {
        self.saver.committed(&self.core, loaded, version)
    }

    async fn plan(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<RetentionPlan, Error> {
        self.core.plan(key, policy).await
    }

    async fn compact(
        &self,
        key: &AggregateKey,
        policy: &dyn Retention,
    ) -> Result<Compaction, Error> {
        self.core.compact(key, policy).await
    }
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
