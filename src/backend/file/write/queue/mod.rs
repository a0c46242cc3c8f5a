//! [`Queue`]: group commit. Many callers queue work, and one of them, or a thread of the store,
//! writes all of it.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::work::{Answer, Work};
use crate::backend::file::core::Core;
use crate::error::{Error, ErrorKind, Retry};

type Outcome = Result<Answer, Error>;

/// The maximum size of a group, unless its first work item alone is larger. Large groups that
/// overlap keep both the disk and the processor busy. Fewer and even larger groups would wait for
/// each other.
const GROUP_BYTES: u64 = 2 << 20;

/// The time that a leader waits for expected callers.
const LINGER: Duration = Duration::from_micros(50);

/// The work that is waiting to be written, and the state of the lead.
///
/// At most one caller leads at a time: it takes a group off the queue, writes it, syncs, and
/// answers all callers in the group. If the group is large, the leader hands over the lead before
/// the sync, so that the next group can be written during it. Otherwise it hands over when its own
/// work is done. The lead goes to the first thread of the next group, or to one of the store's own
/// threads if only tasks are waiting.
pub(crate) struct Queue {
    state: Mutex<State>,
    /// Wakes the store's own threads.
    called: Condvar,
}

struct State {
    /// The queued groups, none of which is empty.
    groups: VecDeque<Group>,
    led: bool,
    /// Whether one of the store's own threads must take the lead, which is reserved for it.
    called: bool,
    stopped: bool,
    /// The expected number of work items in the next group, if the callers that were just answered
    /// come back.
    expected: usize,
}

/// Work that is written together.
#[derive(Default)]
struct Group {
    works: Vec<Work>,
    bytes: u64,
    /// The waiting tasks, each with the number of its work item.
    tasks: Vec<(usize, oneshot::Sender<Outcome>)>,
    /// The first waiting thread. The other threads wait for the answers, which wake all of them at
    /// once.
    first: Option<Arc<First>>,
    answers: Arc<Answers>,
}

/// One outcome for each work item of a group, in order.
type Answers = OnceLock<Vec<Outcome>>;

/// A thread that waits for the answers or for the lead.
struct First {
    thread: Thread,
    leads: AtomicBool,
}

impl State {
    /// Returns the number of queued work items.
    fn waiting(&self) -> usize {
        self.groups.iter().map(|group| group.works.len()).sum()
    }

    /// Adds `work` to the last group. Returns the group and the number of the work item.
    fn push(&mut self, work: Work) -> (&mut Group, usize) {
        let bytes = work.bytes();
        let fits = self.groups.back().is_some_and(|last| last.bytes + bytes <= GROUP_BYTES);
        if !fits {
            self.groups.push_back(Group::default());
        }
        let last = self.groups.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "there is one, as one was just added if not")]
        let group = &mut self.groups[last];
        group.bytes += bytes;
        group.works.push(work);
        let number = group.works.len() - 1;
        (group, number)
    }
}

impl Queue {
    pub(crate) const fn new() -> Self {
        let state = State {
            groups: VecDeque::new(),
            led: false,
            called: false,
            stopped: false,
            expected: 0,
        };
        Self { state: Mutex::new(state), called: Condvar::new() }
    }

    /// Writes `work` and blocks until it is done.
    pub(crate) fn write(&self, core: &Core, work: Work) -> Outcome {
        let mut state = self.state();
        let (group, number) = state.push(work);
        let answers = Arc::clone(&group.answers);
        let first = group.first.is_none().then(|| {
            let first = First { thread: thread::current(), leads: AtomicBool::new(false) };
            Arc::clone(group.first.insert(Arc::new(first)))
        });
        let mut leads = !std::mem::replace(&mut state.led, true);
        drop(state);
        if leads || first.is_some() {
            while answers.get().is_none() {
                leads |=
                    first.as_ref().is_some_and(|first| first.leads.swap(false, Ordering::SeqCst));
                if leads {
                    leads = self.lead(core);
                } else {
                    thread::park();
                }
            }
            if leads {
                self.hand_over();
            }
        }
        let outcome = answers.wait().get(number).cloned();
        outcome.unwrap_or_else(|| Err(panicked()))
    }

    /// Queues `work` without waiting. The caller must call [`start`](Self::start) later. Returns
    /// the receiver of the answer, and whether a thread is already leading.
    pub(crate) fn submit(&self, work: Work) -> (oneshot::Receiver<Outcome>, bool) {
        let (sender, receiver) = oneshot::channel();
        let mut state = self.state();
        let (group, number) = state.push(work);
        group.tasks.push((number, sender));
        (receiver, state.led)
    }

    /// Makes sure that queued work is written.
    pub(crate) fn start(&self) {
        let mut state = self.state();
        if !state.led && !state.groups.is_empty() {
            state.led = true;
            state.called = true;
            drop(state);
            self.called.notify_one();
        }
    }

    /// Runs one of the store's own threads: leads when called, until stopped and the queue is
    /// empty.
    pub(crate) fn run(&self, core: &Core) {
        // A panic has been answered and has stopped the writing, but later work still needs
        // answers.
        while panic::catch_unwind(AssertUnwindSafe(|| self.run_until_panic(core))).is_err() {}
    }

    fn run_until_panic(&self, core: &Core) {
        let mut state = self.state();
        loop {
            if state.called {
                state.called = false;
                drop(state);
                if self.lead_all(core) {
                    self.hand_over();
                }
                state = self.state();
            } else if state.stopped && state.groups.is_empty() {
                return;
            } else if state.stopped && !state.led {
                state.led = true;
                state.called = true;
            } else {
                state = self.called.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    /// Makes [`run`](Self::run) return once everything is written.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
        self.called.notify_all();
    }

    /// Leads until the queue is empty. Returns whether the lead is still held.
    fn lead_all(&self, core: &Core) -> bool {
        loop {
            if !self.lead(core) {
                return false;
            }
            if self.state().groups.is_empty() {
                return true;
            }
        }
    }

    /// Writes one group. Returns whether the lead is still held.
    fn lead(&self, core: &Core) -> bool {
        let Some(mut group) = self.take_group() else { return true };
        let works = std::mem::take(&mut group.works);
        let mut guard = Panicking { queue: self, core, group: Some(group), leads: true };
        let leads = &mut guard.leads;
        let mut committed = core.commit(works, || {
            *leads = false;
            self.hand_over();
        });
        if let Some(group) = guard.group.take() {
            let answers = std::mem::take(&mut committed.answers);
            let mut state = self.state();
            state.expected = answers.len() + state.waiting();
            drop(state);
            group.answer(answers);
        }
        // A record may contain memory of the caller, whose destructor may panic.
        drop(committed);
        core.maintenance.deliver();
        guard.leads
    }

    fn take_group(&self) -> Option<Group> {
        let mut state = self.state();
        // The callers that were just answered tend to come back immediately and together, so a
        // short wait saves a sync. A full group does not wait.
        if state.expected > 1 {
            let until = Instant::now() + LINGER;
            while state.groups.len() == 1
                && state.waiting() < state.expected
                && Instant::now() < until
            {
                drop(state);
                thread::yield_now();
                state = self.state();
            }
        }
        state.groups.pop_front()
    }

    /// Hands over the lead to another waiting thread, or else to one of the store's own threads.
    /// Gives up the lead if nothing is queued.
    fn hand_over(&self) {
        let mut state = self.state();
        let Some(next) = state.groups.front() else {
            self.lay_down(state);
            return;
        };
        // A thread that hands over the lead before its sync cannot lead, but it may wait in the
        // next group.
        let this = thread::current().id();
        if let Some(first) = next.first.clone().filter(|first| first.thread.id() != this) {
            drop(state);
            first.leads.store(true, Ordering::SeqCst);
            first.thread.unpark();
        } else {
            state.called = true;
            drop(state);
            self.called.notify_one();
        }
    }

    /// Gives up the lead without a successor.
    fn lay_down(&self, mut state: MutexGuard<'_, State>) {
        state.led = false;
        if state.stopped {
            // The store's own threads may be waiting for the lead to end.
            drop(state);
            self.called.notify_all();
        }
    }

    // The guarded value is consistent between any two statements.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    /// Answers all callers in the group.
    fn answer(self, mut outcomes: Vec<Outcome>) {
        let mut to_tasks = Vec::with_capacity(self.tasks.len());
        for (number, sender) in self.tasks {
            let outcome = outcomes.get_mut(number).map(take);
            to_tasks.push((sender, outcome.unwrap_or_else(|| Err(panicked()))));
        }
        // This is the only call of `set`, because only one leader takes a group off the queue.
        let _ = self.answers.set(outcomes);
        if let Some(first) = self.first {
            first.thread.unpark();
        }
        for (sender, outcome) in to_tasks {
            // The caller may have given up, but its data stays written. A waker that panics must
            // not prevent the other answers.
            let _ = panic::catch_unwind(AssertUnwindSafe(|| drop(sender.send(outcome))));
        }
    }
}

/// Takes the outcome. Each outcome is taken only once.
fn take(outcome: &mut Outcome) -> Outcome {
    std::mem::replace(outcome, Ok(Answer::Put(Vec::new())))
}

fn panicked() -> Error {
    Error::new(ErrorKind::Poisoned, "write to the log", "writing panicked")
        .with_retry(Retry::Unknown)
}

/// If writing panics, answers the group and all other callers that would otherwise wait forever.
struct Panicking<'a> {
    queue: &'a Queue,
    core: &'a Core,
    /// The group, until it is answered.
    group: Option<Group>,
    leads: bool,
}

impl Drop for Panicking<'_> {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        self.core.health.poison("writing panicked".into());
        let mut groups = VecDeque::new();
        // If another thread leads or is about to, it answers the waiting callers: all later writes
        // fail.
        if self.leads {
            let mut state = self.queue.state();
            std::mem::swap(&mut state.groups, &mut groups);
            self.queue.lay_down(state);
        }
        for group in self.group.take().into_iter().chain(groups) {
            // A missing answer means that writing panicked.
            group.answer(Vec::new());
        }
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("groups", &self.state().groups.len()).finish()
    }
}
