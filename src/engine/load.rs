//! Loading: finds the newest usable snapshot, folds the events after it, and handles mismatches.

use super::core::{EngineCore, check_kind};
use super::head::{ends_early, ends_truncated, floor, read_up_to_head};
use super::observer::Observation;
use super::reconstructed::{Purpose, Reconstructed};
use super::search::{Ahead, Search};
use super::stopwatch::Stopwatch;
use crate::error::{BoxError, Error, ErrorKind};
use crate::events::{Done, Ended, EventRange, EventSource, Limits, Progress, Replay};
use crate::key::AggregateKey;
use crate::manager::{Origin, Point, Provenance, Rejected, SnapshotUsed};
use crate::record::RejectReason;
use crate::snapshot_id::SnapshotId;
use crate::state::Aggregate;

impl From<Point> for Limits {
    fn from(point: Point) -> Self {
        match point {
            Point::Now => Self { until: SnapshotId::MAX_VERSION, until_time: None },
            Point::Time(time) => Self { until: SnapshotId::MAX_VERSION, until_time: Some(time) },
            Point::Version(version) => {
                Self { until: version.min(SnapshotId::MAX_VERSION), until_time: None }
            }
        }
    }
}

impl<A: Aggregate> EngineCore<A> {
    /// Loads the current state for a capture, through the cache if there is one.
    pub(super) async fn load_now(&self, key: &AggregateKey) -> Result<Reconstructed<A>, Error> {
        if self.cache.is_enabled() {
            self.load_cached(key, Purpose::Capture).await
        } else {
            self.reconstruct(key, Point::Now, Purpose::Capture).await
        }
    }

    /// Loads the state at `point` from the store, never from the cache. Returns it as the type that
    /// the caller needs, which avoids moving it for a conversion.
    pub(super) async fn reconstruct<T>(
        &self,
        key: &AggregateKey,
        point: Point,
        purpose: Purpose,
    ) -> Result<T, Error>
    where
        T: From<Reconstructed<A>>,
    {
        check_kind::<A>(key)?;
        if point == Point::Version(0) {
            return Ok(empty(key).into());
        }
        let limits = Limits::from(point);
        let mut watch = Stopwatch::start(&*self.clock);
        let mut search = Search::new(self, key, limits);
        loop {
            search.next(&mut watch).await?;
            let Some(candidate) = &mut search.candidate else {
                match Box::pin(self.replay(&mut search, limits, &mut watch)).await? {
                    Some(replayed) => {
                        self.loaded(&replayed, point, purpose);
                        return Ok(replayed.into());
                    }
                    None => continue,
                }
            };
            let version = candidate.progress.position.version;
            let (ahead, progress) = (search.ahead.take(), &mut candidate.progress);
            let resumed = resume(&*self.source, key, ahead, progress, limits, &mut watch).await?;
            match (resumed, search.candidate.take()) {
                (Ok(done), Some(candidate)) => {
                    let mut provenance = Provenance::new(Origin::Snapshot);
                    let is_compared = done.is_compared;
                    provenance.snapshot = Some(SnapshotUsed { is_compared, ..candidate.used });
                    provenance.rejected = search.rejected;
                    provenance.events_replayed = done.applied;
                    provenance.timings = watch.timings;
                    let progress = candidate.progress;
                    let key = key.clone();
                    let loaded = Reconstructed { key, progress, provenance, weight: None };
                    self.loaded(&loaded, point, purpose);
                    return Ok(loaded.into());
                }
                (Err(reject), _) => search.reject(version, reject),
                // Unreachable: the candidate was there before.
                (Ok(_), None) => {}
            }
        }
    }

    /// Folds all events, because no candidate is left. If the first events are gone, returns `None`
    /// as long as the search can continue: beyond its usual number of attempts, at or above the
    /// floor, or leniently.
    async fn replay(
        &self,
        search: &mut Search<'_, A>,
        limits: Limits,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Option<Reconstructed<A>>, Error> {
        let (ahead, rejected) = (search.ahead.take(), search.rejected.as_slice());
        match self.replay_limited(search.key, ahead, limits, watch, rejected).await {
            Ok(replayed) => Ok(Some(replayed)),
            Err(error) if error.kind() == ErrorKind::Unrecoverable => {
                match search.store_error.take() {
                    Some(_) if search.begin_insistently() => Ok(None),
                    // The snapshots may be usable, so the store's error is returned.
                    Some(store_error) => Err(store_error),
                    None if search.go_on() => Ok(None),
                    None if search.begin_again(floor(&*self.source, search.key).await?) => Ok(None),
                    None if search.begin_leniently() => Ok(None),
                    None => Err(error),
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Reports a load that failed for a caller.
    #[cold]
    pub(super) fn report_failed(&self, key: &AggregateKey, error: &Error) {
        self.report(&Observation::LoadFailed { key, error });
    }

    /// Learns from a load that did not come from the cache, and reports it.
    fn loaded(&self, loaded: &Reconstructed<A>, point: Point, purpose: Purpose) {
        if let Some(learning) = &self.learning
            && point == Point::Now
        {
            learning.loaded(&loaded.key, &loaded.provenance, purpose == Purpose::Answer);
        }
        self.report_loaded(loaded, purpose);
    }

    #[inline]
    pub(super) fn report_loaded(&self, loaded: &Reconstructed<A>, purpose: Purpose) {
        let Reconstructed { key, provenance, .. } = loaded;
        let version = loaded.version();
        self.report(&match purpose {
            Purpose::Answer => Observation::Loaded { key, version, provenance },
            Purpose::Capture => Observation::Captured { key, version, provenance },
        });
    }
}

/// Folds the events after a snapshot, or returns why the history does not allow that (R6).
pub(super) async fn resume<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    ahead: Option<Ahead<A>>,
    progress: &mut Progress<A>,
    limits: Limits,
    watch: &mut Stopwatch<'_>,
) -> Result<Result<Done, RejectReason>, Error> {
    let mut replay = Replay::new(progress, limits, watch.clock());
    let done = read(source, key, ahead, &mut replay, watch).await?;
    if done.ended == Ended::Whole {
        return Ok(Ok(done));
    }
    // Boxed like all rare paths, because every load allocates the full size of its future.
    Box::pin(disagreed(source, key, progress, done, limits, watch)).await
}

/// Decides whether a snapshot that the history does not fully contain is resumed or rejected (R6).
async fn disagreed<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    progress: &mut Progress<A>,
    done: Done,
    limits: Limits,
    watch: &mut Stopwatch<'_>,
) -> Result<Result<Done, RejectReason>, Error> {
    let version = progress.position.version;
    let missing = match done.ended {
        Ended::Whole => return Ok(Ok(done)),
        Ended::Diverged => return Ok(Err(RejectReason::Diverged)),
        Ended::Untimed => return Err(untimed(key, version)),
        Ended::Truncated { floor } => return Ok(Err(RejectReason::BelowFloor { floor })),
        // The event at the snapshot's version is missing: it was truncated or lost.
        Ended::Nothing => None,
        Ended::Broken { expected, found } => Some((expected, found)),
    };
    let floor = floor(source, key).await?;
    if floor > version {
        return Ok(Err(RejectReason::BelowFloor { floor }));
    }
    match missing {
        None if floor < version => return Ok(Err(RejectReason::Ahead)),
        Some((expected, found)) if floor < version || expected > version => {
            return Err(broken(key, expected, found));
        }
        _ => {}
    }
    // The events are truncated up to the snapshot's version, so nothing is left to compare it with.
    let mut replay = Replay::new(progress, limits, watch.clock()).without_overlap();
    let done = read(source, key, None, &mut replay, watch).await?;
    let is_gap = matches!(done.ended, Ended::Broken { .. });
    if is_gap || (done.applied == 0 && version < limits.until) {
        // The following events may have been truncated after the floor was read.
        let floor = self::floor(source, key).await?;
        if floor > progress.position.version {
            return Ok(Err(RejectReason::BelowFloor { floor }));
        }
    }
    match done.ended {
        Ended::Broken { expected, found } => Err(broken(key, expected, found)),
        Ended::Untimed => Err(untimed(key, progress.position.version)),
        Ended::Whole | Ended::Nothing | Ended::Diverged | Ended::Truncated { .. } => Ok(Ok(done)),
    }
}

/// Folds all events from the beginning.
pub(super) async fn from_start<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    ahead: Option<Ahead<A>>,
    limits: Limits,
    watch: &mut Stopwatch<'_>,
    rejected: &[Rejected],
) -> Result<Reconstructed<A>, Error> {
    let mut progress = Progress::start(key);
    let mut replay = Replay::new(&mut progress, limits, watch.clock());
    let done = read(source, key, ahead, &mut replay, watch).await?;
    from_start_to(source, key, progress, done, watch, rejected).await
}

/// Returns the result of a fold from the beginning that ended as `done`.
pub(super) async fn from_start_to<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    progress: Progress<A>,
    done: Done,
    watch: &Stopwatch<'_>,
    rejected: &[Rejected],
) -> Result<Reconstructed<A>, Error> {
    let broken = match done.ended {
        Ended::Truncated { floor } => return Err(unrecoverable(key, floor, rejected)),
        Ended::Untimed => return Err(untimed(key, progress.position.version)),
        Ended::Whole | Ended::Nothing | Ended::Diverged => None,
        Ended::Broken { expected, found } => Some((expected, found)),
    };
    // There is no event, or one is missing. It may have been truncated.
    let version = progress.position.version;
    if broken.is_some() || (version == 0 && done.ended != Ended::Whole) {
        let floor = floor(source, key).await?;
        if floor > version {
            return Err(unrecoverable(key, floor, rejected));
        }
    }
    if let Some((expected, found)) = broken {
        return Err(self::broken(key, expected, found));
    }
    let mut provenance = Provenance::new(Origin::Replay);
    provenance.rejected = rejected.to_vec();
    provenance.events_replayed = done.applied;
    provenance.timings = watch.timings;
    Ok(Reconstructed { key: key.clone(), progress, provenance, weight: None })
}

/// Reads the events that `replay` needs, first those that were fetched ahead, and measures the
/// time.
async fn read<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    ahead: Option<Ahead<A>>,
    replay: &mut Replay<'_, A>,
    watch: &mut Stopwatch<'_>,
) -> Result<Done, Error> {
    let started_at = replay.version();
    let missing = match ahead {
        None => Some(replay.range()),
        Some(ahead) => replay_ahead(ahead, replay)
            .map_err(|source| Error::event_source("read events", source))?,
    };
    let mut done = None;
    if let Some(range) = missing {
        let is_continued = replay.version() > started_at;
        read_range(source, key, range, replay).await?;
        if is_continued {
            done = Some(Box::pin(finish_continued(source, key, replay)).await?);
        }
    }
    let done = done.unwrap_or_else(|| replay.finish());
    watch.replayed(done.first_applied_at);
    Ok(done)
}

/// Reads the events of `range`, which are the last ones that `replay` needs.
pub(super) async fn read_range<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    range: EventRange,
    replay: &mut Replay<'_, A>,
) -> Result<(), Error> {
    let read = source.read(key, range, replay).await;
    read.map_err(|source| Error::event_source("read events", source))?;
    if ends_early(range, replay) {
        Box::pin(read_up_to_head(source, key, replay)).await?;
    }
    Ok(())
}

/// Finishes a replay whose events came from two reads. Those that were truncated in between are
/// missing, perhaps at the end, where nothing else shows it.
pub(super) async fn finish_continued<A: Aggregate>(
    source: &dyn EventSource<A>,
    key: &AggregateKey,
    replay: &mut Replay<'_, A>,
) -> Result<Done, Error> {
    if replay.is_open() {
        ends_truncated(source, key, replay).await?;
    }
    Ok(replay.finish())
}

/// Replays the events that were fetched ahead, if they begin where `replay` does. Returns the range
/// that is still to be read, if any.
pub(super) fn replay_ahead<A: Aggregate>(
    ahead: Ahead<A>,
    replay: &mut Replay<'_, A>,
) -> Result<Option<EventRange>, BoxError> {
    let mut range = replay.range();
    if ahead.after != range.after {
        return Ok(Some(range));
    }
    let until = ahead.tail.until();
    ahead.tail.replay(replay)?;
    range.after = range.after.max(until);
    Ok((until < range.until && replay.is_running()).then_some(range))
}

/// Returns the empty state, which is version 0 of every aggregate.
pub(super) fn empty<A: Aggregate>(key: &AggregateKey) -> Reconstructed<A> {
    Reconstructed {
        key: key.clone(),
        progress: Progress::start(key),
        provenance: Provenance::new(Origin::Replay),
        weight: None,
    }
}

/// The advice in the error for a load beyond the head.
pub(super) const LATEST_KNOWN: &str = "call latest_known() to load the newest state instead";

/// Returns an error if the state is below the requested version (R8). `instead` is the advice in
/// its message.
pub(super) fn reached<A>(
    loaded: Reconstructed<A>,
    version: u64,
    instead: &str,
) -> Result<Reconstructed<A>, Error> {
    let head = loaded.version();
    if head == version {
        return Ok(loaded);
    }
    Err(Error::new(
        ErrorKind::BeyondHead,
        "load a version",
        format!(
            "the newest version of {} is {head}, so version {version} does not exist yet: \
             {instead}",
            loaded.key
        ),
    ))
}

fn broken(key: &AggregateKey, expected: u64, found: u64) -> Error {
    let what = if found < expected { "a duplicate or an event out of order" } else { "a gap" };
    Error::new(
        ErrorKind::BrokenHistory,
        "fold events",
        format!(
            "the event source yielded version {found} instead of {expected} for {key} ({what}): \
             check that it yields events in version order and treats `after` as exclusive"
        ),
    )
}

fn untimed(key: &AggregateKey, version: u64) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "load a point in time",
        format!(
            "the event source has no recorded time for event {} of {key}: load a version instead, \
             or store the times of events",
            version.saturating_add(1)
        ),
    )
}

fn unrecoverable(key: &AggregateKey, floor: u64, rejected: &[Rejected]) -> Error {
    let mut message = format!(
        "the events of {key} up to version {floor} are gone, and no usable snapshot replaces \
         them: restore the events or a snapshot"
    );
    for rejected in rejected {
        message.push_str("; ");
        message.push_str(&rejected.to_string());
    }
    Error::new(ErrorKind::Unrecoverable, "load", message)
}
