//! [`Scheduler`]: runs the schedules of a ledger.

mod event;
mod lease;
mod polling;
mod race;
mod report;
mod run;
mod settings;
mod statistics;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::clock::{Clock, SystemClock};
use crate::error::Error;
use crate::ledger::{Lease, Ledger};
use crate::manager::Kinds;
use crate::record::SigningKeys;
use crate::timestamp::Timestamp;

pub use event::{SchedulerEvent, SchedulerObserver};
pub use report::{RunOutcome, RunReport};
pub use settings::MissedRuns;
pub use statistics::SchedulerStatistics;

use polling::Polling;
use settings::Settings;
use statistics::SchedulerCounters;

/// Runs the schedules of a [`Ledger`] for the aggregates of an application.
///
/// Any number of nodes may run schedulers over one ledger. Each due run is claimed by one of them,
/// under a lease that it renews while it works. If a node dies, its lease ends and another node
/// repeats the run. So every run is completed at least once, and is repeated only after a lease has
/// ended; all [tasks](crate::ledger::Task) are idempotent.
///
/// # Runs
/// - A schedule for a whole kind visits the aggregates that have snapshots
///   ([`SnapshotAdmin::keys`](crate::SnapshotAdmin::keys)), and with the task
///   [`SnapshotAll`](crate::ledger::Task::SnapshotAll) those that have events. The failure of one is reported and does
///   not stop the others; after 100 failures in a row the run fails. A repeated run starts from the
///   beginning. An aggregate that did not change costs little
///   ([`CreateOptions::if_changed`](crate::manager::CreateOptions::if_changed)).
/// - A failed run is tried again, by any node. The delay is the time since it was due, at least
///   10 seconds and at most 15 minutes, so it doubles with each attempt. If the next run is due
///   before that, or if a retry cannot help ([`Error::is_retryable`]), the failed run is left to
///   the next one. A panic is contained, and is a failure that is tried again.
/// - A run whose lease cannot be renewed before it ends stops, because another node may repeat it.
/// - Schedules of kinds that are not in the registry, with unknown tasks, or whose next run cannot
///   be computed here are not claimed, so that other nodes can run them. They are
///   [reported](SchedulerEvent::Ignored) once, and counted in the [statistics](Self::statistics).
///   10,000 of them, overdue for longer, hide the other schedules from this node.
///
/// # Clocks
/// A run is due by the clock of the node, so it starts early or late by as much as that clock is
/// wrong. The clocks of the nodes must differ by less than the lease; otherwise two nodes may make
/// the same run at the same time. A node whose clock is far ahead makes each run once, and sets the
/// next ones, and the end of its leases, by its clock: remove these schedules and store them again.
/// A node whose clock is behind runs nothing until the times it sees are due. A jump of the clock
/// during a run has no effect on that run.
///
/// ```
/// # use serde::{Deserialize, Serialize};
/// # use snapfold::{Aggregate, AggregateKey};
/// # #[derive(Clone, Serialize, Deserialize)]
/// # struct Account(i64);
/// # impl Aggregate for Account {
/// #     type Event = i64;
/// #     const KIND: &'static str = "account";
/// #     const SCHEMA_VERSION: u32 = 1;
/// #     fn initial(_: &AggregateKey) -> Self { Account(0) }
/// #     fn apply(&mut self, cents: &i64) { self.0 += cents; }
/// # }
/// # #[cfg(all(feature = "memory", feature = "postcard"))]
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// # use snapfold::{MemoryEvents, MemoryStore, SnapshotEngine};
/// use std::sync::Arc;
/// use snapfold::Timestamp;
/// use snapfold::ledger::{Ledger, Schedule, ScheduleKey, StoreLedger};
/// use snapfold::manager::Kinds;
/// use snapfold::service::Scheduler;
///
/// # let (events, store) = (MemoryEvents::new(), MemoryStore::new());
/// let ledger = Arc::new(StoreLedger::new(store.clone()));
/// let engine = SnapshotEngine::<Account>::builder(events, store).build()?;
///
/// let accounts = ScheduleKey::kind_wide("", "account")?;
/// let now = Timestamp::from_seconds(1_000_000);
/// ledger.put_schedule(&Schedule::new(accounts.clone(), "every 15m".parse()?, now)?).await?;
/// let nightly = Schedule::new(accounts.named("nightly")?, "every 1d".parse()?, now)?
///     .task("retention last 4".parse()?);
/// ledger.put_schedule(&nightly).await?;
///
/// let kinds = Kinds::new().with(engine)?;
/// let scheduler = Scheduler::new(ledger, kinds, "node-7")?
///     .on_event(|event: &snapfold::service::SchedulerEvent<'_>| println!("{event}"));
/// # let shutdown = async {};
/// scheduler.run(shutdown).await; // usually in a task of its own
/// # Ok::<(), snapfold::Error>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Scheduler {
    settings: Arc<Settings>,
}

impl Scheduler {
    /// The shortest lease (inclusive).
    pub const MIN_LEASE: Duration = Duration::from_secs(1);
    /// The shortest poll interval (inclusive).
    pub const MIN_POLL: Duration = Duration::from_millis(10);
    /// The longest poll interval (inclusive).
    pub const MAX_POLL: Duration = Duration::from_secs(86_400);

    /// Creates the scheduler of the node `owner`. It does nothing until it is [run](Self::run).
    ///
    /// The name of the node is part of its leases, and is the actor of its changes in the audit
    /// trail. Give each node another name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the name is empty or longer
    /// than [`Lease::MAX_HOLDER_BYTES`].
    pub fn new(
        ledger: Arc<dyn Ledger>,
        kinds: Kinds,
        owner: impl Into<String>,
    ) -> Result<Self, Error> {
        let owner = owner.into();
        Lease::check(&owner, Timestamp::MIN, Timestamp::MAX)?;
        let settings = Settings {
            ledger,
            kinds,
            seed: race::hash(0, &[owner.as_bytes()]),
            owner,
            lease: Duration::from_secs(60),
            poll: Duration::from_millis(500),
            jitter: Duration::ZERO,
            runs: 16,
            budget: Arc::new(Semaphore::new(8)),
            missed: MissedRuns::default(),
            clock: Arc::new(SystemClock::new()),
            observer: None,
            counters: Arc::new(SchedulerCounters::default()),
            signing_keys: None,
        };
        Ok(Self { settings: Arc::new(settings) })
    }

    fn set(mut self, change: impl FnOnce(&mut Settings)) -> Self {
        change(Arc::make_mut(&mut self.settings));
        self
    }

    /// Sets the length of a lease; 60 seconds by default. Shorter than [`Scheduler::MIN_LEASE`] is
    /// treated as that.
    ///
    /// A lease is renewed after a third of it. The run of a node that died is repeated when its
    /// lease has ended. Keep it well above the difference between the clocks of the nodes.
    pub fn lease(self, lease: Duration) -> Self {
        self.set(|it| it.lease = lease.max(Self::MIN_LEASE))
    }

    /// Sets how often the ledger is asked for due runs; every 500 ms by default. Shorter than
    /// [`Scheduler::MIN_POLL`] or longer than [`Scheduler::MAX_POLL`] is treated as that.
    ///
    /// Each wait is between half of it and all of it, so that nodes spread out.
    pub fn poll_interval(self, interval: Duration) -> Self {
        self.set(|it| it.poll = interval.clamp(Self::MIN_POLL, Self::MAX_POLL))
    }

    /// Spreads runs that are due at the same time; zero by default.
    ///
    /// Each run starts up to this long (exclusive) after its time, by a delay that depends on its
    /// schedule and time only. So the nodes agree on it.
    pub fn jitter(self, jitter: Duration) -> Self {
        self.set(|it| it.jitter = jitter)
    }

    /// Sets the seed of the random waits between polls; by default it depends on the name of the
    /// node.
    pub fn seed(self, seed: u64) -> Self {
        self.set(|it| it.seed = seed)
    }

    /// Sets how many runs this node makes at the same time; 16 by default, 0 is treated as 1.
    pub fn runs_at_once(self, runs: usize) -> Self {
        self.set(|it| it.runs = runs.max(1))
    }

    /// Sets how many aggregates all runs of this node work on at the same time; 8 by default, 0 is
    /// treated as 1.
    pub fn aggregates_at_once(self, aggregates: usize) -> Self {
        let permits = aggregates.clamp(1, Semaphore::MAX_PERMITS);
        self.set(|it| it.budget = Arc::new(Semaphore::new(permits)))
    }

    /// Sets what happens to runs that were missed; [`MissedRuns::MakeUp`] by default.
    pub fn missed_runs(self, policy: MissedRuns) -> Self {
        self.set(|it| it.missed = policy)
    }

    /// Sets the clock; the [`SystemClock`] by default. Waiting uses the timers of tokio.
    pub fn clock(self, clock: impl Clock + 'static) -> Self {
        self.set(|it| it.clock = Arc::new(clock))
    }

    /// Sets the observer, which receives the report of each run and other events.
    pub fn on_event(self, observer: impl SchedulerObserver + 'static) -> Self {
        self.set(|it| it.observer = Some(Arc::new(observer)))
    }

    /// Sets the keys that sign audit trails in runs of
    /// [`Task::SealAudit`](crate::ledger::Task::SealAudit). Without keys, such a run signs nothing.
    pub fn signing_keys(self, keys: SigningKeys) -> Self {
        self.set(|it| it.signing_keys = Some(keys))
    }

    /// Returns what this scheduler and its clones have done so far.
    pub fn statistics(&self) -> SchedulerStatistics {
        self.settings.counters.read()
    }

    /// Runs schedules until `shutdown` completes.
    ///
    /// On shutdown, the runs in progress are stopped and released, so that other nodes can repeat
    /// them immediately. If the ledger does not answer within 5 seconds, their leases end by
    /// themselves. A failure of the ledger is reported and the next poll tries again.
    ///
    /// Must run on a tokio runtime with time enabled. Cancel safety: if the future is dropped, or
    /// the runtime shuts down, the runs in progress stop at their next await point and are repeated
    /// when their leases have ended.
    pub async fn run(&self, shutdown: impl Future<Output = ()> + Send) {
        let (stop, stopped) = watch::channel(false);
        let mut polling = Polling::new(Arc::clone(&self.settings), stopped);
        polling.run(shutdown).await;
        stop.send_replace(true);
        let _ = tokio::time::timeout(run::RELEASE_WITHIN, polling.finish()).await;
    }

    /// Makes the runs that are due now, and returns the report of each when all have ended: for
    /// tests, and for applications with their own timers.
    ///
    /// Asks the ledger once, for at most 10,000 runs. The reports are in the order in which the
    /// runs ended. Runs that another node claimed first are not among them.
    ///
    /// Must run on a tokio runtime with time enabled. Cancel safety: as [`run`](Self::run).
    ///
    /// # Errors
    /// Those of [`Ledger::due`]. Later errors are in the reports.
    pub async fn run_due(&self) -> Result<Vec<RunReport>, Error> {
        let (_stop, stopped) = watch::channel(false);
        let mut polling = Polling::new(Arc::clone(&self.settings), stopped);
        polling.fetch_all().await?;
        Ok(polling.finish().await)
    }
}

impl fmt::Debug for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scheduler")
            .field("owner", &self.settings.owner)
            .field("ledger", &self.settings.ledger)
            .field("kinds", &self.settings.kinds)
            .finish_non_exhaustive()
    }
}
