//! [`Chores`]: tells the keeper that there may be something to do.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Thread;

/// A note that there may be something to do in the background.
#[derive(Default)]
pub(crate) struct Chores {
    due: AtomicBool,
    keeper: OnceLock<Thread>,
}

impl Chores {
    pub(crate) fn listen(&self, keeper: Thread) {
        let _ = self.keeper.set(keeper);
    }

    /// Leaves a note; cheap.
    pub(crate) fn note(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// Wakes the keeper.
    pub(crate) fn wake(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }

    /// Wakes the keeper if there is a note.
    pub(crate) fn deliver(&self) {
        if self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed) {
            self.wake();
        }
    }
}
