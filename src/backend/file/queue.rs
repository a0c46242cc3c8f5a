//! [`Queue`]: group commit. Many callers queue work; one of them, or a thread of the store, writes
//! all of it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::core::Core;
use super::log::{Answer, Work};
use crate::error::{Error, ErrorKind, Retry};

type Outcome = Result<Answer, Error>;

/// A group takes no more bytes than this, unless its first work alone does.
const GROUP_BYTES: u64 = 4 << 20;

/// The work that waits to be written, and who writes it.
///
/// At most one caller leads at any time: it takes a group off the queue, writes it, syncs, and
/// answers everyone in the group. If the group is large it hands the lead over before the sync, so
/// that the next one is taken and written meanwhile; else when its own work is done. The lead goes
/// to a waiting thread, or to a thread of the store's own if only tasks wait.
pub(super) struct Queue {
    state: Mutex<State>,
    /// For the store's own threads.
    called: Condvar,
}

struct State {
    waiting: VecDeque<Request>,
    led: bool,
    /// One of the store's own threads is to take the lead, which is held for it.
    called: bool,
    stopped: bool,
    /// How many works the last group had: as many may be about to come again.
    last_group: usize,
}

struct Request {
    work: Work,
    bytes: u64,
    reply: Reply,
}

enum Reply {
    Thread(Arc<Waiter>),
    Task(oneshot::Sender<Outcome>),
}

/// A thread that waits for its answer, or for the lead.
struct Waiter {
    signal: Mutex<Option<Signal>>,
    thread: Thread,
}

enum Signal {
    Lead,
    Done(Outcome),
}

impl Waiter {
    fn send(&self, signal: Signal) {
        *self.signal.lock().unwrap_or_else(PoisonError::into_inner) = Some(signal);
        self.thread.unpark();
    }

    fn take(&self) -> Option<Signal> {
        self.signal.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Queue {
    pub(super) const fn new() -> Self {
        let state = State {
            waiting: VecDeque::new(),
            led: false,
            called: false,
            stopped: false,
            last_group: 0,
        };
        Self { state: Mutex::new(state), called: Condvar::new() }
    }

    /// Writes `work` and waits for it. Blocks.
    pub(super) fn write(&self, core: &Core, work: Work) -> Outcome {
        let waiter = Arc::new(Waiter { signal: Mutex::new(None), thread: thread::current() });
        let mut state = self.state();
        let bytes = work.bytes();
        state.waiting.push_back(Request { work, bytes, reply: Reply::Thread(Arc::clone(&waiter)) });
        let mut leads = !std::mem::replace(&mut state.led, true);
        drop(state);
        loop {
            match waiter.take() {
                Some(Signal::Done(outcome)) => {
                    if leads {
                        self.hand_over();
                    }
                    return outcome;
                }
                Some(Signal::Lead) => leads = true,
                None if leads => leads = self.lead(core),
                None => thread::park(),
            }
        }
    }

    /// Queues `work` without waiting. [`start`](Self::start) has to be called some time after.
    /// Returns where the answer comes, and whether someone is writing already.
    pub(super) fn submit(&self, work: Work) -> (oneshot::Receiver<Outcome>, bool) {
        let (sender, receiver) = oneshot::channel();
        let bytes = work.bytes();
        let mut state = self.state();
        state.waiting.push_back(Request { work, bytes, reply: Reply::Task(sender) });
        (receiver, state.led)
    }

    /// Sees to it that what is queued gets written.
    pub(super) fn start(&self) {
        let mut state = self.state();
        if !state.led && !state.waiting.is_empty() {
            state.led = true;
            state.called = true;
            drop(state);
            self.called.notify_one();
        }
    }

    /// One of the store's own threads: leads when called, until stopped and nothing is left.
    pub(super) fn run(&self, core: &Core) {
        let mut state = self.state();
        loop {
            if state.called {
                state.called = false;
                drop(state);
                if self.lead_all(core) {
                    self.hand_over();
                }
                state = self.state();
            } else if state.stopped && state.waiting.is_empty() {
                return;
            } else if state.stopped && !state.led {
                state.led = true;
                state.called = true;
            } else {
                state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Makes [`run`](Self::run) return once all is written.
    pub(super) fn stop(&self) {
        self.state().stopped = true;
        self.called.notify_all();
    }

    /// Leads until nobody waits. Returns whether the lead is still held.
    fn lead_all(&self, core: &Core) -> bool {
        loop {
            if !self.lead(core) {
                return false;
            }
            if self.state().waiting.is_empty() {
                return true;
            }
        }
    }

    /// Writes one group. Returns whether the lead is still held.
    fn lead(&self, core: &Core) -> bool {
        let group = self.take_group();
        let replies = Vec::with_capacity(group.len());
        let mut guard = Panicking { queue: self, core, replies, leads: true };
        let mut works = Vec::with_capacity(group.len());
        for request in group {
            works.push(request.work);
            guard.replies.push(request.reply);
        }
        let leads = &mut guard.leads;
        let mut committed = core.commit(works, || {
            *leads = false;
            self.hand_over();
        });
        let leads = guard.leads;
        let replies = std::mem::take(&mut guard.replies);
        drop(guard);
        for (reply, outcome) in replies.into_iter().zip(committed.answers.drain(..)) {
            reply.send(outcome);
        }
        drop(committed);
        core.chores.deliver();
        leads
    }

    fn take_group(&self) -> Vec<Request> {
        let mut state = self.state();
        // Those of the last group tend to come again together: a little patience saves a sync.
        if state.last_group > 1 && state.waiting.len() < state.last_group {
            let expected = state.last_group;
            let until = Instant::now() + LINGER;
            while state.waiting.len() < expected && Instant::now() < until {
                drop(state);
                thread::yield_now();
                state = self.state();
            }
        }
        let mut bytes = 0;
        let mut group = Vec::new();
        while let Some(first) = state.waiting.front() {
            if bytes > 0 && bytes + first.bytes > GROUP_BYTES {
                break;
            }
            bytes += first.bytes;
            group.extend(state.waiting.pop_front());
        }
        state.last_group = group.len();
        group
    }

    /// Gives up the lead: to a thread that waits, else to one of the store's own, else to nobody.
    fn hand_over(&self) {
        let mut state = self.state();
        if state.waiting.is_empty() {
            self.lay_down(state);
            return;
        }
        let waiter = state.waiting.iter().find_map(|request| match &request.reply {
            Reply::Thread(waiter) => Some(Arc::clone(waiter)),
            Reply::Task(_) => None,
        });
        if let Some(waiter) = waiter {
            drop(state);
            waiter.send(Signal::Lead);
        } else {
            state.called = true;
            drop(state);
            self.called.notify_one();
        }
    }

    /// Gives up the lead to nobody.
    fn lay_down(&self, mut state: MutexGuard<'_, State>) {
        state.led = false;
        if state.stopped {
            // Those of the store's own threads that saw somebody lead have waited for this.
            drop(state);
            self.called.notify_all();
        }
    }

    // What the lock guards is whole between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a leader waits for those it expects.
const LINGER: Duration = Duration::from_micros(50);

impl Reply {
    fn send(self, outcome: Outcome) {
        match self {
            Self::Thread(waiter) => waiter.send(Signal::Done(outcome)),
            // Nobody listens any more if the caller gave up; what was written stays written.
            Self::Task(sender) => drop(sender.send(outcome)),
        }
    }
}

/// Answers the group if writing panics, and everyone else whom nobody would: nobody waits for ever.
struct Panicking<'a> {
    queue: &'a Queue,
    core: &'a Core,
    replies: Vec<Reply>,
    leads: bool,
}

impl Drop for Panicking<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        self.core.poison("writing panicked".into());
        let mut waiting = VecDeque::new();
        // If another leads by now, or was told to, it answers those who wait: what is written after
        // this fails.
        if self.leads {
            let mut state = self.queue.state();
            std::mem::swap(&mut state.waiting, &mut waiting);
            self.queue.lay_down(state);
        }
        let others = waiting.into_iter().map(|request| request.reply);
        for reply in self.replies.drain(..).chain(others) {
            let error = Error::new(ErrorKind::Poisoned, "write to the log", "writing panicked");
            reply.send(Err(error.with_retry(Retry::Unknown)));
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.state().waiting.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    //! A lead that is lost, or a thread that nobody wakes, is a store that hangs: a put that never
    //! returns, or the drop of the last handle.

    use std::sync::Barrier;

    use super::super::disk::sim::SimDisk;
    use super::super::samples::{core, put};
    use super::*;

    #[test]
    fn a_thread_that_waits_for_the_last_group_of_another_is_told_when_nothing_is_left() {
        let core = core(&SimDisk::new(1));
        for version in 1..200 {
            let queue = Queue::new();
            // This thread leads, and work waits.
            queue.state().led = true;
            let (mut answer, led) = queue.submit(put(&core, version));
            assert!(led);
            queue.stop();
            let started = Barrier::new(2);
            thread::scope(|scope| {
                scope.spawn(|| {
                    started.wait();
                    queue.run(&core);
                });
                started.wait();
                assert!(queue.lead(&core));
                queue.hand_over();
            });
            answer.try_recv().unwrap().unwrap();
        }
    }

    #[test]
    fn a_group_that_panics_after_it_handed_over_leaves_the_lead_to_whom_it_gave_it() {
        for _ in 0..100 {
            let (core, queue) = (core(&SimDisk::new(1)), Queue::new());
            queue.state().led = true;
            let work = put(&core, 1);
            thread::scope(|scope| {
                let waits = scope.spawn(|| queue.write(&core, work));
                while queue.state().waiting.is_empty() {
                    thread::yield_now();
                }
                let panics = scope.spawn(|| {
                    let (queue, core) = (&queue, &core);
                    let _guard = Panicking { queue, core, replies: Vec::new(), leads: false };
                    queue.hand_over();
                    std::panic::resume_unwind(Box::new(()));
                });
                assert!(panics.join().is_err());
                // Whether it was written before or after the panic does not matter here.
                let _ = waits.join().unwrap();
            });
            assert!(!queue.state().led);
        }
    }
}
