//! [`Flights`]: the groups that are written but not yet visible.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::backend::file::format::tag::Tag;

/// Identifies a snapshot within a store: aggregate, generation, version.
pub(crate) type Identity = (Tag, u32, u64);

/// The snapshots that a group puts, each with the number of its frame.
pub(crate) type Fresh = HashMap<Identity, usize>;

/// The groups that are written but not yet visible.
///
/// While one group is synced, the next one can be written. `Core::log` waits until there are no
/// such groups, so only the code between `Core::begin` and `Core::land` has to handle them.
#[derive(Default)]
pub(crate) struct Flights {
    groups: Mutex<Vec<Arc<Fresh>>>,
    landed: Condvar,
    turn: Mutex<()>,
}

/// The right to sync, which only one group holds at a time.
pub(crate) type Turn<'a> = MutexGuard<'a, ()>;

impl Flights {
    pub(crate) fn is_empty(&self) -> bool {
        self.groups().is_empty()
    }

    pub(crate) fn any_puts(&self, mut identities: impl Iterator<Item = Identity>) -> bool {
        let groups = self.groups();
        !groups.is_empty()
            && identities.any(|identity| groups.iter().any(|group| group.contains_key(&identity)))
    }

    /// Adds a group. The caller must hold the lock of the log.
    pub(crate) fn add(&self, group: Arc<Fresh>) {
        self.groups().push(group);
    }

    /// Removes a group and wakes the callers of [`wait`](Self::wait).
    pub(crate) fn remove(&self, group: &Arc<Fresh>) {
        self.groups().retain(|one| !Arc::ptr_eq(one, group));
        self.landed.notify_all();
    }

    /// Waits until there are no groups.
    pub(crate) fn wait(&self) {
        let mut groups = self.groups();
        while !groups.is_empty() {
            groups = self.landed.wait(groups).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until no other group is being synced.
    pub(crate) fn turn(&self) -> Turn<'_> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // The guarded value is consistent between any two statements.
    fn groups(&self) -> MutexGuard<'_, Vec<Arc<Fresh>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
