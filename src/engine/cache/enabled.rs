//! The cache by moka.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;

use super::{CacheConfig, Cached};
use crate::clock::Clock;
use crate::error::Error;
use crate::key::AggregateKey;

/// Decoded states by aggregate, or nothing if the engine was built without a cache.
pub(in crate::engine) struct HotCache<A> {
    states: Option<States<A>>,
}

struct States<A> {
    cache: Cache<AggregateKey, Arc<Cached<A>>>,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
}

// moka frees the memory of old entries by its own clock, which cannot be injected. What is served
// is decided here, by the engine's clock.
impl<A: Send + Sync + 'static> HotCache<A> {
    pub(in crate::engine) fn new(config: Option<CacheConfig>, clock: Arc<dyn Clock>) -> Self {
        let states = config.map(|config| {
            // moka panics on durations beyond a thousand years.
            let longest = Duration::from_secs(100 * 365 * 24 * 3_600);
            let cache = Cache::builder()
                .max_capacity(config.max_bytes)
                .weigher(|_, cached: &Arc<Cached<A>>| {
                    u32::try_from(cached.weight.bytes.max(1)).unwrap_or(u32::MAX)
                })
                .time_to_live(config.time_to_live.min(longest))
                .time_to_idle(config.time_to_idle.min(longest))
                .build();
            States { cache, config, clock }
        });
        Self { states }
    }

    pub(in crate::engine) fn is_enabled(&self) -> bool {
        self.states.is_some()
    }

    /// The state of `key`, unless there is none or it is too old.
    pub(in crate::engine) async fn get(&self, key: &AggregateKey) -> Option<Arc<Cached<A>>> {
        let states = self.states.as_ref()?;
        let cached = states.cache.get(key).await?;
        let now = states.clock.monotonic();
        let idle = now.saturating_sub(cached.used());
        let age = now.saturating_sub(cached.since);
        if age >= states.config.time_to_live || idle >= states.config.time_to_idle {
            states.cache.invalidate(key).await;
            return None;
        }
        cached.use_at(now);
        Some(cached)
    }

    /// The state of `key`; `load` runs for one of all concurrent callers, the others wait for it.
    /// If that one is cancelled or panics, another one takes over.
    pub(in crate::engine) async fn get_or_load(
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

    /// Puts a state that was advanced by events in place of an older one.
    pub(in crate::engine) async fn replace(&self, key: &AggregateKey, cached: Cached<A>) {
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

    pub(in crate::engine) async fn invalidate(&self, key: &AggregateKey) {
        if let Some(states) = &self.states {
            states.cache.invalidate(key).await;
        }
    }
}
