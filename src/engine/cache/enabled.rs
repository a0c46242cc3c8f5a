//! The cache by moka.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    cache: Cache<AggregateKey, Arc<Entry<A>>>,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
}

struct Entry<A> {
    cached: Arc<Cached<A>>,
    /// When it was last used, in microseconds of the monotonic clock.
    used: AtomicU64,
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
                .weigher(|_, entry: &Arc<Entry<A>>| {
                    let bytes = entry.cached.weight.bytes.max(1);
                    u32::try_from(bytes).unwrap_or(u32::MAX)
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
        let entry = states.cache.get(key).await?;
        let now = states.clock.monotonic();
        let idle = now.saturating_sub(Duration::from_micros(entry.used.load(Ordering::Relaxed)));
        let age = now.saturating_sub(entry.cached.since);
        if age >= states.config.time_to_live || idle >= states.config.time_to_idle {
            states.cache.invalidate(key).await;
            return None;
        }
        entry.used.store(micros(now), Ordering::Relaxed);
        Some(Arc::clone(&entry.cached))
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
        let init = async { load.await.map(|cached| states.entry(cached)) };
        let entry = states.cache.try_get_with_by_ref(key, init).await;
        entry.map(|entry| Arc::clone(&entry.cached)).map_err(|error| Error::clone(&error))
    }

    /// Puts a state that was advanced by events in place of an older one.
    pub(in crate::engine) async fn replace(&self, key: &AggregateKey, cached: Cached<A>) {
        let Some(states) = &self.states else { return };
        let newer = states
            .cache
            .get(key)
            .await
            .is_none_or(|entry| entry.cached.position.version < cached.position.version);
        if newer {
            states.cache.insert(key.clone(), states.entry(cached)).await;
        }
    }

    pub(in crate::engine) async fn invalidate(&self, key: &AggregateKey) {
        if let Some(states) = &self.states {
            states.cache.invalidate(key).await;
        }
    }
}

impl<A> States<A> {
    fn entry(&self, cached: Cached<A>) -> Arc<Entry<A>> {
        let used = AtomicU64::new(micros(self.clock.monotonic()));
        Arc::new(Entry { cached: Arc::new(cached), used })
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
