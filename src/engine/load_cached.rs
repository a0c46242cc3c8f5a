//! Loading through the hot cache: a decoded state, and the events after it.

use super::cache::{Cached, Epoch};
use super::core::{EngineCore, check_kind};
use super::head::{ends_early, floor, read_up_to_head};
use super::reconstructed::{Purpose, Reconstructed};
use super::sizes::Weight;
use crate::error::Error;
use crate::events::{Done, Ended, Progress, Replay};
use crate::key::AggregateKey;
use crate::manager::{Origin, Point, Provenance};
use crate::state::Aggregate;

impl<A: Aggregate> EngineCore<A> {
    /// Loads the current state through the cache. Returns it as the type that the caller needs,
    /// which avoids moving it for a conversion.
    pub(super) async fn load_cached<T>(
        &self,
        key: &AggregateKey,
        purpose: Purpose,
    ) -> Result<T, Error>
    where
        T: From<Reconstructed<A>>,
    {
        check_kind::<A>(key)?;
        if let Some(cached) = self.cache.get::<T>(key).await {
            if let Some(mut progress) = cached.progress() {
                let done = self.catch_up::<T>(key, &cached, &mut progress).await?;
                if done.ended == Ended::Whole && done.applied == 0 {
                    return Ok(T::from(self.advanced(key, &cached, progress, done, purpose)));
                }
                // Boxed like all rare paths, because every load allocates the full size of its
                // future.
                let settled = Box::pin(self.settle(key, &cached, progress, done, purpose)).await?;
                if let Some(advanced) = settled {
                    return Ok(advanced.into());
                }
            }
            Box::pin(self.cache.invalidate(key)).await;
        }
        Box::pin(self.load_cold(key, purpose)).await.map(T::from)
    }

    /// Loads from the store once for all concurrent callers of this aggregate. Each caller then
    /// reads the events that were committed before its own call.
    async fn load_cold(
        &self,
        key: &AggregateKey,
        purpose: Purpose,
    ) -> Result<Reconstructed<A>, Error> {
        let mut own = None;
        let cached = self
            .cache
            .get_or_load(key, async {
                let epoch = self.cache.epoch(key);
                let mut loaded: Reconstructed<A> =
                    self.reconstruct(key, Point::Now, purpose).await?;
                let cached = self.cached(&mut loaded, epoch);
                own = Some(loaded);
                Ok(cached)
            })
            .await?;
        if let Some(loaded) = own {
            return Ok(loaded);
        }
        // The shared load may have begun before a rebuild that finished before this call.
        if self.cache.is_current(&cached)
            && let Some(advanced) = self.advance(key, &cached, purpose).await?
        {
            return Ok(advanced);
        }
        self.cache.invalidate(key).await;
        self.reconstruct(key, Point::Now, purpose).await
    }

    /// Caches a state that was loaded from the store, unless the cache has a newer one.
    pub(super) async fn cache_loaded(&self, loaded: &mut Reconstructed<A>, epoch: Epoch) {
        let cached = self.cached(loaded, epoch);
        self.cache.replace(&loaded.key, cached).await;
    }

    /// Returns the cache entry for a state that has just been loaded from the store by a load that
    /// began in `epoch`.
    fn cached(&self, loaded: &mut Reconstructed<A>, epoch: Epoch) -> Cached<A> {
        let weight = self.weigh(loaded);
        loaded.weight = Some(weight);
        let now = self.clock.monotonic();
        Cached::new(loaded, weight, now, epoch, now)
    }

    /// Returns the cached state advanced by the events after it, or `None` if the events do not
    /// match it.
    async fn advance(
        &self,
        key: &AggregateKey,
        cached: &Cached<A>,
        purpose: Purpose,
    ) -> Result<Option<Reconstructed<A>>, Error> {
        let Some(mut progress) = cached.progress() else { return Ok(None) };
        let done = self.catch_up::<Self>(key, cached, &mut progress).await?;
        self.settle(key, cached, progress, done, purpose).await
    }

    /// Folds the events after the cached state. `Caller` is the same as in [`HotCache::get`].
    ///
    /// [`HotCache::get`]: super::cache::HotCache::get
    #[expect(clippy::extra_unused_type_parameters, reason = "a copy for each caller")]
    async fn catch_up<Caller>(
        &self,
        key: &AggregateKey,
        cached: &Cached<A>,
        progress: &mut Progress<A>,
    ) -> Result<Done, Error> {
        let mut replay = Replay::new(progress, Point::Now.into(), &*self.clock).lent_by(cached);
        let range = replay.range();
        let read = self.source.read(key, range, &mut replay).await;
        read.map_err(|source| Error::event_source("read events", source))?;
        if ends_early(range, &replay) {
            Box::pin(read_up_to_head(&*self.source, key, &mut replay)).await?;
        }
        Ok(replay.finish())
    }

    /// Returns the cached state advanced by the events that were read, or `None` if they do not
    /// match it (R6). The caller then takes the cold path, which reports what is wrong.
    pub(super) async fn settle(
        &self,
        key: &AggregateKey,
        cached: &Cached<A>,
        progress: Progress<A>,
        done: Done,
        purpose: Purpose,
    ) -> Result<Option<Reconstructed<A>>, Error> {
        let none_yet = done.ended == Ended::Nothing && progress.position.version == 0;
        // Without events there is nothing to compare, but events may have been committed and
        // truncated.
        if done.ended != Ended::Whole && !(none_yet && floor(&*self.source, key).await? == 0) {
            return Ok(None);
        }
        let mut loaded = self.advanced(key, cached, progress, done, purpose);
        if done.applied > 0 {
            let outdated = cached.weight.is_outdated(loaded.version());
            let weight = if outdated { self.measure(&loaded) } else { cached.weight };
            loaded.weight = Some(weight);
            let now = self.clock.monotonic();
            let advanced = Cached::new(&loaded, weight, cached.since, cached.epoch, now);
            self.cache.replace(key, advanced).await;
        }
        Ok(Some(loaded))
    }

    #[allow(clippy::inline_always, reason = "a copy of the state's frame costs a cached load 8 %")]
    #[inline(always)]
    fn advanced(
        &self,
        key: &AggregateKey,
        cached: &Cached<A>,
        progress: Progress<A>,
        done: Done,
        purpose: Purpose,
    ) -> Reconstructed<A> {
        let mut provenance = Provenance::new(Origin::Cache);
        provenance.snapshot = cached.snapshot;
        provenance.events_replayed = done.applied;
        if let Some(first) = done.first_applied_at {
            provenance.timings.fold = self.clock.monotonic().saturating_sub(first);
        }
        let weight = Some(cached.weight);
        let loaded = Reconstructed { key: key.clone(), progress, provenance, weight };
        self.report_loaded(&loaded, purpose);
        loaded
    }

    /// Returns the encoded size of a state. Uses the size of the snapshot that it was built from,
    /// if there is one and its size is not outdated.
    fn weigh(&self, loaded: &Reconstructed<A>) -> Weight {
        let known = loaded
            .provenance
            .snapshot
            .map(|used| Weight { bytes: used.raw_bytes, at_version: used.id.version });
        match known {
            Some(weight) if !weight.is_outdated(loaded.version()) => weight,
            _ => self.measure(loaded),
        }
    }

    fn measure(&self, loaded: &Reconstructed<A>) -> Weight {
        let encoded = self.encoded_bytes(&loaded.progress.state);
        Weight { bytes: encoded.unwrap_or(size_of::<A>() as u64), at_version: loaded.version() }
    }
}
