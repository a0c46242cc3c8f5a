//! [`Batch`]: one task for many aggregates.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until};

use super::counts::{MAX_DETAILS, RunCounts};
use super::coverage::Coverage;
use super::watcher::BatchWatcher;
use super::work::{RunProgress, TaskAction, TaskWork, advances};
use crate::error::Error;
use crate::key::AggregateKey;
use crate::ledger::Task;
use crate::manager::{AdminContext, Rejected, SnapshotAdmin, SnapshotFilter};
use crate::record::SnapshotMeta;
use crate::retention::Retention;
use crate::store::Cursor;
use crate::timestamp::Timestamp;

/// Runs one [`Task`], or applies one retention policy, to many aggregates of a kind: those that the
/// store or the event source lists, or those that the caller names.
///
/// Several aggregates are worked on at once. The failure of one is reported and does not stop the
/// others; after 100 failures in a row the batch ends. All tasks are idempotent, so a batch that
/// was stopped can be run again, from its last checkpoint or from the beginning.
///
/// To warm the snapshots of a new release before it takes traffic, run [`Task::SnapshotAll`] with
/// the new code. [`coverage`](Self::coverage) reports how many aggregates have a snapshot of it.
///
/// Must run on a tokio runtime with time enabled.
///
/// ```
/// # use snapfold::SnapshotAdmin;
/// use std::sync::Arc;
/// use snapfold::Error;
/// use snapfold::ledger::Task;
/// use snapfold::service::Batch;
///
/// async fn verify_all(admin: Arc<dyn SnapshotAdmin>) -> Result<(), Error> {
///     let report = Batch::new(admin).parallel(16).run(Task::Verify).await;
///     println!("{report}");
///     for (key, rejected) in &report.rejected {
///         println!("{key}: {rejected}");
///     }
///     report.error.map_or(Ok(()), Err)
/// }
/// ```
#[derive(Clone)]
pub struct Batch {
    admin: Arc<dyn SnapshotAdmin>,
    tenant: String,
    parallel: usize,
    per_second: Option<NonZeroU32>,
    after: Option<Cursor>,
    context: AdminContext,
    on_progress: Option<Arc<OnProgress>>,
    pub(super) watcher: Option<Arc<dyn BatchWatcher>>,
    pub(super) savepoint_time: Option<Timestamp>,
}

/// The number of aggregates whose snapshots are listed for a page.
const KEYS: usize = 256;

type OnProgress = dyn Fn(&BatchProgress<'_>) + Send + Sync;

/// How far a batch has come.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BatchProgress<'a> {
    /// What was done so far.
    pub counts: RunCounts,
    /// The checkpoint: all aggregates up to it are done. `None` at the end, and for aggregates that
    /// the caller names.
    pub next: Option<&'a Cursor>,
}

/// What a batch did. `Display` writes it as one line, for logs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchReport {
    /// What was done to how many aggregates.
    pub counts: RunCounts,
    /// The first aggregates that failed, at most [`BatchReport::MAX_DETAILS`].
    pub failures: Vec<(AggregateKey, Error)>,
    /// The first snapshots that a verification rejected, at most [`BatchReport::MAX_DETAILS`].
    pub rejected: Vec<(AggregateKey, Rejected)>,
    /// Why the batch ended early: the aggregates could not be listed, or 100 of them failed in a
    /// row. `None` if it was completed.
    pub error: Option<Error>,
    /// Where to [resume](Batch::resume) a batch that ended early; `None` if no checkpoint was
    /// reached, and at the end.
    pub next: Option<Cursor>,
    /// How long the batch took.
    pub took: Duration,
}

impl Batch {
    /// Creates a batch over the aggregates of an engine's kind, in the empty tenant.
    pub fn new(admin: Arc<dyn SnapshotAdmin>) -> Self {
        Self {
            admin,
            tenant: String::new(),
            parallel: 8,
            per_second: None,
            after: None,
            context: AdminContext::new("batch"),
            on_progress: None,
            watcher: None,
            savepoint_time: None,
        }
    }

    /// Sets the tenant whose aggregates are listed.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = tenant.into();
        self
    }

    /// Sets how many aggregates are worked on at once. 8 by default; 0 is treated as 1. Retention
    /// handles up to 1,024 aggregates together, whatever this is.
    pub fn parallel(mut self, aggregates: usize) -> Self {
        self.parallel = aggregates;
        self
    }

    /// Limits the number of aggregates per second. No limit by default.
    pub fn per_second(mut self, aggregates: NonZeroU32) -> Self {
        self.per_second = Some(aggregates);
        self
    }

    /// Continues after a checkpoint of an earlier batch: see [`BatchProgress::next`] and
    /// [`BatchReport::next`]. Has no effect on aggregates that the caller names.
    pub fn resume(mut self, checkpoint: Option<Cursor>) -> Self {
        self.after = checkpoint;
        self
    }

    /// Sets the context of the changes, which the audit trail records. Its actor is `batch` by
    /// default.
    pub fn context(mut self, context: AdminContext) -> Self {
        self.context = context;
        self
    }

    /// Sets a function that is called after each 256 aggregates (1,024 for retention), and at the
    /// end. It must be fast. To resume later, store the checkpoint it gets.
    pub fn on_progress(
        mut self,
        call: impl Fn(&BatchProgress<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.on_progress = Some(Arc::new(call));
        self
    }

    /// Runs a task for all aggregates of the tenant: those with events for [`Task::SnapshotAll`],
    /// those with snapshots for the other tasks.
    ///
    /// If the future is dropped, the aggregates that are being worked on are cancelled.
    pub async fn run(&self, task: Task) -> BatchReport {
        self.listed(TaskAction::Task(task)).await
    }

    /// Runs a task for these aggregates. If the future is dropped, those that are being worked on
    /// are cancelled.
    pub async fn run_for(&self, task: Task, keys: &[AggregateKey]) -> BatchReport {
        self.named(TaskAction::Task(task), keys).await
    }

    /// Applies a retention policy to all aggregates that have snapshots: see
    /// [`SnapshotAdmin::apply_retention`].
    ///
    /// If the future is dropped, the aggregates that are being worked on are cancelled.
    pub async fn apply_retention(&self, policy: impl Retention + 'static) -> BatchReport {
        self.listed(TaskAction::Policy(Arc::new(policy))).await
    }

    /// Retires the snapshots that `filter` selects, of all aggregates that have snapshots: see
    /// [`SnapshotAdmin::retire`]. For example, those that one build of the application took.
    ///
    /// ```
    /// # use snapfold::SnapshotAdmin;
    /// # use std::sync::Arc;
    /// use snapfold::manager::{AdminContext, SnapshotFilter};
    /// use snapfold::service::Batch;
    ///
    /// # async fn retire(admin: Arc<dyn SnapshotAdmin>) {
    /// let by = AdminContext::new("ops").reason("build 1.4.2 rounded refunds wrongly");
    /// let filter = SnapshotFilter::new().producer("billing 1.4.2");
    /// let report = Batch::new(admin).context(by).retire(filter, "build 1.4.2").await;
    /// # }
    /// ```
    ///
    /// If the future is dropped, the aggregates that are being worked on are cancelled.
    pub async fn retire(&self, filter: SnapshotFilter, name: impl Into<String>) -> BatchReport {
        self.listed(TaskAction::Retire(filter, name.into())).await
    }

    /// Counts the aggregates with events that have a stored snapshot of the engine's generation,
    /// and those that have none: see [`SnapshotAdmin::is_covered`]. Reads only metadata, and
    /// changes nothing.
    ///
    /// If the event source does not list its aggregates, the result is an
    /// [`Unsupported`](crate::ErrorKind::Unsupported) error in [`Coverage::error`]: use
    /// [`coverage_of`](Self::coverage_of).
    pub async fn coverage(&self) -> Coverage {
        let running = Running::new(self, TaskAction::Coverage);
        let report = self.list(&running).await;
        Coverage::new(running.work.progress.read(), report.error)
    }

    /// Counts the aggregates among these that have a stored snapshot of the engine's generation:
    /// see [`coverage`](Self::coverage).
    pub async fn coverage_of(&self, keys: &[AggregateKey]) -> Coverage {
        let running = Running::new(self, TaskAction::Coverage);
        let report = self.name(&running, keys).await;
        Coverage::new(running.work.progress.read(), report.error)
    }

    pub(super) async fn listed(&self, action: TaskAction) -> BatchReport {
        self.list(&Running::new(self, action)).await
    }

    async fn list(&self, running: &Running<'_>) -> BatchReport {
        let mut cursor = self.after.clone();
        loop {
            let done = match running.work.page(&self.tenant, cursor.as_ref(), running.page).await {
                Ok(page) => running.all(page.items).await.map(|()| page.next),
                Err(error) => Err(error),
            };
            match done {
                Ok(next) => cursor = next,
                Err(error) => return running.report(Some(error), cursor),
            }
            running.tell(cursor.as_ref());
            if cursor.is_none() {
                return running.report(None, None);
            }
        }
    }

    pub(super) async fn named(&self, action: TaskAction, keys: &[AggregateKey]) -> BatchReport {
        self.name(&Running::new(self, action), keys).await
    }

    /// Returns the report of a batch that could not begin.
    pub(super) fn refused(&self, error: Error) -> BatchReport {
        Running::new(self, TaskAction::Coverage).report(Some(error), None)
    }

    /// Calls `with` with each snapshot of the tenant.
    pub(super) async fn each_snapshot(
        &self,
        mut with: impl FnMut(SnapshotMeta) + Send,
    ) -> Result<(), Error> {
        let mut cursor = None;
        loop {
            let page = self.admin.keys(&self.tenant, cursor.as_ref(), KEYS).await?;
            advances(&page, cursor.as_ref())?;
            for key in &page.items {
                self.admin.snapshots(key, 0..=u64::MAX).await?.into_iter().for_each(&mut with);
            }
            cursor = page.next;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    async fn name(&self, running: &Running<'_>, keys: &[AggregateKey]) -> BatchReport {
        if let Some(watcher) = &self.watcher {
            watcher.started(keys.len());
        }
        for keys in keys.chunks(running.page) {
            if let Err(error) = running.all(keys.to_vec()).await {
                return running.report(Some(error), None);
            }
            running.tell(None);
        }
        running.report(None, None)
    }
}

/// A batch under way.
struct Running<'a> {
    batch: &'a Batch,
    work: Arc<TaskWork>,
    started: Instant,
    /// How many aggregates are taken at a time.
    page: usize,
}

impl<'a> Running<'a> {
    fn new(batch: &'a Batch, action: TaskAction) -> Self {
        let work = Arc::new(TaskWork {
            admin: Arc::clone(&batch.admin),
            action,
            context: batch.context.clone(),
            budget: Arc::new(Semaphore::new(batch.parallel.clamp(1, Semaphore::MAX_PERMITS))),
            progress: Arc::new(RunProgress::watched(batch.watcher.clone())),
        });
        // A second's worth, so that a slow batch does not go in bursts.
        let second = batch.per_second.and_then(|rate| usize::try_from(rate.get()).ok());
        let page = second.map_or(work.page_size(), |second| second.min(work.page_size()));
        Self { batch, work, started: Instant::now(), page }
    }

    /// Works on these aggregates, and waits until the rate allows the next ones.
    async fn all(&self, keys: Vec<AggregateKey>) -> Result<(), Error> {
        self.work.all(keys).await?;
        if let Some(rate) = self.batch.per_second {
            let done = self.work.progress.read().counts.aggregates;
            let micros = u128::from(done) * 1_000_000 / u128::from(rate.get());
            let allowed = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
            if let Some(until) = self.started.checked_add(allowed) {
                sleep_until(until).await;
            }
        }
        Ok(())
    }

    fn tell(&self, next: Option<&Cursor>) {
        if let Some(call) = &self.batch.on_progress {
            call(&BatchProgress { counts: self.work.progress.read().counts, next });
        }
    }

    fn report(&self, error: Option<Error>, next: Option<Cursor>) -> BatchReport {
        let done = self.work.progress.read();
        let report = BatchReport {
            counts: done.counts,
            failures: done.failures,
            rejected: done.rejected,
            error,
            next,
            took: self.started.elapsed(),
        };
        if let Some(watcher) = &self.batch.watcher {
            watcher.ended(&report.counts, report.error.is_none());
        }
        report
    }
}

impl<'a> BatchProgress<'a> {
    /// Creates the progress, for tests of a callback.
    pub const fn new(counts: RunCounts, next: Option<&'a Cursor>) -> Self {
        Self { counts, next }
    }
}

impl BatchReport {
    /// Creates the report of a batch that was completed without failures, for tests. Set the fields
    /// that matter.
    pub const fn new(counts: RunCounts, took: Duration) -> Self {
        Self { counts, failures: Vec::new(), rejected: Vec::new(), error: None, next: None, took }
    }

    /// The maximum number of failures, and of rejected snapshots, that a report lists.
    pub const MAX_DETAILS: usize = MAX_DETAILS;
}

impl fmt::Display for BatchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.error.is_some() { "ended early" } else { "completed" };
        write!(f, "{end} after {:.1?}: {}", self.took, self.counts)?;
        if let Some(error) = &self.error {
            write!(f, "; {error:#}")?;
        }
        for (key, error) in self.failures.iter().take(1) {
            write!(f, "; {key}: {error:#}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("kind", &self.admin.kind())
            .field("tenant", &self.tenant)
            .field("parallel", &self.parallel)
            .finish_non_exhaustive()
    }
}
