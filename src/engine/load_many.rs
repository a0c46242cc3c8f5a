//! Loading several aggregates in a few round trips.
//!
//! A batch handles the usual case: the newest snapshot is usable or there is none, and the events
//! after it are contiguous. Every other aggregate is loaded separately afterwards, as if it had
//! been requested alone.

use std::sync::Arc;

use super::cache::{Cached, Epoch};
use super::core::{EngineCore, caught, check_kind};
use super::head::ends_early;
use super::limited_replay::FREE_EVENTS;
use super::load::{finish_continued, replay_ahead};
use super::permits::WAIT;
use super::reconstructed::{Purpose, Reconstructed};
use super::search::{Ahead, Search, SearchCandidate};
use super::stopwatch::Stopwatch;
use crate::error::{Error, ErrorKind, Retry};
use crate::events::{Done, Ended, EventRange, Hybrid, KeyedReplay, Limits, Progress, Replay};
use crate::key::AggregateKey;
use crate::manager::{Origin, Point, Provenance, SnapshotUsed};
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;
use crate::store::Query;

/// The number of aggregates that are loaded together. Larger requests are split.
pub(super) const BATCH: usize = 256;
/// After this many aggregates in a row failed because the store did, the rest fail with the last of
/// these errors. Otherwise each would wait for the same store.
const OUTAGE: usize = 3;

const LOAD: &str = "load an aggregate";

/// An aggregate in a batch whose snapshot was fetched, and whose events are read next.
struct BegunLoad<'a, A> {
    /// Its index in the batch.
    place: usize,
    key: &'a AggregateKey,
    progress: Progress<A>,
    from: LoadStart<A>,
    /// Events that came with the snapshot.
    ahead: Option<Ahead<A>>,
    watch: Stopwatch<'a>,
}

/// Where the load of an aggregate starts.
enum LoadStart<A> {
    Cached(Arc<Cached<A>>),
    /// A snapshot, or the empty state if there is none, and the epoch before it was fetched.
    Stored(Option<SnapshotUsed>, Epoch),
}

impl<A> BegunLoad<'_, A> {
    /// The version that the load starts from.
    fn version(&self) -> u64 {
        self.progress.position.version
    }
}

impl<A: Aggregate> EngineCore<A> {
    /// Loads the current states; one result per key, in order. Returns them as the type that the
    /// caller needs. If the application's code panics, only the aggregate it panicked for fails.
    pub(super) async fn load_many<T>(
        &self,
        keys: &[AggregateKey],
        purpose: Purpose,
    ) -> Vec<Result<T, Error>>
    where
        T: From<Reconstructed<A>>,
    {
        let mut results = Vec::with_capacity(keys.len());
        let mut outage = Outage::default();
        for batch in keys.chunks(BATCH) {
            // A batch of one aggregate has no advantage.
            let begun = match batch {
                [_] => vec![None],
                // Loading each aggregate by itself shows for which of them the code panics.
                _ => caught(LOAD, self.load_batch(batch, purpose))
                    .await
                    .unwrap_or_else(|_| batch.iter().map(|_| None).collect()),
            };
            for (key, loaded) in batch.iter().zip(begun) {
                let loaded = match (loaded, outage.error_after(OUTAGE)) {
                    (Some(loaded), _) => outage.note(Ok(loaded.into())),
                    (None, Some(error)) => Err(error),
                    (None, None) => {
                        let alone = caught(LOAD, self.load_alone(key, purpose)).await;
                        outage.note(alone.and_then(|loaded| loaded))
                    }
                };
                if let (Err(error), Purpose::Answer) = (&loaded, purpose) {
                    self.report_failed(key, error);
                }
                results.push(loaded);
            }
        }
        results
    }

    /// Loads one aggregate. Does not report a failure.
    pub(super) async fn load_alone<T>(
        &self,
        key: &AggregateKey,
        purpose: Purpose,
    ) -> Result<T, Error>
    where
        T: From<Reconstructed<A>>,
    {
        if self.cache.is_enabled() {
            Box::pin(self.load_cached(key, purpose)).await
        } else {
            Box::pin(self.reconstruct(key, Point::Now, purpose)).await
        }
    }

    /// Returns the states that could be loaded together. `None` means that the aggregate must be
    /// loaded alone.
    async fn load_batch(
        &self,
        keys: &[AggregateKey],
        purpose: Purpose,
    ) -> Vec<Option<Reconstructed<A>>> {
        let mut loaded: Vec<_> = keys.iter().map(|_| None).collect();
        let (mut begun, mut cold) = (Vec::new(), Vec::new());
        for (place, key) in keys.iter().enumerate() {
            if check_kind::<A>(key).is_err() {
                continue;
            }
            let cached = self.cache.get::<Self>(key).await;
            let Some((cached, progress)) =
                cached.and_then(|cached| cached.progress().map(|progress| (cached, progress)))
            else {
                cold.push((place, key));
                continue;
            };
            let (from, watch) = (LoadStart::Cached(cached), Stopwatch::start(&*self.clock));
            begun.push(BegunLoad { place, key, progress, from, ahead: None, watch });
        }
        begun.extend(self.begin(&cold).await);
        let done = self.replay_many(&mut begun).await;
        for (begun, done) in begun.into_iter().zip(done) {
            let place = begun.place;
            let Some(done) = done.filter(|done| done.ended == Ended::Whole) else { continue };
            if let Some(slot) = loaded.get_mut(place) {
                *slot = self.finish(begun, done, purpose).await;
            }
        }
        loaded
    }

    /// Fetches the newest snapshots, and opens them.
    async fn begin<'a>(&'a self, cold: &[(usize, &'a AggregateKey)]) -> Vec<BegunLoad<'a, A>> {
        let mut watch = Stopwatch::start(&*self.clock);
        let epochs: Vec<_> = cold.iter().map(|(_, key)| self.cache.epoch(key)).collect();
        let newest = |key| Query::latest(key, self.generation).at_most(SnapshotId::MAX_VERSION);
        let queries: Vec<_> = cold.iter().map(|(_, key)| newest(key)).collect();
        let answers = match &self.hybrid {
            _ if queries.is_empty() || self.store_is_skipped().is_some() => return Vec::new(),
            Some(hybrid) => hybrid.fetch_many(&queries).await,
            None => {
                let lookups = self.store.get_many(&queries).await;
                lookups.map(|lookups| lookups.into_iter().map(Hybrid::new).collect())
            }
        };
        let answers = match answers {
            Ok(answers) if answers.len() == cold.len() => answers,
            // Loading each aggregate by itself shows which of them fail.
            Ok(_) => return Vec::new(),
            Err(error) => {
                self.store_failed(&error);
                return Vec::new();
            }
        };
        watch.fetched();
        let mut begun = Vec::with_capacity(cold.len());
        for ((&(place, key), answer), epoch) in cold.iter().zip(answers).zip(epochs) {
            let mut watch = watch.resumed();
            let mut search = Search::new(self, key, Limits::from(Point::Now));
            if !search.begin_with(answer, &mut watch) {
                continue;
            }
            let ahead = search.ahead.take();
            let (progress, used) = match search.candidate.take() {
                Some(SearchCandidate { progress, used }) => (progress, Some(used)),
                None => (Progress::start(key), None),
            };
            begun.push(BegunLoad {
                place,
                key,
                progress,
                from: LoadStart::Stored(used, epoch),
                ahead,
                watch,
            });
        }
        begun
    }

    /// Folds the events after each state. Returns `None` for a state whose events could not be read
    /// together with the others or may be incomplete.
    async fn replay_many(&self, begun: &mut [BegunLoad<'_, A>]) -> Vec<Option<Done>> {
        let mut done: Vec<_> = begun.iter().map(|_| None).collect();
        // One permit for all that are replayed from the beginning, because they are one read.
        let from_start =
            |begun: &BegunLoad<'_, A>| matches!(begun.from, LoadStart::Stored(None, _));
        let permit = begun.iter().any(from_start).then(|| self.try_replay());
        let is_limited = matches!(permit, Some(None));
        let mut reads: Vec<KeyedReplay<'_, '_, A>> = Vec::new();
        // Of each read, by its index in `begun`: the range, the stopwatch, the version that it
        // starts from, and whether it is limited to the first events.
        let mut watches: Vec<_> = begun.iter().map(|_| None).collect();
        for (place, begun) in begun.iter_mut().enumerate() {
            let (is_limited, started_at) = (is_limited && from_start(begun), begun.version());
            let BegunLoad { key, progress, ahead, watch, .. } = begun;
            let mut replay = Replay::new(progress, Limits::from(Point::Now), watch.clock());
            let missing = match ahead.take() {
                None => Ok(Some(replay.range())),
                Some(ahead) => replay_ahead(ahead, &mut replay),
            };
            match missing {
                // Only its first events are read. If there are more, it is loaded alone.
                Ok(Some(range)) if is_limited && range.after >= FREE_EVENTS => {}
                Ok(Some(range)) => {
                    let most = if is_limited { FREE_EVENTS } else { u64::MAX };
                    let page = EventRange::new(range.after, range.until.min(most));
                    reads.push(KeyedReplay::new(key, page, replay).at(place));
                    if let Some(slot) = watches.get_mut(place) {
                        *slot = Some((range, watch, started_at, is_limited));
                    }
                }
                Ok(None) => set(&mut done, place, replay.finish(), watch),
                Err(_) => {}
            }
        }
        if !reads.is_empty() && self.source.read_many(&mut reads).await.is_ok() {
            // The source may have put them into another order.
            for mut read in reads {
                let place = read.place();
                // Its range may have been moved on.
                let Some(Some((range, watch, started_at, is_limited))) = watches.get_mut(place)
                else {
                    continue;
                };
                let replay = &mut read.replay;
                if ends_early(*range, replay) || (*is_limited && replay.version() >= FREE_EVENTS) {
                    continue;
                }
                // Events that came with the snapshot may have been followed by a truncation.
                let finished = if range.after > *started_at {
                    finish_continued(&*self.source, read.key, replay).await
                } else {
                    Ok(replay.finish())
                };
                if let Ok(finished) = finished {
                    set(&mut done, place, finished, watch);
                }
            }
        }
        done
    }

    /// Completes a load whose events were all read. Returns `None` if the cached state must not be
    /// used.
    async fn finish(
        &self,
        begun: BegunLoad<'_, A>,
        done: Done,
        purpose: Purpose,
    ) -> Option<Reconstructed<A>> {
        let BegunLoad { key, progress, watch, .. } = begun;
        let (used, epoch) = match begun.from {
            LoadStart::Cached(cached) => {
                let settled = self.settle(key, &cached, progress, done, purpose);
                return Box::pin(settled).await.ok().flatten();
            }
            LoadStart::Stored(used, epoch) => (used, epoch),
        };
        let is_compared = done.is_compared;
        let mut provenance =
            Provenance::new(if used.is_some() { Origin::Snapshot } else { Origin::Replay });
        provenance.snapshot = used.map(|used| SnapshotUsed { is_compared, ..used });
        provenance.events_replayed = done.applied;
        provenance.timings = watch.timings;
        let mut loaded = Reconstructed { key: key.clone(), progress, provenance, weight: None };
        if self.cache.is_enabled() {
            Box::pin(self.cache_loaded(&mut loaded, epoch)).await;
        }
        if let (Some(learning), Purpose::Answer) = (&self.learning, purpose) {
            learning.counted(&loaded.key);
        }
        self.report_loaded(&loaded, purpose);
        Some(loaded)
    }
}

fn set(done: &mut [Option<Done>], place: usize, of: Done, watch: &mut Stopwatch<'_>) {
    watch.replayed(of.first_applied_at);
    if let Some(slot) = done.get_mut(place) {
        *slot = Some(of);
    }
}

/// Whether another aggregate would meet this error too. An event source may fail for one aggregate
/// only, at an event that it cannot decode, and only some need a full replay.
fn is_outage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Store | ErrorKind::Timeout)
        && error.retry() != Retry::Never
        && error.operation() != WAIT
}

/// Recognizes an outage of the store by several failures in a row.
#[derive(Default)]
pub(super) struct Outage {
    failures: usize,
    last: Option<Error>,
}

impl Outage {
    pub(super) fn note<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        match &result {
            Err(error) if is_outage(error) => {
                self.failures += 1;
                self.last = Some(error.clone());
            }
            _ => self.failures = 0,
        }
        result
    }

    /// Returns the last failure if there were at least this many in a row.
    pub(super) fn error_after(&self, failures: usize) -> Option<Error> {
        self.last.clone().filter(|_| self.failures >= failures)
    }
}
