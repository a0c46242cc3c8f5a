//! [`Flight`]: a group that is written and not yet visible; [`Flights`]: all of them.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::{mem, thread};

use super::append::Written;
use super::group::Committed;
use super::plan::{Fresh, Identity, Plan};
use crate::backend::file::core::Core;

/// The groups that are written and not yet visible.
///
/// While one is synced, the next can be written; [`Core::log`] waits until there are none, so only
/// the way of a group through [`Core::begin`] and [`Core::land`] has to know of them.
#[derive(Default)]
pub(crate) struct Flights {
    groups: Mutex<Vec<Arc<Fresh>>>,
    landed: Condvar,
    turn: Mutex<()>,
}

/// The right to sync, which one group has at a time.
pub(crate) type Turn<'a> = MutexGuard<'a, ()>;

impl Flights {
    pub(super) fn is_empty(&self) -> bool {
        self.groups().is_empty()
    }

    pub(super) fn any_puts(&self, mut identities: impl Iterator<Item = Identity>) -> bool {
        let groups = self.groups();
        !groups.is_empty()
            && identities.any(|identity| groups.iter().any(|group| group.contains_key(&identity)))
    }

    /// Waits until there are none.
    pub(crate) fn wait(&self) {
        let mut groups = self.groups();
        while !groups.is_empty() {
            groups = self.landed.wait(groups).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until no other group is synced.
    pub(crate) fn turn(&self) -> Turn<'_> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // What the lock guards is whole between any two statements.
    fn groups(&self) -> MutexGuard<'_, Vec<Arc<Fresh>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A group that is written and not yet visible.
pub(crate) struct Flight<'a> {
    core: &'a Core,
    plan: Plan,
    written: Written,
    fresh: Arc<Fresh>,
}

impl<'a> Flight<'a> {
    /// To be called while the lock of the log is held.
    pub(super) fn new(core: &'a Core, mut plan: Plan, written: Written) -> Self {
        let fresh = Arc::new(mem::take(&mut plan.fresh));
        core.flights.groups().push(Arc::clone(&fresh));
        Self { core, plan, written, fresh }
    }

    /// The bytes it takes in the log.
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
            self.core.poison("writing panicked".into());
        }
        let flights = &self.core.flights;
        flights.groups().retain(|group| !Arc::ptr_eq(group, &self.fresh));
        flights.landed.notify_all();
    }
}
