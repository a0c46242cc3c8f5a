//! Ways to hold a future up: a gate that a test opens, and a number of turns.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

/// Who comes while it is closed waits until it is opened.
#[derive(Clone, Default)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    closed: bool,
    waiting: usize,
    /// How many more may pass although it is closed.
    passes: usize,
    wakers: Vec<Waker>,
}

impl Gate {
    pub fn close(&self) {
        self.0.lock().unwrap().closed = true;
    }

    pub fn open(&self) {
        let mut state = self.0.lock().unwrap();
        state.closed = false;
        for waker in state.wakers.drain(..) {
            waker.wake();
        }
    }

    /// The next `times` that come pass although it is closed.
    #[cfg(feature = "cache")]
    pub fn let_pass(&self, times: usize) {
        self.0.lock().unwrap().passes = times;
    }

    /// How many wait before it.
    pub fn waiting(&self) -> usize {
        self.0.lock().unwrap().waiting
    }

    pub async fn pass(&self) {
        {
            let mut state = self.0.lock().unwrap();
            if state.closed && state.passes > 0 {
                state.passes -= 1;
                return;
            }
        }
        let _waiting = Waiting::enter(self);
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap();
            if state.closed {
                state.wakers.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(())
        })
        .await;
    }
}

struct Waiting<'a>(&'a Gate);

impl<'a> Waiting<'a> {
    fn enter(gate: &'a Gate) -> Self {
        gate.0.lock().unwrap().waiting += 1;
        Self(gate)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().waiting -= 1;
    }
}

/// Makes everything that passes be pending so many times first.
#[derive(Clone, Default)]
pub struct Yields(Arc<AtomicUsize>);

impl Yields {
    pub fn set(&self, times: usize) {
        self.0.store(times, Ordering::SeqCst);
    }

    pub async fn pass(&self) {
        let mut left = self.0.load(Ordering::SeqCst);
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }
}
