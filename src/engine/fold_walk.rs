//! [`FoldWalk`]: visits several versions of an aggregate in one fold.

use std::sync::Arc;

use super::core::EngineCore;
use super::load::resume;
use super::stopwatch::Stopwatch;
use crate::error::{Error, ErrorKind, Retry};
use crate::events::{Limits, Position, Progress};
use crate::key::AggregateKey;
use crate::manager::Timings;
use crate::record::RejectReason;
use crate::state::Aggregate;

/// The number of events after which [`FoldWalk::advance_gently`] lets other tasks run.
const STEP: u64 = 2_048;

/// A fold that stops at several versions, one after the other.
pub(super) struct FoldWalk<'a, A: Aggregate> {
    core: &'a EngineCore<A>,
    key: &'a AggregateKey,
    progress: Progress<A>,
}

/// What one step of a walk took.
#[derive(Default)]
pub(super) struct FoldStep {
    pub(super) events: u64,
    pub(super) timings: Timings,
}

impl<'a, A: Aggregate> FoldWalk<'a, A> {
    /// Begins at a state that was loaded.
    pub(super) const fn new(
        core: &'a EngineCore<A>,
        key: &'a AggregateKey,
        progress: Progress<A>,
    ) -> Self {
        Self { core, key, progress }
    }

    pub(super) const fn state(&self) -> &Arc<A> {
        &self.progress.state
    }

    pub(super) const fn position(&self) -> &Position {
        &self.progress.position
    }

    /// Folds the events up to `version` (inclusive), or all if there are fewer. The event at the
    /// current version is read again and compared.
    pub(super) async fn advance(&mut self, version: u64) -> Result<FoldStep, Error> {
        if version <= self.progress.position.version {
            return Ok(FoldStep::default());
        }
        let mut watch = Stopwatch::start(&*self.core.clock);
        let limits = Limits { until: version, until_time: None };
        let (source, key) = (&*self.core.source, self.key);
        match resume(source, key, None, &mut self.progress, limits, &mut watch).await? {
            Ok(done) => Ok(FoldStep { events: done.applied, timings: watch.timings }),
            Err(reject) => Err(self.changed(&reject)),
        }
    }

    /// Folds as [`advance`](Self::advance) does, in steps between which other tasks of the runtime
    /// run.
    pub(super) async fn advance_gently(&mut self, version: u64) -> Result<(), Error> {
        loop {
            let before = self.progress.position.version;
            self.advance(version.min(before.saturating_add(STEP))).await?;
            let now = self.progress.position.version;
            if now >= version || now == before {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    fn changed(&self, reject: &RejectReason) -> Error {
        let Self { key, .. } = self;
        let message = format!(
            "the events of {key} changed while they were folded, or were truncated ({reject}): try \
             again"
        );
        Error::new(ErrorKind::BrokenHistory, "fold events", message).with_retry(Retry::Later)
    }
}
