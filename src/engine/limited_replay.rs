//! Full replays within the limits.

use super::core::EngineCore;
use super::head::{ends_early, read_up_to_head};
use super::load::{finish_continued, from_start, from_start_to, read_range, replay_ahead};
use super::reconstructed::Reconstructed;
use super::search::Ahead;
use super::stopwatch::Stopwatch;
use crate::error::Error;
use crate::events::{EventRange, Limits, Progress, Replay};
use crate::key::AggregateKey;
use crate::manager::Rejected;
use crate::state::Aggregate;

/// While all replays are taken, a load reads this many events before it waits, so that aggregates
/// with short histories are not delayed.
pub(super) const FREE_EVENTS: u64 = 1_000;

impl<A: Aggregate> EngineCore<A> {
    /// Folds all events from the beginning as [`from_start`] does, once the limits allow it.
    pub(super) async fn replay_limited(
        &self,
        key: &AggregateKey,
        ahead: Option<Ahead<A>>,
        limits: Limits,
        watch: &mut Stopwatch<'_>,
        rejected: &[Rejected],
    ) -> Result<Reconstructed<A>, Error> {
        let permit = match self.try_replay() {
            Some(permit) => permit,
            // A rejected snapshot suggests a long history, and so does a store that failed.
            None if !rejected.is_empty() => self.wait_for_replay(key).await?,
            None => return self.replay_contended(key, ahead, limits, watch).await,
        };
        let replayed = from_start(&*self.source, key, ahead, limits, watch, rejected).await;
        drop(permit);
        replayed
    }

    /// Folds all events of an aggregate without snapshots while all replays are taken. Waits only
    /// if the history is long.
    async fn replay_contended(
        &self,
        key: &AggregateKey,
        ahead: Option<Ahead<A>>,
        limits: Limits,
        watch: &mut Stopwatch<'_>,
    ) -> Result<Reconstructed<A>, Error> {
        let source = &*self.source;
        let mut progress = Progress::start(key);
        let mut replay = Replay::new(&mut progress, limits, watch.clock());
        let done = match self.replay_freely(key, ahead, &mut replay).await? {
            None => replay.finish(),
            Some(range) => {
                let _permit = self.wait_for_replay(key).await?;
                read_range(source, key, range, &mut replay).await?;
                finish_continued(source, key, &mut replay).await?
            }
        };
        watch.replayed(done.first_applied_at);
        from_start_to(source, key, progress, done, watch, &[]).await
    }

    /// Replays the events that were fetched already, or else the first ones. Returns the range of
    /// the others, or `None` if there are none.
    async fn replay_freely(
        &self,
        key: &AggregateKey,
        ahead: Option<Ahead<A>>,
        replay: &mut Replay<'_, A>,
    ) -> Result<Option<EventRange>, Error> {
        let failed = |source| Error::event_source("read events", source);
        if let Some(ahead) = ahead {
            return replay_ahead(ahead, replay).map_err(failed);
        }
        let range = replay.range();
        let page = EventRange::new(range.after, range.until.min(FREE_EVENTS));
        self.source.read(key, page, replay).await.map_err(failed)?;
        if replay.is_running() && replay.version() >= page.until {
            return Ok(Some(replay.range()));
        }
        if ends_early(range, replay) {
            Box::pin(read_up_to_head(&*self.source, key, replay)).await?;
        }
        Ok(None)
    }
}
