//! The cache when the `cache` feature is enabled: uses moka.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::epoch::Epochs;
use super::{CacheConfig, Cached, Epoch};
use crate::clock::Clock;
use crate::error::Error;
use crate::key::AggregateKey;

/// The approximate size of an entry without its key and state, measured with tiny states.
const ENTRY_BYTES: u64 = 512;

/// Decoded states by aggregate. Empty if the engine was built without a cache.
pub(crate) struct HotCache<A> {
    states: Option<States<A>>,
}

struct States<A> {
    cache: Cache<AggregateKey, Arc<Cached<A>>>,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
    /// Whether `clock` differs from moka's clock.
    is_injected: bool,
    epochs: Epochs,
}

// moka expires entries by the system clock, which cannot be replaced, and counts from the insertion
// of the entry. If the engine has another clock, or the entry was inserted after its state was
// loaded, this type checks the age itself.
impl<A: Send + Sync + 'static> HotCache<A> {
    pub(crate) fn new(
        config: Option<CacheConfig>,
        clock: Arc<dyn Clock>,
        is_injected: bool,
    ) -> Self {
        let states = config.map(|config| {
            // moka panics on durations of more than a thousand years.
            let longest = Duration::from_secs(100 * 365 * 24 * 3_600);
            let cache = Cache::builder()
                .max_capacity(config.max_bytes)
                .weigher(|key: &AggregateKey, cached: &Arc<Cached<A>>| {
                    let key = key.tenant().len() + key.kind().len() + key.id().len();
                    let bytes = cached.weight.bytes.saturating_add(key as u64 + ENTRY_BYTES);
                    u32::try_from(bytes).unwrap_or(u32::MAX)
                })
                .time_to_live(config.time_to_live.min(longest))
                .time_to_idle(config.time_to_idle.min(longest))
                .build();
            States { cache, config, clock, is_injected, epochs: Epochs::new() }
        });
        Self { states }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.states.is_some()
    }

    /// Returns the current epoch of `key`. Call it before a load from the store begins.
    pub(crate) fn epoch(&self, key: &AggregateKey) -> Epoch {
        self.states.as_ref().map_or_else(Epoch::default, |states| states.epochs.of(key))
    }

    /// Returns whether nothing was rebuilt or deleted since the load of `cached` began.
    pub(crate) fn is_current(&self, cached: &Cached<A>) -> bool {
        self.states.as_ref().is_none_or(|states| states.epochs.is_current(cached.epoch))
    }

    /// Stops serving all states of `key` whose load has already begun.
    pub(crate) fn outdate(&self, key: &AggregateKey) {
        if let Some(states) = &self.states {
            states.epochs.end(states.epochs.of(key));
        }
    }

    /// Returns the state of `key`, or `None` if there is none or it is too old.
    ///
    /// `Caller` gives each caller its own copy of this function, which is then inlined. A shared
    /// function makes a cached load 5 % slower.
    #[expect(clippy::extra_unused_type_parameters, reason = "a copy for each caller")]
    pub(crate) async fn get<Caller>(&self, key: &AggregateKey) -> Option<Arc<Cached<A>>> {
        let states = self.states.as_ref()?;
        let cached = states.cache.get(key).await?;
        let watched = states.is_injected || cached.is_advanced;
        if (watched && !states.is_fresh(&cached)) || !states.epochs.is_current(cached.epoch) {
            // Boxed like all rare paths, because every load allocates the full size of its future.
            Box::pin(states.cache.invalidate(key)).await;
            return None;
        }
        Some(cached)
    }

    /// Returns the state of `key`. One of the concurrent callers runs its `load`, and the others
    /// wait for it. If that caller is cancelled or panics, another one takes over.
    pub(crate) async fn get_or_load(
        &self,
        key: &AggregateKey,
        load: impl Future<Output = Result<Cached<A>, Error>>,
    ) -> Result<Arc<Cached<A>>, Error> {
        let Some(states) = &self.states else {
            return load.await.map(Arc::new);
        };
        let init = async { load.await.map(Arc::new) };
        states.cache.try_get_with_by_ref(key, init).await.map_err(|error| Error::clone(&error))
    }

    /// Replaces an older state with one that was advanced by events.
    pub(crate) async fn replace(&self, key: &AggregateKey, cached: Cached<A>) {
        let Some(states) = &self.states else { return };
        let newer = states
            .cache
            .get(key)
            .await
            .is_none_or(|old| old.position.version < cached.position.version);
        if newer {
            states.cache.insert(key.clone(), Arc::new(cached)).await;
        }
    }

    pub(crate) async fn invalidate(&self, key: &AggregateKey) {
        if let Some(states) = &self.states {
            states.cache.invalidate(key).await;
        }
    }
}

impl<A> States<A> {
    /// Returns whether `cached` is young enough by the engine's clock. If so, marks it as used now.
    fn is_fresh(&self, cached: &Cached<A>) -> bool {
        let now = self.clock.monotonic();
        let idle = now.saturating_sub(cached.used());
        let age = now.saturating_sub(cached.since);
        let fresh = age < self.config.time_to_live && idle < self.config.time_to_idle;
        if fresh {
            cached.use_at(now);
        }
        fresh
    }
}
