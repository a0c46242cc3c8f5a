//! [`Maintenance`]: the maintenance lock of a store, and the signal to its background thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

/// The maintenance lock, and a flag that there may be background work.
#[derive(Default)]
pub(crate) struct Maintenance {
    /// Held by tasks that move or remove segments, or that need segments to stay.
    turn: Mutex<()>,
    /// The number of threads that wait for `turn`.
    waiting: AtomicUsize,
    due: AtomicBool,
    keeper: OnceLock<Thread>,
}

impl Maintenance {
    /// Waits for the maintenance lock. The keeper, which may be pausing with the lock held, is
    /// woken so that it releases the lock.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.wake();
        let guard = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        guard
    }

    /// Returns whether a thread is waiting for [`turn`](Self::turn).
    pub(crate) fn is_waited_for(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
    }

    /// Registers the thread of the keeper.
    pub(crate) fn listen(&self, keeper: Thread) {
        let _ = self.keeper.set(keeper);
    }

    /// Sets the flag for the keeper. This is cheap.
    pub(crate) fn note(&self) {
        self.due.store(true, Ordering::Relaxed);
    }

    /// Wakes the keeper if the flag is set.
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
