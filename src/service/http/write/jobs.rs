//! [`JobTable`]: work whose client does not wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use super::action::WriteAction;
use super::answer::WriteOutcome;
use crate::clock::Clock;
use crate::hex::hex;
use crate::random::random;
use crate::service::RunCounts;
use crate::service::http::problem::HttpProblem;
use crate::service::http::query_parameter::QueryParameter;
use crate::service::http::segment::encode;
use crate::timestamp::Timestamp;

/// How much memory ended jobs take, in bytes.
const ENDED_BYTES: u64 = 16 << 20;

/// The jobs of this process: those that run, and the latest that ended.
pub(crate) struct JobTable {
    running: Mutex<HashMap<String, Arc<WriteJob>>>,
    ended: Cache<String, Arc<WriteJob>>,
    /// One permit for each job that may run.
    places: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// What a job does, and for whom it may be seen.
#[derive(Clone, Debug)]
pub(crate) struct JobOf {
    pub(crate) action: WriteAction,
    pub(crate) tenant: String,
    /// `None` for all kinds.
    pub(crate) kind: Option<String>,
}

/// A job.
pub(crate) struct WriteJob {
    id: String,
    of: JobOf,
    started: Timestamp,
    progress: Mutex<JobProgress>,
}

#[derive(Default)]
struct JobProgress {
    /// `None` if the job is for one aggregate.
    counts: Option<RunCounts>,
    ended: Option<JobEnd>,
}

struct JobEnd {
    at: Timestamp,
    /// The document that the answer would have had.
    outcome: Result<String, HttpProblem>,
}

impl JobTable {
    /// Lets `running` jobs run at the same time.
    pub(crate) fn new(running: usize, clock: Arc<dyn Clock>) -> Self {
        let ended = Cache::builder()
            .max_capacity(ENDED_BYTES)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, job: &Arc<WriteJob>| u32::try_from(job.weight()).unwrap_or(u32::MAX))
            .build();
        let places = Arc::new(Semaphore::new(running.min(Semaphore::MAX_PERMITS)));
        Self { running: Mutex::default(), ended, places, clock }
    }

    // No change is interrupted by code that can panic.
    fn running(&self) -> MutexGuard<'_, HashMap<String, Arc<WriteJob>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job, unless as many as may run do. It runs to its end, or to that of the runtime.
    pub(crate) fn start<F>(
        self: &Arc<Self>,
        runtime: &Handle,
        of: JobOf,
        work: impl FnOnce(Arc<WriteJob>) -> F,
    ) -> Result<Arc<WriteJob>, HttpProblem>
    where
        F: Future<Output = WriteOutcome> + Send + 'static,
    {
        let busy = |_| HttpProblem::busy("as many jobs as may run are running");
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(busy)?;
        let id: [u8; 16] = random("start a job")?;
        let (id, started) = (hex(&id), self.clock.now());
        let job = Arc::new(WriteJob { id: id.clone(), of, started, progress: Mutex::default() });
        self.running().insert(id, Arc::clone(&job));
        let turn = JobTurn { table: Arc::clone(self), job: Arc::clone(&job), outcome: None };
        let work = work(Arc::clone(&job));
        runtime.spawn(async move {
            let mut turn = turn;
            turn.outcome = Some(work.await);
            // Ended before the next one may start.
            drop(turn);
            drop(place);
        });
        Ok(job)
    }

    /// Returns a job of a tenant: for those who may read this kind, or all kinds.
    pub(crate) fn get(&self, tenant: &str, kind: Option<&str>, id: &str) -> Option<Arc<WriteJob>> {
        let running = self.running().get(id).map(Arc::clone);
        let job = running.or_else(|| self.ended.get(id))?;
        let is_of_it =
            job.of.tenant == tenant && kind.is_none_or(|kind| job.of.kind.as_deref() == Some(kind));
        is_of_it.then_some(job)
    }
}

/// Ends a job, also one that panicked or whose runtime ends.
struct JobTurn {
    table: Arc<JobTable>,
    job: Arc<WriteJob>,
    outcome: Option<WriteOutcome>,
}

impl Drop for JobTurn {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or_else(|| Err(HttpProblem::interrupted()));
        let document = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let outcome = outcome.map(|answer| document(answer.document()));
        self.job.progress().ended = Some(JobEnd { at: self.table.clock.now(), outcome });
        // Under the lock, so that it is always found.
        let mut running = self.table.running();
        self.table.ended.insert(self.job.id.clone(), Arc::clone(&self.job));
        running.remove(&self.job.id);
    }
}

impl WriteJob {
    fn progress(&self) -> MutexGuard<'_, JobProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what was done so far.
    pub(crate) fn tell(&self, counts: RunCounts) {
        self.progress().counts = Some(counts);
    }

    /// The URL of the job. It names the kind, so that whoever may only read this kind may read it.
    pub(crate) fn link(&self, prefix: &str) -> String {
        let mut link = format!("{prefix}/projects/{}/jobs/{}", encode(&self.of.tenant), self.id);
        if let Some(kind) = &self.of.kind {
            let mut query = form_urlencoded::Serializer::new(String::new());
            link = format!(
                "{link}?{}",
                query.append_pair(QueryParameter::FILTER_KIND.name, kind).finish()
            );
        }
        link
    }

    /// About how much memory it takes, in bytes. Fixed once it has ended.
    fn weight(&self) -> usize {
        let progress = self.progress();
        let document = |end: &JobEnd| end.outcome.as_ref().map_or(0, String::len);
        let names = self.of.tenant.len() + self.of.kind.as_ref().map_or(0, String::len);
        progress.ended.as_ref().map_or(0, document).saturating_add(names).saturating_add(1_024)
    }

    /// The job as a document.
    pub(crate) fn document(&self, prefix: &str) -> Value {
        let progress = self.progress();
        let state = match &progress.ended {
            None => "running",
            Some(JobEnd { outcome: Ok(_), .. }) => "completed",
            Some(JobEnd { outcome: Err(_), .. }) => "failed",
        };
        let mut attributes = json!({
            "action": self.of.action,
            "kind": self.of.kind,
            "state": state,
            "startedAt": self.started.to_string(),
        });
        let mut put = |name: &str, value: Value| {
            if let Some(attributes) = attributes.as_object_mut() {
                attributes.insert(name.to_owned(), value);
            }
        };
        if let Some(counts) = progress.counts {
            put("counts", counts_value(counts));
        }
        if let Some(end) = &progress.ended {
            put("endedAt", end.at.to_string().into());
            match &end.outcome {
                Ok(document) => {
                    put("result", serde_json::from_str(document).unwrap_or_default());
                }
                Err(problem) => put("error", problem.to_value(prefix)),
            }
        }
        let data = json!({
            "type": "jobs",
            "id": self.id,
            "attributes": attributes,
            "links": { "self": self.link(prefix) },
        });
        json!({ "jsonapi": { "version": "1.1" }, "data": data })
    }
}

/// Counts as the answers show them.
pub(crate) fn counts_value(counts: RunCounts) -> Value {
    json!({
        "aggregates": counts.aggregates,
        "changed": counts.changed,
        "failed": counts.failed,
        "deleted": counts.deleted,
    })
}
