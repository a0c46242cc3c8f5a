//! Loading: the newest usable snapshot, the events after it, and what to do when they disagree.

use std::sync::Arc;

use super::Core;
use super::cache::{Cached, Weight};
use super::observer::Report;
use super::search::{Ahead, Candidate, Search};
use crate::clock::Clock;
use crate::envelope::Reject;
use crate::error::{Error, ErrorKind};
use crate::events::{Basis, Ended, EventSource, Finished, Limits, Position, Replay};
use crate::key::AggregateKey;
use crate::manager::{Loaded, Origin, Point, Provenance, Rejected, Timings};
use crate::state::Aggregate;

/// A state, how far its fold has come, and where it came from.
pub(super) struct Reconstructed<A> {
    pub(super) key: AggregateKey,
    pub(super) state: Arc<A>,
    pub(super) position: Position,
    pub(super) provenance: Provenance,
}

impl<A> Reconstructed<A> {
    pub(super) fn into_loaded(self) -> Loaded<A> {
        Loaded {
            key: self.key,
            state: self.state,
            version: self.position.version,
            as_of: (self.position.version > 0).then_some(self.position.as_of),
            provenance: self.provenance,
        }
    }
}

impl From<Point> for Limits {
    fn from(point: Point) -> Self {
        match point {
            Point::Now => Self { until: u64::MAX, until_time: None },
            Point::Time(time) => Self { until: u64::MAX, until_time: Some(time) },
            Point::Version(version) => Self { until: version, until_time: None },
        }
    }
}

impl<A: Aggregate> Core<A> {
    pub(super) async fn load(&self, key: &AggregateKey) -> Result<Loaded<A>, Error> {
        self.load_now(key).await.map(Reconstructed::into_loaded)
    }

    /// The state now, through the cache if there is one.
    pub(super) async fn load_now(&self, key: &AggregateKey) -> Result<Reconstructed<A>, Error> {
        if !self.cache.is_enabled() {
            return self.reconstruct(key, Point::Now).await;
        }
        self.check_kind(key)?;
        if let Some(cached) = self.cache.get(key).await {
            if let Some(advanced) = self.advance(key, &cached).await? {
                return Ok(advanced);
            }
            self.cache.invalidate(key).await;
        }
        Box::pin(self.load_cold(key)).await
    }

    /// One load from the store for all who wait for this aggregate; each of them then reads the
    /// events that were committed before its own call.
    async fn load_cold(&self, key: &AggregateKey) -> Result<Reconstructed<A>, Error> {
        let mut own = None;
        let cached = self
            .cache
            .get_or_load(key, async {
                let loaded = self.reconstruct(key, Point::Now).await?;
                let weight = self.weigh(&loaded);
                let cached = Cached::new(&loaded, weight, self.clock.monotonic());
                own = Some(loaded);
                Ok(cached)
            })
            .await?;
        if let Some(loaded) = own {
            return Ok(loaded);
        }
        match self.advance(key, &cached).await? {
            Some(advanced) => Ok(advanced),
            None => {
                self.cache.invalidate(key).await;
                self.reconstruct(key, Point::Now).await
            }
        }
    }

    /// The cached state with the events after it, or `None` if the events disagree with it (R6).
    async fn advance(
        &self,
        key: &AggregateKey,
        cached: &Arc<Cached<A>>,
    ) -> Result<Option<Reconstructed<A>>, Error> {
        let clock = &*self.clock;
        let basis = Basis::Shared(Arc::clone(&cached.state), cached.position.clone());
        let mut replay = Replay::new(basis, Point::Now.into(), clock);
        read(&*self.source, key, None, &mut replay).await?;
        let done = replay.finish();
        if done.ended != Ended::Whole {
            // The cold path finds out what is wrong, and says so.
            return Ok(None);
        }
        let mut provenance = Provenance::new(Origin::Cache);
        provenance.snapshot = cached.snapshot;
        provenance.events_replayed = done.applied;
        if let Some(first) = done.first_applied_at {
            provenance.timings.fold = clock.monotonic().saturating_sub(first);
        }
        self.report(&Report::Loaded {
            key,
            version: done.position.version,
            provenance: &provenance,
        });
        let Finished { state, position, applied, .. } = done;
        let loaded = Reconstructed { key: key.clone(), state, position, provenance };
        if applied > 0 {
            let outdated = cached.weight.is_outdated(loaded.position.version);
            let weight = if outdated { self.measure(&loaded) } else { cached.weight };
            let advanced = Cached::new(&loaded, weight, cached.since);
            self.cache.replace(key, advanced).await;
        }
        Ok(Some(loaded))
    }

    /// The encoded size of a state: that of the snapshot it was built from, where there is one.
    fn weigh(&self, loaded: &Reconstructed<A>) -> Weight {
        let known = loaded
            .provenance
            .snapshot
            .map(|used| Weight { bytes: used.raw_bytes, at_version: used.id.version });
        match known {
            Some(weight) if !weight.is_outdated(loaded.position.version) => weight,
            _ => self.measure(loaded),
        }
    }

    fn measure(&self, loaded: &Reconstructed<A>) -> Weight {
        let bytes = self.encoded_bytes(&loaded.state).unwrap_or(size_of::<A>() as u64);
        Weight { bytes, at_version: loaded.position.version }
    }

    pub(super) async fn at_version(
        &self,
        key: &AggregateKey,
        version: u64,
    ) -> Result<Loaded<A>, Error> {
        let loaded = self.reconstruct(key, Point::Version(version)).await?;
        reached(loaded, version).map(Reconstructed::into_loaded)
    }

    /// The state at `point` from the store, never from the cache.
    pub(super) async fn reconstruct(
        &self,
        key: &AggregateKey,
        point: Point,
    ) -> Result<Reconstructed<A>, Error> {
        self.check_kind(key)?;
        if point == Point::Version(0) {
            return Ok(empty(key));
        }
        let limits = Limits::from(point);
        let clock = &*self.clock;
        let mut timings = Timings::default();
        let mut search = Search::new(self, key, limits);
        while let Some(candidate) = search.next(&mut timings).await? {
            let Candidate { state, position, used } = candidate;
            let version = position.version;
            let basis = Basis::Owned(state, position);
            let resumed =
                resume(&*self.source, key, basis, search.ahead.take(), limits, clock, &mut timings)
                    .await?;
            match resumed {
                Resumed::Whole(done) => {
                    let mut provenance = Provenance::new(Origin::Snapshot);
                    provenance.snapshot = Some(used);
                    provenance.rejected = search.rejected;
                    return Ok(self.reconstructed(key, done, provenance, timings));
                }
                Resumed::Rejected(reject) => search.reject(version, reject),
            }
        }
        let (rejected, ahead) = (search.rejected, search.ahead);
        let done =
            from_start(&*self.source, key, ahead, limits, clock, &mut timings, &rejected).await?;
        let mut provenance = Provenance::new(Origin::Replay);
        provenance.rejected = rejected;
        Ok(self.reconstructed(key, done, provenance, timings))
    }

    fn reconstructed(
        &self,
        key: &AggregateKey,
        done: Finished<A>,
        mut provenance: Provenance,
        timings: Timings,
    ) -> Reconstructed<A> {
        provenance.events_replayed = done.applied;
        provenance.timings = timings;
        let version = done.position.version;
        self.report(&Report::Loaded { key, version, provenance: &provenance });
        Reconstructed { key: key.clone(), state: done.state, position: done.position, provenance }
    }
}

/// How resuming from a snapshot went.
enum Resumed<A> {
    Whole(Finished<A>),
    Rejected(Reject),
}

/// Folds the events after a snapshot, if the history still contains the snapshot (R6).
async fn resume<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    basis: Basis<A>,
    ahead: Option<Ahead<A>>,
    limits: Limits,
    clock: &dyn Clock,
    timings: &mut Timings,
) -> Result<Resumed<A>, Error> {
    let replay = Replay::new(basis, limits, clock);
    let version = replay.version();
    let done = run(source, key, ahead, replay, clock, timings).await?;
    let missing = match done.ended {
        Ended::Whole => return Ok(Resumed::Whole(done)),
        Ended::Diverged => return Ok(Resumed::Rejected(Reject::Diverged)),
        Ended::Broken { expected, found } if expected > version => {
            return Err(broken(key, expected, found));
        }
        // The event at the snapshot's version is not there: truncated, or lost.
        Ended::Nothing => None,
        Ended::Broken { found, .. } => Some(found),
    };
    let floor = floor(source, key).await?;
    if floor > version {
        return Ok(Resumed::Rejected(Reject::BelowFloor { floor }));
    }
    if floor < version {
        return match missing {
            None => Ok(Resumed::Rejected(Reject::Ahead)),
            Some(found) => Err(broken(key, version, found)),
        };
    }
    // Truncated up to the snapshot itself: there is nothing left to compare it with.
    let Finished { state, position, .. } = done;
    let basis = Basis::Owned(Arc::unwrap_or_clone(state), position);
    let replay = Replay::new(basis, limits, clock).without_overlap();
    let done = run(source, key, None, replay, clock, timings).await?;
    match done.ended {
        Ended::Broken { expected, found } => Err(broken(key, expected, found)),
        Ended::Whole | Ended::Nothing | Ended::Diverged => Ok(Resumed::Whole(done)),
    }
}

/// Folds all events from the beginning.
pub(super) async fn from_start<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    ahead: Option<Ahead<A>>,
    limits: Limits,
    clock: &dyn Clock,
    timings: &mut Timings,
    rejected: &[Rejected],
) -> Result<Finished<A>, Error> {
    let basis = Basis::Owned(A::initial(key), Position::start());
    let replay = Replay::new(basis, limits, clock);
    let done = run(source, key, ahead, replay, clock, timings).await?;
    let broken = match done.ended {
        Ended::Whole => return Ok(done),
        Ended::Nothing | Ended::Diverged => None,
        Ended::Broken { expected, found } => Some((expected, found)),
    };
    // No event, or not the first one first: were the first ones truncated?
    if let None | Some((1, _)) = broken {
        let floor = floor(source, key).await?;
        if floor > 0 {
            return Err(unrecoverable(key, floor, rejected));
        }
    }
    match broken {
        None => Ok(done),
        Some((expected, found)) => Err(self::broken(key, expected, found)),
    }
}

/// Reads events into `replay`, those fetched ahead first, and accounts for the time.
async fn run<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    ahead: Option<Ahead<A>>,
    mut replay: Replay<'_, A>,
    clock: &dyn Clock,
    timings: &mut Timings,
) -> Result<Finished<A>, Error> {
    let began = clock.monotonic();
    read(source, key, ahead, &mut replay).await?;
    let ended = clock.monotonic();
    let done = replay.finish();
    let first = done.first_applied_at.unwrap_or(ended);
    timings.fetch += first.saturating_sub(began);
    timings.fold += ended.saturating_sub(first);
    Ok(done)
}

async fn read<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    ahead: Option<Ahead<A>>,
    replay: &mut Replay<'_, A>,
) -> Result<(), Error> {
    let failed = |error| Error::event_source("read events", error);
    let mut range = replay.range();
    if let Some(Ahead { tail, .. }) = ahead.filter(|ahead| ahead.after == range.after) {
        let until = tail.until();
        tail.replay(replay).map_err(failed)?;
        if until >= range.until || !replay.is_running() {
            return Ok(());
        }
        range.after = range.after.max(until);
    }
    source.read(key, range, replay).await.map_err(failed)
}

async fn floor<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
) -> Result<u64, Error> {
    source.floor(key).await.map_err(|e| Error::event_source("ask for the replay floor", e))
}

/// The empty state: version 0 of every aggregate.
pub(super) fn empty<A: Aggregate>(key: &AggregateKey) -> Reconstructed<A> {
    Reconstructed {
        key: key.clone(),
        state: Arc::new(A::initial(key)),
        position: Position::start(),
        provenance: Provenance::new(Origin::Replay),
    }
}

/// Turns a state below the version that was asked for into an error (R8).
pub(super) fn reached<A>(
    loaded: Reconstructed<A>,
    version: u64,
) -> Result<Reconstructed<A>, Error> {
    let head = loaded.position.version;
    if head == version {
        return Ok(loaded);
    }
    Err(Error::new(
        ErrorKind::BeyondHead,
        "load a version",
        format!(
            "{} has {head} events, version {version} does not exist yet; latest_known() accepts \
             that",
            loaded.key
        ),
    ))
}

fn broken(key: &AggregateKey, expected: u64, found: u64) -> Error {
    let what = if found < expected { "a duplicate or disorder" } else { "a gap" };
    Error::new(
        ErrorKind::BrokenHistory,
        "fold events",
        format!(
            "the events of {key} are not contiguous: {what}, version {found} came where \
             {expected} should have come. Check what the event source yields"
        ),
    )
}

fn unrecoverable(key: &AggregateKey, floor: u64, rejected: &[Rejected]) -> Error {
    let mut message = format!(
        "the events of {key} up to version {floor} are gone, and no usable snapshot bridges the \
         gap; restore a snapshot or the events"
    );
    for rejected in rejected {
        message.push_str("; ");
        message.push_str(&rejected.to_string());
    }
    Error::new(ErrorKind::Unrecoverable, "load", message)
}
