//! [`Flights`]: the groups that are written and not yet visible.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::backend::file::format::tag::Tag;

/// What tells a snapshot from all others of a store: aggregate, generation, version.
pub(crate) type Identity = (Tag, u32, u64);

/// The snapshots that a group puts, each with the number of its frame.
pub(crate) type Fresh = HashMap<Identity, usize>;

/// The groups that are written and not yet visible.
///
/// While one is synced, the next can be written; `Core::log` waits until there are none, so only
/// the way of a group through `Core::begin` and `Core::land` has to know of them.
#[derive(Default)]
pub(crate) struct Flights {
    groups: Mutex<Vec<Arc<Fresh>>>,
    landed: Condvar,
    turn: Mutex<()>,
}

/// The right to sync, which one group has at a time.
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

    /// To be called while the lock of the log is held.
    pub(crate) fn add(&self, group: Arc<Fresh>) {
        self.groups().push(group);
    }

    /// Wakes whoever waits for there to be none.
    pub(crate) fn remove(&self, group: &Arc<Fresh>) {
        self.groups().retain(|one| !Arc::ptr_eq(one, group));
        self.landed.notify_all();
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
