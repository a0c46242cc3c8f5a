//! [`Group`]: callers that wait at the same time share one write and one sync.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use super::log::WRITE;
use crate::error::{Error, ErrorKind, Retry};

/// A group takes no more bytes than this, unless its first work alone does.
const GROUP_BYTES: usize = 4 << 20;

pub(super) type Answer<A> = Arc<OnceLock<Result<A, Error>>>;

/// Work that waits to be written to a log.
pub(super) struct Group<W, A>(Mutex<VecDeque<Waiting<W, A>>>);

struct Waiting<W, A> {
    work: W,
    bytes: usize,
    answer: Answer<A>,
}

impl<W, A: Clone> Group<W, A> {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    /// Queues `work`, about so many bytes. Does not block. It is written by [`run`](Self::run).
    ///
    /// Called before anything that a task waits for: the order of the queue is the order of the
    /// calls, also of those whose caller gives up.
    pub(super) fn queue(&self, work: W, bytes: usize) -> Answer<A> {
        let answer = Answer::default();
        self.waiting().push_back(Waiting { work, bytes, answer: Arc::clone(&answer) });
        answer
    }

    /// Waits for what [`queue`](Self::queue) gave `answer` for. Whoever gets hold of `log` first
    /// writes what all have queued, in that order: `commit` gives one answer for each, or fails for
    /// all.
    pub(super) fn run<L>(
        &self,
        log: &Mutex<L>,
        answer: &Answer<A>,
        commit: impl Fn(&mut L, Vec<W>) -> Result<Vec<A>, Error>,
    ) -> Result<A, Error> {
        loop {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(answer) = answer.get() {
                return answer.clone();
            }
            let (works, answers) = self.take();
            if works.is_empty() {
                // Someone took this work, and panicked.
                let error = Error::new(ErrorKind::Store, WRITE, "the write was given up");
                return Err(error.with_retry(Retry::Unknown));
            }
            match commit(&mut log, works) {
                Ok(results) => {
                    for (answer, result) in answers.iter().zip(results) {
                        let _ = answer.set(Ok(result));
                    }
                }
                Err(error) => {
                    for answer in &answers {
                        let _ = answer.set(Err(error.clone()));
                    }
                }
            }
        }
    }

    /// How many wait to be written.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    fn take(&self) -> (Vec<W>, Vec<Answer<A>>) {
        let mut waiting = self.waiting();
        let (mut works, mut answers, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        while let Some(next) = waiting.pop_front() {
            bytes = bytes.saturating_add(next.bytes);
            if bytes > GROUP_BYTES && !works.is_empty() {
                waiting.push_front(next);
                break;
            }
            works.push(next.work);
            answers.push(next.answer);
        }
        (works, answers)
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting<W, A>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
