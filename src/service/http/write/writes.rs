//! [`Writes`]: what the writes of a delivery share.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::idempotency::KeptAnswers;
use super::jobs::JobTable;
use crate::clock::Clock;

/// How many writes are made at the same time. The next ones wait before they begin.
const AT_ONCE: usize = 64;

/// What the writes of a delivery share.
pub(crate) struct Writes {
    pub(crate) answers: Arc<KeptAnswers>,
    pub(crate) jobs: Arc<JobTable>,
    pub(crate) places: Arc<Semaphore>,
}

impl Writes {
    pub(crate) fn new(jobs: usize, clock: &Arc<dyn Clock>) -> Self {
        Self {
            answers: Arc::new(KeptAnswers::new(Arc::clone(clock))),
            jobs: Arc::new(JobTable::new(jobs, Arc::clone(clock))),
            places: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}
