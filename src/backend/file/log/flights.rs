//! [`Flights`]: the groups that are written and not yet visible.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::plan::{Fresh, Identity};

/// The groups that are written and not yet visible.
///
/// While one is synced, the next can be written; `Core::log` waits until there are none, so only
/// the way of a group through `Core::begin` and `Core::land` has to know of them.
#[derive(Default)]
pub(crate) struct Flights {
    groups: Mutex<Vec<Arc<Fresh>>>,
    pub(super) landed: Condvar,
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
    pub(super) fn groups(&self) -> MutexGuard<'_, Vec<Arc<Fresh>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
