//! [`Maintenance`]: whose turn it is to maintain a store, and what the keeper is told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

/// The turn to maintain a store, and a note that there may be something to do in the background.
#[derive(Default)]
pub(crate) struct Maintenance {
    /// Held by whoever moves or removes segments, or needs them to stay.
    turn: Mutex<()>,
    /// How many wait for `turn`.
    waiting: AtomicUsize,
    due: AtomicBool,
    keeper: OnceLock<Thread>,
}

impl Maintenance {
    /// Waits for its turn, which the keeper gives up for anybody else: it may be at rest.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.wake();
        let guard = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        guard
    }

    /// Whether somebody waits for a [`turn`](Self::turn).
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Names the thread of the keeper.
    pub(crate) fn listen(&self, keeper: Thread) {
        let _ = self.keeper.set(keeper);
    }

    /// Leaves a note for the keeper; cheap.
    pub(crate) fn note(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// Wakes the keeper if there is a note.
    pub(crate) fn deliver(&self) {
        if self.due.load(Ordering::Relaxed) && self.due.swap(false, Ordering::Relaxed) {
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(keeper) = self.keeper.get() {
            keeper.unpark();
        }
    }
}
