//! [`Flight`]: a group that is written but not yet visible.

use std::sync::Arc;
use std::{mem, thread};

use super::append::Written;
use super::plan::{Plan, Planned};
use super::work::Answer;
use crate::backend::file::core::Core;
use crate::backend::file::core::flights::{Fresh, Turn};
use crate::error::Error;

/// The result of a group.
pub(crate) struct Committed {
    /// One answer for each work item.
    pub(crate) answers: Vec<Result<Answer, Error>>,
    /// Freed together with this value. Freeing takes time, so answer all callers first.
    pub(super) _spent: Vec<Planned>,
}

/// A group that is written but not yet visible.
pub(crate) struct Flight<'a> {
    core: &'a Core,
    plan: Plan,
    written: Written,
    fresh: Arc<Fresh>,
}

impl<'a> Flight<'a> {
    /// Creates the flight. The caller must hold the lock of the log.
    pub(super) fn new(core: &'a Core, mut plan: Plan, written: Written) -> Self {
        let fresh = Arc::new(mem::take(&mut plan.fresh));
        core.flights.add(Arc::clone(&fresh));
        Self { core, plan, written, fresh }
    }

    /// Returns the number of bytes that the group takes in the log.
    pub(super) fn bytes(&self) -> u64 {
        self.plan.bytes()
    }

    /// Syncs the group and makes it visible.
    pub(crate) fn land(mut self, turn: Turn<'_>) -> Committed {
        let synced = self.core.sync(&self.written);
        drop(turn);
        match synced {
            Ok(()) => self.core.publish(&mut self.plan, &self.written),
            Err(error) => self.plan.fail(&error),
        }
        let Plan { answers, frames, .. } = &mut self.plan;
        Committed { answers: mem::take(answers), _spent: mem::take(frames) }
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.core.health.poison("writing panicked".into());
        }
        self.core.flights.remove(&self.fresh);
    }
}
