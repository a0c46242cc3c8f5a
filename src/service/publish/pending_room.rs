//! [`PendingRoom`]: how many publications may be begun before they are counted again.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// For how long a count is used.
const USED_FOR: Duration = Duration::from_secs(60);
/// The number of projects whose counts are remembered.
const MAX_PROJECTS: usize = 1_024;

/// Remembers the room of each project below its limit. Counting reads all that is pending, so this
/// process uses a half of the room that it finds before it counts again.
#[derive(Debug, Default)]
pub(super) struct PendingRoom {
    rooms: Mutex<HashMap<String, CountedRoom>>,
}

#[derive(Clone, Copy, Debug)]
struct CountedRoom {
    left: usize,
    /// By the monotonic clock (exclusive).
    until: Duration,
}

impl PendingRoom {
    /// Takes a place of a project, if there is one without counting.
    pub(super) fn take(&self, project: &str, now: Duration) -> bool {
        let mut rooms = self.rooms();
        let room = rooms.get_mut(project).filter(|room| room.left > 0 && now < room.until);
        room.map(|room| room.left -= 1).is_some()
    }

    /// Remembers that a project was found to have `room` places, of which one is taken now.
    pub(super) fn counted(&self, project: &str, room: usize, now: Duration) {
        let mut rooms = self.rooms();
        if rooms.len() >= MAX_PROJECTS {
            rooms.clear();
        }
        let counted = CountedRoom { left: room / 2, until: now.saturating_add(USED_FOR) };
        rooms.insert(project.to_owned(), counted);
    }

    // No change is interrupted by code that can panic.
    fn rooms(&self) -> MutexGuard<'_, HashMap<String, CountedRoom>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
